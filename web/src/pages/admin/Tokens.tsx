// Tokens: made once and shown once, revoked at any time.
import { KeyRound, Plus } from "lucide-react";
import { type FormEvent, useId, useState } from "react";
import { act } from "../../api/client";
import type { NewToken, Token } from "../../api/control";
import { lookAgain } from "../../api/reading";
import { type Action, ActionButtons } from "../../kit/acting";
import { Badge } from "../../kit/Badge";
import { Button } from "../../kit/Button";
import { Code } from "../../kit/Code";
import { Dialog } from "../../kit/Dialog";
import { List } from "../../kit/List";
import { Empty } from "../../kit/Panel";
import { ProblemNote } from "../../kit/Problem";
import type { Column } from "../../kit/Table";
import { Time } from "../../kit/Time";
import { text } from "../../text";

const words = text.admin;
const ROLES = ["viewer", "operator", "admin", "producer", "metrics"];

const COLUMNS: Column<Token>[] = [
  { id: "name", name: words.name, cell: (row) => row.name, plain: (row) => row.name },
  {
    id: "role",
    name: words.role,
    cell: (row) => row.role ?? row.permissions.join(", "),
    plain: (row) => row.role ?? row.permissions.join(" "),
  },
  {
    id: "queues",
    name: words.queues,
    cell: (row) => row.queues?.join(", ") ?? <span className="quiet">{words.allQueues}</span>,
    plain: (row) => row.queues?.join(","),
  },
  { id: "state", name: words.state, cell: (row) => <Standing of={row} />, plain: (row) => row.standing },
  { id: "used", name: words.used, cell: (row) => <Time at={row.used_at} />, plain: (row) => row.used_at },
  {
    id: "expires",
    name: words.expires,
    cell: (row) => (row.expires_at ? <Time at={row.expires_at} /> : <span className="quiet">{words.never}</span>),
    plain: (row) => row.expires_at,
  },
  { id: "created", name: words.created, cell: (row) => <Time at={row.created_at} />, plain: (row) => row.created_at },
  { id: "by", name: words.by, cell: (row) => row.created_by, plain: (row) => row.created_by, hidden: true },
  {
    id: "actions",
    name: "",
    cell: (row) => <ActionButtons legal={row.actions} actions={actionsOf(row)} keys={false} />,
  },
];

export function Tokens() {
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<NewToken | null>(null);
  return (
    <>
      <p className="quiet">{words.tokensAbout}</p>
      <List<Token>
        name="tokens"
        label={words.tokens}
        path="/tokens"
        columns={COLUMNS}
        rowId={(row) => row.id}
        rowName={(row) => row.name}
        command={() => "holdfast token list"}
        tools={() => (
          <Button icon={Plus} kind="primary" onPress={() => setMaking(true)}>
            {words.make}
          </Button>
        )}
        empty={
          <Empty title={words.tokensEmpty}>
            <p>{words.tokensEmptyWhy}</p>
          </Empty>
        }
      />
      {making && (
        <MakeToken
          onClose={() => setMaking(false)}
          onMade={(token) => {
            setMaking(false);
            setMade(token);
            lookAgain();
          }}
        />
      )}
      {made && (
        <Dialog title={words.madeTitle} onClose={() => setMade(null)}>
          <p>{words.madeWhy}</p>
          <Code label={words.madeTitle} wrap>
            {made.secret}
          </Code>
          <div className="foot">
            <Button kind="primary" onPress={() => setMade(null)}>
              {words.madeDone}
            </Button>
          </div>
        </Dialog>
      )}
    </>
  );
}

function Standing({ of }: { of: Token }) {
  return (
    <Badge tone={of.standing === "good" ? "good" : "quiet"} icon={KeyRound}>
      {words.standings[of.standing]}
    </Badge>
  );
}

function actionsOf(row: Token): Action[] {
  return [
    {
      verb: "revoke",
      label: words.revoke,
      danger: true,
      confirm: {
        title: words.revokeTitle(row.name),
        body: <p>{words.revokeBody}</p>,
        verb: words.revoke,
        danger: true,
      },
      run: ({ reason }) => act(`/tokens/${encodeURIComponent(row.id)}/revoke`, { reason }),
    },
  ];
}

function MakeToken({ onClose, onMade }: { onClose: () => void; onMade: (token: NewToken) => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState("viewer");
  const [queues, setQueues] = useState("");
  const [days, setDays] = useState("90");
  const [problem, setProblem] = useState<unknown>(null);
  const id = useId();
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const only = queues
      .split(",")
      .map((queue) => queue.trim())
      .filter((queue) => queue !== "");
    try {
      const expires_in_days = days === "" ? null : Number(days);
      onMade(
        await act<NewToken>("/tokens", {
          name: name.trim(),
          role,
          queues: only.length > 0 ? only : null,
          expires_in_days,
        }),
      );
    } catch (thrown) {
      setProblem(thrown);
    }
  };
  return (
    <Dialog title={words.makeTitle} onClose={onClose}>
      <form className="stack" onSubmit={submit}>
        <div className="field">
          <label htmlFor={`${id}-name`}>{words.name}</label>
          <input
            id={`${id}-name`}
            className="input"
            autoFocus
            required
            maxLength={100}
            aria-describedby={`${id}-name-hint`}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
          <span id={`${id}-name-hint`} className="hint">
            {words.nameHint}
          </span>
        </div>
        <div className="field">
          <label htmlFor={`${id}-role`}>{words.role}</label>
          <select id={`${id}-role`} className="input" value={role} onChange={(event) => setRole(event.target.value)}>
            {ROLES.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </div>
        <div className="field">
          <label htmlFor={`${id}-queues`}>{words.queues}</label>
          <input
            id={`${id}-queues`}
            className="input mono"
            aria-describedby={`${id}-queues-hint`}
            value={queues}
            onChange={(event) => setQueues(event.target.value)}
          />
          <span id={`${id}-queues-hint`} className="hint">
            {words.queuesHint}
          </span>
        </div>
        <div className="field">
          <label htmlFor={`${id}-days`}>{words.days}</label>
          <input
            id={`${id}-days`}
            className="input"
            type="number"
            min={1}
            max={3650}
            aria-describedby={`${id}-days-hint`}
            value={days}
            onChange={(event) => setDays(event.target.value)}
          />
          <span id={`${id}-days-hint`} className="hint">
            {words.daysHint}
          </span>
        </div>
        {problem !== null && <ProblemNote error={problem} />}
        <div className="foot">
          <Button onPress={onClose}>{text.shell.cancel}</Button>
          <Button kind="primary" type="submit" isDisabled={name.trim() === ""}>
            {words.makeDo}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
