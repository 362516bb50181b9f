// JSON without loss. Arguments and events may hold whole numbers beyond 2^53, which a number of this language rounds:
// shown they would be wrong, and an edit would write the wrong ones back. They are bigints here.

type Reviver = (key: string, value: unknown, context?: { source?: string }) => unknown;

const RAW = (JSON as { rawJSON?: (text: string) => unknown }).rawJSON;
const WHOLE = /^-?\d+$/;

/** What the text says. Raises SyntaxError. */
export function parse(text: string): unknown {
  const exact: Reviver = (_key, value, context) =>
    typeof value === "number" && !Number.isSafeInteger(value) && WHOLE.test(context?.source ?? "")
      ? BigInt(context?.source ?? "")
      : value;
  return JSON.parse(text, exact);
}

/** As text, indented if asked. */
export function stringify(value: unknown, indent?: number): string {
  const exact = (_key: string, part: unknown) =>
    typeof part === "bigint" ? (RAW ? RAW(String(part)) : Number(part)) : part;
  return JSON.stringify(value, exact, indent) ?? "null";
}
