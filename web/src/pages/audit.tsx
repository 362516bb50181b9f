// Audit: who did what, to what, why, and what was refused.
import { Ban, CircleCheck, CircleX, Hourglass, type LucideIcon } from "lucide-react";
import { useState } from "react";
import type { AuditEntry } from "../api/control";
import { AddressFields } from "../kit/AddressFields";
import { useAddress } from "../kit/address";
import { Badge, type Tone } from "../kit/Badge";
import { Button } from "../kit/Button";
import { Json } from "../kit/Code";
import { Dialog } from "../kit/Dialog";
import { Subject } from "../kit/Link";
import { List } from "../kit/List";
import { Page } from "../kit/Page";
import { Empty, Facts, Panel } from "../kit/Panel";
import type { Column } from "../kit/Table";
import { Time } from "../kit/Time";
import { text } from "../text";

const words = text.audit;
const FIELDS: [string, string][] = [
  ["actor", words.actor],
  ["action", words.action],
  ["target", words.target],
];

export default function Audit() {
  const [at, setAt] = useState(0);
  const [open, setOpen] = useState<AuditEntry | null>(null);
  const [actor] = useAddress("actor");
  const [action] = useAddress("action");
  const [target] = useAddress("target");
  const isNarrowed = actor !== "" || action !== "" || target !== "";
  return (
    <Page title={words.title} about={words.about} at={at}>
      <AddressFields of={FIELDS} />
      <List<AuditEntry>
        name="audit"
        label={words.label}
        path="/audit"
        parameters={{ actor, action, target }}
        topics={["audit"]}
        columns={columnsOf(setOpen)}
        rowId={(row) => row.id}
        rowName={(row) => words.rowOf(row.action, row.actor)}
        command={() => "holdfast audit list"}
        onRead={setAt}
        empty={
          isNarrowed ? (
            <Empty title={text.lists.nothingMatches}>
              <p>{text.lists.nothingMatchesHint}</p>
            </Empty>
          ) : (
            <Empty title={words.emptyTitle}>
              <p>{words.empty}</p>
            </Empty>
          )
        }
      />
      {open && <OneEntry entry={open} onClose={() => setOpen(null)} />}
    </Page>
  );
}

function columnsOf(onOpen: (entry: AuditEntry) => void): Column<AuditEntry>[] {
  return [
    { id: "at", name: words.at, cell: (row) => <Time at={row.at} />, plain: (row) => row.at },
    {
      id: "actor",
      name: words.actor,
      cell: (row) => (
        <>
          {row.actor} <span className="quiet nowrap">{words.kinds[row.actor_kind] ?? row.actor_kind}</span>
        </>
      ),
      plain: (row) => row.actor,
    },
    {
      id: "action",
      name: words.action,
      cell: (row) => (
        <Button kind="bare" onPress={() => onOpen(row)} aria-label={words.rowOf(row.action, row.actor)}>
          {row.action}
        </Button>
      ),
      plain: (row) => row.action,
    },
    { id: "target", name: words.target, cell: (row) => <Target entry={row} />, plain: (row) => row.target },
    { id: "result", name: words.result, cell: (row) => <Result of={row.result} />, plain: (row) => row.result },
    {
      id: "reason",
      name: words.reason,
      cell: (row) => <span className="clip">{row.reason}</span>,
      plain: (row) => row.reason,
    },
    { id: "client", name: words.client, cell: (row) => row.client, plain: (row) => row.client, hidden: true },
    { id: "request", name: words.request, cell: (row) => row.request_id, plain: (row) => row.request_id, hidden: true },
  ];
}

function Target({ entry }: { entry: AuditEntry }) {
  if (!entry.target_kind || !entry.target) return <>{entry.target}</>;
  return <Subject kind={entry.target_kind} id={entry.target} />;
}

const RESULTS: Record<string, { tone: Tone; icon: LucideIcon }> = {
  done: { tone: "good", icon: CircleCheck },
  begun: { tone: "info", icon: Hourglass },
  failed: { tone: "bad", icon: CircleX },
  denied: { tone: "warn", icon: Ban },
};

function Result({ of }: { of: string }) {
  const look = RESULTS[of];
  return (
    <Badge tone={look?.tone} icon={look?.icon}>
      {words.results[of] ?? of}
    </Badge>
  );
}

function OneEntry({ entry, onClose }: { entry: AuditEntry; onClose: () => void }) {
  const hasChanges = entry.before !== null || entry.after !== null;
  return (
    <Dialog title={words.rowOf(entry.action, entry.actor)} wide onClose={onClose}>
      <Facts
        of={[
          [words.at, <Time key="at" at={entry.at} as="moment" />],
          [words.through, words.kinds[entry.actor_kind] ?? entry.actor_kind],
          [words.result, <Result key="result" of={entry.result} />],
          [words.target, entry.target && <Target entry={entry} />],
          [words.reason, entry.reason],
          [words.code, entry.code && <code>{entry.code}</code>],
          [words.detail, entry.detail],
          [words.client, entry.client],
          [words.request, entry.request_id && <code>{entry.request_id}</code>],
        ]}
      />
      {hasChanges && (
        <div className="columns">
          <Panel title={words.before}>
            <Json value={entry.before} label={words.before} />
          </Panel>
          <Panel title={words.after}>
            <Json value={entry.after} label={words.after} />
          </Panel>
        </div>
      )}
      <div className="foot">
        <Button kind="primary" autoFocus onPress={onClose}>
          {text.shell.close}
        </Button>
      </div>
    </Dialog>
  );
}
