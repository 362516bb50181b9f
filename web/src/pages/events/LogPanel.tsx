// How far the log may be read, and which sessions hold it up.
import { CircleCheck, OctagonAlert } from "lucide-react";
import type { Holder, LogState } from "../../api/log";
import { Badge } from "../../kit/Badge";
import { Go } from "../../kit/Link";
import { Facts, Panel } from "../../kit/Panel";
import { type Column, Table } from "../../kit/Table";
import { Duration, Time } from "../../kit/Time";
import { text } from "../../text";
import { plural } from "../../text/format";

const words = text.events;
/** A shorter open append is somebody at work. */
const WORTH_SAYING_SECONDS = 2;

export function LogPanel({ log }: { log: LogState }) {
  const holders = log.stalled_by.filter((holder) => (holder.age_seconds ?? 0) >= WORTH_SAYING_SECONDS);
  return (
    <Panel title={words.logTitle} end={<LogBadge stalled={holders.length} />}>
      <div className="stack">
        <Facts
          of={[
            [words.settled, log.settled],
            [words.drawn, log.drawn],
            [words.settledAt, log.settled_at && <Time at={log.settled_at} />],
          ]}
        />
        {log.is_behind && <p className="bad">{words.behind}</p>}
        {holders.length > 0 && (
          <div className="stack">
            <p>{words.stalledWhy}</p>
            <Table
              label={words.stalled(plural(holders.length, "session"))}
              columns={HOLDERS}
              rows={holders}
              rowId={idOf}
            />
            <p>
              <Go to="/database">{words.toDatabase}</Go>
            </p>
          </div>
        )}
      </div>
    </Panel>
  );
}

function LogBadge({ stalled }: { stalled: number }) {
  if (stalled === 0) {
    return (
      <Badge tone="good" icon={CircleCheck}>
        {words.flowing}
      </Badge>
    );
  }
  return (
    <Badge tone="bad" icon={OctagonAlert}>
      {words.stalled(plural(stalled, "session"))}
    </Badge>
  );
}

function idOf(holder: Holder): string {
  return holder.prepared ?? String(holder.pid);
}

const HOLDERS: Column<Holder>[] = [
  { id: "session", name: words.session, cell: (row) => (row.prepared ? words.prepared(row.prepared) : row.pid) },
  { id: "application", name: words.application, cell: (row) => row.application },
  { id: "user", name: words.user, cell: (row) => row.username },
  { id: "client", name: words.client, cell: (row) => row.client },
  { id: "open", name: words.open, cell: (row) => <Duration seconds={row.age_seconds} /> },
  { id: "query", name: words.query, cell: (row) => <code className="clip">{row.query}</code> },
];
