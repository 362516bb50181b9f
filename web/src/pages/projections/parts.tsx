// How a projection looks in a cell: its state, its lag, its rebuild.
import { CircleCheck, CirclePause, CircleX, Shuffle } from "lucide-react";
import { useRef } from "react";
import type { Projection } from "../../api/log";
import { Badge } from "../../kit/Badge";
import { Meter } from "../../kit/Panel";
import { text } from "../../text";
import { count, span } from "../../text/format";

const words = text.projections;

/** The log has so many, for ever. */
export const PARTITIONS = 64;
/** The API stops counting there, a partition. */
const CAP = 10_000;

const CALM: Record<string, typeof CircleCheck> = { running: CircleCheck, rebalancing: Shuffle };

export function ProjectionState({ state }: { state: string }) {
  if (CALM[state]) {
    return (
      <Badge tone="good" icon={CALM[state]}>
        {state}
      </Badge>
    );
  }
  if (state === "paused" || state === "retired") {
    return (
      <Badge tone={state === "paused" ? "warn" : "quiet"} icon={CirclePause}>
        {state}
      </Badge>
    );
  }
  return (
    <Badge tone="bad" icon={CircleX}>
      {state}
    </Badge>
  );
}

/** "1,204 events · 35 s", or that nothing waits. */
export function Lag({ of }: { of: { lag_events: number; lag_seconds: number | null } }) {
  if (of.lag_events === 0) return <span className="quiet">{words.caughtUp}</span>;
  const events = of.lag_events >= CAP ? `≥ ${count(of.lag_events)}` : count(of.lag_events);
  return (
    <span className="nowrap">
      {words.lagEvents(events)} · {span(of.lag_seconds)}
    </span>
  );
}

/** How far a rebuild is: from the most that was ever left while this page looked, down to the lag of the live model. */
export function Building({ of }: { of: Projection }) {
  const left = Math.max(0, (of.building_lag_events ?? 0) - of.lag_events);
  const most = useRef(0);
  most.current = Math.max(most.current, left);
  return (
    <Meter value={most.current - left} max={most.current || 1} label={words.buildingLabel}>
      {left === 0 ? words.caughtUp : words.buildingLeft(count(left))}
    </Meter>
  );
}
