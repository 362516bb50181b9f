// What a wall clock means: "2026-03-29T07:00" in a zone is a moment.

/** The moment at which the clock of this zone shows that. A time that a change of the clock skips becomes a near one. */
export function instantOf(wall: string, zone: string): string {
  const asUtc = Date.parse(`${wall}Z`);
  // The offset is asked for at a moment near it, then at the moment found: on the day of a change the two differ.
  const near = asUtc - offsetOf(asUtc, zone);
  return new Date(asUtc - offsetOf(near, zone)).toISOString();
}

/** How far the clock of the zone is ahead of UTC at a moment, in milliseconds. */
function offsetOf(at: number, zone: string): number {
  const parts = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
    hourCycle: "h23",
  }).formatToParts(at);
  const part = (type: string) => Number(parts.find((each) => each.type === type)?.value);
  const shown = Date.UTC(part("year"), part("month") - 1, part("day"), part("hour"), part("minute"), part("second"));
  return shown - Math.floor(at / 1000) * 1000;
}
