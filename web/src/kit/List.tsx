// The frame of every list: filter, columns, density, export, copy as, selection, pages. State is in the address.
import { Columns3, Copy, Download, Rows3 } from "lucide-react";
import { type ReactNode, useEffect } from "react";
import { apiAddress, type Parameters, query } from "../address";
import { useRead } from "../api/reading";
import type { FilterField, Page } from "../api/types";
import { stringify } from "../json";
import { prefer, usePreferences } from "../preferences";
import { text } from "../text";
import { count } from "../text/format";
import { useAddress, useGo } from "./address";
import { Button, IconButton } from "./Button";
import { copyText } from "./Code";
import { collect, save, toCsv } from "./export";
import { Filter } from "./Filter";
import { Go } from "./Link";
import { CheckMenu, Menu } from "./Menu";
import { notify, notifyProblem } from "./Notices";
import { Empty } from "./Panel";
import { ProblemNote } from "./Problem";
import { type Selection, useSelection } from "./selection";
import { useSteadyRows } from "./steady";
import { type Column, Table } from "./Table";
import { Time } from "./Time";

export interface ListProps<Row> {
  /** Names the list: its columns are kept under it, and files are called so. */
  name: string;
  label: string;
  /** Of the API, answering `{items, next}`. */
  path: string;
  /** Beside filter, cursor and limit. */
  parameters?: Parameters;
  topics?: string[];
  every?: number;
  columns: Column<Row>[];
  rowId: (row: Row) => string;
  rowName?: (row: Row) => string;
  rowTo?: (row: Row) => string;
  openRow?: string;
  /** A filter bar: "jobs" is the language of jobs; fields are those of another list; none without it. */
  filter?: "jobs" | FilterField[];
  filterPlaceholder?: string;
  /** Joined with what the bar says, not shown in it: the tab's state. */
  alwaysFilter?: string;
  /** The command that prints the same; gets the whole filter. */
  command?: (filter: string) => string;
  /** The bar that appears when rows are chosen. */
  bulk?: (selection: Selection, filter: string, rows: Row[]) => ReactNode;
  /** Beside the tools, always: for what acts on all that the filter finds. */
  tools?: (filter: string) => ReactNode;
  /** When there is nothing at all: what this is and how to get the first. */
  empty: ReactNode;
  limit?: number;
  /** Called with what was read: for the age of the page. */
  onRead?: (at: number) => void;
}

export function List<Row>(props: ListProps<Row>) {
  const { name, path, rowId, alwaysFilter = "", limit = 50 } = props;
  const [bar, setBar] = useAddress("filter");
  const [cursor] = useAddress("cursor");
  const filter = [alwaysFilter, bar].filter((part) => part !== "").join(" ");
  const parameters: Parameters = { ...props.parameters, ...(props.filter ? { filter } : {}) };
  const read = useRead<Page<Row>>(
    path,
    { ...parameters, cursor, limit },
    { topics: props.topics, every: props.every, keep: true },
  );
  const selection = useSelection();
  const key = `${path}${query({ ...parameters, cursor })}`;
  const { rows, waiting, show } = useSteadyRows(key, read.isPlaceholderData ? undefined : read.data?.items, rowId);
  const shown = read.isPlaceholderData ? (read.data?.items ?? []) : rows;
  const { clear } = selection;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another list has other rows; none of them is chosen
  useEffect(clear, [key, clear]);
  const { onRead } = props;
  useEffect(() => onRead?.(read.dataUpdatedAt), [onRead, read.dataUpdatedAt]);
  const visible = useVisibleColumns(name, props.columns);
  return (
    <div>
      <div className="list-bar">
        {props.filter && (
          <Filter
            value={bar}
            onChange={setBar}
            fields={props.filter === "jobs" ? "api" : props.filter}
            placeholder={props.filterPlaceholder}
            invalid={read.error?.status === 422 || read.error?.status === 400}
          />
        )}
        <div className="end">
          {props.tools?.(filter)}
          <ListTools list={props} parameters={parameters} filter={filter} />
        </div>
      </div>
      {read.error && <ProblemNote error={read.error} again={() => void read.refetch()} />}
      {waiting > 0 && (
        <div className="new-rows" aria-live="polite">
          <Button kind="primary" onPress={show}>
            {text.lists.newRows(waiting)}
          </Button>
        </div>
      )}
      {!read.error && read.data && !read.data.searched_to && shown.length === 0 ? (
        bar !== "" ? (
          <Empty title={text.lists.nothingMatches}>
            <p>{text.lists.nothingMatchesHint}</p>
            <Button onPress={() => setBar("")}>{text.lists.filterClear}</Button>
          </Empty>
        ) : (
          props.empty
        )
      ) : (
        shown.length > 0 && (
          <Table
            label={props.label}
            columns={visible}
            rows={shown}
            rowId={rowId}
            rowName={props.rowName}
            rowTo={props.rowTo}
            openRow={props.openRow}
            selection={props.bulk ? selection : undefined}
            busy={read.isPlaceholderData}
            keys
          />
        )
      )}
      {read.data?.searched_to && (
        <p className="quiet" role="status">
          {text.lists.searchedTo} <Time at={read.data.searched_to} as="moment" />
        </p>
      )}
      {!read.data && !read.error && <p className="quiet">{text.shell.loading}</p>}
      <Pager cursor={cursor} next={read.data?.next ?? null} rows={shown.length} />
      {props.bulk && selection.ids.length > 0 && (
        <section className="bulk" aria-label={text.lists.selected(count(selection.ids.length))}>
          <strong>{text.lists.selected(count(selection.ids.length))}</strong>
          {props.bulk(selection, filter, shown)}
          <Button kind="bare" onPress={selection.clear}>
            {text.lists.clearSelection}
          </Button>
        </section>
      )}
    </div>
  );
}

function useVisibleColumns<Row>(name: string, columns: Column<Row>[]): Column<Row>[] {
  const hidden = usePreferences().hidden[name] ?? defaultHidden(columns);
  return columns.filter((column) => !hidden.includes(column.id));
}

function defaultHidden<Row>(columns: Column<Row>[]): string[] {
  return columns.filter((column) => column.hidden).map((column) => column.id);
}

function Pager({ cursor, next, rows }: { cursor: string; next: string | null; rows: number }) {
  if (cursor === "" && next === null) return null;
  const here = Object.fromEntries(new URLSearchParams(window.location.search));
  const path = window.location.pathname;
  return (
    <nav className="pager" aria-label={text.lists.next}>
      {cursor !== "" && <PageLink to={{ ...here, cursor: "" }} path={path} label={text.lists.first} />}
      {next !== null && <PageLink to={{ ...here, cursor: next }} path={path} label={text.lists.next} />}
      <span>{text.lists.rows(count(rows))}</span>
    </nav>
  );
}

function PageLink({ to, label }: { to: Parameters; path: string; label: string }) {
  return (
    <Go to="" search={to} className="button">
      {label}
    </Go>
  );
}

interface ListToolsProps<Row> {
  list: ListProps<Row>;
  parameters: Parameters;
  filter: string;
}

function ListTools<Row>({ list, parameters, filter }: ListToolsProps<Row>) {
  const { density, hidden } = usePreferences();
  const chosen = hidden[list.name] ?? defaultHidden(list.columns);
  const toggleDensity = () => prefer({ density: density === "compact" ? "comfortable" : "compact" });
  const download = async (form: "csv" | "json") => {
    try {
      const { rows, isCapped } = await collect<Row>(list.path, parameters, (sofar) => {
        if (sofar % 2_000 === 0) notify(text.lists.exporting(count(sofar)));
      });
      if (form === "json") save(`${list.name}.json`, "application/json", stringify(rows, 2));
      else save(`${list.name}.csv`, "text/csv", toCsv(rows, list.columns));
      notify(text.lists.exported(count(rows.length), isCapped));
    } catch (thrown) {
      notifyProblem(thrown);
    }
  };
  const address = new URL(apiAddress(list.path, parameters), window.location.href).href;
  const curl = `curl -H "Authorization: Bearer $HOLDFAST_TOKEN" '${address.replaceAll("'", "%27")}'`;
  const { command } = list;
  return (
    <>
      <CheckMenu
        trigger={<IconButton label={text.lists.columns} icon={Columns3} />}
        label={text.lists.columns}
        entries={list.columns.map((column) => ({ id: column.id, label: column.name }))}
        chosen={list.columns.filter((column) => !chosen.includes(column.id)).map((column) => column.id)}
        onChange={(shown) =>
          prefer({
            hidden: {
              ...hidden,
              [list.name]: list.columns.map((column) => column.id).filter((id) => !shown.includes(id)),
            },
          })
        }
      />
      <IconButton label={text.lists.density} icon={Rows3} onPress={toggleDensity} />
      <Menu
        trigger={<IconButton label={text.lists.export} icon={Download} />}
        label={text.lists.export}
        entries={[
          { id: "csv", label: text.lists.exportCsv, onAction: () => void download("csv") },
          { id: "json", label: text.lists.exportJson, onAction: () => void download("json") },
        ]}
      />
      <Menu
        trigger={<IconButton label={text.lists.copyAs} icon={Copy} />}
        label={text.lists.copyAs}
        entries={[
          ...(command
            ? [{ id: "cli", label: text.lists.copyCli, onAction: () => void copyText(command(filter)) }]
            : []),
          { id: "curl", label: text.lists.copyCurl, onAction: () => void copyText(curl) },
        ]}
      />
    </>
  );
}

/** Go to a list with a filter, from anywhere. */
export function useGoFiltered(): (path: string, filter: string) => void {
  const go = useGo();
  return (path, filter) => go(path + query({ filter }));
}
