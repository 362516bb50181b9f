// Projections: the readers of the log, how far behind they are, and what waits for a person.
import { useState } from "react";
import type { Projection } from "../api/log";
import { useAddress } from "../kit/address";
import { Code } from "../kit/Code";
import { Go } from "../kit/Link";
import { List } from "../kit/List";
import { Page } from "../kit/Page";
import { Empty } from "../kit/Panel";
import type { Column } from "../kit/Table";
import { text } from "../text";
import { count } from "../text/format";
import { OneProjection } from "./projections/OneProjection";
import { Building, Lag, PARTITIONS, ProjectionState } from "./projections/parts";

const words = text.projections;

export default function Projections() {
  const [name] = useAddress("name");
  return name === "" ? <AllProjections /> : <OneProjection name={name} />;
}

const COLUMNS: Column<Projection>[] = [
  {
    id: "name",
    name: words.name,
    cell: (row) => (
      <Go to="/projections" search={{ name: row.name }}>
        {row.name}
      </Go>
    ),
    plain: (row) => row.name,
    sortBy: (row) => row.name,
  },
  { id: "kind", name: words.kind, cell: (row) => row.kind, plain: (row) => row.kind },
  {
    id: "state",
    name: words.state,
    cell: (row) => <ProjectionState state={row.state} />,
    plain: (row) => row.state,
    sortBy: (row) => row.state,
  },
  {
    id: "lag",
    name: words.lag,
    cell: (row) => <Lag of={row} />,
    plain: (row) => row.lag_events,
    sortBy: (row) => row.lag_events,
  },
  { id: "workers", name: words.workers, cell: (row) => count(row.workers), plain: (row) => row.workers, number: true },
  {
    id: "partitions",
    name: words.partitions,
    cell: (row) => `${row.partitions_held}/${PARTITIONS}`,
    plain: (row) => row.partitions_held,
    number: true,
  },
  {
    id: "parked",
    name: words.parked,
    cell: (row) => (row.undecided > 0 ? <strong className="bad">{count(row.parked)}</strong> : count(row.parked)),
    plain: (row) => row.parked,
    number: true,
  },
  {
    id: "rebuild",
    name: words.rebuild,
    cell: (row) => (row.building === null ? <span className="quiet">–</span> : <Building of={row} />),
    plain: (row) => row.building_lag_events,
  },
  { id: "model", name: words.model, cell: (row) => row.model, plain: (row) => row.model, number: true, hidden: true },
];

function AllProjections() {
  const [at, setAt] = useState(0);
  return (
    <Page title={words.title} about={words.about} at={at}>
      <List<Projection>
        name="projections"
        label={words.label}
        path="/projections"
        topics={["projections"]}
        every={5}
        columns={COLUMNS}
        rowId={(row) => row.name}
        rowTo={(row) => `/projections?${new URLSearchParams({ name: row.name })}`}
        command={() => "holdfast projection list"}
        onRead={setAt}
        empty={
          <Empty title={words.emptyTitle}>
            <p>{words.empty}</p>
            <Code>{words.emptyCode}</Code>
          </Empty>
        }
      />
    </Page>
  );
}
