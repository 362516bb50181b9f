// One verb for many jobs: a preview with a token that freezes the filter, then an operation that workers apply.
import { ListChecks } from "lucide-react";
import { useEffect, useId, useState } from "react";
import { act } from "../../api/client";
import { type Problem, problemOf } from "../../api/problem";
import { lookAgain, useRead } from "../../api/reading";
import type { Job, Operation, OperationPreview } from "../../api/types";
import { StateBadge } from "../../kit/Badge";
import { Button } from "../../kit/Button";
import { Dialog } from "../../kit/Dialog";
import { Go } from "../../kit/Link";
import { Menu } from "../../kit/Menu";
import { Meter } from "../../kit/Panel";
import { ProblemNote } from "../../kit/Problem";
import type { Selection } from "../../kit/selection";
import { useMe } from "../../shell/me";
import { text } from "../../text";
import { atLeast, count, roughly } from "../../text/format";

const words = text.jobs;
const say = text.jobs.bulk;
const VERBS = ["retry", "cancel", "reschedule", "priority", "purge"];
const DANGEROUS = ["cancel", "purge"];
const PERMISSIONS: Record<string, string> = {
  retry: "jobs:retry",
  cancel: "jobs:cancel",
  reschedule: "jobs:reschedule",
  priority: "jobs:reschedule",
  purge: "jobs:purge",
};

function usePermitted(): string[] {
  const { may, info } = useMe();
  return info.read_only ? [] : VERBS.filter((verb) => may(PERMISSIONS[verb] ?? verb));
}

/** For all that the filter finds. */
export function BulkMenu({ filter }: { filter: string }) {
  const [verb, setVerb] = useState<string | null>(null);
  const verbs = usePermitted();
  if (verbs.length === 0) return null;
  return (
    <>
      <Menu
        trigger={<Button icon={ListChecks}>{say.matching}</Button>}
        label={say.matching}
        entries={verbs.map((each) => ({
          id: each,
          label: words.verbs[each] ?? each,
          danger: DANGEROUS.includes(each),
          onAction: () => setVerb(each),
        }))}
      />
      {verb && (
        <BulkDialog
          verb={verb}
          filter={filter}
          title={say.title(words.verbs[verb] ?? verb)}
          onClose={() => setVerb(null)}
        />
      )}
    </>
  );
}

/** For the rows that are chosen: the verbs that are legal for one of them at least. */
export function BulkBar({ selection, rows }: { selection: Selection; rows: Job[] }) {
  const [verb, setVerb] = useState<string | null>(null);
  const legal = usePermitted().filter((each) => rows.some((row) => row.actions.includes(each)));
  return (
    <>
      {legal.map((each) => (
        <Button key={each} kind={DANGEROUS.includes(each) ? "danger" : "plain"} onPress={() => setVerb(each)}>
          {words.verbs[each] ?? each}
        </Button>
      ))}
      {verb && (
        <BulkDialog
          verb={verb}
          filter={`id=${selection.ids.join(",")}`}
          title={say.titleSelection(words.verbs[verb] ?? verb, count(selection.ids.length))}
          onClose={() => setVerb(null)}
        />
      )}
    </>
  );
}

interface BulkProps {
  verb: string;
  filter: string;
  title: string;
  onClose: () => void;
}

interface Options {
  run_in?: string;
  priority?: number;
}

export function BulkDialog({ verb, filter, title, onClose }: BulkProps) {
  const [options, setOptions] = useState<Options | null>(verb === "reschedule" || verb === "priority" ? null : {});
  const [preview, setPreview] = useState<OperationPreview | null>(null);
  const [started, setStarted] = useState<Operation | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => {
    if (options === null) return undefined;
    let isLeft = false;
    act<OperationPreview>("/operations/preview", { verb, filter, ...options })
      .then((answer) => !isLeft && setPreview(answer))
      .catch((thrown: unknown) => !isLeft && setProblem(problemOf(thrown)));
    return () => {
      isLeft = true;
    };
  }, [verb, filter, options]);
  const start = async (reason: string) => {
    if (preview === null) return;
    try {
      setStarted(await act<Operation>("/operations", { token: preview.token, reason: reason || null }));
      lookAgain();
    } catch (thrown) {
      setProblem(problemOf(thrown));
    }
  };
  return (
    <Dialog title={title} wide onClose={onClose}>
      <p>
        {say.filter}: <code className="anywhere">{filter === "" ? say.everything : filter}</code>
      </p>
      {problem && <ProblemNote error={problem} />}
      {started ? (
        <Started operation={started} onClose={onClose} />
      ) : options === null ? (
        <OptionsForm verb={verb} onDone={setOptions} onClose={onClose} />
      ) : preview ? (
        <Previewed preview={preview} onStart={start} onClose={onClose} />
      ) : (
        !problem && <p className="quiet">{say.counting}</p>
      )}
    </Dialog>
  );
}

function OptionsForm({
  verb,
  onDone,
  onClose,
}: {
  verb: string;
  onDone: (options: Options) => void;
  onClose: () => void;
}) {
  const [value, setValue] = useState(verb === "priority" ? "5" : "10m");
  const id = useId();
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        onDone(verb === "priority" ? { priority: Number(value) } : { run_in: value });
      }}
    >
      <div className="field">
        <label htmlFor={id}>{verb === "priority" ? words.priorityLabel : words.runIn}</label>
        <input
          id={id}
          className="input"
          autoFocus
          required
          type={verb === "priority" ? "number" : "text"}
          min={0}
          max={9}
          value={value}
          onChange={(event) => setValue(event.target.value)}
        />
      </div>
      <div className="foot">
        <Button onPress={onClose}>{text.shell.cancel}</Button>
        <Button kind="primary" type="submit">
          {say.preview}
        </Button>
      </div>
    </form>
  );
}

interface PreviewedProps {
  preview: OperationPreview;
  onStart: (reason: string) => Promise<void>;
  onClose: () => void;
}

function Previewed({ preview, onStart, onClose }: PreviewedProps) {
  const { info } = useMe();
  const [reason, setReason] = useState("");
  const [typed, setTyped] = useState("");
  const [isBusy, setBusy] = useState(false);
  const id = useId();
  const amount = atLeast(preview.jobs, preview.is_exact);
  const isDangerous = DANGEROUS.includes(preview.verb);
  // Very many, or production: a word has to be typed, so that nobody's thumb does it.
  const needsWord = preview.jobs >= say.large || (isDangerous && info.environment.color === "red");
  const word = info.environment.name && info.environment.color === "red" ? info.environment.name : preview.verb;
  if (preview.jobs === 0) {
    return (
      <>
        <p>{say.nothing}</p>
        <div className="foot">
          <Button kind="primary" onPress={onClose} autoFocus>
            {text.shell.close}
          </Button>
        </div>
      </>
    );
  }
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        if (needsWord && typed !== word) return;
        setBusy(true);
        void onStart(reason.trim()).finally(() => setBusy(false));
      }}
    >
      <p>
        <strong>{say.moves(words.jobs(amount))}</strong> {say.frozen}
      </p>
      {preview.warnings.length > 0 && (
        <ul className="stack" aria-label={say.warnings}>
          {preview.warnings.map((warning) => (
            <li key={warning}>
              {say.warnings}: {warning}
            </li>
          ))}
        </ul>
      )}
      <Sample preview={preview} />
      <div className="field">
        <label htmlFor={`${id}-reason`}>{text.shell.reasonOptional}</label>
        <input
          id={`${id}-reason`}
          className="input"
          autoFocus
          maxLength={1000}
          value={reason}
          onChange={(event) => setReason(event.target.value)}
        />
      </div>
      {needsWord && (
        <div className="field">
          <label htmlFor={`${id}-word`}>{text.shell.typeToConfirm(word)}</label>
          <input
            id={`${id}-word`}
            className="input mono"
            autoComplete="off"
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
          />
        </div>
      )}
      <div className="foot">
        <Button onPress={onClose}>{text.shell.cancel}</Button>
        <Button
          kind={isDangerous ? "danger-fill" : "primary"}
          type="submit"
          isDisabled={isBusy || (needsWord && typed !== word)}
        >
          {say.start(words.verbs[preview.verb] ?? preview.verb, words.jobs(amount))}
        </Button>
      </div>
    </form>
  );
}

function Sample({ preview }: { preview: OperationPreview }) {
  return (
    <div className="columns">
      <section className="stack">
        <h3>{say.groups}</h3>
        <ul>
          {preview.groups.slice(0, 8).map((group) => (
            <li key={group.task + group.state + group.error_type} className="row wide">
              <span className="anywhere">
                {group.task} <StateBadge state={group.state} /> {group.error_type}
              </span>
              <span className="number">{count(group.count)}</span>
            </li>
          ))}
        </ul>
      </section>
      <section className="stack">
        <h3>{say.sample}</h3>
        <ul>
          {preview.sample.slice(0, 8).map((job) => (
            <li key={job.id} className="row">
              <span className="mono">{job.id}</span> <StateBadge state={job.state} />{" "}
              <span className="cut">{job.task}</span>
            </li>
          ))}
        </ul>
      </section>
    </div>
  );
}

function Started({ operation, onClose }: { operation: Operation; onClose: () => void }) {
  const read = useRead<Operation>(`/operations/${operation.id}`, {}, { topics: ["operations"], every: 1 });
  const now = read.data ?? operation;
  return (
    <div className="stack" aria-live="polite">
      <p className="row">
        <StateBadge state={now.state} />
        {now.state === "running" && say.running}
      </p>
      <Meter value={now.moved + now.skipped + now.failed} max={now.planned} label={say.progress}>
        {count(now.moved)} / {atLeast(now.planned, now.planned_is_exact)}
      </Meter>
      <p className="quiet small">
        {count(now.moved)} {say.moved} · {count(now.skipped)} {say.skipped} · {count(now.failed)} {say.failed}
        {now.trouble && ` (${now.trouble})`}
        {now.eta_seconds !== null && now.state === "running" && ` · ${say.left(roughly(now.eta_seconds))}`}
      </p>
      <div className="foot">
        <Go to="/operations" search={{ id: operation.id }} className="button" onClick={onClose}>
          {say.watch}
        </Go>
        <Button kind="primary" onPress={onClose} autoFocus>
          {text.shell.close}
        </Button>
      </div>
    </div>
  );
}
