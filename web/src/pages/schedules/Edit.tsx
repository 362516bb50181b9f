// Another plan than the code's, until somebody resets it. Only what was changed is sent.
import { useState } from "react";
import { act } from "../../api/client";
import type { ScheduleDetail } from "../../api/control";
import { stringify } from "../../json";
import { Choice, Field, Form, JsonField, parsed, ReasonField } from "../../kit/Form";
import { notify } from "../../kit/Notices";
import { text } from "../../text";

const words = text.schedules;
const say = words.edit;

/** What the fields hold; empty where the schedule has none. */
type Typed = Record<"cron" | "every" | "timezone" | "queue" | "priority" | "jitter" | "grace" | "limit", string> & {
  misfire: string;
  overlap: string;
  args: string;
};

function typedOf(schedule: ScheduleDetail): Typed {
  const number = (value: number | null) => (value === null ? "" : String(value));
  return {
    cron: schedule.cron ?? "",
    every: number(schedule.every_seconds),
    timezone: schedule.timezone,
    queue: schedule.queue ?? "",
    priority: number(schedule.priority),
    jitter: number(schedule.jitter_seconds),
    grace: number(schedule.grace_seconds),
    limit: number(schedule.misfire_limit),
    misfire: schedule.misfire,
    overlap: schedule.overlap,
    args: stringify(schedule.args ?? {}, 2),
  };
}

const FIELDS: Record<keyof Typed, string> = {
  cron: "cron",
  every: "every_seconds",
  timezone: "timezone",
  queue: "queue",
  priority: "priority",
  jitter: "jitter_seconds",
  grace: "grace_seconds",
  limit: "misfire_limit",
  misfire: "misfire",
  overlap: "overlap",
  args: "args",
};
const NUMBERS: (keyof Typed)[] = ["every", "priority", "jitter", "grace", "limit"];

/** What is different, as the API takes it. What was emptied stays as it is: the code decides what has no value. */
function changesOf(before: Typed, after: Typed): Record<string, unknown> {
  const changed = (Object.keys(FIELDS) as (keyof Typed)[]).filter(
    (key) => after[key] !== before[key] && after[key].trim(),
  );
  return Object.fromEntries(
    changed.map((key) => [
      FIELDS[key],
      key === "args" ? parsed(after.args)?.value : NUMBERS.includes(key) ? Number(after[key]) : after[key].trim(),
    ]),
  );
}

export function EditSchedule({ schedule, onClose }: { schedule: ScheduleDetail; onClose: () => void }) {
  const [before] = useState(() => typedOf(schedule));
  const [typed, setTyped] = useState(before);
  const [reason, setReason] = useState("");
  const { name } = schedule;
  const changes = changesOf(before, typed);
  const set = (key: keyof Typed) => (value: string) => setTyped((old) => ({ ...old, [key]: value }));
  return (
    <Form
      title={say.title(name)}
      wide
      submit={say.submit}
      onClose={onClose}
      isReady={Object.keys(changes).length > 0 && parsed(typed.args) !== null}
      onSubmit={async () => {
        await act("/schedules/edit", { name, ...changes, reason: reason.trim() || null });
        notify(say.done(name));
      }}
    >
      <p className="quiet">{say.about}</p>
      <div className="columns">
        {schedule.cron === null ? (
          <Field label={say.every} value={typed.every} onChange={set("every")} type="number" min={1} focus />
        ) : (
          <Field label={words.cron} value={typed.cron} onChange={set("cron")} mono focus hint={say.cronHint} />
        )}
        <Field label={words.zone} value={typed.timezone} onChange={set("timezone")} />
        <Choice
          label={words.misfire}
          value={typed.misfire}
          onChange={set("misfire")}
          of={Object.entries(words.misfires)}
        />
        <Choice
          label={words.overlap}
          value={typed.overlap}
          onChange={set("overlap")}
          of={Object.entries(words.overlaps)}
        />
        <Field label={say.grace} value={typed.grace} onChange={set("grace")} type="number" min={0} />
        <Field label={say.limit} value={typed.limit} onChange={set("limit")} type="number" min={1} />
        <Field label={say.jitter} value={typed.jitter} onChange={set("jitter")} type="number" min={0} />
        <Field label={text.jobs.form.queue} value={typed.queue} onChange={set("queue")} />
        <Field label={say.priority} value={typed.priority} onChange={set("priority")} type="number" min={0} max={9} />
      </div>
      {schedule.args !== null && <JsonField label={words.args} value={typed.args} onChange={set("args")} />}
      <ReasonField value={reason} onChange={setReason} />
    </Form>
  );
}
