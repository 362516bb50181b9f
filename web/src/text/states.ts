export const states: Record<string, string> = {
  scheduled: "scheduled",
  blocked: "blocked",
  ready: "ready",
  running: "running",
  waiting: "waiting",
  completed: "completed",
  failed: "failed",
  cancelled: "cancelled",
};
