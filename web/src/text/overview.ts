export const overview = {
  title: "Overview",
  sentence: {
    OK: "Everything gets on.",
    DEGRADED: (reasons: number) =>
      reasons === 1
        ? "Something needs a person; the rest goes on."
        : `${reasons} things need a person; the rest goes on.`,
    STALLED: "Work stands still.",
  },
  reasons: "Why",
  remedy: "What to do",
  tiles: {
    ready: "Ready",
    running: "Running",
    scheduled: "Scheduled",
    blocked: "Blocked",
    failed: "Failed, 5 min",
    completed: "Completed, 5 min",
    retried: (amount: string) => `${amount} retried`,
    oldest: "Oldest wait",
    workers: "Workers",
    lag: "Projection lag",
    next: "Next schedule",
    nothing: "none",
    slots: (used: string, all: string) => `${used} of ${all} slots used`,
    events: (amount: string) => `${amount} events`,
  },
  throughput: "Throughput",
  throughputChart: "Jobs that ended, by outcome, per minute",
  waits: "Wait until start",
  waitsChart: "Wait from ready to start: median, 95th and 99th percentile",
  perMinute: (value: string) => `${value}/min`,
  completed: "completed",
  failed: "failed",
  retried: "retried",
  cancelled: "cancelled",
  lost: "lost",
  p50: "median",
  p95: "95 %",
  p99: "99 %",
  range: "Time shown",
  ranges: { "1h": "1 h", "24h": "24 h", "7d": "7 d", "90d": "90 d" } as Record<string, string>,
  noWaits: "No job was timed in this span. What ends now is here within half a minute.",
  noHistory: "No figures yet: they are written once a minute while a worker runs.",
  failures: "Failed in the last minutes",
  noFailures: "Nothing has failed in the last five minutes.",
  allFailures: "All failures",
  times: (amount: string) => `${amount} times`,
  changes: "What changed",
  noChanges: "Nobody has changed anything yet.",
  allChanges: "The whole audit",
  empty: "Nothing runs yet",
  emptyHint: "Start a worker with the tasks of your application, then enqueue a job:",
  emptyCode: `# hello.py
from holdfast import Holdfast

app = Holdfast()

@app.task
async def greet(name: str) -> str:
    return f"hello {name}"

# in a shell
holdfast up hello.py
holdfast job enqueue greet name=you`,
};
