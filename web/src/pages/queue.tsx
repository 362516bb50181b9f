import { useRead } from "../api/reading";
import type { Job, Page as PageOf, Queue as QueueData } from "../api/types";
import { ActionButtons } from "../kit/acting";
import { useAddress } from "../kit/address";
import { Charts } from "../kit/History";
import { Go, Subject, term } from "../kit/Link";
import { Page } from "../kit/Page";
import { Panel } from "../kit/Panel";
import { ProblemNote } from "../kit/Problem";
import { Table } from "../kit/Table";
import { Tile, Tiles } from "../kit/Tiles";
import { useMe } from "../shell/me";
import { text } from "../text";
import { atLeast, count, span } from "../text/format";
import { jobColumns } from "./jobs/columns";
import { QueueState, queueActions } from "./queues";

const words = text.queues;

export default function Queue() {
  const [name] = useAddress("name");
  const read = useRead<QueueData>("/queues/show", { name }, { topics: ["stats", "queues"], every: 5 });
  const queue = read.data;
  return (
    <Page
      title={name}
      trail={[[words.title, "/queues"]]}
      badge={queue && <QueueState queue={queue} />}
      at={read.dataUpdatedAt}
      actions={queue && <ActionButtons legal={queue.actions} actions={queueActions(name)} />}
    >
      {read.error && <ProblemNote error={read.error} again={() => void read.refetch()} />}
      {queue && (
        <>
          <Figures queue={queue} />
          <Charts queue={name} />
          <Workers name={name} />
          <Some title={words.jobs} filter={term("queue", name)} />
          <Some title={words.failures} filter={`state=failed ${term("queue", name)}`} />
        </>
      )}
    </Page>
  );
}

function Figures({ queue }: { queue: QueueData }) {
  const { columns: names } = words;
  const to = (state: string) => ({ to: "/jobs", search: { filter: `state=${state} ${term("queue", queue.name)}` } });
  return (
    <Tiles>
      <Tile name={names.ready} value={atLeast(queue.ready, queue.ready_is_exact)} {...to("ready")} />
      <Tile
        name={names.oldest}
        value={span(queue.oldest_seconds)}
        tone={(queue.oldest_seconds ?? 0) > 60 ? "warn" : undefined}
      />
      <Tile name={names.running} value={count(queue.running)} {...to("running")} />
      <Tile name={names.scheduled} value={count(queue.scheduled)} {...to("scheduled")} />
      <Tile name={names.blocked} value={count(queue.blocked)} {...to("blocked")} />
      <Tile name={names.completed} value={count(queue.completed)} {...to("completed")} />
      <Tile name={names.failed} value={count(queue.failed)} {...to("failed")} />
      <Tile name={names.retried} value={count(queue.retried)} />
    </Tiles>
  );
}

interface WorkerLine {
  id: string;
  name?: string | null;
  host?: string | null;
  queues: string[];
  state?: string;
}

/** Who claims from it. */
function Workers({ name }: { name: string }) {
  const { may } = useMe();
  const read = useRead<PageOf<WorkerLine>>("/workers", { limit: 200 }, { every: 10, enabled: may("workers:read") });
  if (!read.data) return null;
  const serving = read.data.items.filter((worker) => worker.queues.length === 0 || worker.queues.includes(name));
  return (
    <Panel title={words.workers}>
      {serving.length === 0 ? (
        <p>
          {words.noWorkers} <code>{words.workersHint(name)}</code>
        </p>
      ) : (
        <ul className="row">
          {serving.slice(0, 24).map((worker) => (
            <li key={worker.id}>
              <Subject kind="worker" id={worker.id}>
                {worker.name || worker.id}
                {worker.host && ` · ${worker.host}`}
              </Subject>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

const SHOWN = ["id", "state", "task", "attempt", "when", "took", "error"];

function Some({ title, filter }: { title: string; filter: string }) {
  const read = useRead<PageOf<Job>>("/jobs", { filter, limit: 10 }, { topics: ["jobs"] });
  if (!read.data || read.data.items.length === 0) return null;
  return (
    <Panel
      title={title}
      flush
      end={
        <Go to="/jobs" search={{ filter }}>
          {words.show}
        </Go>
      }
    >
      <Table
        label={title}
        columns={jobColumns.filter((column) => SHOWN.includes(column.id))}
        rows={read.data.items}
        rowId={(job) => job.id}
      />
    </Panel>
  );
}
