// What the API answers, as the contract has it.

export interface Page<T> {
  items: T[];
  next: string | null;
}

export interface Me {
  name: string;
  kind: string;
  roles: string[];
  permissions: string[];
  queues: string[] | null;
  csrf_token: string | null;
}

export interface Info {
  version: string;
  schema_version: number;
  environment: { name: string | null; color: string | null };
  postgres: { version: string; primary: boolean };
  read_only: boolean;
  auth: boolean;
  server_time: string;
  pages: { path: string; title: string; module: string }[];
  stream: { min_seconds: number; max_seconds: number };
}

export type Permission = `${string}:${string}`;

export type JobState = "scheduled" | "blocked" | "ready" | "running" | "waiting" | "completed" | "failed" | "cancelled";

export interface JobError {
  type: string;
  message: string;
  traceback?: string | null;
}

export interface Progress {
  done: number | null;
  total: number | null;
  message: string | null;
  at?: string | null;
}

export interface Job {
  id: string;
  state: JobState;
  task: string;
  queue: string;
  priority: number;
  args: unknown;
  attempt: number;
  max_attempts: number | null;
  enqueued_at: string;
  due_at: string | null;
  started_at: string | null;
  finished_at: string | null;
  worker: string | null;
  progress: Progress | null;
  unique_key: string | null;
  lane?: string | null;
  batch: string | null;
  result: unknown;
  error: JobError | null;
  cancel_requested: boolean;
  timeout_seconds?: number | null;
  cause?: string | null;
  actions: string[];
}

export interface Operation {
  id: string;
  verb: string;
  filter: string;
  by: string;
  reason: string | null;
  state: "running" | "finished" | "cancelled" | "failed";
  planned: number;
  moved: number;
  skipped: number;
  failed: number;
  started_at: string;
  finished_at: string | null;
  rate: number | null;
  eta_seconds: number | null;
  actions?: string[];
}

export interface OperationPreview {
  token: string;
  verb: string;
  filter: string;
  jobs: number;
  is_exact: boolean;
  groups: { task: string; queue?: string; state?: string; count: number }[];
  sample: Job[];
  warnings: string[];
  expires_at: string;
}

export type VerdictStatus = "OK" | "DEGRADED" | "STALLED";

export interface VerdictReason {
  text: string;
  kind: string;
  severity: string;
  subject: { kind: string; id: string | null } | null;
  /** A statement, the message of an error; null for who may not see it. */
  detail?: string | null;
  remedy: string | null;
}

export interface Verdict {
  status: VerdictStatus;
  reasons: VerdictReason[];
}

export interface FailureGroup {
  fingerprint: string;
  task: string;
  error_type: string;
  message: string;
  frame: string | null;
  count: number;
  first_at: string;
  last_at: string;
  sample_job: string | null;
  buckets: number[];
  state: "new" | "seen" | "resolved" | "regressed";
  actions?: string[];
}

export interface AuditRow {
  id: string;
  at: string;
  actor: string;
  action: string;
  target_kind?: string | null;
  target?: string | null;
  reason?: string | null;
  result?: string;
}

export interface FilterField {
  name: string;
  operators: string[];
  meaning?: string;
  values?: string[];
}

export interface Tiles {
  ready: number;
  ready_is_exact: boolean;
  scheduled: number;
  blocked: number;
  running: number;
  oldest_seconds: number | null;
  completed_5m: number;
  failed_5m: number;
  retried_5m: number;
  queues: number;
  queues_paused: number;
  workers: number;
  slots: number;
  slots_used: number;
  log_settled: string;
  log_behind: string;
  worst_projection: { name: string; state: string; lag_events: number; lag_seconds: number | null } | null;
  next_schedule: { name: string; next_at: string } | null;
}

/** What failed alike in the last minutes. */
export interface RecentFailure {
  queue: string;
  task: string;
  error: string;
  count: number;
  message: string | null;
  job: string;
}

export interface Overview {
  at: string;
  verdict: Verdict;
  /** Null where the database does not answer. */
  tiles: Tiles | null;
  failures: RecentFailure[];
  changes: AuditRow[];
}

export interface Bucket {
  at: string;
  completed: number;
  failed: number;
  cancelled: number;
  retried: number;
  lost: number;
  enqueued?: number | null;
  wait_p50_seconds: number | null;
  wait_p95_seconds: number | null;
  wait_p99_seconds: number | null;
  run_p50_seconds: number | null;
  run_p95_seconds: number | null;
  run_p99_seconds: number | null;
}

export interface History {
  resolution_seconds: number;
  buckets: Bucket[];
  marks: { at: string; kind: string; text: string }[];
}

export interface Queue {
  name: string;
  ready: number;
  ready_is_exact: boolean;
  oldest_seconds: number | null;
  scheduled: number;
  blocked: number;
  running: number;
  paused_at: string | null;
  pause_reason: string | null;
  paused_by?: string | null;
  completed: number;
  failed: number;
  cancelled: number;
  retried: number;
  lost: number;
  unfinished_about: number;
  actions: string[];
}

export interface Limit {
  name: string;
  kind: string;
  capacity: number;
  declared: number;
  per_seconds: number | null;
  key: string | null;
  taken: number;
  waiting: number;
  actions?: string[];
}

export interface Task {
  name: string;
  queue?: string | null;
  description?: string | null;
}

/** One thing that happened to a job. */
export interface JobEvent {
  what: string;
  at: string;
  attempt?: number | null;
  worker?: string | null;
  error?: JobError | null;
  reason?: string | null;
  [more: string]: unknown;
}

/** Why a job does not run: a sentence, what to do, and fields by kind. */
export interface JobReason {
  code: string;
  text: string;
  remedy: string | null;
  [more: string]: unknown;
}

export interface LogLine {
  at: string;
  attempt: number;
  worker: string;
  level: string;
  logger: string;
  message: string;
  number: number;
}
