import { serverNow, useNow } from "../clock";
import { usePreferences } from "../preferences";
import { text } from "../text";
import { ago, moment, roughly, span } from "../text/format";

/** "3 min ago" with the moment as its title; or the moment itself. */
export function Time({ at, as = "ago" }: { at: string | null | undefined; as?: "ago" | "moment" }) {
  const now = useNow();
  const { zone } = usePreferences();
  if (!at) return <span className="quiet">–</span>;
  const exact = moment(at, zone);
  return (
    <time dateTime={at} title={exact} className="nowrap">
      {as === "ago" ? ago(at, now) : exact}
    </time>
  );
}

/** How long: "1 min 35 s". With `since` it grows. */
export function Duration({ seconds, since }: { seconds?: number | null; since?: string | null }) {
  return since ? <Growing since={since} /> : <span className="nowrap">{span(seconds)}</span>;
}

function Growing({ since }: { since: string }) {
  const now = useNow();
  return <span className="nowrap">{span(Math.max(0, (now - Date.parse(since)) / 1000))}</span>;
}

const STALE_SECONDS = 15;

/** How old what is shown is; from 15 seconds on it says so loudly. `at` in milliseconds of this browser's clock. */
export function Age({ at }: { at: number }) {
  const now = useNow();
  if (at === 0) return <span className="age">{text.shell.age.loading}</span>;
  const seconds = Math.max(0, (now - serverNow() + Date.now() - at) / 1000);
  const stale = seconds > STALE_SECONDS;
  const words =
    seconds < 2 ? text.shell.age.now : (stale ? text.shell.age.stale : text.shell.age.updated)(roughly(seconds));
  return (
    <span className="age" data-stale={stale || undefined}>
      {words}
    </span>
  );
}

/** Whether what was read then is too old to be shown as if it were true. */
export function useIsStale(at: number): boolean {
  useNow();
  return at !== 0 && (Date.now() - at) / 1000 > STALE_SECONDS;
}
