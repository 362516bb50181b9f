import {
  CalendarClock,
  CircleCheck,
  CirclePlus,
  CircleStop,
  CircleX,
  type LucideIcon,
  Pencil,
  Play,
  Server,
  Unplug,
} from "lucide-react";
import type { JobMoment, WholeJob } from "../../api/types";
import { lookOf, type Tone } from "../../kit/Badge";
import { Code, Json } from "../../kit/Code";
import { Outside, Subject } from "../../kit/Link";
import { Duration, Time } from "../../kit/Time";
import { text } from "../../text";
import { span } from "../../text/format";
import { tookSeconds } from "./columns";

const say = text.jobs.page;

const LOOKS: Record<string, { icon: LucideIcon; tone: Tone }> = {
  enqueued: { icon: CirclePlus, tone: "quiet" },
  attempt: { icon: Play, tone: "info" },
  lost: { icon: Unplug, tone: "bad" },
  edited: { icon: Pencil, tone: "info" },
  linked: { icon: Server, tone: "info" },
  asked: { icon: CircleStop, tone: "warn" },
  due: { icon: CalendarClock, tone: "plan" },
  completed: { icon: CircleCheck, tone: "good" },
  failed: { icon: CircleX, tone: "bad" },
};

/** What happened to a job: enqueued, each attempt with how it went, edits, its end; what is due comes last. */
export function Timeline({ job }: { job: WholeJob }) {
  return (
    <ol className="timeline">
      {job.timeline.map((moment, index) => (
        <Moment
          key={`${moment.what} ${moment.at} ${moment.attempt ?? ""} ${moment.worker ?? ""}`}
          moment={moment}
          isLast={index === job.timeline.length - 1}
        />
      ))}
    </ol>
  );
}

function lookAt(moment: JobMoment): { icon: LucideIcon; tone: Tone } {
  if (moment.what === "attempt" && moment.outcome && moment.outcome !== "running") {
    return LOOKS[moment.outcome] ?? lookOf(moment.outcome);
  }
  return LOOKS[moment.what] ?? lookOf(moment.what);
}

function Moment({ moment, isLast }: { moment: JobMoment; isLast: boolean }) {
  const { icon: Icon, tone } = lookAt(moment);
  return (
    <li>
      <span className="dot" data-tone={tone}>
        <Icon size={12} strokeWidth={2.5} aria-hidden />
      </span>
      <div className="stack tight">
        <p className="row wide">
          <span>
            <Title moment={moment} />
          </span>
          <span className="quiet small">
            <Time at={moment.at} as="moment" />
          </span>
        </p>
        {moment.reason && <p className="anywhere">{moment.reason}</p>}
        {moment.error && <ErrorDetail error={moment.error} isOpen={isLast} />}
        {moment.engine && (
          <p className="anywhere">
            {moment.engine} <code>{moment.external_id}</code>{" "}
            {moment.log_url && <Outside href={moment.log_url}>{say.logs}</Outside>}
          </p>
        )}
        {moment.what === "edited" && moment.args !== null && (
          <details>
            <summary>{say.before}</summary>
            <Json value={moment.args} label={say.before} />
          </details>
        )}
      </div>
    </li>
  );
}

function Title({ moment }: { moment: JobMoment }) {
  const word =
    moment.what === "attempt" && moment.outcome
      ? (say.events[moment.outcome] ?? moment.outcome)
      : (say.events[moment.what] ?? moment.what);
  const took = moment.ended_at ? tookSeconds(moment.at, moment.ended_at) : null;
  return (
    <>
      {moment.attempt !== null && moment.what === "attempt" && `${say.attempt(moment.attempt)}: `}
      {word}
      {took !== null && ` ${say.after(span(took))}`}
      {moment.outcome === "running" && (
        <>
          {" "}
          <Duration since={moment.at} />
        </>
      )}
      {moment.worker && (
        <>
          {" "}
          <Subject kind="worker" id={moment.worker}>
            {say.on(moment.worker_name ?? moment.worker)}
          </Subject>
        </>
      )}
      {moment.what === "edited" && moment.priority !== null && ` · ${say.priorityBefore(moment.priority)}`}
    </>
  );
}

/** An error; its traceback on demand, so that ten attempts fit a screen. */
function ErrorDetail({ error, isOpen }: { error: NonNullable<JobMoment["error"]>; isOpen?: boolean }) {
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
