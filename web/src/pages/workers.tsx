// Workers: who runs jobs, who is stuck or silent, and what each holds.
import { CircleCheck, CirclePause, CircleX, Hourglass, type LucideIcon, VolumeX } from "lucide-react";
import { useState } from "react";
import type { HeldJob, Worker, WorkerDetail } from "../api/machine";
import { useRead } from "../api/reading";
import { useAddress } from "../kit/address";
import { Badge, type Tone } from "../kit/Badge";
import { Code } from "../kit/Code";
import { Go } from "../kit/Link";
import { List } from "../kit/List";
import { Page } from "../kit/Page";
import { Empty, Facts, Meter, Panel } from "../kit/Panel";
import { ProblemNote } from "../kit/Problem";
import { type Column, Table } from "../kit/Table";
import { Duration, Time } from "../kit/Time";
import { text } from "../text";
import { count, span } from "../text/format";

const words = text.workers;

export default function Workers() {
  const [id] = useAddress("id");
  return id === "" ? <AllWorkers /> : <OneWorker id={id} />;
}

const STATES: Record<string, { tone: Tone; icon: LucideIcon }> = {
  live: { tone: "good", icon: CircleCheck },
  stuck: { tone: "bad", icon: Hourglass },
  silent: { tone: "warn", icon: VolumeX },
  stopped: { tone: "quiet", icon: CirclePause },
  lost: { tone: "bad", icon: CircleX },
};

function WorkerState({ state }: { state: string }) {
  const look = STATES[state];
  return (
    <Badge tone={look?.tone} icon={look?.icon}>
      {words.states[state] ?? state}
    </Badge>
  );
}

function ago(seconds: number | null): string {
  return seconds === null ? "–" : words.ago(span(seconds));
}

const COLUMNS: Column<Worker>[] = [
  {
    id: "name",
    name: words.name,
    cell: (row) => (
      <Go to="/workers" search={{ id: row.id }}>
        {row.name || row.id}
      </Go>
    ),
    plain: (row) => row.name || row.id,
  },
  { id: "state", name: words.state, cell: (row) => <WorkerState state={row.state} />, plain: (row) => row.state },
  { id: "queues", name: words.queues, cell: (row) => row.queues.join(", "), plain: (row) => row.queues.join(",") },
  {
    id: "slots",
    name: words.slots,
    cell: (row) => (
      <Meter value={row.running.length} max={row.concurrency} label={words.slotsLabel(row.name)}>
        {words.slotsOf(count(row.running.length), count(row.concurrency))}
      </Meter>
    ),
    plain: (row) => row.running.length,
  },
  { id: "beat", name: words.beat, cell: (row) => ago(row.silent_seconds), plain: (row) => row.silent_seconds },
  {
    id: "asked",
    name: words.asked,
    cell: (row) => ago(row.asked_seconds),
    plain: (row) => row.asked_seconds,
    hidden: true,
  },
  { id: "claimed", name: words.claimed, cell: (row) => ago(row.claimed_seconds), plain: (row) => row.claimed_seconds },
  { id: "host", name: words.host, cell: (row) => row.host, plain: (row) => row.host },
  { id: "pid", name: words.pid, cell: (row) => row.pid, plain: (row) => row.pid, number: true, hidden: true },
  { id: "version", name: words.version, cell: (row) => row.version, plain: (row) => row.version, hidden: true },
  { id: "started", name: words.started, cell: (row) => <Time at={row.started_at} />, plain: (row) => row.started_at },
];

function AllWorkers() {
  const [at, setAt] = useState(0);
  return (
    <Page title={words.title} about={words.about} at={at}>
      <List<Worker>
        name="workers"
        label={words.label}
        path="/workers"
        topics={["stats"]}
        every={5}
        columns={COLUMNS}
        rowId={(row) => row.id}
        rowName={(row) => row.name}
        rowTo={(row) => `/workers?id=${row.id}`}
        command={() => "holdfast status"}
        onRead={setAt}
        empty={
          <Empty title={words.emptyTitle}>
            <p>{words.empty}</p>
            <Code>{words.emptyCode}</Code>
          </Empty>
        }
      />
    </Page>
  );
}

const HELD: Column<HeldJob>[] = [
  { id: "job", name: words.job, cell: (row) => <Go to={`/jobs/${row.id}`}>{row.id}</Go> },
  { id: "task", name: words.task, cell: (row) => row.task, sortBy: (row) => row.task },
  {
    id: "queue",
    name: words.queue,
    cell: (row) => (
      <Go to="/queue" search={{ name: row.queue }}>
        {row.queue}
      </Go>
    ),
  },
  { id: "state", name: words.state, cell: (row) => (row.running ? words.running : words.ahead) },
  { id: "since", name: words.since, cell: (row) => <Duration since={row.claimed_at} />, sortBy: (row) => row.seconds },
];

function OneWorker({ id }: { id: string }) {
  const read = useRead<WorkerDetail>(`/workers/${encodeURIComponent(id)}`, {}, { topics: ["stats"], every: 2 });
  const worker = read.data;
  return (
    <Page
      title={worker?.name || id}
      trail={[[words.title, "/workers"]]}
      badge={worker && <WorkerState state={worker.state} />}
      at={read.dataUpdatedAt}
    >
      {read.error && <ProblemNote error={read.error} again={() => void read.refetch()} />}
      {!worker && !read.error && <p className="quiet">{text.shell.loading}</p>}
      {worker && (
        <>
          {worker.state === "stuck" && <p className="bad">{words.stuckWhy}</p>}
          {worker.state === "silent" && <p className="bad">{words.silentWhy}</p>}
          <Panel title={words.name}>
            <Facts
              of={[
                [words.queues, worker.queues.join(", ")],
                [words.slots, words.slotsOf(count(worker.running.length), count(worker.concurrency))],
                [words.beat, ago(worker.silent_seconds)],
                [words.asked, ago(worker.asked_seconds)],
                [words.claimed, ago(worker.claimed_seconds)],
                [words.host, worker.host],
                [words.pid, worker.pid],
                [words.version, worker.version],
                [words.started, <Time key="started" at={worker.started_at} as="moment" />],
                [words.ended, worker.ended_at && <Time at={worker.ended_at} as="moment" />],
                [words.why, worker.end_reason],
              ]}
            />
          </Panel>
          <Panel title={words.held} flush>
            {worker.held.length === 0 ? (
              <Empty title={words.heldNone} />
            ) : (
              <Table
                label={words.held}
                columns={HELD}
                rows={worker.held}
                rowId={(row) => row.id}
                keys
                rowTo={(row) => `/jobs/${row.id}`}
              />
            )}
          </Panel>
        </>
      )}
    </Page>
  );
}
