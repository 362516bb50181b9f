import type { Problem } from "../../api/problem";
import type { Job, JobReason, Why as WhyData } from "../../api/types";
import { Subject } from "../../kit/Link";
import { Panel } from "../../kit/Panel";
import { ProblemNote } from "../../kit/Problem";
import { text } from "../../text";

const say = text.jobs.page;

/** Why a job does not run, by the conditions of the claim itself, with links to what holds it. */
export function Why({ job, why, error }: { job: Job; why?: WhyData; error: Problem | null }) {
  const isOver = job.finished_at !== null;
  const title = isOver ? say.whyDone : job.state === "running" ? say.whyRunning : say.why;
  return (
    <Panel title={title}>
      {error && <ProblemNote error={error} />}
      {!why && !error && <p className="quiet">{text.shell.loading}</p>}
      {why && why.reasons.length === 0 && <p>{why.text}</p>}
      <ul className="stack">
        {why?.reasons.map((reason) => (
          <li key={reason.code + reason.text} className="reason">
            <p className="anywhere">
              <strong>{reason.text}</strong>
            </p>
            {reason.remedy && (
              <p className="anywhere">
                {say.remedy}: {reason.remedy}
              </p>
            )}
            <Links reason={reason} own={job} />
          </li>
        ))}
      </ul>
    </Panel>
  );
}

interface Found {
  kind: string;
  id: string;
}

/** What a reason is about, wherever it stands in its fields: jobs that hold, workers, the queue. */
function Links({ reason, own }: { reason: JobReason; own: Job }) {
  const found: Found[] = [];
  collect(reason.facts, "", found);
  const seen = new Set<string>();
  const shown = found.filter(({ kind, id }) => {
    const key = `${kind} ${id}`;
    if (seen.has(key) || (kind === "job" && id === own.id)) return false;
    seen.add(key);
    return true;
  });
  if (shown.length === 0) return null;
  return (
    <p className="row small">
      {shown.slice(0, 12).map(({ kind, id }) => (
        <Subject key={kind + id} kind={kind} id={id} />
      ))}
    </p>
  );
}

const DEEPEST = 3;

function collect(value: unknown, name: string, found: Found[], depth = 0): void {
  if (depth > DEEPEST || value === null || value === undefined) return;
  if (Array.isArray(value)) {
    for (const each of value) collect(each, name === "behind" ? "job" : name, found, depth);
    return;
  }
  if (typeof value === "object") {
    const fields = value as Record<string, unknown>;
    if (name.startsWith("worker") || name === "nearest_worker") {
      if (fields.id !== undefined) found.push({ kind: "worker", id: String(fields.id) });
      return;
    }
    for (const [key, inner] of Object.entries(fields)) collect(inner, key, found, depth + 1);
    return;
  }
  if ((name === "job" || name === "original" || name === "holder") && /^\d+$/.test(String(value))) {
    found.push({ kind: "job", id: String(value) });
  } else if (name === "queue" && typeof value === "string") found.push({ kind: "queue", id: value });
}
