import { useState } from "react";
import { useRead } from "../../api/reading";
import type { Job, LogPage, Page } from "../../api/types";
import { Badge, type Tone } from "../../kit/Badge";
import { Button } from "../../kit/Button";
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
  const [cursor, setCursor] = useState("");
  const read = useRead<LogPage>(`${path}/logs`, { limit: MOST_LINES, cursor }, { topics, keep: true });
  const { zone } = usePreferences();
  const next = read.data?.next;
  const lines = read.data?.items ?? [];
  const whole = lines.map((line) => `${line.at} ${line.level} ${line.message}`).join("\n");
  return (
    <Panel title={say.logs} end={lines.length > 0 && <CopyButton value={whole} />}>
      {read.error && <ProblemNote error={read.error} />}
      {read.data && lines.length === 0 && <p className="quiet">{say.noLogs}</p>}
      {lines.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard
        <ol className="log" tabIndex={0} aria-label={say.logs}>
          {lines.map((line, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: lines are only added at the end
            <li key={`${line.at} ${index}`}>
              <time dateTime={line.at}>{moment(line.at, zone, false)}</time>
              <Badge tone={LEVELS[line.level]}>{line.level}</Badge>
              <span className="quiet">{say.attempt(line.attempt)}</span>
              <span className="anywhere">{line.message}</span>
            </li>
          ))}
        </ol>
      )}
      <div className="row">
        {cursor !== "" && <Button onPress={() => setCursor("")}>{say.firstLines}</Button>}
        {next && <Button onPress={() => setCursor(next)}>{say.laterLines}</Button>}
      </div>
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
