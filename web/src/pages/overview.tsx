import { CircleCheck, OctagonAlert, TriangleAlert } from "lucide-react";
import { useRead } from "../api/reading";
import type { AuditRow, FailureGroup, History, Overview as OverviewData, Verdict, VerdictReason } from "../api/types";
import { useNow } from "../clock";
import { useAddress } from "../kit/address";
import { StateBadge } from "../kit/Badge";
import { Chart } from "../kit/Chart";
import { Code } from "../kit/Code";
import { Go, placeOf, Subject } from "../kit/Link";
import { Page } from "../kit/Page";
import { Empty, Panel } from "../kit/Panel";
import { ProblemNote } from "../kit/Problem";
import { Segments } from "../kit/Segments";
import { Tile, Tiles } from "../kit/Tiles";
import { Time } from "../kit/Time";
import { useMe } from "../shell/me";
import { text } from "../text";
import { ago, count, span } from "../text/format";

const words = text.overview;

export default function Overview() {
  const overview = useRead<OverviewData>("/overview", {}, { topics: ["stats", "verdict"] });
  const { data } = overview;
  return (
    <Page title={words.title} at={overview.dataUpdatedAt}>
      {overview.error && <ProblemNote error={overview.error} again={() => void overview.refetch()} />}
      {data && (
        <>
          <VerdictPanel verdict={data.verdict} />
          <Figures data={data} />
          <Charts />
          <div className="columns">
            <Failures groups={data.failures} />
            <Changes rows={data.changes} />
          </div>
          {isUntouched(data) && (
            <Panel>
              <Empty title={words.empty}>
                <p>{words.emptyHint}</p>
                <Code>{words.emptyCode}</Code>
              </Empty>
            </Panel>
          )}
        </>
      )}
      {!data && !overview.error && <p className="quiet">{text.shell.loading}</p>}
    </Page>
  );
}

function isUntouched({ tiles }: OverviewData): boolean {
  return [tiles.ready, tiles.running, tiles.scheduled, tiles.workers, tiles.completed_1h].every((value) => !value);
}

const ICONS = { OK: CircleCheck, DEGRADED: TriangleAlert, STALLED: OctagonAlert };

function VerdictPanel({ verdict }: { verdict: Verdict }) {
  const Icon = ICONS[verdict.status];
  const sentence =
    verdict.status === "DEGRADED" ? words.sentence.DEGRADED(verdict.reasons.length) : words.sentence[verdict.status];
  return (
    <section className="verdict" data-status={verdict.status} aria-label={text.shell.verdict.link}>
      <p className="says">
        <Icon size={26} aria-hidden />
        <strong>{verdict.status}</strong>
        <span>{sentence}</span>
      </p>
      {verdict.reasons.length > 0 && (
        <ol className="reasons" aria-label={words.reasons}>
          {verdict.reasons.map((reason) => (
            <Reason key={reason.kind + (reason.subject?.id ?? "") + reason.text} reason={reason} />
          ))}
        </ol>
      )}
    </section>
  );
}

function Reason({ reason }: { reason: VerdictReason }) {
  const { subject } = reason;
  const place = subject && placeOf(subject.kind, subject.id ?? "");
  return (
    <li data-severity={reason.severity}>
      <p>
        <StateBadge state={reason.severity} /> <strong>{reason.text}</strong>
      </p>
      {reason.remedy && (
        <p>
          {words.remedy}: {reason.remedy}
        </p>
      )}
      {subject && place && (
        <p>
          <Go {...place}>{subject.id ? `${subject.kind} ${subject.id}` : subject.kind}</Go>
        </p>
      )}
    </li>
  );
}

function Figures({ data }: { data: OverviewData }) {
  const { tiles } = data;
  const now = useNow();
  const say = words.tiles;
  return (
    <Tiles>
      <Tile name={say.ready} value={count(tiles.ready)} to="/jobs" search={{ filter: "state=ready" }} />
      <Tile name={say.running} value={count(tiles.running)} to="/jobs" search={{ filter: "state=running" }} />
      <Tile name={say.scheduled} value={count(tiles.scheduled)} to="/jobs" search={{ filter: "state=scheduled" }} />
      {Boolean(tiles.blocked) && (
        <Tile name={say.blocked} value={count(tiles.blocked)} to="/jobs" search={{ filter: "state=blocked" }} />
      )}
      <Tile
        name={say.failed}
        value={count(tiles.failed_1h)}
        tone={tiles.failed_1h ? "bad" : undefined}
        to="/jobs"
        search={{ filter: "state=failed ended<1h" }}
      />
      <Tile
        name={say.oldest}
        value={tiles.oldest_wait_seconds === null ? "–" : span(tiles.oldest_wait_seconds)}
        note={tiles.oldest_wait_queue ? say.ofQueue(tiles.oldest_wait_queue) : undefined}
        tone={(tiles.oldest_wait_seconds ?? 0) > 60 ? "warn" : undefined}
        to="/queues"
      />
      <Tile
        name={say.workers}
        value={count(tiles.workers)}
        tone={tiles.workers ? undefined : "warn"}
        note={tiles.slots ? say.slots(count(tiles.slots_used), count(tiles.slots)) : undefined}
        to="/workers"
      />
      <Tile
        name={say.lag}
        value={tiles.lag_seconds === null || tiles.lag_seconds === undefined ? "–" : span(tiles.lag_seconds)}
        note={tiles.lag_events ? say.events(count(tiles.lag_events)) : undefined}
        tone={(tiles.lag_seconds ?? 0) > 60 ? "warn" : undefined}
        to="/projections"
      />
      <Tile
        name={say.next}
        value={tiles.next_schedule_at ? ago(tiles.next_schedule_at, now) : say.nothing}
        note={tiles.next_schedule ?? undefined}
        to="/schedules"
      />
    </Tiles>
  );
}

/** Throughput and waiting times; also of one queue. */
export function Charts({ queue }: { queue?: string }) {
  const [range, setRange] = useAddress("range", "1h");
  const history = useRead<History>("/history", { range, queue }, { every: 30, keep: true });
  const { data } = history;
  const at = (data?.buckets ?? []).map((bucket) => bucket.at);
  const minutes = (data?.resolution_seconds ?? 60) / 60;
  const series = (field: "completed" | "failed" | "retried" | "cancelled") =>
    (data?.buckets ?? []).map((bucket) => (bucket[field] ?? 0) / minutes);
  const values = (field: "wait_p50_seconds" | "wait_p95_seconds" | "wait_p99_seconds") =>
    (data?.buckets ?? []).map((bucket) => bucket[field] ?? null);
  const perMinute = (value: number) => words.perMinute(count(Number(value.toFixed(value < 10 ? 1 : 0))));
  if (history.error) return <ProblemNote error={history.error} again={() => void history.refetch()} />;
  return (
    <div className="columns charts">
      <Panel title={words.throughput} end={<RangeChoice value={range} onChange={setRange} />}>
        {at.length === 0 ? (
          <p className="quiet">{data ? words.noHistory : text.shell.loading}</p>
        ) : (
          <Chart
            label={words.throughputChart}
            at={at}
            marks={data?.marks}
            format={perMinute}
            series={[
              { name: words.completed, values: series("completed"), color: 1 },
              { name: words.failed, values: series("failed"), color: 2 },
              { name: words.retried, values: series("retried"), color: 3, dashed: true },
            ]}
          />
        )}
      </Panel>
      <Panel title={words.waits}>
        {at.length === 0 ? (
          <p className="quiet">{data ? words.noHistory : text.shell.loading}</p>
        ) : (
          <Chart
            label={words.waitsChart}
            at={at}
            marks={data?.marks}
            format={(value) => span(value)}
            series={[
              { name: words.p50, values: values("wait_p50_seconds"), color: 1 },
              { name: words.p95, values: values("wait_p95_seconds"), color: 3 },
              { name: words.p99, values: values("wait_p99_seconds"), color: 4, dashed: true },
            ]}
          />
        )}
      </Panel>
    </div>
  );
}

function RangeChoice({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  return <Segments label={words.range} value={value} options={Object.entries(words.ranges)} onChange={onChange} />;
}

function Failures({ groups }: { groups: FailureGroup[] }) {
  return (
    <Panel title={words.failures} end={<Go to="/failures">{words.allFailures}</Go>}>
      {groups.length === 0 ? (
        <p className="quiet">{words.noFailures}</p>
      ) : (
        <ul className="stack">
          {groups.map((group) => (
            <li key={group.fingerprint}>
              <p className="row wide">
                <Go to="/failures" search={{ fingerprint: group.fingerprint }} className="anywhere">
                  <strong>{group.error_type}</strong> · {group.task}
                </Go>
                <span className="nowrap small">
                  {words.times(count(group.count))} · <Time at={group.last_at} />
                </span>
              </p>
              <p className="quiet small cut">{group.message}</p>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function Changes({ rows }: { rows: AuditRow[] }) {
  const { may } = useMe();
  return (
    <Panel title={words.changes} end={may("audit:read") && <Go to="/audit">{words.allChanges}</Go>}>
      {rows.length === 0 ? (
        <p className="quiet">{words.noChanges}</p>
      ) : (
        <ul className="stack">
          {rows.slice(0, 8).map((row) => (
            <li key={row.id} className="row wide">
              <span className="anywhere">
                <strong>{row.actor}</strong> {row.action}{" "}
                {row.target && <Subject kind={row.target_kind ?? ""} id={row.target} />}
                {row.reason && <span className="quiet"> · {row.reason}</span>}
              </span>
              <Time at={row.at} />
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
