// Settings as the API process has read them, and those of them that say what is kept how long.
import type { Settings as Answer, Setting } from "../../api/control";
import { useRead } from "../../api/reading";
import { Panel } from "../../kit/Panel";
import { ProblemNote } from "../../kit/Problem";
import { type Column, Table } from "../../kit/Table";
import { text } from "../../text";

const words = text.admin;

const COLUMNS: Column<Setting>[] = [
  { id: "name", name: words.setting, cell: (row) => <code>{row.name}</code>, sortBy: (row) => row.name },
  { id: "value", name: words.value, cell: (row) => <code className="anywhere">{row.value}</code> },
  { id: "origin", name: words.origin, cell: (row) => row.origin, sortBy: (row) => row.origin },
  { id: "meaning", name: words.meaning, cell: (row) => row.description },
];

const KEPT: Column<Setting>[] = [
  { id: "what", name: words.kept, cell: (row) => words.keptWhat[row.name] ?? row.name },
  { id: "value", name: words.value, cell: (row) => words.keptDays(row.value) },
  { id: "name", name: words.setting, cell: (row) => <code>{row.name}</code> },
];

export function Settings() {
  return <Shown about={words.settingsAbout} title={words.settings} columns={COLUMNS} keep={() => true} />;
}

export function Retention() {
  return (
    <Shown
      about={words.retentionAbout}
      title={words.retention}
      columns={KEPT}
      keep={(row) => row.name in words.keptWhat}
    />
  );
}

interface ShownProps {
  title: string;
  about: string;
  columns: Column<Setting>[];
  keep: (row: Setting) => boolean;
}

function Shown({ title, about, columns, keep }: ShownProps) {
  const read = useRead<Answer>("/settings", {}, { every: 60 });
  return (
    <>
      <p className="quiet">{about}</p>
      {read.error && <ProblemNote error={read.error} again={() => void read.refetch()} />}
      {read.data && (
        <Panel title={title} flush>
          <Table label={title} columns={columns} rows={read.data.settings.filter(keep)} rowId={(row) => row.name} />
        </Panel>
      )}
    </>
  );
}
