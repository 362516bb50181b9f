import { CirclePause, Play } from "lucide-react";
import { useState } from "react";
import { act } from "../api/client";
import type { Queue } from "../api/types";
import { type Action, ActionButtons } from "../kit/acting";
import { StateBadge } from "../kit/Badge";
import { Code } from "../kit/Code";
import { Go, term } from "../kit/Link";
import { List } from "../kit/List";
import { Page } from "../kit/Page";
import { Empty } from "../kit/Panel";
import type { Column } from "../kit/Table";
import { text } from "../text";
import { atLeast, count, span } from "../text/format";
import { Limits } from "./queues/Limits";

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
  if (!queue.paused_at) return <span className="quiet">{words.open}</span>;
  return (
    <span className="row">
      <StateBadge state="paused" />
      <span className="small anywhere">{words.pausedBy(queue.paused_by ?? null, queue.pause_reason)}</span>
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
    plain: (queue) => (queue.paused_at ? words.paused : words.open),
  },
  {
    id: "ready",
    name: names.ready,
    cell: (queue) => jobsLink(queue, "ready", atLeast(queue.ready, queue.ready_is_exact)),
    plain: (queue) => queue.ready,
    sortBy: (queue) => queue.ready,
    number: true,
  },
  {
    id: "oldest",
    name: names.oldest,
    cell: (queue) => <span className="nowrap">{span(queue.oldest_seconds)}</span>,
    plain: (queue) => queue.oldest_seconds,
    sortBy: (queue) => queue.oldest_seconds,
    number: true,
  },
  {
    id: "running",
    name: names.running,
    cell: (queue) => jobsLink(queue, "running", count(queue.running)),
    plain: (queue) => queue.running,
    sortBy: (queue) => queue.running,
    number: true,
  },
  {
    id: "scheduled",
    name: names.scheduled,
    cell: (queue) => jobsLink(queue, "scheduled", count(queue.scheduled)),
    plain: (queue) => queue.scheduled,
    sortBy: (queue) => queue.scheduled,
    number: true,
  },
  {
    id: "blocked",
    name: names.blocked,
    cell: (queue) => jobsLink(queue, "blocked", count(queue.blocked)),
    plain: (queue) => queue.blocked,
    sortBy: (queue) => queue.blocked,
    number: true,
  },
  {
    id: "completed",
    name: names.completed,
    cell: (queue) => count(queue.completed),
    plain: (queue) => queue.completed,
    sortBy: (queue) => queue.completed,
    number: true,
  },
  {
    id: "failed",
    name: names.failed,
    cell: (queue) => jobsLink(queue, "failed", count(queue.failed)),
    plain: (queue) => queue.failed,
    sortBy: (queue) => queue.failed,
    number: true,
  },
  {
    id: "retried",
    name: names.retried,
    cell: (queue) => count(queue.retried),
    plain: (queue) => queue.retried,
    sortBy: (queue) => queue.retried,
    number: true,
    hidden: true,
  },
  {
    id: "actions",
    name: text.shell.more,
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
      <Limits />
    </Page>
  );
}
