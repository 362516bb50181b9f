// What the API answers about workers and the database.

export interface Worker {
  id: string;
  name: string;
  state: string;
  host: string;
  pid: number;
  version: string;
  queues: string[];
  concurrency: number;
  running: string[];
  started_at: string;
  ended_at: string | null;
  end_reason: string | null;
  silent_seconds: number | null;
  asked_seconds: number | null;
  claimed_seconds: number | null;
}

export interface HeldJob {
  id: string;
  task: string;
  queue: string;
  priority: number;
  running: boolean;
  claimed_at: string;
  seconds: number;
}

export interface WorkerDetail extends Worker {
  held: HeldJob[];
}

export interface Server {
  version: string;
  standby: boolean;
  database: string;
  bytes: number;
  started_at: string;
  max_connections: number;
  allowed_connections: number;
  connections: number;
  notify_queue_share: number;
  frozen_age: number;
  deadlocks: number | null;
  temp_bytes: number | null;
  wal_bytes_held_by_slots: number | null;
  archive_failures: number | null;
  archived_seconds: number | null;
  role: string;
  sees_others: boolean;
  may_end_others: boolean;
}

export interface TableFacts {
  name: string;
  parts: number;
  bytes: number;
  index_bytes: number;
  rows_about: number;
  dead_rows: number;
  vacuumed_seconds: number | null;
  analyzed_seconds: number | null;
  frozen_age: number;
}

export interface Connections {
  application: string;
  state: string;
  count: number;
  oldest_transaction_seconds: number | null;
}

export interface Backend {
  pid: number;
  application: string;
  username: string | null;
  client: string | null;
  state: string | null;
  transaction_seconds: number | null;
  state_seconds: number | null;
  wait_event_type: string | null;
  wait_event: string | null;
  xmin_age: number | null;
  started_at: string | null;
  query: string | null;
  blocked_by: number[];
  holds_log: boolean;
  actions: string[];
}

export interface Wait {
  pid: number;
  blocked_by: number;
  what: string | null;
  mode: string | null;
  waiting_seconds: number | null;
}

export interface Horizon {
  kind: string;
  name: string;
  detail: string | null;
  age_transactions: number | null;
  seconds: number | null;
}

export interface ServerSetting {
  name: string;
  setting: string | null;
  unit: string | null;
  source: string | null;
  pending_restart: boolean;
}

export interface DatabaseFacts {
  server: Server;
  tables: TableFacts[];
  connections: Connections[];
  backends: Backend[];
  waits: Wait[];
  horizon: Horizon[];
  settings: ServerSetting[];
  blind: string[];
}
