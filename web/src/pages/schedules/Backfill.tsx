// Jobs for past moments: first a look at which there are, then the act. Nothing is enqueued that was not shown.
import { type FormEvent, useId, useState } from "react";
import { act, ask } from "../../api/client";
import type { BackfillPreview, Occurrence, ScheduleDetail } from "../../api/control";
import { useDoing } from "../../kit/acting";
import { Button } from "../../kit/Button";
import { Dialog } from "../../kit/Dialog";
import { Go } from "../../kit/Link";
import { ProblemNote } from "../../kit/Problem";
import { type Column, Table } from "../../kit/Table";
import { Time } from "../../kit/Time";
import { text } from "../../text";
import { count, plural } from "../../text/format";
import { instantOf } from "./wallClock";

const words = text.schedules;

type Step = BackfillPreview["steps"][number];

interface Looked {
  since: string;
  until: string;
  steps: Step[];
}

const COLUMNS: Column<Step>[] = [
  { id: "at", name: words.moment, cell: (step) => <Time at={step.at} as="moment" /> },
  {
    id: "job",
    name: words.job,
    cell: (step) =>
      step.job ? (
        <>
          {words.hasJob} <Go to={`/jobs/${step.job}`}>{step.job}</Go>
        </>
      ) : step.runs ? (
        words.getsJob
      ) : (
        words.stays
      ),
  },
];

export function Backfill({ schedule, onClose }: { schedule: ScheduleDetail; onClose: () => void }) {
  const { name, timezone } = schedule;
  const [since, setSince] = useState("");
  const [until, setUntil] = useState("");
  const [looked, setLooked] = useState<Looked | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [perform, busy] = useDoing();
  const id = useId();
  const isFilled = since !== "" && until !== "" && since <= until;
  const due = looked?.steps.filter((step) => step.runs).length ?? 0;
  const look = async (event: FormEvent) => {
    event.preventDefault();
    if (!isFilled) return;
    setProblem(null);
    const range = { since: instantOf(since, timezone), until: instantOf(until, timezone) };
    try {
      const { steps } = await ask<BackfillPreview>("/schedules/backfill/preview", { name, ...range });
      setLooked({ ...range, steps });
    } catch (thrown) {
      setLooked(null);
      setProblem(thrown);
    }
  };
  const enqueue = () =>
    perform({
      verb: "backfill",
      label: words.backfill,
      run: async () => {
        const made = await act<Occurrence[]>("/schedules/backfill", {
          name,
          since: looked?.since,
          until: looked?.until,
        });
        onClose();
        return words.backfilled(plural(made.length, "job"));
      },
    });
  const change = (set: (value: string) => void) => (value: string) => {
    set(value);
    setLooked(null);
  };
  return (
    <Dialog title={words.backfillTitle(name)} wide onClose={onClose}>
      <p>{words.backfillBody(timezone)}</p>
      <form className="stack" onSubmit={look}>
        <div className="columns">
          <Moment id={`${id}-since`} label={words.since} value={since} onChange={change(setSince)} focus />
          <Moment id={`${id}-until`} label={words.until} value={until} onChange={change(setUntil)} />
        </div>
        {!isFilled && <p className="quiet">{words.invalid}</p>}
        {problem !== null && <ProblemNote error={problem} />}
        <div aria-live="polite">{looked && <Preview steps={looked.steps} due={due} />}</div>
        <div className="foot">
          <Button onPress={onClose}>{text.shell.cancel}</Button>
          <Button type="submit" kind={due > 0 ? "plain" : "primary"} isDisabled={!isFilled}>
            {words.preview}
          </Button>
          {due > 0 && (
            <Button kind="primary" isDisabled={busy !== null} onPress={() => void enqueue()}>
              {words.backfillDo(plural(due, "job"))}
            </Button>
          )}
        </div>
      </form>
    </Dialog>
  );
}

function Preview({ steps, due }: { steps: Step[]; due: number }) {
  if (steps.length === 0) return <p>{words.previewNothing}</p>;
  return (
    <div className="stack">
      <p>
        <strong>{words.previewSome(count(due), count(steps.length))}</strong> {words.oneAfterOther}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard */}
      <div className="table-frame tall" tabIndex={0} role="region" aria-label={words.preview}>
        <Table label={words.preview} columns={COLUMNS} rows={steps} rowId={(step) => step.at} />
      </div>
    </div>
  );
}

interface MomentProps {
  id: string;
  label: string;
  value: string;
  onChange: (value: string) => void;
  focus?: boolean;
}

function Moment({ id, label, value, onChange, focus }: MomentProps) {
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        className="input"
        type="datetime-local"
        autoFocus={focus}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
    </div>
  );
}
