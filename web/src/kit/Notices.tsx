// What has just happened, said once: to the eye in a corner, to a screen reader politely.
import { CircleCheck, CircleX, X } from "lucide-react";
import { type ReactNode, useSyncExternalStore } from "react";
import { type Problem, problemOf } from "../api/problem";
import { text } from "../text";
import { IconButton } from "./Button";

interface Notice {
  key: number;
  tone: "good" | "bad";
  title: string;
  detail?: ReactNode;
}

let notices: Notice[] = [];
let next = 1;
const listeners = new Set<() => void>();
const STAYS_MILLISECONDS = 6_000;

function change(after: Notice[]): void {
  notices = after;
  for (const listener of listeners) listener();
}

function dismiss(key: number): void {
  change(notices.filter((notice) => notice.key !== key));
}

/** Say that something was done. Goes away by itself. */
export function notify(title: string, detail?: ReactNode): void {
  const key = next++;
  change([...notices.slice(-3), { key, tone: "good", title, detail }]);
  window.setTimeout(() => dismiss(key), STAYS_MILLISECONDS);
}

/** Say that something was not done, and what to do. Stays until it is dismissed. */
export function notifyProblem(thrown: unknown): void {
  const problem = problemOf(thrown);
  const key = next++;
  change([
    ...notices.slice(-3),
    { key, tone: "bad", title: problem.body.title, detail: <Explained problem={problem} /> },
  ]);
}

/** Detail and remedy of a problem, without a frame. */
export function Explained({ problem }: { problem: Problem }) {
  const { detail, remedy, state, actions, errors, request_id: request } = problem.body;
  return (
    <>
      {detail && detail !== problem.body.title && <p>{detail}</p>}
      {errors?.map((error) => (
        <p key={error.loc.join(".") + error.message}>
          <code>{error.loc.slice(1).join(".") || error.loc.join(".")}</code>: {error.message}
        </p>
      ))}
      {remedy && (
        <p>
          {text.problem.remedy}: {remedy}
        </p>
      )}
      {state && (
        <p>
          {text.problem.stateNow}: {state}
          {actions && actions.length > 0 && ` · ${text.problem.legal}: ${actions.join(", ")}`}
        </p>
      )}
      {request && (
        <p className="quiet small">
          {text.problem.request} <code>{request}</code>
        </p>
      )}
    </>
  );
}

export function Notices() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => notices,
  );
  return (
    <section className="notices" aria-label={text.shell.notices} aria-live="polite">
      {shown.map((notice) => {
        const Icon = notice.tone === "good" ? CircleCheck : CircleX;
        return (
          <div key={notice.key} data-tone={notice.tone}>
            <Icon size={16} aria-hidden />
            <div className="stack">
              <strong>{notice.title}</strong>
              {notice.detail}
            </div>
            <IconButton label={text.shell.dismiss} icon={X} onPress={() => dismiss(notice.key)} />
          </div>
        );
      })}
    </section>
  );
}
