// Forms over a page, and the fields that they are made of.
import { type FormEvent, type ReactNode, useId, useState } from "react";
import { type Problem, problemOf } from "../api/problem";
import { lookAgain } from "../api/reading";
import { parse } from "../json";
import { text } from "../text";
import { Button } from "./Button";
import { Dialog } from "./Dialog";
import { ProblemNote } from "./Problem";

interface FormProps {
  title: string;
  wide?: boolean;
  submit: string;
  onClose: () => void;
  onSubmit: () => Promise<void>;
  children: ReactNode;
  isReady: boolean;
}

/** The button that was pressed may be far below what it was answered. */
function intoView(element: HTMLElement | null): void {
  element?.scrollIntoView({ block: "nearest" });
}

/** A form over the page: what was typed stays until the server has taken it, and what it answers stands above. */
export function Form({ title, wide, submit, onClose, onSubmit, children, isReady }: FormProps) {
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
    <Dialog title={title} wide={wide} onClose={onClose}>
      <form className="stack" onSubmit={(event) => void send(event)}>
        {problem && (
          <div ref={intoView}>
            <ProblemNote error={problem} />
          </div>
        )}
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

/** A JSON object that was typed; null: it is none. Nothing typed is an empty one. */
export function parsed(json: string): { value: unknown } | null {
  try {
    const value: unknown = parse(json.trim() === "" ? "{}" : json);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { value } : null;
  } catch {
    return null;
  }
}

/** A JSON object in a field that says whether it is one. */
export function JsonField({
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
        rows={5}
        spellCheck={false}
        autoFocus={autoFocus}
        aria-invalid={!isValid}
        aria-describedby={`${id}-hint`}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
      <span id={`${id}-hint`} className="hint" role="status">
        {isValid ? "" : text.shell.noObject}
      </span>
    </div>
  );
}

interface FieldProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  hint?: string;
  type?: "text" | "number";
  min?: number;
  max?: number;
  required?: boolean;
  focus?: boolean;
  mono?: boolean;
  /** What is suggested while one types. */
  list?: string[];
}

/** One line of text or a number. */
export function Field({ label, value, onChange, hint, focus, mono, list, ...rest }: FieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        {...rest}
        id={id}
        className={mono ? "input mono" : "input"}
        autoFocus={focus}
        autoComplete="off"
        step={rest.type === "number" ? "any" : undefined}
        list={list && `${id}-list`}
        aria-describedby={hint && `${id}-hint`}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
      {list && (
        <datalist id={`${id}-list`}>
          {list.map((each) => (
            <option key={each} value={each} />
          ))}
        </datalist>
      )}
      {hint && (
        <span id={`${id}-hint`} className="hint">
          {hint}
        </span>
      )}
    </div>
  );
}

/** One of a few words. */
export function Choice({
  label,
  value,
  onChange,
  of,
}: {
  label: string;
  value: string;
  onChange: (value: string) => void;
  of: [string, string][];
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} className="input" value={value} onChange={(event) => onChange(event.target.value)}>
        {of.map(([word, shown]) => (
          <option key={word} value={word}>
            {shown}
          </option>
        ))}
      </select>
    </div>
  );
}

/** Why: it stands in the audit. */
export function ReasonField({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{text.shell.reasonOptional}</label>
      <input
        id={id}
        className="input"
        maxLength={1000}
        value={value}
        onChange={(event) => onChange(event.target.value)}
      />
    </div>
  );
}
