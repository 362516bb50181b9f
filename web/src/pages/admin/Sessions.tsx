// Sessions: browsers that are signed in, and the way to sign one out.
import { act } from "../../api/client";
import type { Session } from "../../api/control";
import { type Action, ActionButtons } from "../../kit/acting";
import { Badge } from "../../kit/Badge";
import { List } from "../../kit/List";
import { Empty } from "../../kit/Panel";
import type { Column } from "../../kit/Table";
import { Time } from "../../kit/Time";
import { text } from "../../text";

const words = text.admin;

const COLUMNS: Column<Session>[] = [
  {
    id: "who",
    name: words.who,
    cell: (row) => (
      <>
        {row.name} {row.is_current && <Badge tone="info">{words.current}</Badge>}
      </>
    ),
    plain: (row) => row.name,
  },
  { id: "seen", name: words.seen, cell: (row) => <Time at={row.seen_at} />, plain: (row) => row.seen_at },
  { id: "created", name: words.created, cell: (row) => <Time at={row.created_at} />, plain: (row) => row.created_at },
  { id: "expires", name: words.expires, cell: (row) => <Time at={row.expires_at} />, plain: (row) => row.expires_at },
  {
    id: "from",
    name: words.from,
    cell: (row) => <span className="clip">{[row.client, row.agent].filter(Boolean).join(" · ")}</span>,
    plain: (row) => row.client,
  },
  {
    id: "actions",
    name: "",
    cell: (row) => <ActionButtons legal={row.actions} actions={actionsOf(row)} keys={false} />,
  },
];

export function Sessions() {
  return (
    <>
      <p className="quiet">{words.sessionsAbout}</p>
      <List<Session>
        name="sessions"
        label={words.sessions}
        path="/sessions"
        columns={COLUMNS}
        rowId={(row) => row.id}
        rowName={(row) => row.name}
        empty={
          <Empty title={words.sessionsEmpty}>
            <p>{words.sessionsEmptyWhy}</p>
          </Empty>
        }
      />
    </>
  );
}

function actionsOf(row: Session): Action[] {
  return [
    {
      verb: "end",
      label: words.end,
      danger: true,
      confirm: { title: words.endTitle(row.name), body: <p>{words.endBody}</p>, verb: words.end, danger: true },
      run: ({ reason }) => act(`/sessions/${encodeURIComponent(row.id)}/end`, { reason }),
    },
  ];
}
