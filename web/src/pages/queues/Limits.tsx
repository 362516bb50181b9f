import { RotateCcw, SlidersHorizontal } from "lucide-react";
import { useId, useState } from "react";
import { act } from "../../api/client";
import { type Problem, problemOf } from "../../api/problem";
import { lookAgain, useRead } from "../../api/reading";
import type { Limit, Page } from "../../api/types";
import { ActionButtons } from "../../kit/acting";
import { Button } from "../../kit/Button";
import { Code } from "../../kit/Code";
import { Dialog } from "../../kit/Dialog";
import { Meter, Panel } from "../../kit/Panel";
import { ProblemNote } from "../../kit/Problem";
import { type Column, Table } from "../../kit/Table";
import { text } from "../../text";
import { count, span } from "../../text/format";

const words = text.queues;

/** How the API calls it: a rate and a limit may have the same name. */
function address(limit: Limit): string {
  return limit.kind === "rate" ? `rate:${limit.name}` : limit.name;
}

/** Limits and rates of all queues, with who has passed and who waits. */
export function Limits() {
  const read = useRead<Page<Limit>>("/limits", {}, { topics: ["stats"], every: 10 });
  const [changing, setChanging] = useState<Limit | null>(null);
  const columns: Column<Limit>[] = [
    {
      id: "name",
      name: words.limit,
      cell: (limit) => <strong className="anywhere">{limit.name}</strong>,
      sortBy: (limit) => limit.name,
    },
    {
      id: "kind",
      name: words.kind,
      cell: (limit) => (limit.per_seconds === null ? limit.kind : `${limit.kind}, ${span(limit.per_seconds)}`),
    },
    { id: "key", name: words.key, cell: (limit) => limit.key && <code>{limit.key}</code> },
    {
      id: "taken",
      name: words.taken,
      cell: (limit) => (
        <Meter value={limit.taken} max={limit.capacity} label={`${words.taken}: ${limit.name}`}>
          {limit.taken} / {limit.capacity}
          {limit.capacity !== limit.declared && ` (${words.declared} ${limit.declared})`}
        </Meter>
      ),
      sortBy: (limit) => limit.taken,
    },
    {
      id: "waiting",
      name: words.waiting,
      cell: (limit) => count(limit.waiting),
      sortBy: (limit) => limit.waiting,
      number: true,
    },
    {
      id: "actions",
      name: text.shell.actions,
      cell: (limit) => (
        <span className="row">
          <ActionButtons
            keys={false}
            legal={limit.actions ?? []}
            actions={[
              {
                verb: "set",
                label: words.set,
                icon: SlidersHorizontal,
                run: () => {
                  setChanging(limit);
                  return undefined;
                },
              },
              {
                verb: "reset",
                label: words.reset,
                icon: RotateCcw,
                run: () => act("/limits/reset", { name: address(limit) }),
              },
            ]}
          />
        </span>
      ),
    },
  ];
  if (read.error) return <ProblemNote error={read.error} />;
  if (!read.data) return null;
  return (
    <Panel title={words.limits} flush={read.data.items.length > 0}>
      {read.data.items.length === 0 ? (
        <div className="stack">
          <p className="quiet">
            {words.noLimits} {words.limitsAbout}
          </p>
          <Code>{words.limitsHint}</Code>
        </div>
      ) : (
        <Table
          label={words.limits}
          columns={columns}
          rows={read.data.items}
          rowId={(limit) => `${limit.kind}:${limit.name}:${limit.key ?? ""}`}
        />
      )}
      {changing && <Capacity limit={changing} onClose={() => setChanging(null)} />}
    </Panel>
  );
}

function Capacity({ limit, onClose }: { limit: Limit; onClose: () => void }) {
  const [value, setValue] = useState(String(limit.capacity));
  const [problem, setProblem] = useState<Problem | null>(null);
  const id = useId();
  return (
    <Dialog title={words.setTitle(limit.name)} onClose={onClose}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          act("/limits/set", { name: address(limit), capacity: Number(value) })
            .then(() => {
              lookAgain();
              onClose();
            })
            .catch((thrown: unknown) => setProblem(problemOf(thrown)));
        }}
      >
        {problem && <ProblemNote error={problem} />}
        <p className="quiet">{words.limitsAbout}</p>
        <div className="field">
          <label htmlFor={id}>{words.capacityLabel}</label>
          <input
            id={id}
            className="input"
            type="number"
            min={0}
            required
            autoFocus
            value={value}
            onChange={(event) => setValue(event.target.value)}
          />
        </div>
        <div className="foot">
          <Button onPress={onClose}>{text.shell.cancel}</Button>
          <Button kind="primary" type="submit">
            {words.set}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
