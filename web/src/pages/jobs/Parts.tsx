import { useRead } from "../../api/reading";
import type { Job, LogLine, Page } from "../../api/types";
import { Badge, type Tone } from "../../kit/Badge";
import { CopyButton } from "../../kit/Code";
import { Panel } from "../../kit/Panel";
import { ProblemNote } from "../../kit/Problem";
import { Table } from "../../kit/Table";
import { usePreferences } from "../../preferences";
import { text } from "../../text";
import { moment } from "../../text/format";
import { jobColumns } from "./columns";

const say = text.jobs.page;
const MOST_LINES = 200;
const LEVELS: Record<string, Tone> = { warning: "warn", error: "bad", critical: "bad", info: "info" };

/** What the handler has logged, all attempts. */
export function Logs({ path, topics }: { path: string; topics: string[] }) {
  const read = useRead<Page<LogLine>>(`${path}/logs`, { limit: MOST_LINES }, { topics });
  const { zone } = usePreferences();
  const lines = read.data?.items ?? [];
  const whole = lines.map((line) => `${line.at} ${line.level} ${line.message}`).join("\n");
  return (
    <Panel title={say.logs} end={lines.length > 0 && <CopyButton value={whole} />}>
      {read.error && <ProblemNote error={read.error} />}
      {read.data && lines.length === 0 && <p className="quiet">{say.noLogs}</p>}
      {lines.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard
        <ol className="log" tabIndex={0} aria-label={say.logs}>
          {lines.map((line) => (
            <li key={`${line.attempt}-${line.at}-${line.number}`}>
              <time dateTime={line.at}>{moment(line.at, zone, false)}</time>
              <Badge tone={LEVELS[line.level]}>{line.level}</Badge>
              <span className="quiet">{say.attempt(line.attempt)}</span>
              <span className="anywhere">{line.message}</span>
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}

const SHOWN = ["id", "state", "task", "queue", "when", "took"];

/** Jobs that this one has enqueued. Nothing is shown where there are none. */
export function Children({ path }: { path: string }) {
  const read = useRead<Page<Job>>(`${path}/children`, { limit: 50 }, { topics: ["jobs"], every: 15 });
  if (!read.data || read.data.items.length === 0) return null;
  return (
    <Panel title={say.children} flush>
      <Table
        label={say.children}
        columns={jobColumns.filter((column) => SHOWN.includes(column.id))}
        rows={read.data.items}
        rowId={(job) => job.id}
      />
    </Panel>
  );
}
