// Sessions with an open transaction: the one that stalls the log first, each with the way to end it.
import { OctagonAlert } from "lucide-react";
import { act } from "../../api/client";
import type { Backend } from "../../api/machine";
import { type Action, ActionButtons } from "../../kit/acting";
import { Badge } from "../../kit/Badge";
import { Panel } from "../../kit/Panel";
import { type Column, Table } from "../../kit/Table";
import { text } from "../../text";
import { span } from "../../text/format";

const words = text.database;

export function Sessions({ backends }: { backends: Backend[] }) {
  const rows = [...backends].sort(
    (one, other) =>
      Number(other.holds_log) - Number(one.holds_log) ||
      (other.transaction_seconds ?? 0) - (one.transaction_seconds ?? 0),
  );
  return (
    <Panel title={words.sessions} flush={rows.length > 0}>
      <p className={rows.length > 0 ? "pad quiet" : "quiet"}>
        {rows.length > 0 ? words.sessionsWhy : words.sessionsNone}
      </p>
      {rows.length > 0 && (
        <Table label={words.sessions} columns={COLUMNS} rows={rows} rowId={(row) => String(row.pid)} />
      )}
    </Panel>
  );
}

const COLUMNS: Column<Backend>[] = [
  { id: "pid", name: words.session, cell: (row) => row.pid, number: true, sortBy: (row) => row.pid },
  {
    id: "application",
    name: words.application,
    cell: (row) => (
      <span className="row">
        {row.application}
        {row.holds_log && (
          <Badge tone="bad" icon={OctagonAlert}>
            {words.stallsLog}
          </Badge>
        )}
      </span>
    ),
    sortBy: (row) => row.application,
  },
  { id: "user", name: words.user, cell: (row) => [row.username, row.client].filter(Boolean).join(" · ") },
  {
    id: "state",
    name: words.state,
    cell: (row) => (
      <>
        {row.state}
        {row.blocked_by.length > 0 && <strong className="bad"> {words.waitsFor(row.blocked_by.join(", "))}</strong>}
      </>
    ),
  },
  {
    id: "open",
    name: words.open,
    cell: (row) => <span className="nowrap">{span(row.transaction_seconds)}</span>,
    sortBy: (row) => row.transaction_seconds,
  },
  {
    id: "query",
    name: words.doing,
    cell: (row) =>
      row.query === null ? <span className="quiet">{words.hidden}</span> : <code className="clip">{row.query}</code>,
  },
  {
    id: "actions",
    name: "",
    cell: (row) => (
      <span className="row">
        <ActionButtons legal={row.actions} actions={actionsOf(row)} keys={false} />
      </span>
    ),
  },
];

function actionsOf({ pid, application, started_at }: Backend): Action[] {
  return [
    {
      verb: "cancel",
      label: words.cancel,
      confirm: { title: words.cancelTitle(pid), body: <p>{words.cancelBody}</p>, verb: words.cancel },
      run: async ({ reason }) => {
        await act(`/database/backends/${pid}/cancel`, { started_at, reason });
        return words.cancelled(pid);
      },
    },
    {
      verb: "terminate",
      label: words.terminate,
      danger: true,
      confirm: {
        title: words.terminateTitle(application, pid),
        body: <p>{words.terminateBody}</p>,
        verb: words.terminate,
        danger: true,
      },
      run: async ({ reason }) => {
        await act(`/database/backends/${pid}/terminate`, { started_at, reason });
        return words.ended(pid);
      },
    },
  ];
}
