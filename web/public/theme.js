// Chooses the theme before the first paint. The same key is written by src/preferences.ts.
(() => {
  let theme = "system";
  let dense = "compact";
  try {
    const kept = JSON.parse(localStorage.getItem("holdfast.preferences") ?? "{}");
    theme = kept.theme ?? theme;
    dense = kept.density ?? dense;
  } catch {
    // No storage, or not ours: the system's theme it is.
  }
  const dark = theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.documentElement.dataset.density = dense;
})();
