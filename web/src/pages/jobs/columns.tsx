import type { Job } from "../../api/types";
import { StateBadge } from "../../kit/Badge";
import { inLine } from "../../kit/Code";
import { Go, Subject } from "../../kit/Link";
import { Meter } from "../../kit/Panel";
import type { Column } from "../../kit/Table";
import { Duration, Time } from "../../kit/Time";
import { text } from "../../text";

const { columns: names, ...words } = text.jobs;

/** The moment that matters in its state. */
export function When({ job }: { job: Job }) {
  if (job.finished_at) return <Labelled label={words.ended} at={job.finished_at} />;
  if (job.state === "running" && job.started_at) return <Labelled label={words.started} at={job.started_at} />;
  if (job.state === "scheduled" && job.due_at) return <Labelled label={words.due} at={job.due_at} />;
  return <Labelled label={words.enqueued} at={job.enqueued_at} />;
}

function Labelled({ label, at }: { label: string; at: string }) {
  return (
    <span className="nowrap">
      <span className="quiet">{label}</span> <Time at={at} />
    </span>
  );
}

/** Browsers tell times to the millisecond: what took less did not take nothing. */
export function tookSeconds(from: string, to: string): number {
  return Math.max(0.0005, (Date.parse(to) - Date.parse(from)) / 1000);
}

function Took({ job }: { job: Job }) {
  if (!job.started_at) return <span className="quiet">–</span>;
  if (!job.finished_at)
    return job.state === "running" ? <Duration since={job.started_at} /> : <span className="quiet">–</span>;
  return <Duration seconds={tookSeconds(job.started_at, job.finished_at)} />;
}

export const jobColumns: Column<Job>[] = [
  {
    id: "id",
    name: names.id,
    cell: (job) => (
      <Go to={`/jobs/${job.id}`} className="mono nowrap">
        {job.id}
      </Go>
    ),
    plain: (job) => job.id,
  },
  {
    id: "state",
    name: names.state,
    cell: (job) => <StateBadge state={job.state} />,
    plain: (job) => job.state,
  },
  {
    id: "task",
    name: names.task,
    cell: (job) => <div className="long anywhere">{job.task}</div>,
    plain: (job) => job.task,
  },
  {
    id: "queue",
    name: names.queue,
    cell: (job) => (
      <Subject kind="queue" id={job.queue}>
        {job.queue}
      </Subject>
    ),
    plain: (job) => job.queue,
  },
  {
    id: "attempt",
    name: names.attempt,
    cell: (job) => <span className="nowrap">{words.attemptOf(job.attempt ?? 0, job.max_attempts)}</span>,
    plain: (job) => job.attempt,
    number: true,
  },
  {
    id: "when",
    name: names.when,
    cell: (job) => <When job={job} />,
    plain: (job) => job.finished_at ?? job.started_at ?? job.due_at ?? job.enqueued_at,
  },
  { id: "took", name: names.took, cell: (job) => <Took job={job} />, number: true },
  {
    id: "error",
    name: names.error,
    rest: true,
    cell: (job) =>
      job.error ? (
        <div title={job.error.message}>{`${job.error.type}: ${job.error.message}`}</div>
      ) : (
        <Doing job={job} />
      ),
    plain: (job) => (job.error ? `${job.error.type}: ${job.error.message}` : ""),
  },
  {
    id: "args",
    name: names.args,
    cell: (job) => <div className="long cut mono">{inLine(job.args)}</div>,
    plain: (job) => inLine(job.args),
    hidden: true,
  },
  {
    id: "priority",
    name: names.priority,
    cell: (job) => job.priority,
    plain: (job) => job.priority,
    number: true,
    hidden: true,
  },
  {
    id: "worker",
    name: names.worker,
    cell: (job) =>
      job.worker && (
        <Subject kind="worker" id={job.worker}>
          {job.worker_name ?? job.worker}
        </Subject>
      ),
    plain: (job) => job.worker_name ?? job.worker,
    hidden: true,
  },
  {
    id: "key",
    name: names.key,
    cell: (job) => <span className="mono">{job.unique_key}</span>,
    plain: (job) => job.unique_key,
    hidden: true,
  },
  {
    id: "batch",
    name: names.batch,
    cell: (job) =>
      job.batch && (
        <Subject kind="batch" id={job.batch}>
          {job.batch}
        </Subject>
      ),
    plain: (job) => job.batch,
    hidden: true,
  },
  {
    id: "enqueued",
    name: names.enqueued,
    cell: (job) => <Time at={job.enqueued_at} as="moment" />,
    plain: (job) => job.enqueued_at,
    hidden: true,
  },
];

function Doing({ job }: { job: Job }) {
  const { progress } = job;
  if (job.state !== "running" || !progress) return null;
  return progress.total ? (
    <Meter value={progress.done ?? 0} max={progress.total} label={names.progress}>
      {progress.message}
    </Meter>
  ) : (
    <span>{progress.message}</span>
  );
}
