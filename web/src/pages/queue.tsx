import { useRead } from "../api/reading";
import type { Job, Page as PageOf, WholeQueue } from "../api/types";
import { ActionButtons } from "../kit/acting";
import { useAddress } from "../kit/address";
import { Charts } from "../kit/History";
import { Go, Subject, term } from "../kit/Link";
import { Page } from "../kit/Page";
import { Panel } from "../kit/Panel";
import { ProblemNote } from "../kit/Problem";
import { Table } from "../kit/Table";
import { Tile, Tiles } from "../kit/Tiles";
import { text } from "../text";
import { atLeast, count, rate, span } from "../text/format";
import { jobColumns } from "./jobs/columns";
import { QueueState, queueActions } from "./queues";

const words = text.queues;

export default function Queue() {
  const [name] = useAddress("name");
  const read = useRead<WholeQueue>("/queues/show", { name }, { topics: ["stats", "queues"], every: 5 });
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
          <Serving queue={queue} />
          <Some title={words.jobs} filter={term("queue", name)} />
          <Some title={words.failures} filter={`state=failed ${term("queue", name)}`} />
        </>
      )}
    </Page>
  );
}

function Figures({ queue }: { queue: WholeQueue }) {
  const { columns: names } = words;
  const to = (state: string) => ({ to: "/jobs", search: { filter: `state=${state} ${term("queue", queue.name)}` } });
  return (
    <Tiles>
      <Tile name={names.ready} value={atLeast(queue.ready.count, queue.ready.is_exact)} {...to("ready")} />
      <Tile
        name={names.oldest}
        value={span(queue.oldest_seconds)}
        tone={(queue.oldest_seconds ?? 0) > 60 ? "warn" : undefined}
      />
      <Tile name={names.running} value={count(queue.running)} note={words.slots(queue.slots)} {...to("running")} />
      <Tile
        name={names.scheduled}
        value={atLeast(queue.scheduled.count, queue.scheduled.is_exact)}
        {...to("scheduled")}
      />
      <Tile name={names.blocked} value={atLeast(queue.blocked.count, queue.blocked.is_exact)} {...to("blocked")} />
      <Tile name={names.rate} value={rate(queue.rates.ended_per_second)} />
      <Tile name={names.drain} value={span(queue.drained_in_seconds)} />
      <Tile name={names.mean} value={span(queue.run_mean_seconds)} />
      <Tile name={names.failed} value={count(queue.totals.failed)} {...to("failed")} />
      <Tile name={names.completed} value={count(queue.totals.completed)} {...to("completed")} />
    </Tiles>
  );
}

/** Who claims from it, and what for. */
function Serving({ queue }: { queue: WholeQueue }) {
  return (
    <div className="columns">
      <Panel title={words.workers}>
        {queue.serving.length === 0 ? (
          <p>
            {words.noWorkers} <code>{words.workersHint(queue.name)}</code>
          </p>
        ) : (
          <ul className="row">
            {queue.serving.slice(0, 40).map((worker) => (
              <li key={worker.id}>
                <Subject kind="worker" id={worker.id}>
                  {worker.name ?? worker.id}
                </Subject>
              </li>
            ))}
          </ul>
        )}
      </Panel>
      <Panel title={words.tasks}>
        <ul className="row">
          {queue.tasks.map((task) => (
            <li key={task}>
              <Subject kind="task" id={task}>
                {task}
              </Subject>
            </li>
          ))}
        </ul>
      </Panel>
    </div>
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
