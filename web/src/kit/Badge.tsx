import {
  Ban,
  CircleCheck,
  CircleDot,
  CirclePause,
  CircleX,
  Clock,
  Hourglass,
  Lock,
  type LucideIcon,
  OctagonAlert,
  Play,
  TriangleAlert,
} from "lucide-react";
import type { ReactNode } from "react";
import { text } from "../text";

export type Tone = "good" | "warn" | "bad" | "info" | "plan" | "quiet";

/** A state: an icon and a word; the colour only repeats them. */
export function Badge({
  tone = "quiet",
  icon: Icon,
  children,
}: {
  tone?: Tone;
  icon?: LucideIcon;
  children: ReactNode;
}) {
  return (
    <span className="badge" data-tone={tone}>
      {Icon ? <Icon size={12} strokeWidth={2.5} aria-hidden /> : <CircleDot size={12} aria-hidden />}
      {children}
    </span>
  );
}

const STATES: Record<string, { tone: Tone; icon: LucideIcon }> = {
  scheduled: { tone: "plan", icon: Clock },
  blocked: { tone: "warn", icon: Lock },
  ready: { tone: "info", icon: CircleDot },
  running: { tone: "info", icon: Play },
  waiting: { tone: "plan", icon: Hourglass },
  completed: { tone: "good", icon: CircleCheck },
  failed: { tone: "bad", icon: CircleX },
  cancelled: { tone: "quiet", icon: Ban },
  // other nouns
  finished: { tone: "good", icon: CircleCheck },
  paused: { tone: "warn", icon: CirclePause },
  lost: { tone: "bad", icon: CircleX },
  idle: { tone: "quiet", icon: CircleDot },
  live: { tone: "good", icon: CircleCheck },
  new: { tone: "bad", icon: OctagonAlert },
  regressed: { tone: "bad", icon: OctagonAlert },
  seen: { tone: "quiet", icon: CircleDot },
  resolved: { tone: "good", icon: CircleCheck },
  OK: { tone: "good", icon: CircleCheck },
  DEGRADED: { tone: "warn", icon: TriangleAlert },
  STALLED: { tone: "bad", icon: OctagonAlert },
  warning: { tone: "warn", icon: TriangleAlert },
  problem: { tone: "warn", icon: TriangleAlert },
  error: { tone: "bad", icon: OctagonAlert },
  critical: { tone: "bad", icon: OctagonAlert },
  info: { tone: "info", icon: CircleDot },
};

/** How a state looks, for what is not a badge: a dot of a timeline. */
export function lookOf(state: string): { tone: Tone; icon: LucideIcon } {
  return STATES[state] ?? { tone: "quiet", icon: CircleDot };
}

/** The state of a job, an operation, a verdict … in its word. */
export function StateBadge({ state }: { state: string }) {
  const { tone, icon } = lookOf(state);
  return (
    <Badge tone={tone} icon={icon}>
      {text.states[state] ?? state}
    </Badge>
  );
}
