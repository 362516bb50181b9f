// What a person has chosen, kept in this browser. public/theme.js reads the same key before the first paint.
import { useSyncExternalStore } from "react";

export interface Preferences {
  theme: "system" | "light" | "dark";
  zone: "local" | "utc";
  density: "compact" | "comfortable";
  /** Shortcuts of one key; with Ctrl or Cmd they always work. */
  singleKeys: boolean;
  /** How often to ask where the live stream does not get through, 1 to 30. */
  pollSeconds: number;
  /** Whether the person has paused everything that comes by itself. */
  paused: boolean;
  /** Hidden columns of each list. */
  hidden: Record<string, string[]>;
}

const KEY = "holdfast.preferences";
const INITIAL: Preferences = {
  theme: "system",
  zone: "local",
  density: "compact",
  singleKeys: true,
  pollSeconds: 5,
  paused: false,
  hidden: {},
};

let preferences: Preferences = read();
const listeners = new Set<() => void>();

function read(): Preferences {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Preferences>;
    return { ...INITIAL, ...kept, paused: false };
  } catch {
    return INITIAL;
  }
}

export function currentPreferences(): Preferences {
  return preferences;
}

export function prefer(change: Partial<Preferences>): void {
  preferences = { ...preferences, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences));
  } catch {
    // Private windows may refuse: the choice lasts as long as the page.
  }
  paint();
  for (const listener of listeners) listener();
}

export function subscribeToPreferences(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function usePreferences(): Preferences {
  return useSyncExternalStore(subscribeToPreferences, currentPreferences);
}

const system = matchMedia("(prefers-color-scheme: dark)");

/** What is shown now: the choice, or the system's. */
export function shownTheme(): "light" | "dark" {
  if (preferences.theme !== "system") return preferences.theme;
  return system.matches ? "dark" : "light";
}

function paint(): void {
  document.documentElement.dataset.theme = shownTheme();
  document.documentElement.dataset.density = preferences.density;
}

system.addEventListener("change", () => {
  paint();
  for (const listener of listeners) listener();
});
// Another tab has chosen: follow it.
window.addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  preferences = { ...read(), paused: preferences.paused };
  paint();
  for (const listener of listeners) listener();
});
