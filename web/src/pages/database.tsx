// The database: who waits for whom, who holds the log and vacuum back, what takes space; and the way to end a session.
import { useState } from "react";
import type { DatabaseFacts, Server, ServerSetting, TableFacts } from "../api/machine";
import { useRead } from "../api/reading";
import { useAddress } from "../kit/address";
import { Button } from "../kit/Button";
import { Code } from "../kit/Code";
import { Page } from "../kit/Page";
import { Facts, Meter, Panel } from "../kit/Panel";
import { ProblemNote } from "../kit/Problem";
import { type Column, Table } from "../kit/Table";
import { Time } from "../kit/Time";
import { text } from "../text";
import { bytes, count, percent, span } from "../text/format";
import { CONNECTIONS, HORIZON, SETTINGS, TABLES, WAITS } from "./database/columns";
import { Sessions } from "./database/Sessions";

const words = text.database;

export default function Database() {
  const read = useRead<DatabaseFacts>("/database", {}, { topics: ["stats"], every: 5 });
  const facts = read.data;
  return (
    <Page title={words.title} about={words.about} at={read.dataUpdatedAt}>
      {read.error && <ProblemNote error={read.error} again={() => void read.refetch()} />}
      {!facts && !read.error && <p className="quiet">{text.shell.loading}</p>}
      {facts && (
        <>
          {facts.blind.length > 0 && <Blind facts={facts} />}
          <Sessions backends={facts.backends} />
          <Listed
            title={words.waits}
            none={words.waitsNone}
            columns={WAITS}
            rows={facts.waits}
            idOf={(row) => `${row.pid}-${row.blocked_by}`}
          />
          <Listed
            title={words.horizon}
            none={words.horizonNone}
            about={words.horizonWhy}
            columns={HORIZON}
            rows={facts.horizon}
            idOf={(row) => `${row.kind}-${row.name}`}
          />
          <ServerPanel server={facts.server} />
          <Listed
            title={words.byApplication}
            none=""
            columns={CONNECTIONS}
            rows={facts.connections}
            idOf={(row) => `${row.application}-${row.state}`}
          />
          <Tables rows={facts.tables} />
          <ServerSettings rows={facts.settings} />
        </>
      )}
    </Page>
  );
}

const FEW_TABLES = 12;

/** The largest first; all of them when they are asked for. */
function Tables({ rows }: { rows: TableFacts[] }) {
  const [shown, setShown] = useAddress("tables");
  const isWhole = shown === "all" || rows.length <= FEW_TABLES;
  return (
    <Panel
      title={words.tables}
      flush
      end={!isWhole && <Button onPress={() => setShown("all")}>{words.allTables(count(rows.length))}</Button>}
    >
      <Table
        label={words.tables}
        columns={TABLES}
        rows={isWhole ? rows : rows.slice(0, FEW_TABLES)}
        rowId={(row) => row.name}
      />
    </Panel>
  );
}

/** Some hundred rows that are looked up once in a while: drawn when they are asked for. */
function ServerSettings({ rows }: { rows: ServerSetting[] }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{words.settings}</summary>
      {isOpen && <Listed title={words.settings} none="" columns={SETTINGS} rows={rows} idOf={(row) => row.name} />}
    </details>
  );
}

function Blind({ facts }: { facts: DatabaseFacts }) {
  return (
    <Panel title={words.blindTitle}>
      <div className="stack">
        {facts.blind.map((what) => (
          <p key={what}>{what}</p>
        ))}
        {!facts.server.sees_others && <Code>{words.grant(facts.server.role)}</Code>}
      </div>
    </Panel>
  );
}

interface ListedProps<Row> {
  title: string;
  none: string;
  about?: string;
  columns: Column<Row>[];
  rows: Row[];
  idOf: (row: Row) => string;
}

function Listed<Row>({ title, none, about, columns, rows, idOf }: ListedProps<Row>) {
  if (rows.length === 0) {
    return (
      <Panel title={title}>
        <p className="quiet">{none}</p>
      </Panel>
    );
  }
  return (
    <Panel title={title} flush>
      {about && <p className="pad quiet">{about}</p>}
      <Table label={title} columns={columns} rows={rows} rowId={idOf} />
    </Panel>
  );
}

function ServerPanel({ server }: { server: Server }) {
  return (
    <Panel title={words.server}>
      <Facts
        of={[
          [words.version, server.standby ? `${server.version}, ${words.standby}` : server.version],
          [words.database, server.database],
          [words.size, bytes(server.bytes)],
          [words.since, <Time key="since" at={server.started_at} />],
          [
            words.connections,
            <Meter
              key="connections"
              value={server.connections}
              max={server.allowed_connections}
              label={words.connectionsLabel}
            >
              {words.connectionsOf(count(server.connections), count(server.allowed_connections))}
            </Meter>,
          ],
          [words.notify, percent(server.notify_queue_share)],
          [words.deadlocks, server.deadlocks === null ? null : count(server.deadlocks)],
          [words.slots, server.wal_bytes_held_by_slots ? bytes(server.wal_bytes_held_by_slots) : null],
          [words.archive, server.archived_seconds === null ? null : words.ago(span(server.archived_seconds))],
          [words.archiveFailures, server.archive_failures || null],
          [words.role, server.role],
        ]}
      />
    </Panel>
  );
}
