// What the shell can do, for its buttons, keys and the palette alike.
import { prefix } from "../address";
import { remove } from "../api/client";
import { notifyProblem } from "../kit/Notices";
import { currentPreferences, prefer, shownTheme } from "../preferences";

export function nextTheme(): void {
  const { theme } = currentPreferences();
  // From "as the system" the first step must change something.
  if (theme === "system") prefer({ theme: shownTheme() === "dark" ? "light" : "dark" });
  else prefer({ theme: theme === "light" ? "dark" : "system" });
}

export function toggleZone(): void {
  prefer({ zone: currentPreferences().zone === "utc" ? "local" : "utc" });
}

export function togglePause(): void {
  prefer({ paused: !currentPreferences().paused });
}

export function toggleDensity(): void {
  prefer({ density: currentPreferences().density === "compact" ? "comfortable" : "compact" });
}

export async function signOut(): Promise<void> {
  try {
    await remove("/session");
  } catch (thrown) {
    notifyProblem(thrown);
    return;
  }
  window.location.assign(`${prefix}/login`);
}
