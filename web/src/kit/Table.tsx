import { ArrowDown, ArrowUp } from "lucide-react";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { text } from "../text";
import { useGo } from "./address";
import { useKey } from "./keys";
import type { Selection } from "./selection";

export interface Column<Row> {
  id: string;
  name: string;
  cell: (row: Row) => ReactNode;
  /** As plain text, for CSV. Without it the column is not exported. */
  plain?: (row: Row) => string | number | boolean | null | undefined;
  /** Numbers stand at the right. */
  number?: boolean;
  /** Takes what the other columns leave, and cuts what does not fit: one column at the most. */
  rest?: boolean;
  /** Hidden until somebody chooses it. */
  hidden?: boolean;
  /** For lists that are whole: sorts them on a click. */
  sortBy?: (row: Row) => string | number | null;
}

interface TableProps<Row> {
  label: string;
  columns: Column<Row>[];
  rows: Row[];
  rowId: (row: Row) => string;
  /** What a row is called: for the tick box and the keys. */
  rowName?: (row: Row) => string;
  /** Where Enter goes. */
  rowTo?: (row: Row) => string;
  /** A row that is emphasised, for instance the one that is open. */
  openRow?: string;
  selection?: Selection;
  /** Whether j, k, x … belong to this table: one table a page. */
  keys?: boolean;
  busy?: boolean;
}

type Sorting = { column: string; down: boolean } | null;

/** Rows and columns; keyboard, selection, and on a phone a card a row. */
export function Table<Row>(props: TableProps<Row>) {
  const { label, columns, rowId, rowName = rowId, selection, busy } = props;
  const [sorting, setSorting] = useState<Sorting>(null);
  const rows = sorted(props.rows, columns, sorting);
  const ids = rows.map(rowId);
  const [at, setAt] = useCursor(props, rows, ids);
  return (
    <div className="table-frame" aria-busy={busy || undefined}>
      <table className="table cards" aria-label={label} role="table">
        <thead role="rowgroup">
          <tr role="row">
            {selection && (
              <th className="select" scope="col" role="columnheader">
                <SelectAll selection={selection} ids={ids} />
              </th>
            )}
            {columns.map((column) => (
              <Heading key={column.id} column={column} sorting={sorting} onSort={setSorting} />
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((row, index) => {
            const id = rowId(row);
            const isChosen = selection?.has(id) ?? false;
            return (
              <tr
                key={id}
                role="row"
                data-row={id}
                data-chosen={isChosen || props.openRow === id || undefined}
                data-at={at === index || undefined}
                aria-selected={selection ? isChosen : undefined}
                onFocus={() => setAt(index)}
              >
                {selection && (
                  <td className="select" role="cell">
                    <label className="tick">
                      <span className="visually-hidden">{text.lists.selectRow(rowName(row))}</span>
                      <input
                        type="checkbox"
                        checked={isChosen}
                        onClick={(event) => {
                          if (event.shiftKey) selection.range(ids, id);
                          else selection.toggle(id);
                        }}
                        onChange={() => {}}
                      />
                    </label>
                  </td>
                )}
                {columns.map((column) => (
                  <td key={column.id} role="cell" className={classOf(column)} data-name={column.name}>
                    <div>{column.cell(row)}</div>
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function SelectAll({ selection, ids }: { selection: Selection; ids: string[] }) {
  const box = useRef<HTMLInputElement>(null);
  const chosen = ids.filter((id) => selection.has(id)).length;
  useEffect(() => {
    if (box.current) box.current.indeterminate = chosen > 0 && chosen < ids.length;
  });
  return (
    <label className="tick">
      <span className="visually-hidden">{text.lists.selectAll}</span>
      <input
        ref={box}
        type="checkbox"
        checked={ids.length > 0 && chosen === ids.length}
        onChange={() => selection.all(ids)}
      />
    </label>
  );
}

interface HeadingProps<Row> {
  column: Column<Row>;
  sorting: Sorting;
  onSort: (sorting: Sorting) => void;
}

function Heading<Row>({ column, sorting, onSort }: HeadingProps<Row>) {
  const mine = sorting?.column === column.id ? sorting : null;
  const className = classOf(column);
  if (!column.sortBy) {
    return (
      <th scope="col" role="columnheader" className={className}>
        {column.name}
      </th>
    );
  }
  const next =
    mine === null
      ? { column: column.id, down: Boolean(column.number) }
      : mine.down === Boolean(column.number)
        ? { column: column.id, down: !mine.down }
        : null;
  const Icon = mine?.down ? ArrowDown : ArrowUp;
  return (
    <th
      scope="col"
      role="columnheader"
      className={className}
      aria-sort={mine ? (mine.down ? "descending" : "ascending") : "none"}
    >
      <button type="button" title={text.lists.sortBy(column.name)} onClick={() => onSort(next)}>
        {column.name}
        {mine && <Icon size={12} aria-hidden />}
      </button>
    </th>
  );
}

function classOf<Row>(column: Column<Row>): string | undefined {
  return column.number ? "number" : column.rest ? "rest" : undefined;
}

function sorted<Row>(rows: Row[], columns: Column<Row>[], sorting: Sorting): Row[] {
  const by = sorting && columns.find((column) => column.id === sorting.column)?.sortBy;
  if (!sorting || !by) return rows;
  const order = [...rows].sort((a, b) => {
    const [left, right] = [by(a), by(b)];
    if (left === right) return 0;
    // What has no value stands at the end, whatever the direction.
    if (left === null) return 1;
    if (right === null) return -1;
    const result =
      typeof left === "number" && typeof right === "number" ? left - right : String(left).localeCompare(String(right));
    return sorting.down ? -result : result;
  });
  return order;
}

/** j, k, x, Shift-x, a, Enter: the row they are about, and the keys. */
function useCursor<Row>(props: TableProps<Row>, rows: Row[], ids: string[]): [number, (index: number) => void] {
  const { selection, rowTo, keys = false } = props;
  const [at, setAt] = useState(-1);
  const go = useGo();
  const { keys: words } = text.shell;
  const move = (by: number) => {
    const next = Math.max(0, Math.min(rows.length - 1, at + by));
    setAt(next);
    const id = ids[next];
    if (id === undefined) return;
    const line = [...document.querySelectorAll<HTMLElement>("[data-row]")].find((each) => each.dataset.row === id);
    line?.scrollIntoView({ block: "nearest" });
    // The focus goes along, so that a screen reader reads the row and Enter and Tab start there.
    const link = line?.querySelector<HTMLElement>("td:not(.select) a, td:not(.select) button");
    (link ?? line?.querySelector<HTMLElement>("input"))?.focus({ preventScroll: true });
  };
  const id = ids[at];
  const row = rows[at];
  const list = { group: "list" as const, enabled: keys, quiet: true };
  const picks = { ...list, enabled: keys && selection !== undefined };
  useKey("j", () => move(1), words.next, list);
  useKey("k", () => move(-1), words.previous, list);
  useKey("x", () => id !== undefined && selection?.toggle(id), words.select, picks);
  useKey("X", () => id !== undefined && selection?.range(ids, id), words.range, picks);
  useKey("a", () => selection?.all(ids), words.all, picks);
  useKey("Enter", () => row !== undefined && rowTo && go(rowTo(row)), words.open, {
    ...list,
    enabled: keys && rowTo !== undefined,
  });
  return [at, setAt];
}
