import { CircleCheck, CirclePlus, CircleX, Clock, type LucideIcon, Pencil, Play, Server, Unplug } from "lucide-react";
import type { ReactNode } from "react";
import type { Job, JobEvent } from "../../api/types";
import { lookOf, type Tone } from "../../kit/Badge";
import { Code, Json } from "../../kit/Code";
import { Subject } from "../../kit/Link";
import { Duration, Time } from "../../kit/Time";
import { useMe } from "../../shell/me";
import { text } from "../../text";
import { span } from "../../text/format";

const say = text.jobs.page;

interface Entry {
  key: string;
  at: string;
  icon: LucideIcon;
  tone: Tone;
  title: ReactNode;
  body?: ReactNode;
}

const LOOKS: Record<string, { icon: LucideIcon; tone: Tone }> = {
  failed: { icon: CircleX, tone: "bad" },
  lost: { icon: Unplug, tone: "bad" },
  edited: { icon: Pencil, tone: "info" },
  linked: { icon: Server, tone: "info" },
};

/** What happened to a job: enqueued, each attempt with how it went, edits, its end. */
export function Timeline({ job, events }: { job: Job; events: JobEvent[] }) {
  const { may } = useMe();
  const entries = entriesOf(job, events, may("jobs:args"));
  return (
    <ol className="timeline">
      {entries.map((entry) => (
        <li key={entry.key}>
          <span className="dot" data-tone={entry.tone}>
            <entry.icon size={12} strokeWidth={2.5} aria-hidden />
          </span>
          <div className="stack tight">
            <p className="row wide">
              <span>{entry.title}</span>
              <span className="quiet small">
                <Time at={entry.at} as="moment" />
              </span>
            </p>
            {entry.body}
          </div>
        </li>
      ))}
    </ol>
  );
}

function entriesOf(job: Job, events: JobEvent[], seesArgs: boolean): Entry[] {
  const entries: Entry[] = [
    { key: "enqueued", at: job.enqueued_at, icon: CirclePlus, tone: "quiet", title: say.events.enqueued },
    ...events.map((event, index) => entryOf(event, index, seesArgs)),
  ];
  if (job.state === "scheduled" && job.due_at) {
    entries.push({ key: "due", at: job.due_at, icon: Clock, tone: "plan", title: say.events.due });
  }
  const last = events.findLast((event) => event.what === "failed");
  // The attempt that failed last is the end of a failed job: it is shown once, with its traceback.
  const isToldAlready = job.state === "failed" && last?.at === job.finished_at;
  if (job.started_at && !isToldAlready) {
    entries.push({
      key: "started",
      at: job.started_at,
      icon: Play,
      tone: "info",
      title: (
        <>
          {say.attempt(job.attempt)}: {say.events.started}
          {job.worker && (
            <>
              {" "}
              <Subject kind="worker" id={job.worker}>
                {say.on(job.worker)}
              </Subject>
            </>
          )}
        </>
      ),
      body: job.state === "running" ? <Duration since={job.started_at} /> : undefined,
    });
  }
  if (job.finished_at && !isToldAlready) {
    const { tone } = lookOf(job.state);
    entries.push({
      key: "finished",
      at: job.finished_at,
      icon: job.state === "completed" ? CircleCheck : CircleX,
      tone,
      title: (
        <>
          {say.events[job.state] ?? job.state}
          {job.started_at && ` ${say.after(span((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000))}`}
        </>
      ),
      body: job.error && <ErrorDetail error={job.error} isOpen />,
    });
  }
  return entries.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
}

function entryOf(event: JobEvent, index: number, seesArgs: boolean): Entry {
  const look = LOOKS[event.what] ?? lookOf(event.what);
  return {
    key: `${event.what}-${event.at}-${index}`,
    at: event.at,
    icon: look.icon,
    tone: look.tone,
    title: (
      <>
        {event.attempt ? `${say.attempt(event.attempt)}: ` : ""}
        {say.events[event.what] ?? event.what}
        {event.worker && (
          <>
            {" "}
            <Subject kind="worker" id={event.worker}>
              {say.on(event.worker)}
            </Subject>
          </>
        )}
      </>
    ),
    body: (
      <>
        {event.reason && <p className="anywhere">{event.reason}</p>}
        {event.error && <ErrorDetail error={event.error} />}
        {event.what === "edited" && seesArgs && event.args !== null && event.args !== undefined && (
          <Json value={event.args} label={say.args} />
        )}
      </>
    ),
  };
}

/** An error; its traceback on demand, so that ten attempts fit a screen. */
function ErrorDetail({ error, isOpen }: { error: NonNullable<Job["error"]>; isOpen?: boolean }) {
  return (
    <>
      <p className="anywhere">
        <strong>{error.type}</strong>
        {error.message && `: ${error.message}`}
      </p>
      {error.traceback && (
        <details open={isOpen}>
          <summary>{say.traceback}</summary>
          <Code label={say.traceback}>{error.traceback}</Code>
        </details>
      )}
    </>
  );
}
