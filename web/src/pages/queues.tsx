import { CirclePause, Play } from "lucide-react";
import { type ReactNode, useState } from "react";
import { act } from "../api/client";
import type { Queue } from "../api/types";
import { type Action, ActionButtons } from "../kit/acting";
import { StateBadge } from "../kit/Badge";
import { Spark } from "../kit/Chart";
import { Code } from "../kit/Code";
import { Go, term } from "../kit/Link";
import { List } from "../kit/List";
import { Page } from "../kit/Page";
import { Empty } from "../kit/Panel";
import type { Column } from "../kit/Table";
import { text } from "../text";
import { atLeast, count, rate, span } from "../text/format";

const words = text.queues;
const { columns: names } = words;

/** Pause and resume, for the list and the page of a queue alike. */
export function queueActions(name: string): Action[] {
  return [
    {
      verb: "pause",
      label: words.pause,
      icon: CirclePause,
      hotkey: "P",
      confirm: { title: words.pauseTitle(name), body: <p>{words.pauseBody}</p>, verb: words.pause, reason: "optional" },
      run: async ({ reason }) => {
        await act("/queues/pause", { name, reason });
        return words.pausedDone(name);
      },
    },
    {
      verb: "resume",
      label: words.resume,
      icon: Play,
      primary: true,
      run: async () => {
        await act("/queues/resume", { name });
        return words.resumedDone(name);
      },
    },
  ];
}

export function QueueState({ queue }: { queue: Queue }) {
  if (!queue.paused) return <span className="quiet">{words.open}</span>;
  return (
    <span className="row">
      <StateBadge state="paused" />
      <span className="small anywhere">{words.pausedBy(queue.paused.by, queue.paused.reason)}</span>
    </span>
  );
}

function jobsLink(queue: Queue, state: string, amount: string) {
  return (
    <Go to="/jobs" search={{ filter: `state=${state} ${term("queue", queue.name)}` }}>
      {amount}
    </Go>
  );
}

/** A column of numbers; with a state each is a link to those jobs. */
function figure(
  id: keyof typeof names,
  value: (queue: Queue) => number | null,
  cell: (queue: Queue) => ReactNode,
  hidden?: boolean,
): Column<Queue> {
  return { id, name: names[id], cell, plain: value, sortBy: value, number: true, hidden };
}

function counted(id: "ready" | "scheduled" | "blocked"): Column<Queue> {
  return figure(
    id,
    (queue) => queue[id].count,
    (queue) => jobsLink(queue, id, atLeast(queue[id].count, queue[id].is_exact)),
  );
}

const COLUMNS: Column<Queue>[] = [
  {
    id: "name",
    name: names.name,
    cell: (queue) => (
      <Go to="/queue" search={{ name: queue.name }} className="anywhere">
        <strong>{queue.name}</strong>
      </Go>
    ),
    plain: (queue) => queue.name,
    sortBy: (queue) => queue.name,
  },
  {
    id: "state",
    name: names.state,
    cell: (queue) => <QueueState queue={queue} />,
    plain: (queue) => (queue.paused ? words.paused : words.open),
  },
  counted("ready"),
  figure(
    "oldest",
    (queue) => queue.oldest_seconds,
    (queue) => <span className="nowrap">{span(queue.oldest_seconds)}</span>,
  ),
  {
    ...figure(
      "running",
      (queue) => queue.running,
      (queue) => (
        <span className="nowrap">
          {jobsLink(queue, "running", count(queue.running))}
          {queue.slots > 0 && <span className="quiet"> / {count(queue.slots)}</span>}
        </span>
      ),
    ),
  },
  counted("scheduled"),
  counted("blocked"),
  figure(
    "rate",
    (queue) => queue.rates.ended_per_second,
    (queue) => <span className="nowrap">{rate(queue.rates.ended_per_second)}</span>,
  ),
  {
    id: "throughput",
    name: names.throughput,
    cell: (queue) => <Spark values={queue.buckets} label={words.sparkOf(queue.buckets.reduce((a, b) => a + b, 0))} />,
  },
  figure(
    "drain",
    (queue) => queue.drained_in_seconds,
    (queue) => <span className="nowrap">{span(queue.drained_in_seconds)}</span>,
  ),
  figure(
    "failed",
    (queue) => queue.totals.failed,
    (queue) => jobsLink(queue, "failed", count(queue.totals.failed)),
  ),
  figure(
    "completed",
    (queue) => queue.totals.completed,
    (queue) => count(queue.totals.completed),
    true,
  ),
  figure(
    "retried",
    (queue) => queue.totals.retried,
    (queue) => count(queue.totals.retried),
    true,
  ),
  {
    id: "actions",
    name: text.shell.actions,
    cell: (queue) => (
      <span className="row">
        <ActionButtons legal={queue.actions} actions={queueActions(queue.name)} keys={false} />
      </span>
    ),
  },
];

export default function Queues() {
  const [at, setAt] = useState(0);
  return (
    <Page title={words.title} about={words.about} at={at}>
      <List<Queue>
        name="queues"
        label={words.title}
        path="/queues"
        topics={["stats", "queues"]}
        every={5}
        columns={COLUMNS}
        rowId={(queue) => queue.name}
        rowTo={(queue) => `/queue?name=${encodeURIComponent(queue.name)}`}
        onRead={setAt}
        limit={200}
        command={() => "holdfast queue list"}
        empty={
          <Empty title={words.empty}>
            <p>{words.emptyHint}</p>
            <Code>{words.emptyCode}</Code>
          </Empty>
        }
      />
    </Page>
  );
}
