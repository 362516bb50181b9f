import { useRef, useState } from "react";

/**
 * Rows that never jump: what is shown stays where it is and is brought up to date in place; rows that are new wait
 * until somebody asks for them. `key` names the list (filter, page): another list starts anew.
 */
export function useSteadyRows<Row>(key: string, rows: Row[] | undefined, rowId: (row: Row) => string) {
  const shown = useRef<{ key: string; rows: Row[] } | null>(null);
  const [, redraw] = useState(0);
  if (rows === undefined)
    return { rows: shown.current?.key === key ? shown.current.rows : [], waiting: 0, show: () => {} };
  const known = shown.current;
  if (known === null || known.key !== key || known.rows.length === 0) {
    shown.current = { key, rows };
    return { rows, waiting: 0, show: () => {} };
  }
  const fresh = new Map(rows.map((row) => [rowId(row), row]));
  const had = new Set(known.rows.map(rowId));
  const waiting = rows.filter((row) => !had.has(rowId(row))).length;
  // What the list does not have any more has left it, or was pushed to the next page by what is new: both go.
  const steady = known.rows.map((row) => fresh.get(rowId(row)) ?? null).filter((row) => row !== null);
  // Nothing of what was shown is left: waiting would show an empty list.
  if (steady.length === 0) {
    shown.current = { key, rows };
    return { rows, waiting: 0, show: () => {} };
  }
  const next = waiting === 0 ? rows : steady;
  shown.current = { key, rows: next };
  return {
    rows: next,
    waiting,
    show: () => {
      shown.current = { key, rows };
      redraw((count) => count + 1);
    },
  };
}
