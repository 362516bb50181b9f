// What the API answers about schedules, the audit and the installation.

export interface Occurrence {
  at: string;
  origin: string;
  state: string;
  because: string | null;
  detail: string | null;
  job: string | null;
  job_state: string | null;
}

export interface Schedule {
  name: string;
  state: string;
  task: string;
  queue: string | null;
  words: string;
  cron: string | null;
  every_seconds: number | null;
  timezone: string;
  misfire: string;
  overlap: string;
  next_at: string | null;
  due_at: string | null;
  paused_at: string | null;
  pause_reason: string | null;
  is_edited: boolean;
  last: Occurrence | null;
  actions: string[];
}

export interface ScheduleDetail extends Schedule {
  priority: number | null;
  args: unknown;
  jitter_seconds: number;
  grace_seconds: number;
  misfire_limit: number;
  probe: string | null;
  edited: string[];
  upcoming: string[];
  occurrences: Occurrence[];
}

export interface BackfillPreview {
  steps: { at: string; job: string | null; runs: boolean }[];
  runs: number;
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
  role: string | null;
  permissions: string[];
  queues: string[] | null;
  created_at: string;
  created_by: string;
  expires_at: string | null;
  used_at: string | null;
  standing: "good" | "expired" | "revoked";
  actions: string[];
}

export interface NewToken {
  token: Token;
  /** Shown this once. */
  secret: string;
}

export interface Session {
  id: string;
  name: string;
  client: string | null;
  agent: string | null;
  created_at: string;
  seen_at: string;
  expires_at: string;
  is_current: boolean;
  actions: string[];
}

export interface Setting {
  name: string;
  value: string;
  origin: string;
  description: string;
}

export interface Settings {
  settings: Setting[];
  roles: { name: string; permissions: string[] }[];
}
