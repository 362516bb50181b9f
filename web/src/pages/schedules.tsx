// Schedules: what is enqueued by itself, when it is due next, and what became of it.
import { CalendarClock, CirclePause, History, Pencil, Play, RotateCcw } from "lucide-react";
import { useState } from "react";
import { act } from "../api/client";
import type { Occurrence, Schedule, ScheduleDetail } from "../api/control";
import { useRead } from "../api/reading";
import { type Action, ActionButtons } from "../kit/acting";
import { useAddress } from "../kit/address";
import { Badge, StateBadge, type Tone } from "../kit/Badge";
import { Code, Json } from "../kit/Code";
import { Go } from "../kit/Link";
import { List } from "../kit/List";
import { Page } from "../kit/Page";
import { Empty, Facts, Panel } from "../kit/Panel";
import { ProblemNote } from "../kit/Problem";
import { type Column, Table } from "../kit/Table";
import { Time } from "../kit/Time";
import { text } from "../text";
import { span } from "../text/format";
import { Backfill } from "./schedules/Backfill";
import { EditSchedule } from "./schedules/Edit";

const words = text.schedules;

export default function Schedules() {
  const [name] = useAddress("name");
  return name === "" ? <AllSchedules /> : <OneSchedule name={name} />;
}

const COLUMNS: Column<Schedule>[] = [
  {
    id: "name",
    name: words.name,
    cell: (row) => (
      <Go to="/schedules" search={{ name: row.name }}>
        {row.name}
      </Go>
    ),
    plain: (row) => row.name,
    sortBy: (row) => row.name,
  },
  {
    id: "plan",
    name: words.plan,
    cell: (row) => (
      <>
        {row.words}
        {row.is_edited && <span className="quiet"> · {words.edited}</span>}
      </>
    ),
    plain: (row) => row.words,
  },
  {
    id: "cron",
    name: words.cron,
    cell: (row) => <code>{row.cron}</code>,
    plain: (row) => row.cron,
    hidden: true,
  },
  { id: "zone", name: words.zone, cell: (row) => row.timezone, plain: (row) => row.timezone, hidden: true },
  {
    id: "next",
    name: words.next,
    cell: (row) => <Time at={row.due_at ?? row.next_at} />,
    plain: (row) => row.due_at ?? row.next_at,
    sortBy: (row) => row.due_at ?? row.next_at,
  },
  {
    id: "last",
    name: words.last,
    cell: (row) => (row.last ? <Became occurrence={row.last} short /> : <span className="quiet">–</span>),
    plain: (row) => row.last?.state,
  },
  { id: "task", name: words.task, cell: (row) => row.task, plain: (row) => row.task },
  {
    id: "state",
    name: words.state,
    cell: (row) => <ScheduleState row={row} />,
    plain: (row) => row.state,
    sortBy: (row) => row.state,
  },
];

function AllSchedules() {
  const [at, setAt] = useState(0);
  return (
    <Page title={words.title} about={words.about} at={at}>
      <List<Schedule>
        name="schedules"
        label={words.label}
        path="/schedules"
        topics={["stats"]}
        columns={COLUMNS}
        rowId={(row) => row.name}
        rowTo={(row) => `/schedules?${new URLSearchParams({ name: row.name })}`}
        command={() => "holdfast schedule list"}
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

const STATE_TONES: Record<string, Tone> = { active: "good", paused: "warn", withdrawn: "quiet", over: "quiet" };

function ScheduleState({ row }: { row: Schedule }) {
  return (
    <Badge tone={STATE_TONES[row.state] ?? "quiet"} icon={row.state === "paused" ? CirclePause : CalendarClock}>
      {words.states[row.state] ?? row.state}
    </Badge>
  );
}

function outcomeOf(occurrence: Occurrence): string {
  return words.outcomes[occurrence.because ?? occurrence.state] ?? occurrence.because ?? occurrence.state;
}

/** What became of a due moment: its job and how that stands, or that there is none. */
function Became({ occurrence, short = false }: { occurrence: Occurrence; short?: boolean }) {
  const { job, job_state: state } = occurrence;
  return (
    <span className="row">
      {short && <Time at={occurrence.at} />}
      {job && state ? <StateBadge state={state} /> : <Badge>{outcomeOf(occurrence)}</Badge>}
      {job && !short && <Go to={`/jobs/${job}`}>{job}</Go>}
    </span>
  );
}

type Form = "backfill" | "edit" | null;

function OneSchedule({ name }: { name: string }) {
  const read = useRead<ScheduleDetail>("/schedules/show", { name }, { topics: ["stats", "jobs"] });
  const [form, setForm] = useState<Form>(null);
  const schedule = read.data;
  return (
    <Page
      title={name}
      trail={[[words.title, "/schedules"]]}
      badge={schedule && <ScheduleState row={schedule} />}
      about={schedule?.words}
      at={read.dataUpdatedAt}
      actions={schedule && <ActionButtons legal={schedule.actions} actions={actionsOf(schedule, setForm)} />}
    >
      {read.error && <ProblemNote error={read.error} again={() => void read.refetch()} />}
      {!schedule && !read.error && <p className="quiet">{text.shell.loading}</p>}
      {schedule && (
        <>
          {schedule.pause_reason && <p>{words.pausedBecause(schedule.pause_reason)}</p>}
          <div className="columns">
            <Planned schedule={schedule} />
            <Panel title={words.nextTitle}>
              {schedule.upcoming.length === 0 && <p className="quiet">{words.nextNone}</p>}
              <ol className="stack">
                {schedule.upcoming.map((at) => (
                  <li key={at}>
                    <Time at={at} as="moment" />{" "}
                    <span className="quiet">
                      <Time at={at} />
                    </span>
                  </li>
                ))}
              </ol>
            </Panel>
          </div>
          <Panel title={words.occurrences} flush>
            {schedule.occurrences.length === 0 ? (
              <Empty title={words.occurrencesNone} />
            ) : (
              <Table
                label={words.occurrences}
                columns={OCCURRENCES}
                rows={schedule.occurrences}
                rowId={(row) => `${row.at} ${row.origin}`}
              />
            )}
          </Panel>
          {form === "backfill" && <Backfill schedule={schedule} onClose={() => setForm(null)} />}
          {form === "edit" && <EditSchedule schedule={schedule} onClose={() => setForm(null)} />}
        </>
      )}
    </Page>
  );
}

const OCCURRENCES: Column<Occurrence>[] = [
  { id: "at", name: words.moment, cell: (row) => <Time at={row.at} as="moment" /> },
  { id: "became", name: words.became, cell: (row) => <Became occurrence={row} /> },
  { id: "why", name: words.why, cell: (row) => row.detail },
  { id: "origin", name: words.origin, cell: (row) => words.origins[row.origin] ?? row.origin },
];

function Planned({ schedule }: { schedule: ScheduleDetail }) {
  return (
    <Panel title={words.details}>
      <Facts
        of={[
          [words.cron, schedule.cron && <code>{schedule.cron}</code>],
          [words.every, schedule.every_seconds && span(schedule.every_seconds)],
          [words.zone, schedule.timezone],
          [words.task, schedule.task],
          [words.queue, schedule.queue],
          [words.priority, schedule.priority],
          [words.jitter, schedule.jitter_seconds > 0 ? span(schedule.jitter_seconds) : null],
          [words.misfire, words.misfires[schedule.misfire] ?? schedule.misfire],
          [words.grace, span(schedule.grace_seconds)],
          [words.overlap, words.overlaps[schedule.overlap] ?? schedule.overlap],
          [words.probe, schedule.probe],
          [words.pausedAt, schedule.paused_at && <Time at={schedule.paused_at} />],
        ]}
      />
      {Object.keys((schedule.args ?? {}) as object).length > 0 && <Json value={schedule.args} label={words.args} />}
    </Panel>
  );
}

function actionsOf(schedule: ScheduleDetail, onForm: (form: Form) => void): Action[] {
  const { name } = schedule;
  const opens = (form: Form) => () => {
    onForm(form);
    return undefined;
  };
  return [
    {
      verb: "trigger",
      label: words.trigger,
      icon: Play,
      primary: true,
      confirm: { title: words.triggerTitle(name), body: <p>{words.triggerBody}</p>, verb: words.trigger },
      run: async ({ reason }) => {
        const made = await act<Occurrence>("/schedules/trigger", { name, reason });
        return words.triggered(outcomeOf(made));
      },
    },
    {
      verb: "backfill",
      label: words.backfill,
      icon: History,
      run: opens("backfill"),
    },
    { verb: "edit", label: words.edit.action, icon: Pencil, run: opens("edit") },
    {
      verb: "reset",
      label: words.reset,
      icon: RotateCcw,
      confirm: {
        title: words.resetTitle(name),
        body: <p>{words.resetBody(schedule.edited.join(", "))}</p>,
        verb: words.reset,
      },
      run: async ({ reason }) => {
        await act("/schedules/reset", { name, reason });
        return words.resetDone(name);
      },
    },
    {
      verb: "pause",
      label: words.pause,
      icon: CirclePause,
      confirm: { title: words.pauseTitle(name), body: <p>{words.pauseBody}</p>, verb: words.pause },
      run: ({ reason }) => act("/schedules/pause", { name, reason }),
    },
    {
      verb: "resume",
      label: words.resume,
      icon: Play,
      primary: true,
      run: async () => {
        await act("/schedules/resume", { name });
        return words.resumed;
      },
    },
  ];
}
