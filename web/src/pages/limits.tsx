// Limits and rates: how many jobs may pass, who has, who waits; another capacity until it is reset.
import { RotateCcw, SlidersHorizontal } from "lucide-react";
import { useState } from "react";
import { act } from "../api/client";
import type { Limit } from "../api/types";
import { type Action, ActionButtons } from "../kit/acting";
import { Code } from "../kit/Code";
import { Field, Form, ReasonField } from "../kit/Form";
import { List } from "../kit/List";
import { notify } from "../kit/Notices";
import { Page } from "../kit/Page";
import { Empty, Meter } from "../kit/Panel";
import type { Column } from "../kit/Table";
import { text } from "../text";
import { count, span } from "../text/format";

const words = text.limits;

/** How the API calls it: a rate and a limit may have the same name. */
function address(limit: Limit): string {
  return limit.kind === "rate" ? `rate:${limit.name}` : limit.name;
}

function kindOf(limit: Limit): string {
  const kind = words.kinds[limit.kind] ?? limit.kind;
  return limit.per_seconds === null ? kind : words.within(kind, span(limit.per_seconds));
}

function actionsOf(limit: Limit, change: (limit: Limit) => void): Action[] {
  const name = address(limit);
  return [
    {
      verb: "set",
      label: words.set,
      icon: SlidersHorizontal,
      run: () => {
        change(limit);
        return undefined;
      },
    },
    {
      verb: "reset",
      label: words.reset,
      icon: RotateCcw,
      confirm: {
        title: words.resetTitle(name),
        body: <p>{words.resetBody(count(limit.declared))}</p>,
        verb: words.reset,
      },
      run: async ({ reason }) => {
        await act("/limits/reset", { name, reason });
        return words.resetDone(name);
      },
    },
  ];
}

function columns(change: (limit: Limit) => void): Column<Limit>[] {
  return [
    {
      id: "name",
      name: words.name,
      cell: (row) => <strong className="anywhere">{row.name}</strong>,
      plain: (row) => row.name,
      sortBy: (row) => row.name,
    },
    { id: "kind", name: words.kind, cell: kindOf, plain: kindOf },
    { id: "key", name: words.key, cell: (row) => row.key && <code>{row.key}</code>, plain: (row) => row.key },
    {
      id: "taken",
      name: words.taken,
      cell: (row) =>
        row.capacity === 0 ? (
          words.closed
        ) : (
          <Meter value={row.taken} max={row.capacity} label={words.takenOf(row.name)}>
            {count(row.taken)} / {count(row.capacity)}
          </Meter>
        ),
      plain: (row) => row.taken,
      sortBy: (row) => row.taken,
    },
    {
      id: "capacity",
      name: words.capacity,
      cell: (row) => (
        <span className="nowrap">
          {count(row.capacity)}
          {row.capacity !== row.declared && <span className="quiet"> ({words.declared(count(row.declared))})</span>}
        </span>
      ),
      plain: (row) => row.capacity,
      sortBy: (row) => row.capacity,
    },
    {
      id: "waiting",
      name: words.waiting,
      cell: (row) => count(row.waiting),
      plain: (row) => row.waiting,
      sortBy: (row) => row.waiting,
      number: true,
    },
    {
      id: "actions",
      name: text.shell.actions,
      cell: (row) => (
        <span className="row">
          <ActionButtons keys={false} legal={row.actions} actions={actionsOf(row, change)} />
        </span>
      ),
    },
  ];
}

export default function Limits() {
  const [at, setAt] = useState(0);
  const [changing, setChanging] = useState<Limit | null>(null);
  return (
    <Page title={words.title} about={words.about} at={at}>
      <List<Limit>
        name="limits"
        label={words.title}
        path="/limits"
        topics={["stats"]}
        every={5}
        columns={columns(setChanging)}
        rowId={(row) => `${address(row)} ${row.key ?? ""}`}
        rowName={address}
        onRead={setAt}
        command={() => "holdfast limit list"}
        empty={
          <Empty title={words.emptyTitle}>
            <p>{words.empty}</p>
            <Code>{words.emptyCode}</Code>
          </Empty>
        }
      />
      {changing && <Capacity limit={changing} onClose={() => setChanging(null)} />}
    </Page>
  );
}

function Capacity({ limit, onClose }: { limit: Limit; onClose: () => void }) {
  const [capacity, setCapacity] = useState(String(limit.capacity));
  const [reason, setReason] = useState("");
  const name = address(limit);
  return (
    <Form
      title={words.setTitle(name)}
      submit={words.set}
      isReady={/^\d+$/.test(capacity)}
      onClose={onClose}
      onSubmit={async () => {
        await act("/limits/set", { name, capacity: Number(capacity), reason: reason.trim() || null });
        notify(words.setDone(name, count(Number(capacity))));
      }}
    >
      <p className="quiet">{words.setAbout}</p>
      <Field
        label={words.capacityLabel}
        type="number"
        min={0}
        required
        focus
        value={capacity}
        onChange={setCapacity}
        hint={words.declared(count(limit.declared))}
      />
      <ReasonField value={reason} onChange={setReason} />
    </Form>
  );
}
