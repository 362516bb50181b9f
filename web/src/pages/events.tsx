// Events: the log as it is read, event by event and stream by stream, and who holds it up.
import { CirclePlus } from "lucide-react";
import { useState } from "react";
import type { LogState, RecordedEvent, Stream } from "../api/log";
import { useRead } from "../api/reading";
import { AddressFields } from "../kit/AddressFields";
import { ActionButtons } from "../kit/acting";
import { useAddress } from "../kit/address";
import { Badge } from "../kit/Badge";
import { Button } from "../kit/Button";
import { Code, inLine, Json } from "../kit/Code";
import { Dialog } from "../kit/Dialog";
import { Go } from "../kit/Link";
import { List } from "../kit/List";
import { Page } from "../kit/Page";
import { Empty, Facts, Panel } from "../kit/Panel";
import type { Column } from "../kit/Table";
import { Time } from "../kit/Time";
import { text } from "../text";
import { AppendForm } from "./events/Append";
import { LogPanel } from "./events/LogPanel";

const words = text.events;
const NEWEST: [string, string][] = [
  ["stream", words.filterStream],
  ["type", words.filterType],
  ["tag", words.filterTag],
];
const BY_PREFIX: [string, string][] = [["prefix", words.prefix]];

export default function Events() {
  const [tab] = useAddress("tab");
  const [stream] = useAddress("stream");
  const [at, setAt] = useState(0);
  const [appending, setAppending] = useState(false);
  const log = useRead<LogState>("/events/log", {}, { topics: ["events"], every: 2 });
  const tabs: [string, string][] = [
    ["", words.newest],
    ["streams", words.streams],
  ];
  return (
    <Page
      title={words.title}
      about={words.about}
      at={at}
      actions={
        <ActionButtons
          legal={log.data?.actions ?? []}
          actions={[
            {
              verb: "append",
              label: words.append.action,
              icon: CirclePlus,
              run: () => {
                setAppending(true);
                return undefined;
              },
            },
          ]}
        />
      }
    >
      {appending && <AppendForm stream={stream} onClose={() => setAppending(false)} />}
      {log.data && <LogPanel log={log.data} />}
      <nav className="tabs" aria-label={words.title}>
        {tabs.map(([name, label]) => (
          <Go key={name} to="/events" search={{ tab: name }} aria-current={tab === name ? "page" : undefined}>
            {label}
          </Go>
        ))}
      </nav>
      {tab === "streams" ? <Streams onRead={setAt} /> : <Newest onRead={setAt} />}
    </Page>
  );
}

function columnsOf(onOpen: (event: RecordedEvent) => void): Column<RecordedEvent>[] {
  return [
    { id: "position", name: words.position, cell: (row) => row.position, plain: (row) => row.position, number: true },
    {
      id: "type",
      name: words.type,
      cell: (row) => (
        <Button kind="bare" onPress={() => onOpen(row)} aria-label={words.eventOf(row.type, row.position)}>
          {row.type}
        </Button>
      ),
      plain: (row) => row.type,
    },
    {
      id: "stream",
      name: words.stream,
      cell: (row) => (
        <Go to="/events" search={{ stream: row.stream }}>
          {row.stream}
        </Go>
      ),
      plain: (row) => row.stream,
    },
    { id: "version", name: words.version, cell: (row) => row.version, plain: (row) => row.version, number: true },
    {
      id: "data",
      name: words.data,
      cell: (row) => <code className="clip">{inLine(row.data)}</code>,
      plain: (row) => inLine(row.data),
    },
    {
      id: "tags",
      name: words.tags,
      cell: (row) => row.tags.join(", "),
      plain: (row) => row.tags.join(","),
      hidden: true,
    },
    {
      id: "recorded",
      name: words.recorded,
      cell: (row) => <Time at={row.recorded_at} />,
      plain: (row) => row.recorded_at,
    },
  ];
}

function Newest({ onRead }: { onRead: (at: number) => void }) {
  const [stream] = useAddress("stream");
  const [type] = useAddress("type");
  const [tag] = useAddress("tag");
  const [open, setOpen] = useState<RecordedEvent | null>(null);
  const isNarrowed = stream !== "" || type !== "" || tag !== "";
  return (
    <>
      <AddressFields of={NEWEST} />
      <List<RecordedEvent>
        name="events"
        label={words.label}
        path="/events"
        parameters={{ stream, type, tag, newest_first: true }}
        topics={["events"]}
        columns={columnsOf(setOpen)}
        rowId={(row) => row.position}
        rowName={(row) => words.eventOf(row.type, row.position)}
        command={() =>
          stream === "" ? "holdfast event tail" : `holdfast event read '${stream.replaceAll("'", "'\\''")}'`
        }
        onRead={onRead}
        empty={
          isNarrowed ? (
            <Empty title={text.lists.nothingMatches}>
              <Go to="/events">{words.clear}</Go>
            </Empty>
          ) : (
            <Empty title={words.emptyTitle}>
              <p>{words.empty}</p>
              <Code>{words.emptyCode}</Code>
            </Empty>
          )
        }
      />
      {open && <OneEvent event={open} onClose={() => setOpen(null)} />}
    </>
  );
}

function OneEvent({ event, onClose }: { event: RecordedEvent; onClose: () => void }) {
  return (
    <Dialog title={words.eventOf(event.type, event.position)} wide onClose={onClose}>
      <Facts
        of={[
          [
            words.stream,
            <Go key="stream" to="/events" search={{ stream: event.stream }} onClick={onClose}>
              {event.stream}
            </Go>,
          ],
          [words.version, event.version],
          [words.recorded, <Time key="at" at={event.recorded_at} as="moment" />],
          [words.id, <code key="id">{event.id}</code>],
          [words.schemaVersion, event.schema_version],
          [words.tags, event.tags.length > 0 && event.tags.map((tag) => <Badge key={tag}>{tag}</Badge>)],
          [words.correlation, event.correlation_id],
          [words.causation, event.causation_id],
        ]}
      />
      <Panel title={words.data}>
        <Json value={event.data} label={words.data} />
      </Panel>
      {event.metadata !== null && (
        <Panel title={words.metadata}>
          <Json value={event.metadata} label={words.metadata} />
        </Panel>
      )}
      <div className="foot">
        <Button kind="primary" autoFocus onPress={onClose}>
          {words.close}
        </Button>
      </div>
    </Dialog>
  );
}

const STREAMS: Column<Stream>[] = [
  {
    id: "stream",
    name: words.stream,
    cell: (row) => (
      <Go to="/events" search={{ stream: row.stream }}>
        {row.stream}
      </Go>
    ),
    plain: (row) => row.stream,
  },
  { id: "version", name: words.version, cell: (row) => row.version, plain: (row) => row.version, number: true },
  { id: "type", name: words.type, cell: (row) => row.type, plain: (row) => row.type },
  { id: "last", name: words.last, cell: (row) => <Time at={row.recorded_at} />, plain: (row) => row.recorded_at },
];

function Streams({ onRead }: { onRead: (at: number) => void }) {
  const [prefix] = useAddress("prefix");
  return (
    <>
      <AddressFields of={BY_PREFIX} />
      <List<Stream>
        name="streams"
        label={words.streamsLabel}
        path="/events/streams"
        parameters={{ prefix }}
        topics={["events"]}
        columns={STREAMS}
        rowId={(row) => row.stream}
        rowTo={(row) => `/events?${new URLSearchParams({ stream: row.stream })}`}
        command={() => "holdfast event streams"}
        onRead={onRead}
        empty={
          <Empty title={words.emptyTitle}>
            <p>{words.empty}</p>
            <Code>{words.emptyCode}</Code>
          </Empty>
        }
      />
    </>
  );
}
