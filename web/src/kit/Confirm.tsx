// One question before what cannot be undone. `const confirm = useConfirm(); const answer = await confirm({…})`.
import { createContext, type FormEvent, type ReactNode, useCallback, useContext, useId, useState } from "react";
import { text } from "../text";
import { Button } from "./Button";
import { Dialog } from "./Dialog";

export interface Question {
  title: string;
  body?: ReactNode;
  /** What the button says: the verb, not "OK". */
  verb: string;
  danger?: boolean;
  /** Whether a reason is asked for; it stands in the audit. */
  reason?: "none" | "optional" | "required";
  /** A word that has to be typed: for what hits very many, or production. */
  typed?: string;
  wide?: boolean;
}

export interface Answer {
  reason: string | null;
}

type Ask = (question: Question) => Promise<Answer | null>;

const Context = createContext<Ask>(() => Promise.resolve(null));

export function useConfirm(): Ask {
  return useContext(Context);
}

interface Open {
  question: Question;
  resolve: (answer: Answer | null) => void;
}

export function ConfirmProvider({ children }: { children: ReactNode }) {
  const [open, setOpen] = useState<Open | null>(null);
  const ask = useCallback<Ask>(
    (question) =>
      new Promise((resolve) => {
        setOpen({ question, resolve });
      }),
    [],
  );
  const finish = (answer: Answer | null) => {
    open?.resolve(answer);
    setOpen(null);
  };
  return (
    <Context value={ask}>
      {children}
      {open && <QuestionDialog question={open.question} onAnswer={finish} />}
    </Context>
  );
}

function QuestionDialog({ question, onAnswer }: { question: Question; onAnswer: (answer: Answer | null) => void }) {
  const { title, body, verb, danger, reason = "optional", typed } = question;
  const [given, setGiven] = useState("");
  const [word, setWord] = useState("");
  const id = useId();
  const isReady = (reason !== "required" || given.trim() !== "") && (typed === undefined || word === typed);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) onAnswer({ reason: given.trim() || null });
  };
  return (
    <Dialog title={title} alert={danger} wide={question.wide} onClose={() => onAnswer(null)}>
      {body}
      <form className="stack" onSubmit={submit}>
        {reason !== "none" && (
          <div className="field">
            <label htmlFor={`${id}-reason`}>
              {reason === "required" ? text.shell.reasonNeeded : text.shell.reasonOptional}
            </label>
            <input
              id={`${id}-reason`}
              className="input"
              autoFocus
              maxLength={1000}
              required={reason === "required"}
              value={given}
              onChange={(event) => setGiven(event.target.value)}
            />
          </div>
        )}
        {typed !== undefined && (
          <div className="field">
            <label htmlFor={`${id}-typed`}>{text.shell.typeToConfirm(typed)}</label>
            <input
              id={`${id}-typed`}
              className="input mono"
              autoComplete="off"
              value={word}
              onChange={(event) => setWord(event.target.value)}
            />
          </div>
        )}
        <div className="foot">
          <Button onPress={() => onAnswer(null)}>{text.shell.cancel}</Button>
          <Button
            kind={danger ? "danger-fill" : "primary"}
            type="submit"
            isDisabled={!isReady}
            autoFocus={reason === "none"}
          >
            {verb}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
