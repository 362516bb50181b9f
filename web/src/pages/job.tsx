import { Ban, CalendarClock, Copy, ListOrdered, Pencil, RotateCcw, Trash2 } from "lucide-react";
import { useState } from "react";
import { useParams } from "wouter";
import { pagePath, prefix } from "../address";
import { act } from "../api/client";
import { forget, isGone, useRead } from "../api/reading";
import type { WholeJob as JobData, Why as WhyData } from "../api/types";
import { type Action, ActionButtons } from "../kit/acting";
import { useGo } from "../kit/address";
import { StateBadge } from "../kit/Badge";
import { Button } from "../kit/Button";
import { CopyButton, copyText, Json } from "../kit/Code";
import { Subject } from "../kit/Link";
import { Page } from "../kit/Page";
import { Facts, Meter, Panel } from "../kit/Panel";
import { ProblemNote } from "../kit/Problem";
import { Duration, Time } from "../kit/Time";
import { useMe } from "../shell/me";
import { text } from "../text";
import { span } from "../text/format";
import { tookSeconds } from "./jobs/columns";
import { EditForm, JobForm, MoveForm } from "./jobs/Forms";
import { Children, Logs } from "./jobs/Parts";
import { Timeline } from "./jobs/Timeline";
import { Why } from "./jobs/Why";

const words = text.jobs;
const say = text.jobs.page;

type Form = "edit" | "clone" | "reschedule" | "priority" | null;

export default function Job() {
  const { id = "" } = useParams<{ id: string }>();
  const path = `/jobs/${encodeURIComponent(id)}`;
  const topics = [`job:${id}`];
  const read = useRead<JobData>(path, {}, { topics });
  const gone = isGone(read.error);
  const why = useRead<WhyData>(`${path}/why`, {}, { topics, enabled: !gone });
  const [form, setForm] = useState<Form>(null);
  const { may } = useMe();
  // The cache keeps what was read last: of a job that was purged meanwhile nothing is shown as if it were there.
  const job = gone ? undefined : read.data;
  const close = () => setForm(null);
  return (
    <Page
      title={job ? job.task : words.job(id)}
      trail={[[words.title, "/jobs"]]}
      badge={job && <StateBadge state={job.state} />}
      at={read.dataUpdatedAt}
      actions={job && <JobActions job={job} onForm={setForm} />}
    >
      {read.error && <ProblemNote error={read.error} again={() => void read.refetch()} />}
      {!job && !read.error && <p className="quiet">{text.shell.loading}</p>}
      {job && (
        <>
          <div className="columns">
            <div className="stack loose">
              <Why job={job} why={why.data} error={why.error} />
              <Panel title={say.facts}>
                <JobFacts job={job} />
              </Panel>
            </div>
            <Panel title={say.timeline}>
              <Timeline job={job} />
            </Panel>
          </div>
          {job.hidden.length > 0 ? <p className="quiet">{say.hidden}</p> : <Payload job={job} />}
          {may("jobs:args") && <Logs path={path} topics={topics} />}
          <Children path={path} />
          <details className="panel">
            <summary>{say.raw}</summary>
            <Json value={job} label={say.raw} />
          </details>
        </>
      )}
      {job && form === "edit" && <EditForm job={job} onClose={close} />}
      {job && form === "clone" && <JobForm like={job} onClose={close} />}
      {job && (form === "reschedule" || form === "priority") && <MoveForm job={job} verb={form} onClose={close} />}
    </Page>
  );
}

function JobActions({ job, onForm }: { job: JobData; onForm: (form: Form) => void }) {
  const go = useGo();
  const { may, info } = useMe();
  const name = words.job(job.id);
  const simple = (verb: string, rest: Partial<Action>): Action => ({
    verb,
    label: words.verbs[verb] ?? verb,
    confirm: {
      title: words.ask[verb]?.(name) ?? verb,
      body: <p>{words.askBody[verb]}</p>,
      verb: words.verbs[verb] ?? verb,
      danger: rest.danger,
    },
    run: async ({ reason }) => {
      await act(`/jobs/${job.id}/${verb}`, { reason });
      return `${name}: ${words.did[verb]}`;
    },
    ...rest,
  });
  const opens = (verb: "edit" | "reschedule" | "priority", icon: Action["icon"]): Action => ({
    verb,
    label: words.verbs[verb] ?? verb,
    icon,
    run: () => {
      onForm(verb);
      return undefined;
    },
  });
  const actions: Action[] = [
    simple("retry", { icon: RotateCcw, hotkey: "R", primary: job.state === "failed" }),
    simple("cancel", { icon: Ban, hotkey: "C", danger: true }),
    opens("reschedule", CalendarClock),
    opens("priority", ListOrdered),
    opens("edit", Pencil),
    simple("purge", {
      icon: Trash2,
      hotkey: "D",
      danger: true,
      run: async ({ reason }) => {
        const remember = forget(`/jobs/${job.id}`);
        try {
          await act(`/jobs/${job.id}/purge`, { reason });
        } catch (thrown) {
          remember();
          throw thrown;
        }
        go("/jobs");
        return `${name}: ${words.did.purge}`;
      },
    }),
  ];
  return (
    <>
      <ActionButtons legal={job.actions} actions={actions} />
      {may("jobs:enqueue") && !info.read_only && (
        <Button icon={Copy} onPress={() => onForm("clone")}>
          {words.clone}
        </Button>
      )}
      <Button
        kind="bare"
        onPress={() => void copyText(new URL(prefix + pagePath(`/jobs/${job.id}`), window.location.href).href)}
      >
        {say.copyLink}
      </Button>
    </>
  );
}

function JobFacts({ job }: { job: JobData }) {
  return (
    <Facts
      of={[
        [
          words.columns.id,
          <span key="id" className="row">
            <span className="mono">{job.id}</span>
            <CopyButton value={job.id} label={say.copyId} />
          </span>,
        ],
        [
          words.columns.task,
          <Subject key="task" kind="task" id={job.task}>
            {job.task}
          </Subject>,
        ],
        [
          words.columns.queue,
          <Subject key="queue" kind="queue" id={job.queue}>
            {job.queue}
          </Subject>,
        ],
        [words.columns.attempt, words.attemptOf(job.attempt ?? 0, job.max_attempts)],
        [words.columns.priority, String(job.priority)],
        [words.columns.enqueued, <Time key="enqueued" at={job.enqueued_at} as="moment" />],
        [
          say.took,
          job.started_at && job.finished_at ? (
            <Duration key="took" seconds={tookSeconds(job.started_at, job.finished_at)} />
          ) : null,
        ],
        [
          say.worker,
          job.worker && (
            <Subject key="worker" kind="worker" id={job.worker}>
              {job.worker_name ?? job.worker}
            </Subject>
          ),
        ],
        [say.progress, job.progress && <JobProgress key="progress" job={job} />],
        [say.unique, job.unique_key && <code key="unique">{job.unique_key}</code>],
        [
          say.batch,
          job.batch && (
            <Subject key="batch" kind="batch" id={job.batch}>
              {job.batch}
            </Subject>
          ),
        ],
        [say.timeout, job.timeout_seconds ? span(job.timeout_seconds) : null],
        [words.verbs.cancel ?? "", job.cancel_requested && job.state === "running" ? say.cancelRequested : null],
      ]}
    />
  );
}

function JobProgress({ job }: { job: JobData }) {
  const { progress } = job;
  if (!progress) return null;
  return progress.total ? (
    <Meter value={progress.done ?? 0} max={progress.total} label={say.progress}>
      {progress.done ?? 0} / {progress.total} {progress.message}
    </Meter>
  ) : (
    <>{progress.message ?? progress.done}</>
  );
}

function Payload({ job }: { job: JobData }) {
  return (
    <div className="columns">
      <Panel title={say.args}>
        <Json value={job.args} label={say.args} />
      </Panel>
      {job.result !== null && job.result !== undefined && (
        <Panel title={say.result}>
          <Json value={job.result} label={say.result} />
        </Panel>
      )}
    </div>
  );
}
