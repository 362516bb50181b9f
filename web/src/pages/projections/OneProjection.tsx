// One projection: its lag, partition by partition, its rebuild, and the streams that wait for a person.
import { Archive, CircleParking, CirclePause, Hammer, Play, RotateCcw, Shuffle, Trash2, Undo2 } from "lucide-react";
import { useState } from "react";
import { act } from "../../api/client";
import type { ParkedStream, PartitionLag, ProjectionDetail } from "../../api/log";
import { useRead } from "../../api/reading";
import { type Action, ActionButtons } from "../../kit/acting";
import { useAddress } from "../../kit/address";
import { Field, Form, ReasonField } from "../../kit/Form";
import { Go } from "../../kit/Link";
import { notify } from "../../kit/Notices";
import { Page } from "../../kit/Page";
import { Empty, Facts, Panel } from "../../kit/Panel";
import { ProblemNote } from "../../kit/Problem";
import { type Column, Table } from "../../kit/Table";
import { Time } from "../../kit/Time";
import { text } from "../../text";
import { count } from "../../text/format";
import { Building, Lag, PARTITIONS, ProjectionState } from "./parts";

const words = text.projections;

export function OneProjection({ name }: { name: string }) {
  const read = useRead<ProjectionDetail>("/projections/show", { name }, { topics: ["projections"], every: 2 });
  const [isParking, setParking] = useState(false);
  const projection = read.data;
  return (
    <Page
      title={name}
      trail={[[words.title, "/projections"]]}
      badge={projection && <ProjectionState state={projection.state} />}
      at={read.dataUpdatedAt}
      actions={
        projection && (
          <ActionButtons legal={projection.actions} actions={actionsOf(projection, () => setParking(true))} />
        )
      }
    >
      {read.error && <ProblemNote error={read.error} again={() => void read.refetch()} />}
      {!projection && !read.error && <p className="quiet">{text.shell.loading}</p>}
      {projection && (
        <>
          {projection.problems.length > 0 && <Problems of={projection.problems} />}
          <div className="columns">
            <Standing of={projection} />
            {projection.building !== null && <Rebuilding of={projection} />}
          </div>
          {(projection.parked_streams.length > 0 || projection.parked > 0) && <Parked of={projection} />}
          <Partitions of={projection.partitions} />
          {isParking && <Park name={name} onClose={() => setParking(false)} />}
        </>
      )}
    </Page>
  );
}

function Problems({ of }: { of: string[] }) {
  return (
    <div className="problem">
      <div>
        <strong>{words.problems}</strong>
        {of.map((problem) => (
          <p key={problem}>{problem}</p>
        ))}
      </div>
    </div>
  );
}

function Standing({ of }: { of: ProjectionDetail }) {
  return (
    <Panel title={words.detailsTitle}>
      <Facts
        of={[
          [
            words.lag,
            <span key="lag" aria-live="polite">
              <Lag of={of} />
            </span>,
          ],
          [words.kind, of.kind],
          [words.workers, count(of.workers)],
          [words.partitions, `${of.partitions_held}/${PARTITIONS}`],
          [words.onFailure, words.stop(of.on_failure)],
          [words.model, of.model],
          [words.pausedAt, of.paused_at && <Time at={of.paused_at} />],
          [words.why, of.pause_reason],
        ]}
      />
      {of.kept !== null && <p className="quiet">{words.kept(of.kept)}</p>}
    </Panel>
  );
}

function Rebuilding({ of }: { of: ProjectionDetail }) {
  const isThere = (of.building_lag_events ?? 0) <= of.lag_events;
  return (
    <Panel title={words.building(of.building ?? 0)}>
      <div className="stack" aria-live="polite">
        <Building of={of} />
        {isThere && <p>{words.buildingReady}</p>}
      </div>
    </Panel>
  );
}

const PARTITION_COLUMNS: Column<PartitionLag>[] = [
  {
    id: "partition",
    name: words.partition,
    cell: (row) => row.partition,
    number: true,
    sortBy: (row) => row.partition,
  },
  { id: "model", name: words.model, cell: (row) => `${row.model} ${row.state}` },
  {
    id: "checkpoint",
    name: words.checkpoint,
    cell: (row) => row.checkpoint,
    number: true,
    sortBy: (row) => Number(row.checkpoint),
  },
  { id: "lag", name: words.lag, cell: (row) => <Lag of={row} />, sortBy: (row) => row.lag_events },
  { id: "owner", name: words.owner, cell: (row) => row.owner ?? <span className="bad">{words.nobody}</span> },
  { id: "moved", name: words.moved, cell: (row) => <Time at={row.moved_at} /> },
  {
    id: "failing",
    name: words.failing,
    cell: (row) =>
      row.failing && (
        <span className="bad clip">{`${row.failing.position}: ${row.failing.error?.message ?? words.hidden}`}</span>
      ),
  },
];

function Partitions({ of }: { of: PartitionLag[] }) {
  const [shown] = useAddress("partitions");
  const [name] = useAddress("name");
  const rows =
    shown === "all" ? of : of.filter((row) => row.lag_events > 0 || row.failing !== null || row.owner === null);
  const choices: [string, string][] = [
    ["", words.partitionsBusy],
    ["all", words.partitionsAll],
  ];
  return (
    <Panel
      title={words.partitionsTitle}
      flush
      end={
        <nav className="segments" aria-label={words.partitionsTitle}>
          {choices.map(([value, label]) => (
            <Go
              key={value}
              to="/projections"
              search={{ name, partitions: value }}
              aria-current={shown === value ? "true" : undefined}
            >
              {label}
            </Go>
          ))}
        </nav>
      }
    >
      {rows.length === 0 ? (
        <Empty title={words.partitionsQuiet} />
      ) : (
        <Table
          label={words.partitionsTitle}
          columns={PARTITION_COLUMNS}
          rows={rows}
          rowId={(row) => `${row.model}-${row.partition}`}
        />
      )}
    </Panel>
  );
}

function Parked({ of }: { of: ProjectionDetail }) {
  const columns: Column<ParkedStream>[] = [
    {
      id: "stream",
      name: words.stream,
      cell: (row) => (
        <Go to="/events" search={{ stream: row.stream }}>
          {row.stream}
        </Go>
      ),
    },
    { id: "position", name: words.position, cell: (row) => row.position, number: true },
    {
      id: "why",
      name: words.why,
      cell: (row) => row.reason ?? (row.error && `${row.error.type}: ${row.error.message}`),
    },
    { id: "attempts", name: words.attempts, cell: (row) => count(row.attempts), number: true },
    { id: "since", name: words.since, cell: (row) => <Time at={row.parked_at} /> },
    { id: "again", name: words.again, cell: (row) => (row.retry_at ? <Time at={row.retry_at} /> : words.person) },
    {
      id: "actions",
      name: "",
      cell: (row) => (
        <span className="row">
          <ActionButtons legal={of.actions} actions={streamActions(of.name, row)} keys={false} />
        </span>
      ),
    },
  ];
  return (
    <Panel title={words.parkedTitle} flush>
      <p className="pad quiet">{words.parkedWhy}</p>
      <Table label={words.parkedTitle} columns={columns} rows={of.parked_streams} rowId={(row) => row.stream} />
    </Panel>
  );
}

function Park({ name, onClose }: { name: string; onClose: () => void }) {
  const [stream, setStream] = useState("");
  const [reason, setReason] = useState("");
  return (
    <Form
      title={words.parkTitle(name)}
      submit={words.park}
      onClose={onClose}
      isReady={stream.trim() !== ""}
      onSubmit={async () => {
        await act("/projections/park", { name, stream, reason: reason.trim() || null });
        notify(words.parkDone(stream));
      }}
    >
      <p className="quiet">{words.parkBody}</p>
      <Field label={words.stream} value={stream} onChange={setStream} mono focus required />
      <ReasonField value={reason} onChange={setReason} />
    </Form>
  );
}

function streamActions(name: string, row: ParkedStream): Action[] {
  const { stream, position } = row;
  return [
    { verb: "unpark", label: words.unpark, icon: RotateCcw, run: () => act("/projections/unpark", { name, stream }) },
    {
      verb: "skip",
      label: words.skip,
      danger: true,
      confirm: {
        title: words.skipTitle(position, stream),
        body: <p>{words.skipBody}</p>,
        verb: words.skip,
        danger: true,
        reason: "required",
      },
      run: async ({ reason }) => {
        await act("/projections/skip", { name, stream, reason });
        return words.skipped(position);
      },
    },
  ];
}

function actionsOf(projection: ProjectionDetail, onPark: () => void): Action[] {
  const { name } = projection;
  const plainly = (verb: string) => (answer: { reason: string | null }) =>
    act(`/projections/${verb}`, { name, reason: answer.reason });
  return [
    { verb: "resume", label: words.resume, icon: Play, primary: true, run: plainly("resume") },
    {
      verb: "switch",
      label: words.switchDo,
      icon: Shuffle,
      primary: true,
      confirm: { title: words.switchTitle(name), body: <p>{words.switchBody}</p>, verb: words.switchDo },
      run: plainly("switch"),
    },
    {
      verb: "rebuild",
      label: words.rebuildDo,
      icon: Hammer,
      confirm: { title: words.rebuildTitle(name), body: <p>{words.rebuildBody}</p>, verb: words.rebuildDo },
      run: plainly("rebuild"),
    },
    {
      verb: "rollback",
      label: words.rollBack,
      icon: Undo2,
      confirm: { title: words.rollBackTitle(name), body: <p>{words.rollBackBody}</p>, verb: words.rollBack },
      run: plainly("rollback"),
    },
    {
      verb: "abandon",
      label: words.drop,
      icon: Trash2,
      danger: true,
      confirm: { title: words.dropTitle, body: <p>{words.dropBody}</p>, verb: words.drop, danger: true },
      run: plainly("abandon"),
    },
    {
      verb: "reset",
      label: words.reset,
      icon: RotateCcw,
      danger: true,
      confirm: {
        title: words.resetTitle(name),
        body: <p>{words.resetBody}</p>,
        verb: words.reset,
        danger: true,
        typed: name,
      },
      run: plainly("reset"),
    },
    {
      verb: "pause",
      label: words.pause,
      icon: CirclePause,
      confirm: { title: words.pauseTitle(name), body: <p>{words.pauseBody}</p>, verb: words.pause },
      run: plainly("pause"),
    },
    {
      verb: "park",
      label: words.parkDo,
      icon: CircleParking,
      run: () => {
        onPark();
        return undefined;
      },
    },
    {
      verb: "retire",
      label: words.retire,
      icon: Archive,
      confirm: { title: words.retireTitle(name), body: <p>{words.retireBody}</p>, verb: words.retire },
      run: plainly("retire"),
    },
  ];
}
