import { type FormEvent, type ReactNode, useId, useState } from "react";
import { act } from "../../api/client";
import { type Problem, problemOf } from "../../api/problem";
import { lookAgain, useRead } from "../../api/reading";
import type { Job, Page, Task } from "../../api/types";
import { useGo } from "../../kit/address";
import { Button } from "../../kit/Button";
import { Dialog } from "../../kit/Dialog";
import { notify } from "../../kit/Notices";
import { ProblemNote } from "../../kit/Problem";
import { text } from "../../text";

const words = text.jobs.form;

interface FormProps {
  title: string;
  submit: string;
  onClose: () => void;
  onSubmit: () => Promise<void>;
  children: ReactNode;
  isReady: boolean;
}

function Form({ title, submit, onClose, onSubmit, children, isReady }: FormProps) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isBusy, setBusy] = useState(false);
  const send = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await onSubmit();
      lookAgain();
      onClose();
    } catch (thrown) {
      setProblem(problemOf(thrown));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form className="stack" onSubmit={(event) => void send(event)}>
        {problem && <ProblemNote error={problem} />}
        {children}
        <div className="foot">
          <Button onPress={onClose}>{text.shell.cancel}</Button>
          <Button kind="primary" type="submit" isDisabled={isBusy || !isReady}>
            {submit}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function parsed(json: string): { value: unknown } | null {
  try {
    const value: unknown = JSON.parse(json.trim() === "" ? "{}" : json);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { value } : null;
  } catch {
    return null;
  }
}

function JsonField({
  label,
  value,
  onChange,
  autoFocus,
}: {
  label: string;
  value: string;
  onChange: (value: string) => void;
  autoFocus?: boolean;
}) {
  const id = useId();
  const isValid = parsed(value) !== null;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea
        id={id}
        className="input"
        rows={6}
        spellCheck={false}
        autoFocus={autoFocus}
        aria-invalid={!isValid}
        aria-describedby={`${id}-hint`}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
      <span id={`${id}-hint`} className="hint" role="status">
        {isValid ? "" : words.invalid}
      </span>
    </div>
  );
}

/** Enqueue a job; with `like` a copy of it that can be changed before. */
export function JobForm({ like, onClose }: { like?: Job; onClose: () => void }) {
  const [task, setTask] = useState(like?.task ?? "");
  const [args, setArgs] = useState(JSON.stringify(like?.args ?? {}, null, 2));
  const [queue, setQueue] = useState(like?.queue ?? "");
  const [priority, setPriority] = useState(like ? String(like.priority) : "");
  const [runIn, setRunIn] = useState("");
  const [lane, setLane] = useState("");
  const [unique, setUnique] = useState("");
  const tasks = useRead<Page<Task>>("/tasks", {}, { every: 0 });
  const go = useGo();
  const id = useId();
  const value = parsed(args);
  const enqueue = async () => {
    const made = await act<{ id: string; existing: boolean }>("/jobs", {
      task,
      args: value?.value,
      ...(queue && { queue }),
      ...(priority !== "" && { priority: Number(priority) }),
      ...(runIn && { run_in: runIn }),
      ...(lane && { lane }),
      ...(unique && { unique }),
    });
    notify(made.existing ? words.existing(made.id) : words.done(made.id));
    go(`/jobs/${made.id}`);
  };
  const field = (name: string, label: string, current: string, set: (value: string) => void) => (
    <div className="field">
      <label htmlFor={`${id}-${name}`}>{label}</label>
      <input id={`${id}-${name}`} className="input" value={current} onChange={(event) => set(event.target.value)} />
    </div>
  );
  return (
    <Form
      title={like ? text.jobs.cloneTitle : text.jobs.enqueue}
      submit={words.submit}
      onClose={onClose}
      onSubmit={enqueue}
      isReady={value !== null && task.trim() !== ""}
    >
      <div className="field">
        <label htmlFor={`${id}-task`}>{words.task}</label>
        <input
          id={`${id}-task`}
          className="input mono"
          list={`${id}-tasks`}
          required
          autoFocus={!like}
          autoComplete="off"
          value={task}
          onChange={(event) => setTask(event.target.value)}
          aria-describedby={`${id}-hint`}
        />
        <datalist id={`${id}-tasks`}>
          {tasks.data?.items.map((each) => (
            <option key={each.name} value={each.name} />
          ))}
        </datalist>
        <span id={`${id}-hint`} className="hint">
          {words.taskHint}
        </span>
      </div>
      <JsonField label={words.args} value={args} onChange={setArgs} autoFocus={Boolean(like)} />
      {field("queue", words.queue, queue, setQueue)}
      {field("run-in", words.runIn, runIn, setRunIn)}
      {field("priority", words.priority, priority, setPriority)}
      {field("lane", words.lane, lane, setLane)}
      {field("unique", words.unique, unique, setUnique)}
    </Form>
  );
}

/** Correct the arguments of a job that does not run. */
export function EditForm({ job, onClose }: { job: Job; onClose: () => void }) {
  const [args, setArgs] = useState(JSON.stringify(job.args, null, 2));
  const [reason, setReason] = useState("");
  const id = useId();
  const value = parsed(args);
  return (
    <Form
      title={text.jobs.edit}
      submit={words.save}
      onClose={onClose}
      isReady={value !== null}
      onSubmit={async () => {
        await act(`/jobs/${job.id}/edit`, { args: value?.value, replace: true, reason: reason.trim() || null });
        notify(`${text.jobs.job(job.id)}: ${text.jobs.did.edit}`);
      }}
    >
      <JsonField label={text.jobs.page.args} value={args} onChange={setArgs} autoFocus />
      <div className="field">
        <label htmlFor={id}>{text.shell.reasonOptional}</label>
        <input
          id={id}
          className="input"
          maxLength={1000}
          value={reason}
          onChange={(event) => setReason(event.target.value)}
        />
      </div>
    </Form>
  );
}

/** Run it at another time, or before or after others. */
export function MoveForm({ job, verb, onClose }: { job: Job; verb: "reschedule" | "priority"; onClose: () => void }) {
  const [value, setValue] = useState(verb === "priority" ? String(job.priority) : "10m");
  const [reason, setReason] = useState("");
  const id = useId();
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
      <div className="field">
        <label htmlFor={id}>{verb === "priority" ? text.jobs.priorityLabel : text.jobs.runIn}</label>
        <input
          id={id}
          className="input"
          autoFocus
          type={verb === "priority" ? "number" : "text"}
          min={0}
          max={9}
          value={value}
          onChange={(event) => setValue(event.target.value)}
        />
      </div>
      <div className="field">
        <label htmlFor={`${id}-reason`}>{text.shell.reasonOptional}</label>
        <input
          id={`${id}-reason`}
          className="input"
          maxLength={1000}
          value={reason}
          onChange={(event) => setReason(event.target.value)}
        />
      </div>
    </Form>
  );
}
