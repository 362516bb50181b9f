// What the API answers about schedules, the audit and the installation.

export interface Plan {
  task: string;
  cron: string | null;
  every_seconds: number | null;
  timezone: string;
  jitter_seconds: number;
  misfire: string;
  misfire_limit: number;
  grace_seconds: number;
  overlap: string;
  probe: string | null;
  queue: string | null;
  priority: number | null;
  args: unknown;
}

export interface Occurrence {
  schedule: string;
  at: string;
  origin: string;
  state: string;
  because: string | null;
  detail: string | null;
  job_id: string | null;
  job_state: string | null;
}

export interface Schedule {
  name: string;
  state: string;
  words: string;
  plan: Plan;
  edited: Record<string, unknown>;
  next_at: string | null;
  due_at: string | null;
  paused_at: string | null;
  pause_reason: string | null;
  last: Occurrence | null;
  actions: string[];
}

export interface ScheduleDetail extends Schedule {
  next: string[];
  occurrences: Occurrence[];
}

export interface BackfillPreview {
  steps: { at: string; job_id: string | null; waiting: boolean; runs: boolean }[];
}

export interface AuditEntry {
  id: string;
  at: string;
  actor: string;
  actor_kind: string;
  action: string;
  result: string;
  target_kind: string | null;
  target: string | null;
  reason: string | null;
  before: unknown;
  after: unknown;
  code: string | null;
  detail: string | null;
  request_id: string | null;
  client: string | null;
}

export interface Token {
  id: string;
  name: string;
  role: string;
  queues: string[] | null;
  created_at: string;
  created_by: string | null;
  expires_at: string | null;
  last_used_at: string | null;
  revoked_at: string | null;
  actions: string[];
}

export interface NewToken extends Token {
  /** Shown this once. */
  token: string;
}

export interface Session {
  id: string;
  name: string;
  created_at: string;
  last_seen_at: string | null;
  expires_at: string;
  client: string | null;
  actions: string[];
}

export interface Setting {
  name: string;
  value: string;
  origin: string;
  description: string;
}
