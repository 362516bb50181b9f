// Batches: how far each is, the jobs in it, and whom its end calls.
import { Ban } from "lucide-react";
import { useState } from "react";
import { act } from "../api/client";
import { useRead } from "../api/reading";
import type { Batch, Job, WholeJob } from "../api/types";
import { type Action, ActionButtons } from "../kit/acting";
import { useAddress } from "../kit/address";
import { StateBadge } from "../kit/Badge";
import { Code } from "../kit/Code";
import { Go, Subject } from "../kit/Link";
import { List } from "../kit/List";
import { Page } from "../kit/Page";
import { Empty, Facts, Meter, Panel } from "../kit/Panel";
import { ProblemNote } from "../kit/Problem";
import { Segments } from "../kit/Segments";
import type { Column } from "../kit/Table";
import { Time } from "../kit/Time";
import { text } from "../text";
import { count } from "../text/format";
import { jobColumns } from "./jobs/columns";

const words = text.batches;

export default function Batches() {
  const [id] = useAddress("id");
  return id === "" ? <AllBatches /> : <OneBatch id={id} />;
}

function Progress({ row }: { row: Batch }) {
  const ended = row.members - row.open;
  return (
    <Meter value={ended} max={row.members} label={words.progressOf(row.id)}>
      {words.ended(count(ended), count(row.members))}
    </Meter>
  );
}

/** Whom its end has called, or will; a batch that was cancelled calls nobody. */
function Callbacks({ row }: { row: Batch }) {
  if (row.state === "running") return <span className="quiet">{words.notYet}</span>;
  if (row.callbacks.length === 0) return <span className="quiet">{words.noCallback}</span>;
  return (
    <span className="row">
      {row.callbacks.map((job) => (
        <Go key={job} to={`/jobs/${encodeURIComponent(job)}`}>
          {job}
        </Go>
      ))}
    </span>
  );
}

const COLUMNS: Column<Batch>[] = [
  {
    id: "batch",
    name: words.batch,
    cell: (row) => (
      <Go to="/batches" search={{ id: row.id }} className="anywhere">
        {row.name && <strong>{row.name} </strong>}
        <span className={row.name ? "quiet" : ""}>{row.id}</span>
      </Go>
    ),
    plain: (row) => row.name ?? row.id,
  },
  { id: "state", name: words.state, cell: (row) => <StateBadge state={row.state} />, plain: (row) => row.state },
  { id: "progress", name: words.progress, cell: (row) => <Progress row={row} />, plain: (row) => row.members },
  { id: "failed", name: words.failed, cell: (row) => count(row.failed), plain: (row) => row.failed, number: true },
  {
    id: "cancelled",
    name: words.cancelled,
    cell: (row) => count(row.cancelled),
    plain: (row) => row.cancelled,
    number: true,
    hidden: true,
  },
  {
    id: "callbacks",
    name: words.callbacks,
    cell: (row) => <Callbacks row={row} />,
    plain: (row) => row.callbacks.join(","),
  },
  {
    id: "parent",
    name: words.parent,
    cell: (row) => row.parent_job && <Subject kind="job" id={row.parent_job} />,
    plain: (row) => row.parent_job,
    hidden: true,
  },
  { id: "created", name: words.created, cell: (row) => <Time at={row.created_at} />, plain: (row) => row.created_at },
  {
    id: "finished",
    name: words.finished,
    cell: (row) => row.finished_at && <Time at={row.finished_at} />,
    plain: (row) => row.finished_at,
  },
];

function AllBatches() {
  const [at, setAt] = useState(0);
  const [which, setWhich] = useAddress("which", "all");
  const isUnfinished = which === "unfinished";
  return (
    <Page
      title={words.title}
      about={words.about}
      at={at}
      actions={
        <Segments
          label={words.which}
          value={which}
          onChange={setWhich}
          options={[
            ["all", words.all],
            ["unfinished", words.unfinished],
          ]}
        />
      }
    >
      <List<Batch>
        name="batches"
        label={words.title}
        path="/batches"
        parameters={{ unfinished: isUnfinished ? "true" : undefined }}
        topics={["jobs"]}
        columns={COLUMNS}
        rowId={(row) => row.id}
        rowTo={(row) => `/batches?id=${row.id}`}
        command={() => `holdfast batch list${isUnfinished ? " --unfinished" : ""}`}
        onRead={setAt}
        empty={
          <Empty title={isUnfinished ? words.emptyUnfinished : words.emptyTitle}>
            <p>{words.empty}</p>
            <Code>{words.emptyCode}</Code>
          </Empty>
        }
      />
    </Page>
  );
}

function OneBatch({ id }: { id: string }) {
  const read = useRead<Batch>(`/batches/${encodeURIComponent(id)}`, {}, { topics: ["jobs"], every: 5 });
  const batch = read.data;
  return (
    <Page
      title={words.titleOf(batch?.name ?? null, id)}
      trail={[[words.title, "/batches"]]}
      badge={batch && <StateBadge state={batch.state} />}
      at={read.dataUpdatedAt}
      actions={batch && <ActionButtons legal={batch.actions} actions={actionsOf(batch)} />}
    >
      {read.error && <ProblemNote error={read.error} again={() => void read.refetch()} />}
      {!batch && !read.error && <p className="quiet">{text.shell.loading}</p>}
      {batch && (
        <>
          <Panel title={words.progress}>
            <div aria-live="polite">
              <Progress row={batch} />
            </div>
            <Facts
              of={[
                [words.open, count(batch.open)],
                [words.completed, count(batch.completed)],
                [words.failed, count(batch.failed)],
                [words.cancelled, count(batch.cancelled)],
                [words.retried, batch.retried > 0 ? count(batch.retried) : null],
                [words.parent, batch.parent_job && <Subject kind="job" id={batch.parent_job} />],
                [words.created, <Time key="created" at={batch.created_at} as="moment" />],
                [words.finished, batch.finished_at && <Time at={batch.finished_at} as="moment" />],
                [words.callbacks, <CalledBack key="callbacks" batch={batch} />],
                [words.reason, batch.cancel_reason],
              ]}
            />
          </Panel>
          <Members id={id} />
        </>
      )}
    </Page>
  );
}

/** The jobs that its end has called, with how they stand. */
function CalledBack({ batch }: { batch: Batch }) {
  if (batch.callbacks.length === 0) return <Callbacks row={batch} />;
  return (
    <ul className="row">
      {batch.callbacks.map((job) => (
        <li key={job}>
          <Callback id={job} />
        </li>
      ))}
    </ul>
  );
}

function Callback({ id }: { id: string }) {
  const read = useRead<WholeJob>(`/jobs/${encodeURIComponent(id)}`, {}, { topics: [`job:${id}`] });
  return (
    <span className="row">
      <Go to={`/jobs/${encodeURIComponent(id)}`}>{read.data?.task ?? id}</Go>
      {read.data && <StateBadge state={read.data.state} />}
    </span>
  );
}

function Members({ id }: { id: string }) {
  return (
    <>
      <h2>{words.membersOf}</h2>
      <List<Job>
        name="batch-members"
        label={words.membersOf}
        path={`/batches/${encodeURIComponent(id)}/members`}
        topics={["jobs"]}
        columns={jobColumns}
        rowId={(row) => row.id}
        rowTo={(row) => `/jobs/${row.id}`}
        empty={<Empty title={words.noMembers} />}
      />
    </>
  );
}

function actionsOf(batch: Batch): Action[] {
  return [
    {
      verb: "cancel",
      label: words.cancel,
      icon: Ban,
      danger: true,
      hotkey: "C",
      confirm: {
        title: words.cancelTitle(batch.id),
        body: <p>{words.cancelBody}</p>,
        verb: words.cancel,
        danger: true,
      },
      run: async ({ reason }) => {
        await act(`/batches/${encodeURIComponent(batch.id)}/cancel`, { reason });
        return words.cancelDone(batch.id);
      },
    },
  ];
}
