// Numbers, times and durations as people read them.

const LOCALE = "en-GB";
const whole = new Intl.NumberFormat(LOCALE);
const short = new Intl.NumberFormat(LOCALE, { notation: "compact", maximumFractionDigits: 1 });

/** 1204 → "1,204"; from a million on "1.2M" fits a tile. */
export function count(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) >= 1_000_000 ? short.format(value) : whole.format(value);
}

/** A count that may be a lower bound: "≥ 100,000". */
export function atLeast(value: number, isExact: boolean): string {
  return isExact ? count(value) : `≥ ${count(value)}`;
}

/** 0.0123 → "12 ms"; 95 → "1 min 35 s"; 90061 → "1 d 1 h". Two units at the most. */
export function span(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const length = Math.abs(seconds);
  if (length === 0) return "0 s";
  if (length < 0.001) return "< 1 ms";
  if (length < 1) return `${Math.round(length * 1000)} ms`;
  if (length < 10) return `${Number(length.toFixed(1))} s`;
  if (length < 60) return `${Math.round(length)} s`;
  const units: [string, number][] = [
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
    ["s", 1],
  ];
  let rest = Math.round(length);
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount > 0) parts.push(`${amount} ${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** One unit only, for dense columns: "3 min", "2 d". */
export function roughly(seconds: number): string {
  const length = Math.abs(seconds);
  if (length < 1) return "0 s";
  if (length < 60) return `${Math.floor(length)} s`;
  if (length < 3_600) return `${Math.floor(length / 60)} min`;
  if (length < 86_400) return `${Math.floor(length / 3_600)} h`;
  return `${Math.floor(length / 86_400)} d`;
}

/** "3 min ago", "in 2 h", seen from `now` (milliseconds). */
export function ago(at: string, now: number): string {
  const seconds = (now - Date.parse(at)) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `${roughly(seconds)} ago` : `in ${roughly(seconds)}`;
}

export type Zone = "local" | "utc";

/** "2026-11-27 14:03:05"; with the zone's name when asked. */
export function moment(at: string | number, zone: Zone, withZone = true): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return String(at);
  const parts = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone === "utc" ? "UTC" : undefined,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
    timeZoneName: withZone ? "short" : undefined,
  }).formatToParts(date);
  const part = (type: string) => parts.find((each) => each.type === type)?.value ?? "";
  const text = `${part("year")}-${part("month")}-${part("day")} ${part("hour")}:${part("minute")}:${part("second")}`;
  return withZone ? `${text} ${part("timeZoneName")}` : text;
}

/** "14:03" on the same day, "27 Nov 14:03" otherwise: for axes and dense rows. */
export function clockTime(at: string | number, zone: Zone, withDay = false): string {
  return new Intl.DateTimeFormat("en-GB", {
    timeZone: zone === "utc" ? "UTC" : undefined,
    day: withDay ? "numeric" : undefined,
    month: withDay ? "short" : undefined,
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  }).format(new Date(at));
}

/** 1536 → "1.5 KiB". */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let amount = value;
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${Number(amount.toFixed(amount < 10 && unit > 0 ? 1 : 0))} ${units[unit]}`;
}

/** 0.1234 → "12 %". */
export function percent(share: number | null | undefined): string {
  return share === null || share === undefined ? "–" : `${Math.round(share * 100)} %`;
}

/** 12.345 → "12.3/s". */
export function rate(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined) return "–";
  return `${perSecond >= 100 ? count(Math.round(perSecond)) : Number(perSecond.toFixed(1))}/s`;
}

/** "1 job", "2 jobs". */
export function plural(amount: number, one: string, many: string = `${one}s`): string {
  return `${count(amount)} ${amount === 1 ? one : many}`;
}
