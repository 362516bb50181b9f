import { useState } from "react";
import { act } from "../../api/client";
import { problemOf } from "../../api/problem";
import { useRead } from "../../api/reading";
import type { Job, Page, Task } from "../../api/types";
import { stringify } from "../../json";
import { useGo } from "../../kit/address";
import { Field, Form, JsonField, parsed, ReasonField } from "../../kit/Form";
import { notify } from "../../kit/Notices";
import { text } from "../../text";

const words = text.jobs.form;

/** Enqueue a job; with `like` a copy of it that can be changed before. */
export function JobForm({ like, onClose }: { like?: Job; onClose: () => void }) {
  const [task, setTask] = useState(like?.task ?? "");
  const [args, setArgs] = useState(stringify(like?.args ?? {}, 2));
  const [queue, setQueue] = useState(like?.queue ?? "");
  const [priority, setPriority] = useState(like ? String(like.priority) : "");
  const [runIn, setRunIn] = useState("");
  const [lane, setLane] = useState("");
  const [unique, setUnique] = useState("");
  const tasks = useRead<Page<Task>>("/tasks", {}, { every: 0 });
  const go = useGo();
  const value = parsed(args);
  const enqueue = async () => {
    const made = await act<{ id: string; existing: boolean }>("/jobs", {
      task,
      args: value?.value,
      ...(like && { like: like.id }),
      ...(queue && { queue }),
      ...(priority !== "" && { priority: Number(priority) }),
      ...(runIn && { run_in: runIn }),
      ...(lane && { lane }),
      ...(unique && { unique }),
    });
    notify(made.existing ? words.existing(made.id) : words.done(made.id));
    go(`/jobs/${made.id}`);
  };
  return (
    <Form
      title={like ? text.jobs.cloneTitle : text.jobs.enqueue}
      submit={words.submit}
      onClose={onClose}
      onSubmit={enqueue}
      isReady={value !== null && task.trim() !== ""}
    >
      <Field
        label={words.task}
        value={task}
        onChange={setTask}
        hint={words.taskHint}
        list={tasks.data?.items.map((each) => each.name)}
        focus={!like}
        mono
        required
      />
      <JsonField label={words.args} value={args} onChange={setArgs} autoFocus={Boolean(like)} />
      <Field label={words.queue} value={queue} onChange={setQueue} />
      <Field label={words.runIn} value={runIn} onChange={setRunIn} />
      <Field label={words.priority} value={priority} onChange={setPriority} />
      <Field label={words.lane} value={lane} onChange={setLane} />
      <Field label={words.unique} value={unique} onChange={setUnique} />
    </Form>
  );
}

/** Correct the arguments of a job that does not run. */
export function EditForm({ job, onClose }: { job: Job; onClose: () => void }) {
  const [args, setArgs] = useState(stringify(job.args, 2));
  const [reason, setReason] = useState("");
  const [isUnknown, setUnknown] = useState(false);
  const [unchecked, setUnchecked] = useState(false);
  const value = parsed(args);
  return (
    <Form
      title={text.jobs.edit}
      submit={words.save}
      onClose={onClose}
      isReady={value !== null}
      onSubmit={async () => {
        const body = { args: value?.value, replace: true, unchecked, reason: reason.trim() || null };
        try {
          await act(`/jobs/${job.id}/edit`, body);
        } catch (thrown) {
          if (problemOf(thrown).body.code === "task_unknown") setUnknown(true);
          throw thrown;
        }
        notify(`${text.jobs.job(job.id)}: ${text.jobs.did.edit}`);
      }}
    >
      <JsonField label={text.jobs.page.args} value={args} onChange={setArgs} autoFocus />
      {isUnknown && (
        <label className="check">
          <input type="checkbox" checked={unchecked} onChange={(event) => setUnchecked(event.target.checked)} />
          {words.unchecked}
        </label>
      )}
      <ReasonField value={reason} onChange={setReason} />
    </Form>
  );
}

/** Run it at another time, or before or after others. */
export function MoveForm({ job, verb, onClose }: { job: Job; verb: "reschedule" | "priority"; onClose: () => void }) {
  const [value, setValue] = useState(verb === "priority" ? String(job.priority) : "10m");
  const [reason, setReason] = useState("");
  return (
    <Form
      title={text.jobs.ask[verb]?.(text.jobs.job(job.id)) ?? verb}
      submit={text.jobs.verbs[verb] ?? verb}
      onClose={onClose}
      isReady={value.trim() !== ""}
      onSubmit={async () => {
        const what = verb === "priority" ? { priority: Number(value) } : { run_in: value };
        await act(`/jobs/${job.id}/${verb}`, { ...what, reason: reason.trim() || null });
        notify(`${text.jobs.job(job.id)}: ${text.jobs.did[verb]}`);
      }}
    >
      {verb === "priority" ? (
        <Field label={text.jobs.priorityLabel} value={value} onChange={setValue} type="number" min={0} max={9} focus />
      ) : (
        <Field label={text.jobs.runIn} value={value} onChange={setValue} focus />
      )}
      <ReasonField value={reason} onChange={setReason} />
    </Form>
  );
}
