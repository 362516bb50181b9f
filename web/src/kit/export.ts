// Everything that a list finds, as a file: page after page, up to a bound.
import type { Parameters } from "../address";
import { ask } from "../api/client";
import type { Page } from "../api/types";
import type { Column } from "./Table";

export const MOST_ROWS = 10_000;
const PAGE_ROWS = 200;

/** Read a list to its end or to the bound. `told` hears how many rows there are so far. */
export async function collect<Row>(
  path: string,
  parameters: Parameters,
  told: (rows: number) => void,
): Promise<{ rows: Row[]; isCapped: boolean }> {
  const rows: Row[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<Row> = await ask<Page<Row>>(path, { ...parameters, cursor, limit: PAGE_ROWS });
    rows.push(...page.items);
    cursor = page.next;
    told(rows.length);
  } while (cursor !== null && rows.length < MOST_ROWS);
  return { rows, isCapped: cursor !== null };
}

/** A cell of CSV. What a spreadsheet would take for a formula is made text. */
function cell(value: unknown): string {
  const raw = value === null || value === undefined ? "" : String(value);
  const safe = /^[=+\-@\t\r]/.test(raw) && Number.isNaN(Number(raw)) ? `'${raw}` : raw;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function toCsv<Row>(rows: Row[], columns: Column<Row>[]): string {
  const kept = columns.filter((column) => column.plain);
  const lines = [kept.map((column) => cell(column.id)).join(",")];
  for (const row of rows) lines.push(kept.map((column) => cell(column.plain?.(row))).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

/** Hand a file to the browser. */
export function save(name: string, type: string, content: string): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** A word for a shell, quoted if it has to be. */
export function shellWord(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
