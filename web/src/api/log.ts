// What the API answers about the event log and its readers.

export interface RecordedEvent {
  position: string;
  stream: string;
  version: number;
  type: string;
  schema_version: number;
  data: unknown;
  id: string;
  recorded_at: string;
  tags: string[];
  metadata: unknown;
  correlation_id: string | null;
  causation_id: string | null;
  trace: unknown;
}

/** A session, or a prepared transaction, whose open append holds readers back. */
export interface Holder {
  pid: number | null;
  application: string | null;
  username: string | null;
  client: string | null;
  state: string | null;
  age_seconds: number | null;
  query: string | null;
  prepared: string | null;
}

export interface LogState {
  settled: string;
  drawn: string;
  highest: string;
  settled_at: string | null;
  is_behind: boolean;
  stalled_by: Holder[];
  actions: string[];
}

export interface Appended {
  stream: string;
  versions: number[];
  positions: string[];
}

export interface Stream {
  stream: string;
  version: number;
  position: string;
  recorded_at: string;
  type: string;
}

export interface Projection {
  name: string;
  kind: string;
  on_failure: string;
  state: string;
  version: number;
  model: number;
  building: number | null;
  kept: number | null;
  workers: number;
  partitions_held: number;
  lag_events: number;
  lag_seconds: number | null;
  building_lag_events: number | null;
  parked: number;
  undecided: number;
  stopped: number;
  paused_at: string | null;
  pause_reason: string | null;
  problems: string[];
  actions: string[];
}

export interface PartitionLag {
  model: number;
  state: string;
  partition: number;
  checkpoint: string;
  lag_events: number;
  lag_seconds: number | null;
  parked: number;
  failing: { position: number | string; error?: { type: string; message: string } | null } | null;
  moved_at: string | null;
  owner: string | null;
}

export interface ParkedStream {
  stream: string;
  partition: number;
  position: string;
  attempts: number;
  parked_at: string;
  retry_at: string | null;
  error: { type: string; message: string; traceback?: string } | null;
  reason: string | null;
}

export interface SkippedEvent {
  stream: string;
  position: string;
  skipped_at: string;
  reason: string;
}

export interface ProjectionDetail extends Projection {
  partitions: PartitionLag[];
  parked_streams: ParkedStream[];
  skipped: SkippedEvent[];
}
