// What the API answers, as the contract has it.

export interface Page<T> {
  items: T[];
  next: string | null;
  /** A search that took its time stopped at jobs enqueued then; `next` goes on from there. */
  searched_to?: string | null;
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
  frame?: string | null;
}

export interface Progress {
  done: number;
  total: number | null;
  message: string | null;
  reported_at: string;
}

/** A job in a list. */
export interface Job {
  id: string;
  task: string;
  queue: string;
  state: JobState;
  priority: number;
  args: unknown;
  attempt: number | null;
  max_attempts: number | null;
  timeout_seconds: number | null;
  enqueued_at: string;
  due_at: string | null;
  started_at: string | null;
  finished_at: string | null;
  worker: string | null;
  worker_name: string | null;
  error: JobError | null;
  progress: Progress | null;
  unique_key: string | null;
  batch: string | null;
  cancel_requested: boolean;
  actions: string[];
}

/** A job, whole. */
export interface WholeJob extends Job {
  result: unknown;
  /** What this person may not see of it: args, result, logs. */
  hidden: string[];
  timeline: JobMoment[];
}

/** One thing that happened to a job. */
export interface JobMoment {
  at: string;
  what: string;
  ended_at: string | null;
  outcome: string | null;
  attempt: number | null;
  worker: string | null;
  worker_name: string | null;
  error: JobError | null;
  reason: string | null;
  args: unknown;
  priority: number | null;
  engine: string | null;
  external_id: string | null;
  log_url: string | null;
  counted: boolean | null;
}

export interface Operation {
  id: string;
  verb: string;
  filter: string;
  by: string | null;
  reason: string | null;
  state: "running" | "finished" | "cancelled" | "failed";
  planned: number;
  planned_is_exact: boolean;
  moved: number;
  skipped: number;
  failed: number;
  started_at: string;
  finished_at: string | null;
  rate: number | null;
  eta_seconds: number | null;
  trouble: string | null;
  actions: string[];
}

export interface OperationPreview {
  token: string;
  verb: string;
  filter: string;
  jobs: number;
  is_exact: boolean;
  groups: { state: string; task: string; error_type: string | null; count: number }[];
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
  values?: string[] | null;
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

/** What the stream says at most once a second. */
export interface Stats {
  at: string;
  verdict: Verdict;
  tiles: Tiles | null;
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

export interface Count {
  count: number;
  is_exact: boolean;
}

export interface Queue {
  name: string;
  ready: Count;
  scheduled: Count;
  blocked: Count;
  running: number;
  oldest_seconds: number | null;
  paused: { at: string; by: string | null; reason: string | null } | null;
  rates: { enqueued_per_second: number; ended_per_second: number; failed_per_second: number };
  totals: { completed: number; failed: number; cancelled: number; retried: number; lost: number };
  run_mean_seconds: number | null;
  /** Jobs that ended in each of the last thirty minutes, the oldest first. */
  buckets: number[];
  workers: number;
  slots: number;
  drained_in_seconds: number | null;
  actions: string[];
}

export interface WholeQueue extends Queue {
  tasks: string[];
  serving: { id: string; name: string | null }[];
  failures: FailureGroup[];
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
  actions: string[];
}

/** Jobs with one end. */
export interface Batch {
  id: string;
  name: string | null;
  state: string;
  parent_job: string | null;
  created_at: string;
  finished_at: string | null;
  members: number;
  open: number;
  completed: number;
  failed: number;
  cancelled: number;
  retried: number;
  cancel_reason: string | null;
  /** Jobs that its end has called. */
  callbacks: string[];
  actions: string[];
}

export interface Task {
  name: string;
  queue: string;
  priority: number;
  parameters: string[] | null;
}

/** Why a job does not run: a sentence, what to do, and what the sentence is made of. */
export interface JobReason {
  code: string;
  text: string;
  remedy: string | null;
  facts: Record<string, unknown>;
}

export interface Why {
  job: string;
  text: string;
  reasons: JobReason[];
}

export interface LogLine {
  at: string;
  attempt: number;
  worker: string;
  level: string;
  logger: string;
  message: string;
}

export interface LogPage extends Page<LogLine> {
  last: string | null;
}
