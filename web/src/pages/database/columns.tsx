// The tables of the database page.
import type { Connections, Horizon, ServerSetting, TableFacts, Wait } from "../../api/machine";
import { Badge } from "../../kit/Badge";
import type { Column } from "../../kit/Table";
import { text } from "../../text";
import { bytes, count, span } from "../../text/format";

const words = text.database;

function ago(seconds: number | null): string {
  return seconds === null ? words.never : words.ago(span(seconds));
}

export const WAITS: Column<Wait>[] = [
  { id: "pid", name: words.waiting, cell: (row) => row.pid },
  { id: "for", name: words.blocker, cell: (row) => (row.blocked_by === 0 ? words.prepared : row.blocked_by) },
  { id: "lock", name: words.lock, cell: (row) => [row.mode, row.what].filter(Boolean).join(" · ") },
  { id: "since", name: words.waited, cell: (row) => span(row.waiting_seconds), sortBy: (row) => row.waiting_seconds },
];

export const HORIZON: Column<Horizon>[] = [
  { id: "kind", name: words.kind, cell: (row) => row.kind },
  { id: "who", name: words.who, cell: (row) => row.name },
  { id: "detail", name: words.doing, cell: (row) => <span className="clip">{row.detail}</span> },
  {
    id: "age",
    name: words.age,
    cell: (row) => (row.age_transactions === null ? "–" : words.transactions(count(row.age_transactions))),
    sortBy: (row) => row.age_transactions,
  },
  { id: "open", name: words.open, cell: (row) => span(row.seconds), sortBy: (row) => row.seconds },
];

export const TABLES: Column<TableFacts>[] = [
  { id: "name", name: words.table, cell: (row) => row.name, sortBy: (row) => row.name },
  { id: "bytes", name: words.bytes, cell: (row) => bytes(row.bytes), number: true, sortBy: (row) => row.bytes },
  {
    id: "indexes",
    name: words.indexes,
    cell: (row) => bytes(row.index_bytes),
    number: true,
    sortBy: (row) => row.index_bytes,
  },
  { id: "rows", name: words.rows, cell: (row) => count(row.rows_about), number: true, sortBy: (row) => row.rows_about },
  { id: "dead", name: words.dead, cell: (row) => count(row.dead_rows), number: true, sortBy: (row) => row.dead_rows },
  { id: "parts", name: words.parts, cell: (row) => count(row.parts), number: true, sortBy: (row) => row.parts },
  {
    id: "vacuumed",
    name: words.vacuumed,
    cell: (row) => ago(row.vacuumed_seconds),
    sortBy: (row) => row.vacuumed_seconds,
  },
  {
    id: "analyzed",
    name: words.analyzed,
    cell: (row) => ago(row.analyzed_seconds),
    sortBy: (row) => row.analyzed_seconds,
  },
];

export const CONNECTIONS: Column<Connections>[] = [
  { id: "application", name: words.application, cell: (row) => row.application, sortBy: (row) => row.application },
  { id: "state", name: words.state, cell: (row) => row.state, sortBy: (row) => row.state },
  { id: "count", name: words.count, cell: (row) => count(row.count), number: true, sortBy: (row) => row.count },
  {
    id: "oldest",
    name: words.oldest,
    cell: (row) => span(row.oldest_transaction_seconds),
    sortBy: (row) => row.oldest_transaction_seconds,
  },
];

export const SETTINGS: Column<ServerSetting>[] = [
  { id: "name", name: words.setting, cell: (row) => <code>{row.name}</code>, sortBy: (row) => row.name },
  {
    id: "value",
    name: words.value,
    cell: (row) => (
      <>
        <code>{[row.setting, row.unit].filter(Boolean).join(" ")}</code>{" "}
        {row.pending_restart && <Badge tone="warn">{words.restart}</Badge>}
      </>
    ),
  },
  { id: "source", name: words.source, cell: (row) => row.source, sortBy: (row) => row.source },
];
