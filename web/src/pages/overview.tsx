import { CircleCheck, OctagonAlert, TriangleAlert } from "lucide-react";
import { useRead } from "../api/reading";
import type { AuditRow, Overview as OverviewData, RecentFailure, Tiles, Verdict, VerdictReason } from "../api/types";
import { useNow } from "../clock";
import { StateBadge } from "../kit/Badge";
import { Code } from "../kit/Code";
import { Charts } from "../kit/History";
import { Go, placeOf, Subject, term } from "../kit/Link";
import { Page } from "../kit/Page";
import { Empty, Panel } from "../kit/Panel";
import { ProblemNote } from "../kit/Problem";
import { Tile, Tiles as TileRow } from "../kit/Tiles";
import { Time } from "../kit/Time";
import { useStats } from "../live/stats";
import { useMe } from "../shell/me";
import { text } from "../text";
import { ago, atLeast, count, span } from "../text/format";

const words = text.overview;

export default function Overview() {
  const overview = useRead<OverviewData>("/overview", {}, { topics: ["failures"] });
  const { stats, at } = useStats();
  // The stream's figures are newer by up to ten seconds; what has failed and changed is asked for.
  const isNewer = stats !== null && at > overview.dataUpdatedAt;
  const data =
    overview.data && isNewer ? { ...overview.data, verdict: stats.verdict, tiles: stats.tiles } : overview.data;
  return (
    <Page title={words.title} at={Math.max(overview.dataUpdatedAt, at)}>
      {overview.error && <ProblemNote error={overview.error} again={() => void overview.refetch()} />}
      {data && (
        <>
          <VerdictPanel verdict={data.verdict} />
          {data.tiles && <Figures tiles={data.tiles} />}
          <Charts />
          <div className="columns">
            <Failures failures={data.failures} />
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
  return (
    tiles !== null &&
    tiles.queues === 0 &&
    [tiles.ready, tiles.running, tiles.scheduled, tiles.workers, tiles.completed_5m].every((value) => !value)
  );
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
      {reason.detail && <p className="quiet small mono anywhere">{reason.detail}</p>}
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

function Figures({ tiles }: { tiles: Tiles }) {
  const now = useNow();
  const say = words.tiles;
  const { worst_projection: worst, next_schedule: next } = tiles;
  return (
    <TileRow>
      <Tile
        name={say.ready}
        value={atLeast(tiles.ready, tiles.ready_is_exact)}
        to="/jobs"
        search={{ filter: "state=ready" }}
      />
      <Tile name={say.running} value={count(tiles.running)} to="/jobs" search={{ filter: "state=running" }} />
      <Tile name={say.scheduled} value={count(tiles.scheduled)} to="/jobs" search={{ filter: "state=scheduled" }} />
      {tiles.blocked > 0 && (
        <Tile name={say.blocked} value={count(tiles.blocked)} to="/jobs" search={{ filter: "state=blocked" }} />
      )}
      <Tile
        name={say.oldest}
        value={span(tiles.oldest_seconds)}
        tone={(tiles.oldest_seconds ?? 0) > 60 ? "warn" : undefined}
        to="/queues"
      />
      <Tile
        name={say.completed}
        value={count(tiles.completed_5m)}
        to="/jobs"
        search={{ filter: "state=completed ended<5m" }}
      />
      <Tile
        name={say.failed}
        value={count(tiles.failed_5m)}
        note={tiles.retried_5m > 0 ? say.retried(count(tiles.retried_5m)) : undefined}
        tone={tiles.failed_5m > 0 ? "bad" : undefined}
        to="/jobs"
        search={{ filter: "state=failed ended<5m" }}
      />
      <Tile
        name={say.workers}
        value={count(tiles.workers)}
        tone={tiles.workers > 0 ? undefined : "warn"}
        note={tiles.slots > 0 ? say.slots(count(tiles.slots_used), count(tiles.slots)) : undefined}
        to="/workers"
      />
      <Tile
        name={say.lag}
        value={worst ? span(worst.lag_seconds ?? 0) : "–"}
        note={
          worst
            ? worst.lag_events > 0
              ? `${worst.name} · ${say.events(count(worst.lag_events))}`
              : worst.name
            : undefined
        }
        tone={(worst?.lag_seconds ?? 0) > 60 ? "warn" : undefined}
        to="/projections"
      />
      <Tile name={say.next} value={next ? ago(next.next_at, now) : say.nothing} note={next?.name} to="/schedules" />
    </TileRow>
  );
}

function Failures({ failures }: { failures: RecentFailure[] }) {
  return (
    <Panel title={words.failures} end={<Go to="/failures">{words.allFailures}</Go>}>
      {failures.length === 0 ? (
        <p className="quiet">{words.noFailures}</p>
      ) : (
        <ul className="stack">
          {failures.map((failure) => (
            <li key={failure.queue + failure.task + failure.error}>
              <p className="row wide">
                <Go
                  to="/jobs"
                  search={{ filter: `state=failed ${term("task", failure.task)} ${term("error", failure.error)}` }}
                  className="anywhere"
                >
                  <strong>{failure.error}</strong> · {failure.task}
                </Go>
                <span className="nowrap small">
                  {words.times(count(failure.count))} · <Subject kind="job" id={failure.job} />
                </span>
              </p>
              {failure.message && <p className="quiet small cut">{failure.message}</p>}
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
            <li key={row.id} className="beside">
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
