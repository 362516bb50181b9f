// Failures: what goes wrong, gathered by what it is and where it comes from.
import { CheckCheck, Eye, RotateCcw, Undo2 } from "lucide-react";
import { useState } from "react";
import { act } from "../api/client";
import { useRead } from "../api/reading";
import type { FailureGroup, Job } from "../api/types";
import { serverNow } from "../clock";
import { type Action, ActionButtons } from "../kit/acting";
import { useAddress } from "../kit/address";
import { StateBadge } from "../kit/Badge";
import { Chart, Spark } from "../kit/Chart";
import { Code } from "../kit/Code";
import { Go, term } from "../kit/Link";
import { List } from "../kit/List";
import { Page } from "../kit/Page";
import { Empty, Facts, Panel } from "../kit/Panel";
import { ProblemNote } from "../kit/Problem";
import type { Column } from "../kit/Table";
import { Time } from "../kit/Time";
import { text } from "../text";
import { atLeast, count } from "../text/format";
import { BulkDialog } from "./jobs/Bulk";

const words = text.failures;

interface FailureDetail extends FailureGroup {
  queues: string[];
  note: string | null;
  marked_by: string | null;
  standing: number;
  standing_is_exact: boolean;
}

export default function Failures() {
  const [fingerprint] = useAddress("fingerprint");
  return fingerprint === "" ? <Groups /> : <Group fingerprint={fingerprint} />;
}

const COLUMNS: Column<FailureGroup>[] = [
  { id: "state", name: words.state, cell: (row) => <StateBadge state={row.state} />, plain: (row) => row.state },
  {
    id: "error",
    name: words.error,
    cell: (row) => (
      <div className="clip">
        <Go to="/failures" search={{ fingerprint: row.fingerprint }}>
          {row.error_type}
        </Go>
        <span className="quiet"> {row.message}</span>
      </div>
    ),
    plain: (row) => `${row.error_type}: ${row.message}`,
  },
  { id: "task", name: words.task, cell: (row) => row.task, plain: (row) => row.task },
  { id: "count", name: words.count, cell: (row) => count(row.count), plain: (row) => row.count, number: true },
  { id: "day", name: words.day, cell: (row) => <Spark values={row.buckets} label={words.dayOf(row.task)} bad /> },
  { id: "first", name: words.first, cell: (row) => <Time at={row.first_at} />, plain: (row) => row.first_at },
  { id: "last", name: words.last, cell: (row) => <Time at={row.last_at} />, plain: (row) => row.last_at },
];

function Groups() {
  const [at, setAt] = useState(0);
  const [queue] = useAddress("queue");
  return (
    <Page title={words.title} about={words.about} at={at}>
      <List<FailureGroup>
        name="failures"
        label={words.label}
        path="/failures"
        parameters={{ queue }}
        topics={["stats"]}
        columns={COLUMNS}
        rowId={(row) => row.fingerprint}
        rowName={(row) => words.titleOf(row.error_type, row.task)}
        rowTo={(row) => `/failures?${new URLSearchParams({ fingerprint: row.fingerprint })}`}
        command={() => "holdfast failure list"}
        onRead={setAt}
        empty={
          <Empty title={words.emptyTitle}>
            <p>{words.empty}</p>
          </Empty>
        }
      />
    </Page>
  );
}

function Group({ fingerprint }: { fingerprint: string }) {
  const [retrying, setRetrying] = useState(false);
  const read = useRead<FailureDetail>(`/failures/${encodeURIComponent(fingerprint)}`, {}, { topics: ["stats"] });
  const group = read.data;
  const sample = useRead<Job>(`/jobs/${group?.sample_job ?? ""}`, {}, { enabled: Boolean(group?.sample_job) });
  return (
    <Page
      title={group ? words.titleOf(group.error_type, group.task) : words.title}
      trail={[[words.title, "/failures"]]}
      badge={group && <StateBadge state={group.state} />}
      about={group?.message}
      at={read.dataUpdatedAt}
      actions={group && <ActionButtons legal={legalFor(group)} actions={actionsOf(group, () => setRetrying(true))} />}
    >
      {read.error && <ProblemNote error={read.error} again={() => void read.refetch()} />}
      {!group && !read.error && <p className="quiet">{text.shell.loading}</p>}
      {group && (
        <>
          <div className="columns">
            <Panel title={words.error}>
              <Facts
                of={[
                  [
                    words.standing,
                    <Go key="jobs" to="/jobs" search={{ filter: filterOf(group) }}>
                      {atLeast(group.standing, group.standing_is_exact)}
                    </Go>,
                  ],
                  [words.ever, count(group.count)],
                  [words.task, group.task],
                  [words.queues, group.queues.join(", ")],
                  [words.frame, group.frame && <code>{group.frame}</code>],
                  [words.first, <Time key="first" at={group.first_at} />],
                  [words.last, <Time key="last" at={group.last_at} />],
                  [words.note, group.note],
                  [words.by, group.marked_by],
                ]}
              />
            </Panel>
            <Panel title={words.day}>
              <Chart
                label={words.dayOf(group.task)}
                at={hoursBefore(group.buckets.length)}
                series={[{ name: words.anHour, values: group.buckets, color: 2 }]}
                format={count}
              />
            </Panel>
          </div>
          {group.sample_job && (
            <Panel title={words.sample} end={<Go to={`/jobs/${group.sample_job}`}>{group.sample_job}</Go>}>
              {sample.data?.error?.traceback ? (
                <Code label={words.traceback}>{sample.data.error.traceback}</Code>
              ) : (
                <p className="anywhere">{sample.data?.error?.message ?? group.message}</p>
              )}
            </Panel>
          )}
          {retrying && (
            <BulkDialog
              verb="retry"
              filter={filterOf(group)}
              title={words.retryTitle(group.error_type)}
              onClose={() => setRetrying(false)}
            />
          )}
        </>
      )}
    </Page>
  );
}

/** The beginnings of the last so many hours, the oldest first. */
function hoursBefore(hours: number): string[] {
  const now = serverNow();
  return Array.from({ length: hours }, (_, index) => new Date(now - (hours - index) * 3_600_000).toISOString());
}

function filterOf(group: FailureGroup): string {
  return term("failure", group.fingerprint);
}

/** What may be done: retry while some stand failed, and every mark but the one that it has. */
function legalFor(group: FailureDetail): string[] {
  const verbs = group.actions ?? [];
  const marks = ["seen", "resolved", "new"].filter((state) => state !== group.state);
  return [
    ...(verbs.includes("retry") && group.standing > 0 ? ["retry"] : []),
    ...(verbs.includes("mark") ? marks : []),
  ];
}

function actionsOf(group: FailureGroup, onRetry: () => void): Action[] {
  const mark = (state: string) => async (answer: { reason: string | null }) => {
    await act(`/failures/${encodeURIComponent(group.fingerprint)}/mark`, { state, note: answer.reason });
    return words.marked(text.states[state] ?? state);
  };
  return [
    {
      verb: "retry",
      label: words.retry,
      icon: RotateCcw,
      primary: true,
      hotkey: "R",
      run: () => {
        onRetry();
        return undefined;
      },
    },
    { verb: "seen", label: words.seen, icon: Eye, run: mark("seen") },
    {
      verb: "resolved",
      label: words.resolved,
      icon: CheckCheck,
      confirm: { title: words.resolved, body: <p>{words.resolvedBody}</p>, verb: words.resolved },
      run: mark("resolved"),
    },
    { verb: "new", label: words.fresh, icon: Undo2, run: mark("new") },
  ];
}
