// Keys. A page says `useKey("R", retry, text.jobs.retry)` and the key works, stands in the help and in the palette.
// Keys of one character do nothing while somebody types, while a dialog is open, and when they are switched off.
import { useEffect, useRef, useSyncExternalStore } from "react";
import { currentPreferences } from "../preferences";

export interface KeyEntry {
  /** "j", "R" (a capital: with Shift), "g o" (one after the other), "Mod+k", "Enter", "Escape". */
  keys: string;
  label: string;
  group: "anywhere" | "go" | "list" | "page";
  run: () => void;
  /** Not offered in the palette: moving about in a list. */
  quiet?: boolean;
}

const SEQUENCE_MILLISECONDS = 1_200;

let entries: KeyEntry[] = [];
const listeners = new Set<() => void>();

export function register(entry: KeyEntry): () => void {
  entries = [...entries, entry];
  for (const listener of listeners) listener();
  return () => {
    entries = entries.filter((each) => each !== entry);
    for (const listener of listeners) listener();
  };
}

/** Every key that works now. */
export function useKeys(): KeyEntry[] {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => entries,
  );
}

interface KeyOptions {
  group?: KeyEntry["group"];
  enabled?: boolean;
  quiet?: boolean;
}

/** Do something on a key while this component is shown; the newest component that wants a key has it. */
export function useKey(keys: string, run: () => void, label: string, options: KeyOptions = {}): void {
  const { group = "page", enabled = true, quiet = false } = options;
  const latest = useRef(run);
  useEffect(() => {
    latest.current = run;
  });
  useEffect(() => {
    if (!enabled) return undefined;
    return register({ keys, label, group, quiet, run: () => latest.current() });
  }, [keys, label, group, enabled, quiet]);
}

const TYPING = 'input:not([type="checkbox"]):not([type="radio"]), textarea, select, [contenteditable="true"]';
const OWN_KEYS = '[role="menu"], [role="listbox"], [role="dialog"], [role="alertdialog"]';
const PRESSABLE = 'a, button, summary, [role="button"], input';

/** Listen to the keyboard. Returns the way to stop. */
export function listenToKeys(): () => void {
  let before = "";
  let timer: number | undefined;
  const onKey = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.isComposing || event.altKey) return;
    const target = event.target instanceof Element ? event.target : null;
    if (event.ctrlKey || event.metaKey) {
      if (run(`Mod+${event.key.toLowerCase()}`)) event.preventDefault();
      return;
    }
    if (!currentPreferences().singleKeys && event.key.length === 1) return;
    if (
      target?.closest(TYPING) ||
      target?.closest(OWN_KEYS) ||
      document.querySelector('[role="dialog"], [role="alertdialog"]')
    )
      return;
    // Enter and Space belong to the link or button that has the focus.
    if ((event.key === "Enter" || event.key === " ") && target?.closest(PRESSABLE)) return;
    const key = event.key;
    if (key === "Shift") return;
    const sequence = before === "" ? key : `${before} ${key}`;
    window.clearTimeout(timer);
    before = "";
    if (run(sequence) || run(key)) {
      event.preventDefault();
    } else if (entries.some((entry) => entry.keys.startsWith(`${key} `))) {
      before = key;
      timer = window.setTimeout(() => {
        before = "";
      }, SEQUENCE_MILLISECONDS);
    }
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}

function run(keys: string): boolean {
  const entry = entries.findLast((each) => each.keys === keys);
  entry?.run();
  return entry !== undefined;
}
