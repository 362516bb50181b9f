// The server's time, and a tick for everything that shows an age. A browser's clock may be wrong; ages must not be.
import { useSyncExternalStore } from "react";

let offsetMilliseconds = 0;
let current = Date.now();
const listeners = new Set<() => void>();
let timer: number | undefined;

/** Take over the server's clock: `at` is its time now. */
export function synchronise(at: string): void {
  const theirs = Date.parse(at);
  if (Number.isNaN(theirs)) return;
  const difference = theirs - Date.now();
  // What the wire took is noise: only a real difference counts.
  offsetMilliseconds = Math.abs(difference) < 2_000 ? 0 : difference;
}

/** The server's time now, in milliseconds. */
export function serverNow(): number {
  return Date.now() + offsetMilliseconds;
}

function tick(): void {
  current = serverNow();
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === undefined) {
    current = serverNow();
    timer = window.setInterval(tick, 1_000);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      window.clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The server's time, a second at a time. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => current);
}
