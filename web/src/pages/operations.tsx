// Operations: one verb on all that a filter found, how far it is, and the way to stop it.
import { Ban } from "lucide-react";
import { useState } from "react";
import { act } from "../api/client";
import { useRead } from "../api/reading";
import type { Operation } from "../api/types";
import { type Action, ActionButtons } from "../kit/acting";
import { useAddress } from "../kit/address";
import { StateBadge } from "../kit/Badge";
import { Go } from "../kit/Link";
import { List } from "../kit/List";
import { Page } from "../kit/Page";
import { Empty, Facts, Meter, Panel } from "../kit/Panel";
import { ProblemNote } from "../kit/Problem";
import type { Column } from "../kit/Table";
import { Time } from "../kit/Time";
import { text } from "../text";
import { count, rate, span } from "../text/format";

const words = text.operations;

export default function Operations() {
  const [id] = useAddress("id");
  return id === "" ? <AllOperations /> : <OneOperation id={id} />;
}

const COLUMNS: Column<Operation>[] = [
  {
    id: "verb",
    name: words.verb,
    cell: (row) => (
      <Go to="/operations" search={{ id: row.id }}>
        {row.verb} <span className="quiet">{row.id}</span>
      </Go>
    ),
    plain: (row) => row.verb,
  },
  {
    id: "filter",
    name: words.filter,
    cell: (row) => <code>{row.filter || words.all}</code>,
    plain: (row) => row.filter,
  },
  { id: "state", name: words.state, cell: (row) => <StateBadge state={row.state} />, plain: (row) => row.state },
  { id: "progress", name: words.progress, cell: (row) => <Progress row={row} />, plain: (row) => row.moved },
  { id: "by", name: words.by, cell: (row) => row.by, plain: (row) => row.by },
  { id: "reason", name: words.reason, cell: (row) => row.reason, plain: (row) => row.reason },
  { id: "started", name: words.started, cell: (row) => <Time at={row.started_at} />, plain: (row) => row.started_at },
];

function Progress({ row }: { row: Operation }) {
  const handled = row.moved + row.skipped + row.failed;
  const whole = row.state === "finished" ? handled : Math.max(row.planned, handled);
  return (
    <Meter value={handled} max={whole} label={words.progressOf(row.id)}>
      {words.done(count(row.moved), count(row.planned))}
    </Meter>
  );
}

function AllOperations() {
  const [at, setAt] = useState(0);
  return (
    <Page title={words.title} about={words.about} at={at}>
      <List<Operation>
        name="operations"
        label={words.label}
        path="/operations"
        topics={["operations"]}
        columns={COLUMNS}
        rowId={(row) => row.id}
        rowTo={(row) => `/operations?id=${row.id}`}
        command={() => "holdfast operation list"}
        onRead={setAt}
        empty={
          <Empty title={words.emptyTitle}>
            <p>{words.empty}</p>
            <Go to="/jobs">{words.emptyLink}</Go>
          </Empty>
        }
      />
    </Page>
  );
}

function OneOperation({ id }: { id: string }) {
  const read = useRead<Operation>(`/operations/${encodeURIComponent(id)}`, {}, { topics: ["operations"], every: 2 });
  const operation = read.data;
  return (
    <Page
      title={operation ? words.titleOf(operation.verb, id) : words.title}
      trail={[[words.title, "/operations"]]}
      badge={operation && <StateBadge state={operation.state} />}
      at={read.dataUpdatedAt}
      actions={operation && <ActionButtons legal={operation.actions ?? []} actions={actionsOf(operation)} />}
    >
      {read.error && <ProblemNote error={read.error} again={() => void read.refetch()} />}
      {!operation && !read.error && <p className="quiet">{text.shell.loading}</p>}
      {operation && (
        <Panel title={words.progress}>
          <div aria-live="polite">
            <Progress row={operation} />
          </div>
          <Facts
            of={[
              [words.filter, <Filtered key="filter" filter={operation.filter} />],
              [words.moved, count(operation.moved)],
              [words.skipped, operation.skipped > 0 ? `${count(operation.skipped)} (${words.skippedWhy})` : null],
              [words.failed, operation.failed > 0 ? count(operation.failed) : null],
              [words.planned, count(operation.planned)],
              [words.rate, operation.rate === null ? null : rate(operation.rate)],
              [words.eta, operation.eta_seconds === null ? null : span(operation.eta_seconds)],
              [words.by, operation.by],
              [words.reason, operation.reason],
              [words.started, <Time key="started" at={operation.started_at} as="moment" />],
              [words.finished, operation.finished_at && <Time at={operation.finished_at} as="moment" />],
            ]}
          />
        </Panel>
      )}
    </Page>
  );
}

function Filtered({ filter }: { filter: string }) {
  return (
    <Go to="/jobs" search={{ filter }} aria-label={words.show}>
      <code>{filter || words.all}</code>
    </Go>
  );
}

function actionsOf(operation: Operation): Action[] {
  return [
    {
      verb: "cancel",
      label: words.cancel,
      icon: Ban,
      danger: true,
      hotkey: "C",
      confirm: {
        title: words.cancelTitle(operation.id),
        body: <p>{words.cancelBody}</p>,
        verb: words.cancel,
        danger: true,
      },
      run: async ({ reason }) => {
        await act(`/operations/${encodeURIComponent(operation.id)}/cancel`, { reason });
        return words.cancelled;
      },
    },
  ];
}
