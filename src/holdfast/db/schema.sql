-- The whole schema, for reading. Generated from a migrated database by `make schema`; do not edit.
-- The files of migrations/ make it; a test proves that they make exactly this, and `holdfast db validate` compares a
-- live database with it. Partitions are left out: they are made as days go by.

-- Functions may name what stands further down.
set check_function_bodies = off;

-- [schema] holdfast
create schema holdfast;

-- [sequence] holdfast.blocked_number
create sequence holdfast.blocked_number as bigint increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1;

-- [sequence] holdfast.event_position
create sequence holdfast.event_position as bigint increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1;
comment on sequence holdfast.event_position is 'Places in the log. Rolled back appends leave holes that never fill.';

-- [sequence] holdfast.gate_call_number
create sequence holdfast.gate_call_number as bigint increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1;

-- [sequence] holdfast.job_block
create sequence holdfast.job_block as bigint increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1;

-- [sequence] holdfast.job_number
create sequence holdfast.job_number as bigint increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1;

-- [sequence] holdfast.lease_slot_number
create sequence holdfast.lease_slot_number as bigint increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1;

-- [sequence] holdfast.ready_number
create sequence holdfast.ready_number as bigint increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1;

-- [table] holdfast.append_key
create table holdfast.append_key (
    key text collate "C" not null,
    content uuid not null,
    positions bigint[] not null,
    versions bigint[] not null,
    recorded_at timestamp with time zone not null,
    constraint append_key_pkey PRIMARY KEY (key)
);
CREATE INDEX append_key_age ON holdfast.append_key USING btree (recorded_at);
comment on table holdfast.append_key is 'What an append with an idempotency key gave, so that its repetition gives the same.';

-- [table] holdfast.attempt_link
create table holdfast.attempt_link (
    job_id bigint not null,
    lease bigint not null,
    attempt smallint not null,
    engine text not null,
    external_id text not null,
    log_url text,
    linked_at timestamp with time zone not null,
    constraint attempt_link_pkey PRIMARY KEY (job_id, lease)
);
comment on table holdfast.attempt_link is 'Under which name an outside engine ran an attempt, and where it logged.';

-- [table] holdfast.batch
create table holdfast.batch (
    id bigint not null,
    name text,
    parent_job bigint,
    parent_batch bigint,
    on_success jsonb,
    on_failure jsonb,
    on_finish jsonb,
    members bigint default 0 not null,
    completed bigint default 0 not null,
    failed bigint default 0 not null,
    cancelled bigint default 0 not null,
    reopened bigint default 0 not null,
    inner_open bigint default 0 not null,
    inner_unwell bigint default 0 not null,
    created_at timestamp with time zone not null,
    cancelled_at timestamp with time zone,
    cancel_reason text,
    finished_at timestamp with time zone,
    constraint batch_pkey PRIMARY KEY (id)
)
with (fillfactor=60, vacuum_truncate=off);
CREATE INDEX batch_inner ON holdfast.batch USING btree (parent_batch) WHERE ((parent_batch IS NOT NULL) AND (finished_at IS NULL));
CREATE UNIQUE INDEX batch_of_parent ON holdfast.batch USING btree (parent_job, name) WHERE (parent_job IS NOT NULL);
CREATE INDEX batch_open ON holdfast.batch USING btree (id) WHERE (finished_at IS NULL);
comment on table holdfast.batch is 'Counters are those of the deltas folded so far. Open = members - completed - failed - cancelled + reopened + inner_open.';
comment on column holdfast.batch.parent_job is 'The job that opened it; a name is used once a parent, so that a second attempt finds the batch of the first.';
comment on column holdfast.batch.parent_batch is 'The batch of the parent job: it does not end before this one, and joins its callbacks.';

-- [table] holdfast.batch_callback
create table holdfast.batch_callback (
    job_id bigint not null,
    batch_id bigint not null,
    constraint batch_callback_pkey PRIMARY KEY (job_id)
);
comment on table holdfast.batch_callback is 'Which batch a callback was called for.';

-- [table] holdfast.batch_delta
create table holdfast.batch_delta (
    id bigint generated always as identity (increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1) not null,
    batch_id bigint not null,
    joined integer default 0 not null,
    completed integer default 0 not null,
    failed integer default 0 not null,
    cancelled integer default 0 not null,
    reopened integer default 0 not null,
    inner_open integer default 0 not null,
    inner_unwell integer default 0 not null,
    constraint batch_delta_pkey PRIMARY KEY (id)
)
with (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.0, autovacuum_vacuum_threshold=5000, vacuum_truncate=off);
CREATE INDEX batch_delta_batch ON holdfast.batch_delta USING btree (batch_id);
comment on table holdfast.batch_delta is 'Appended by whoever moves a member, in that transaction; folded and deleted by settle_batches_v1.';

-- [table] holdfast.batch_member
create table holdfast.batch_member (
    batch_id bigint not null,
    job_id bigint not null,
    constraint batch_member_pkey PRIMARY KEY (batch_id, job_id)
);
CREATE UNIQUE INDEX batch_member_job ON holdfast.batch_member USING btree (job_id);
comment on table holdfast.batch_member is 'A job belongs to one batch at most (flag 16).';

-- [table] holdfast.blocked
create table holdfast.blocked (
    gate text collate "C" default ''::text not null,
    rank bigint default 0 not null,
    seq bigint default nextval('holdfast.blocked_number'::regclass) not null,
    job_id bigint not null,
    queue text collate "C" not null,
    priority smallint not null,
    attempt smallint not null,
    flags smallint not null,
    gates text collate "C" not null
)
with (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=20000, vacuum_truncate=off);
CREATE UNIQUE INDEX blocked_job ON holdfast.blocked USING btree (job_id);
CREATE UNIQUE INDEX blocked_line ON holdfast.blocked USING btree (gate, rank, seq);
comment on table holdfast.blocked is 'Waits before a gate, in the order (rank, seq); without a gate it is to be lined up by a worker, because its line is shared fairly.';

-- [table] holdfast.cancel_request
create table holdfast.cancel_request (
    job_id bigint not null,
    requested_at timestamp with time zone not null,
    reason text,
    constraint cancel_request_pkey PRIMARY KEY (job_id)
);
comment on table holdfast.cancel_request is 'Somebody wants this job not to run; claims drop it, workers stop it, its outcome removes the request.';

-- [table] holdfast.checkpoint
create table holdfast.checkpoint (
    job_id bigint not null,
    lease bigint not null,
    value jsonb not null,
    saved_at timestamp with time zone not null,
    constraint checkpoint_pkey PRIMARY KEY (job_id)
)
with (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.05, fillfactor=60, vacuum_truncate=off);
comment on table holdfast.checkpoint is 'Where the next attempt of a job goes on. Written under the fence of the lease.';

-- [table] holdfast.event
create table holdfast.event (
    "position" bigint default nextval('holdfast.event_position'::regclass) not null,
    version bigint not null,
    recorded_at timestamp with time zone not null,
    id uuid not null,
    partition smallint not null,
    schema_version smallint not null,
    stream text collate "C" not null,
    type text collate "C" not null,
    data jsonb not null,
    tags text[],
    metadata jsonb,
    correlation_id text,
    causation_id text,
    trace jsonb,
    constraint event_pkey PRIMARY KEY ("position"),
    constraint event_schema_version_check CHECK ((schema_version > 0))
);
CREATE UNIQUE INDEX event_by_id ON holdfast.event USING btree (id);
CREATE INDEX event_of_correlation ON holdfast.event USING btree (correlation_id, "position") WHERE (correlation_id IS NOT NULL);
CREATE INDEX event_of_partition ON holdfast.event USING btree (partition, "position");
CREATE UNIQUE INDEX event_of_stream ON holdfast.event USING btree (stream, version);
CREATE INDEX event_of_type ON holdfast.event USING btree (type, "position");
comment on table holdfast.event is 'The log. Rows are inserted by append_v1 and never changed.';
comment on column holdfast.event."position" is 'Place in the log; final at append; read only up to the newest tick';
comment on column holdfast.event.version is 'Place in the stream: 1, 2, 3 … without gaps';
comment on column holdfast.event.partition is 'partition_of(stream), stored so that a reader of some partitions finds its events by index';
comment on column holdfast.event.schema_version is 'Of the shape of data; upcasters lift older ones when they are read';

-- [table] holdfast.event_tag
create table holdfast.event_tag (
    tag text collate "C" not null,
    "position" bigint not null,
    constraint event_tag_pkey PRIMARY KEY (tag, "position")
);
comment on table holdfast.event_tag is 'Tagged events by tag, for conditions and for reading by tag. An event without tags has no row here.';

-- [table] holdfast.failed_attempt
create table holdfast.failed_attempt (
    job_id bigint not null,
    attempt smallint not null,
    lease bigint not null,
    started_at timestamp with time zone,
    finished_at timestamp with time zone not null,
    error jsonb not null,
    constraint failed_attempt_pkey PRIMARY KEY (job_id, attempt, lease)
);
comment on table holdfast.failed_attempt is 'The error of an attempt that was not the last; the last one stands in outcome.';

-- [table] holdfast.failure_bucket
create table holdfast.failure_bucket (
    fingerprint text collate "C" not null,
    queue text collate "C" not null,
    hour timestamp with time zone not null,
    failures bigint not null,
    constraint failure_bucket_pkey PRIMARY KEY (fingerprint, queue, hour)
)
with (vacuum_truncate=off);
comment on table holdfast.failure_bucket is 'Failures of a group by the hour; kept for eight days.';

-- [table] holdfast.failure_group
create table holdfast.failure_group (
    fingerprint text collate "C" not null,
    queue text collate "C" not null,
    task text collate "C" not null,
    error_type text not null,
    frame text,
    message text not null,
    failures bigint not null,
    first_at timestamp with time zone not null,
    last_at timestamp with time zone not null,
    sample_job bigint not null,
    constraint failure_group_pkey PRIMARY KEY (fingerprint, queue)
)
with (fillfactor=70, vacuum_truncate=off);
CREATE INDEX failure_group_newest ON holdfast.failure_group USING btree (last_at);
comment on table holdfast.failure_group is 'Failures of one task with one type of error, raised in one function of the application; a row for each queue it happened in.';

-- [table] holdfast.failure_mark
create table holdfast.failure_mark (
    fingerprint text collate "C" not null,
    state text not null,
    note text,
    marked_at timestamp with time zone not null,
    marked_by text,
    constraint failure_mark_pkey PRIMARY KEY (fingerprint),
    constraint failure_mark_state_check CHECK ((state = ANY (ARRAY['seen'::text, 'resolved'::text])))
);
comment on table holdfast.failure_mark is 'What a person has said about a group. Nobody has: it is new. Resolved, and it failed again since: it has regressed.';

-- [table] holdfast.failure_member
create table holdfast.failure_member (
    job_id bigint not null,
    fingerprint text collate "C" not null,
    failed_at timestamp with time zone not null,
    constraint failure_member_pkey PRIMARY KEY (job_id)
)
with (vacuum_truncate=off);
CREATE INDEX failure_member_group ON holdfast.failure_member USING btree (fingerprint, job_id);
comment on table holdfast.failure_member is 'The group of the last failure of a job; where the job stands now, its place says.';

-- [table] holdfast.failure_noted
create table holdfast.failure_noted (
    id bigint generated always as identity (increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1) not null,
    job_id bigint not null,
    constraint failure_noted_pkey PRIMARY KEY (id)
)
with (vacuum_truncate=off);
comment on table holdfast.failure_noted is 'Jobs that have failed for good and are in no group yet.';

-- [table] holdfast.gate
create table holdfast.gate (
    name text collate "C" not null,
    mark_rank bigint default '-9223372036854775808'::bigint not null,
    mark_seq bigint default 0 not null,
    virtual bigint default 0 not null,
    low_slot bigint default 0 not null,
    opens_at timestamp with time zone,
    low_lease_slot bigint default 0 not null,
    constraint gate_pkey PRIMARY KEY (name)
)
with (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.02, fillfactor=50, vacuum_truncate=off);
CREATE INDEX gate_opening ON holdfast.gate USING btree (opens_at) WHERE (opens_at IS NOT NULL);
comment on table holdfast.gate is 'A gate before which a line has formed. Nobody stands in it before the mark, no slot of it is held by a job before low_slot; virtual: how far a fairly shared line has come.';
comment on column holdfast.gate.opens_at is 'Of a rate: when its next tokens come back. Of a limit: until then a worker takes straight from this line, and looks leave it alone.';
comment on column holdfast.gate.low_lease_slot is 'No row of lease_slot before this number holds a slot of this gate.';

-- [table] holdfast.gate_call
create table holdfast.gate_call (
    id bigint default nextval('holdfast.gate_call_number'::regclass) not null,
    gate text collate "C" not null,
    rank bigint not null,
    seq bigint not null
)
with (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=20000, vacuum_truncate=off);
CREATE INDEX gate_call_order ON holdfast.gate_call USING btree (id);
comment on table holdfast.gate_call is 'Somebody new stands before this gate, nowhere before (rank, seq): whoever sees it looks at the gate. Commits with the job, so none is missed.';

-- [table] holdfast.gate_share
create table holdfast.gate_share (
    gate text collate "C" not null,
    share text collate "C" not null,
    finish bigint not null,
    constraint gate_share_pkey PRIMARY KEY (gate, share)
);
comment on table holdfast.gate_share is 'Where in a fairly shared line the last job of each key stands: its next one goes a step behind.';

-- [table] holdfast.history_mark
create table holdfast.history_mark (
    one boolean default true not null,
    sampled_at timestamp with time zone not null,
    pages jsonb default '{}'::jsonb not null,
    hour_done timestamp with time zone not null,
    constraint history_mark_pkey PRIMARY KEY (one),
    constraint history_mark_one_check CHECK (one)
);
comment on table holdfast.history_mark is 'Jobs that ended up to sampled_at are in pace; hours before hour_done are in tally_hour. pages: how far each partition of outcome was read.';

-- [table] holdfast.job
create table holdfast.job (
    id bigint not null,
    queue text collate "C" not null,
    task text collate "C" not null,
    args jsonb not null,
    priority smallint not null,
    flags smallint not null,
    max_attempts smallint,
    timeout_seconds real,
    unique_key text,
    trace jsonb,
    gates text collate "C",
    constraint job_pkey PRIMARY KEY (id),
    constraint job_max_attempts_check CHECK ((max_attempts > 0)),
    constraint job_priority_check CHECK (((priority >= 0) AND (priority <= 9))),
    constraint job_timeout_seconds_check CHECK ((timeout_seconds > (0)::double precision))
)
partition by RANGE (id);
comment on table holdfast.job is 'One request for a task, written once. No default partition: retention detaches concurrently.';
comment on column holdfast.job.priority is '0 runs first, 9 last; every level is probed in every claim';
comment on column holdfast.job.flags is '1 = claimed into a lease of its own (transactional task), 2 = holds a unique key, 8 = stands behind gates, 16 = belongs to a batch, 32 = was to run later from the start';
comment on column holdfast.job.gates is 'One gate a line, its lane first: lane:KEY, limit:NAME:KEY, rate:NAME:KEY; after a tab the key among which a limit is shared fairly.';

-- [table] holdfast.job_edit
create table holdfast.job_edit (
    id bigint generated always as identity (increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1) not null,
    job_id bigint not null,
    edited_at timestamp with time zone not null,
    reason text,
    args jsonb,
    priority smallint,
    constraint job_edit_pkey PRIMARY KEY (id)
);
CREATE INDEX job_edit_job ON holdfast.job_edit USING btree (job_id);
comment on table holdfast.job_edit is 'What a job row said before a person changed it: the old arguments, or the old priority.';

-- [table] holdfast.job_kept
create table holdfast.job_kept (
    id bigint not null,
    queue text collate "C" not null,
    task text collate "C" not null,
    args jsonb not null,
    priority smallint not null,
    flags smallint not null,
    max_attempts smallint,
    timeout_seconds real,
    unique_key text,
    trace jsonb,
    gates text collate "C",
    constraint job_kept_pkey PRIMARY KEY (id),
    constraint job_max_attempts_check CHECK ((max_attempts > 0)),
    constraint job_priority_check CHECK (((priority >= 0) AND (priority <= 9))),
    constraint job_timeout_seconds_check CHECK ((timeout_seconds > (0)::double precision))
);
comment on column holdfast.job_kept.priority is '0 runs first, 9 last; every level is probed in every claim';
comment on column holdfast.job_kept.flags is '1 = claimed into a lease of its own (transactional task), 2 = holds a unique key, 8 = stands behind gates, 16 = belongs to a batch';
comment on column holdfast.job_kept.gates is 'One gate a line, its lane first: lane:KEY, limit:NAME:KEY, rate:NAME:KEY; after a tab the key among which a limit is shared fairly.';

-- [table] holdfast.job_log
create table holdfast.job_log (
    job_id bigint not null,
    lease bigint not null,
    attempt smallint not null,
    number integer not null,
    at timestamp with time zone not null,
    level smallint not null,
    logger text not null,
    message text not null
)
partition by RANGE (at);
CREATE INDEX job_log_job ON holdfast.job_log USING btree (job_id, at);
comment on table holdfast.job_log is 'Log lines of attempts, a partition a day; number counts the lines of one attempt. Evidence, not results: a lost lease may still write here.';

-- [table] holdfast.lease
create table holdfast.lease (
    id bigint not null,
    job_ids bigint[] not null,
    claimed_at timestamp with time zone not null,
    constraint lease_pkey PRIMARY KEY (id)
)
with (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.0, autovacuum_vacuum_threshold=2000, vacuum_truncate=off);
alter table holdfast.lease alter column job_ids set storage plain;
comment on table holdfast.lease is 'One row per claimed batch: the right to write the results of these jobs. id = worker << 36 | number that the worker drew before it asked.';

-- [table] holdfast.lease_exit
create table holdfast.lease_exit (
    lease bigint not null,
    job_id bigint not null,
    constraint lease_exit_pkey PRIMARY KEY (lease, job_id)
)
with (vacuum_truncate=off);
comment on table holdfast.lease_exit is 'Every way out of a lease that is no outcome: retry, snooze, return. Outstanding = job_ids - outcomes - exits.';

-- [table] holdfast.lease_slot
create table holdfast.lease_slot (
    lease bigint not null,
    gate text collate "C" not null,
    seq bigint default nextval('holdfast.lease_slot_number'::regclass) not null,
    job_ids bigint[] not null,
    constraint lease_slot_pkey PRIMARY KEY (lease, gate)
)
with (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.0, autovacuum_vacuum_threshold=2000, fillfactor=50, vacuum_truncate=off);
CREATE INDEX lease_slot_gate ON holdfast.lease_slot USING btree (gate, seq);
alter table holdfast.lease_slot alter column job_ids set storage plain;
comment on table holdfast.lease_slot is 'Slots of a limit that a claim took straight from its line, those of one lease together. Whoever leaves the lease is taken out; an empty row goes.';

-- [table] holdfast.limit_rule
create table holdfast.limit_rule (
    name text collate "C" not null,
    declared integer not null,
    chosen integer,
    capacity integer generated always as (COALESCE(chosen, declared)) stored,
    per_us bigint,
    weights jsonb default '{}'::jsonb not null,
    declared_at timestamp with time zone not null,
    constraint limit_rule_pkey PRIMARY KEY (name),
    constraint limit_rule_chosen_check CHECK ((chosen >= 0)),
    constraint limit_rule_declared_check CHECK ((declared >= 0)),
    constraint limit_rule_per_us_check CHECK ((per_us > 0))
);
comment on table holdfast.limit_rule is 'limit:NAME and rate:NAME as the application declares them; chosen is what an operator prefers. Per key of each.';

-- [table] holdfast.loss
create table holdfast.loss (
    job_id bigint not null,
    lease bigint not null,
    lost_at timestamp with time zone not null,
    counted boolean not null,
    reason text,
    constraint loss_pkey PRIMARY KEY (job_id, lease)
);
comment on table holdfast.loss is 'A job lost with its worker, or with the child process or engine that ran it. Counted only when it alone can have been the cause.';

-- [table] holdfast.migration
create table holdfast.migration (
    version integer not null,
    name text not null,
    checksum text not null,
    applied_at timestamp with time zone default clock_timestamp() not null,
    constraint migration_pkey PRIMARY KEY (version),
    constraint migration_version_check CHECK ((version > 0))
);
comment on table holdfast.migration is 'Migrations applied to this schema, with the sha256 of the file each came from.';

-- [table] holdfast.moment
create table holdfast.moment (
    kind text not null,
    at timestamp with time zone not null,
    what text not null,
    text text not null,
    constraint moment_pkey PRIMARY KEY (at, kind, what)
);
comment on table holdfast.moment is 'Moments worth a line in a chart: workers that started or were lost, queues that were paused.';

-- [table] holdfast.occurrence
create table holdfast.occurrence (
    schedule text collate "C" not null,
    at timestamp with time zone not null,
    origin text not null,
    state text not null,
    because text,
    detail text,
    job_id bigint,
    fingerprint text,
    decided_at timestamp with time zone not null,
    constraint occurrence_pkey PRIMARY KEY (schedule, at),
    constraint occurrence_because_check CHECK ((because = ANY (ARRAY['overlap'::text, 'unchanged'::text, 'missed'::text, 'paused'::text]))),
    constraint occurrence_check CHECK (((state = 'started'::text) = (job_id IS NOT NULL))),
    constraint occurrence_check1 CHECK (((state = 'skipped'::text) = (because IS NOT NULL))),
    constraint occurrence_origin_check CHECK ((origin = ANY (ARRAY['due'::text, 'trigger'::text, 'backfill'::text]))),
    constraint occurrence_state_check CHECK ((state = ANY (ARRAY['started'::text, 'waiting'::text, 'skipped'::text])))
);
CREATE INDEX occurrence_started ON holdfast.occurrence USING btree (schedule, at) WHERE (job_id IS NOT NULL);
CREATE INDEX occurrence_waiting ON holdfast.occurrence USING btree (schedule, at) WHERE (state = 'waiting'::text);
comment on table holdfast.occurrence is 'What became of every due moment: a job, a wait for the job before it, or skipped and because of what. One row per moment, so at most one job.';

-- [table] holdfast.operation
create table holdfast.operation (
    id bigint generated always as identity (increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1) not null,
    verb text not null,
    filter text not null,
    places text[] not null,
    queues text[],
    tasks text[],
    failures text[],
    terms jsonb,
    from_id bigint not null,
    until_id bigint not null,
    frozen_at timestamp with time zone not null,
    delay_seconds double precision,
    due_at timestamp with time zone,
    priority smallint,
    reason text,
    requested_by text,
    token_hash text not null,
    expires_at timestamp with time zone not null,
    planned bigint not null,
    planned_is_exact boolean not null,
    state text default 'previewed'::text not null,
    place_at integer default 1 not null,
    before bigint default '9223372036854775807'::bigint not null,
    moved bigint default 0 not null,
    skipped bigint default 0 not null,
    failed bigint default 0 not null,
    trouble text,
    started_at timestamp with time zone,
    turn_at timestamp with time zone,
    finished_at timestamp with time zone,
    ended_by text,
    constraint operation_pkey PRIMARY KEY (id),
    constraint operation_token_hash_key UNIQUE (token_hash),
    constraint operation_check CHECK (((verb <> 'reschedule'::text) OR ((delay_seconds IS NULL) <> (due_at IS NULL)) OR (state <> 'previewed'::text))),
    constraint operation_check1 CHECK (((verb = 'priority'::text) = (priority IS NOT NULL))),
    constraint operation_priority_check CHECK (((priority >= 0) AND (priority <= 9))),
    constraint operation_state_check CHECK ((state = ANY (ARRAY['previewed'::text, 'running'::text, 'finished'::text, 'cancelled'::text, 'failed'::text]))),
    constraint operation_verb_check CHECK ((verb = ANY (ARRAY['retry'::text, 'cancel'::text, 'reschedule'::text, 'priority'::text, 'purge'::text])))
)
with (fillfactor=50, vacuum_truncate=off);
CREATE INDEX operation_started ON holdfast.operation USING btree (id) WHERE (state <> 'previewed'::text);
CREATE INDEX operation_turn ON holdfast.operation USING btree (turn_at, id) WHERE (state = 'running'::text);
comment on table holdfast.operation is 'A verb on everything that a filter found when it was previewed. places are gone through in this order; place_at and before say how far it is.';
comment on column holdfast.operation.token_hash is 'sha256 of what the preview gave to whoever asked: only with it, and once, the operation starts.';

-- [table] holdfast.outcome
create table holdfast.outcome (
    job_id bigint not null,
    lease bigint not null,
    state smallint not null,
    attempt smallint not null,
    started_at timestamp with time zone,
    finished_at timestamp with time zone not null,
    result jsonb,
    error jsonb,
    constraint outcome_pkey PRIMARY KEY (job_id),
    constraint outcome_state_check CHECK ((state = ANY (ARRAY[1, 2, 3])))
)
partition by RANGE (job_id);
CREATE INDEX outcome_unwell ON holdfast.outcome USING btree (job_id) WHERE (state <> 1);
comment on table holdfast.outcome is 'How a job ended, for good: state 1 completed, 2 failed, 3 cancelled. Lease 0: it ended without running.';

-- [table] holdfast.outcome_kept
create table holdfast.outcome_kept (
    job_id bigint not null,
    lease bigint not null,
    state smallint not null,
    attempt smallint not null,
    started_at timestamp with time zone,
    finished_at timestamp with time zone not null,
    result jsonb,
    error jsonb,
    constraint outcome_kept_pkey PRIMARY KEY (job_id),
    constraint outcome_state_check CHECK ((state = ANY (ARRAY[1, 2, 3])))
);
CREATE INDEX outcome_kept_job_id_idx ON holdfast.outcome_kept USING btree (job_id) WHERE (state <> 1);

-- [table] holdfast.pace
create table holdfast.pace (
    queue text collate "C" not null,
    minute timestamp with time zone not null,
    waits bigint[] not null,
    runs bigint[] not null,
    wait_sum double precision default 0 not null,
    run_sum double precision default 0 not null,
    constraint pace_pkey PRIMARY KEY (minute, queue)
);
comment on table holdfast.pace is 'How many of the sampled jobs waited, and ran, for how long: a count for each interval of pace_bounds_v1, the last for all above. -infinity: ever.';

-- [table] holdfast.progress
create table holdfast.progress (
    job_id bigint not null,
    lease bigint not null,
    done bigint not null,
    total bigint,
    message text,
    reported_at timestamp with time zone not null,
    constraint progress_pkey PRIMARY KEY (job_id)
)
with (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.05, fillfactor=60, vacuum_truncate=off);
comment on table holdfast.progress is 'How far a job says it is; at most one write a second. lease: the attempt that said it.';

-- [table] holdfast.projection
create table holdfast.projection (
    name text collate "C" not null,
    kind text not null,
    on_failure text not null,
    code_version integer not null,
    types text[],
    categories text[],
    tags text[],
    tables text[] not null,
    declared_at timestamp with time zone not null,
    paused_at timestamp with time zone,
    pause_reason text,
    retired_at timestamp with time zone,
    still_until timestamp with time zone,
    constraint projection_pkey PRIMARY KEY (name),
    constraint projection_code_version_check CHECK ((code_version > 0)),
    constraint projection_kind_check CHECK ((kind = ANY (ARRAY['model'::text, 'trigger'::text, 'outbox'::text, 'feed'::text]))),
    constraint projection_on_failure_check CHECK ((on_failure = ANY (ARRAY['park'::text, 'stop'::text])))
);
comment on table holdfast.projection is 'What the application declared, and what an operator decided. types, categories, tags NULL: every event.';
comment on column holdfast.projection.still_until is 'Until then the live model stands still, so that another can reach it; see switch_model_v1.';

-- [table] holdfast.projection_model
create table holdfast.projection_model (
    projection text collate "C" not null,
    model integer not null,
    code_version integer not null,
    state text not null,
    schema_name text,
    made_at timestamp with time zone not null,
    live_at timestamp with time zone,
    constraint projection_model_pkey PRIMARY KEY (projection, model),
    constraint projection_model_state_check CHECK ((state = ANY (ARRAY['live'::text, 'building'::text, 'kept'::text])))
);
CREATE UNIQUE INDEX projection_model_live ON holdfast.projection_model USING btree (projection) WHERE (state = 'live'::text);
comment on table holdfast.projection_model is 'One copy of a read model. live: what the application reads; building: on its way; kept: the former one, still fed, for a way back.';
comment on column holdfast.projection_model.schema_name is 'The schema its tables stand in; NULL: where the application has them.';

-- [table] holdfast.projection_parked
create table holdfast.projection_parked (
    projection text collate "C" not null,
    model integer not null,
    stream text collate "C" not null,
    partition smallint not null,
    next_position bigint not null,
    attempts integer not null,
    parked_at timestamp with time zone not null,
    retry_at timestamp with time zone,
    error jsonb,
    reason text,
    constraint projection_parked_pkey PRIMARY KEY (projection, model, stream)
);
CREATE INDEX projection_parked_due ON holdfast.projection_parked USING btree (projection, model, retry_at);
comment on table holdfast.projection_parked is 'Streams that one model waits with: its events from next_position up to the checkpoint of the partition are still to be handled, in order. retry_at NULL: a person must decide.';

-- [table] holdfast.projection_partition
create table holdfast.projection_partition (
    projection text collate "C" not null,
    model integer not null,
    partition smallint not null,
    owner bigint,
    epoch bigint default 0 not null,
    lease_until timestamp with time zone,
    checkpoint bigint not null,
    effects_after bigint not null,
    moved_at timestamp with time zone,
    failing jsonb,
    constraint projection_partition_pkey PRIMARY KEY (projection, model, partition),
    constraint projection_partition_partition_check CHECK (((partition >= 0) AND (partition <= 63)))
)
with (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.0, autovacuum_vacuum_threshold=1000, fillfactor=30, vacuum_truncate=off);
comment on column holdfast.projection_partition.checkpoint is 'Every event of the partition up to this position is in the read model, or parked.';
comment on column holdfast.projection_partition.effects_after is 'Events up to this position had their effects before: handling them again makes none.';
comment on column holdfast.projection_partition.failing is 'Policy stop: the event that keeps failing {position, stream, attempts, error}, with retry_at, or without one when it has stopped for good.';

-- [table] holdfast.projection_skip
create table holdfast.projection_skip (
    projection text collate "C" not null,
    model integer not null,
    stream text not null,
    "position" bigint not null,
    skipped_at timestamp with time zone not null,
    reason text not null,
    error jsonb,
    constraint projection_skip_pkey PRIMARY KEY (projection, model, "position"),
    constraint projection_skip_reason_check CHECK ((reason <> ''::text))
);
comment on table holdfast.projection_skip is 'Events that a person decided not to handle, and why. Never deleted while the projection exists.';

-- [table] holdfast.projector
create table holdfast.projector (
    id bigint generated always as identity (increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1) not null,
    projection text collate "C" not null,
    code_version integer not null,
    worker bigint,
    partition_key smallint,
    total_partitions smallint,
    host text not null,
    pid integer not null,
    started_at timestamp with time zone not null,
    lives_until timestamp with time zone not null,
    refused text,
    constraint projector_pkey PRIMARY KEY (id),
    constraint projector_check CHECK (((partition_key >= 0) AND (partition_key < total_partitions) AND (total_partitions <= 64)))
)
with (autovacuum_vacuum_scale_factor=0.0, autovacuum_vacuum_threshold=200, fillfactor=50, vacuum_truncate=off);
CREATE INDEX projector_projection ON holdfast.projector USING btree (projection);
comment on table holdfast.projector is 'A process that serves a projection. refused: it asked for a partition key that another one holds, and does nothing.';
comment on column holdfast.projector.worker is 'The worker it is part of: when that one is declared dead, its partitions are free at once.';

-- [table] holdfast.queue_pause
create table holdfast.queue_pause (
    queue text collate "C" not null,
    paused_at timestamp with time zone not null,
    reason text,
    paused_by text,
    constraint queue_pause_pkey PRIMARY KEY (queue)
);
comment on table holdfast.queue_pause is 'Queues that no claim looks into.';

-- [table] holdfast.rate_block
create table holdfast.rate_block (
    gate text collate "C" not null,
    ends_at timestamp with time zone not null,
    taken integer not null,
    constraint rate_block_pkey PRIMARY KEY (gate, ends_at)
)
with (fillfactor=50, vacuum_truncate=off);
comment on table holdfast.rate_block is 'Tokens of a rate taken together, and when they come back: a window later.';

-- [table] holdfast.ready
create table holdfast.ready (
    queue text collate "C" not null,
    priority smallint not null,
    seq bigint default nextval('holdfast.ready_number'::regclass) not null,
    job_id bigint not null,
    attempt smallint not null,
    flags smallint not null
)
with (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=20000, vacuum_truncate=off);
CREATE UNIQUE INDEX ready_keyed ON holdfast.ready USING btree (job_id) WHERE (((flags)::integer & 2) <> 0);
CREATE UNIQUE INDEX ready_order ON holdfast.ready USING btree (queue, priority, seq);
comment on table holdfast.ready is 'May be claimed now, in the order (queue, priority, seq). flags as in job, and 4 = suspected of killing its worker.';

-- [table] holdfast.ready_mark
create table holdfast.ready_mark (
    at timestamp with time zone not null,
    seq bigint not null,
    constraint ready_mark_pkey PRIMARY KEY (seq)
);
comment on table holdfast.ready_mark is 'Where the order of ready stood at a moment: what was drawn after it became ready after it.';

-- [table] holdfast.schedule
create table holdfast.schedule (
    name text collate "C" not null,
    source text not null,
    declared jsonb not null,
    edited jsonb default '{}'::jsonb not null,
    plan jsonb generated always as ((declared || edited)) stored not null,
    version bigint default 1 not null,
    anchor_at timestamp with time zone not null,
    next_at timestamp with time zone,
    due_at timestamp with time zone,
    last_at timestamp with time zone,
    probing_until timestamp with time zone,
    paused_at timestamp with time zone,
    pause_reason text,
    withdrawn_at timestamp with time zone,
    declared_at timestamp with time zone not null,
    constraint schedule_pkey PRIMARY KEY (name),
    constraint schedule_check CHECK (((next_at IS NULL) = (due_at IS NULL)))
);
CREATE INDEX schedule_due ON holdfast.schedule USING btree (due_at) WHERE ((paused_at IS NULL) AND (withdrawn_at IS NULL));
comment on table holdfast.schedule is 'When to enqueue which job. plan = what the code declared, with what people edited over it. next_at is the next occurrence, due_at the same with its jitter.';
comment on column holdfast.schedule.source is 'The module that declared it: whoever starts a worker of that module without declaring it withdraws it.';
comment on column holdfast.schedule.version is 'Counts changes of the plan: a decision made from an older one is refused.';
comment on column holdfast.schedule.probing_until is 'Somebody asks the source until then; others leave it to them. Saves questions, decides nothing.';

-- [table] holdfast.scheduled
create table holdfast.scheduled (
    due_at timestamp with time zone not null,
    job_id bigint not null,
    queue text collate "C" not null,
    priority smallint not null,
    attempt smallint not null,
    flags smallint not null,
    constraint scheduled_due_at_is_a_moment CHECK ((due_at < 'infinity'::timestamp with time zone))
)
with (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.02, vacuum_truncate=off);
CREATE INDEX scheduled_due ON holdfast.scheduled USING btree (due_at);
CREATE UNIQUE INDEX scheduled_job ON holdfast.scheduled USING btree (job_id);
comment on table holdfast.scheduled is 'Due later: run_at of the caller, or the next attempt of a retry or snooze.';

-- [table] holdfast.slot
create table holdfast.slot (
    job_id bigint not null,
    gate text collate "C" not null,
    constraint slot_pkey PRIMARY KEY (job_id, gate)
)
with (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=20000, vacuum_truncate=off);
CREATE INDEX slot_gate ON holdfast.slot USING btree (gate, job_id);
comment on table holdfast.slot is 'A place under a gate, taken before its job becomes ready. That of a limit goes with the lease, that of a lane with the end of the job.';

-- [table] holdfast.snapshot
create table holdfast.snapshot (
    stream text collate "C" not null,
    name text collate "C" not null,
    version bigint not null,
    schema_version smallint not null,
    state jsonb not null,
    taken_at timestamp with time zone not null,
    constraint snapshot_pkey PRIMARY KEY (stream, name)
);
comment on table holdfast.snapshot is 'What the events of a stream up to a version amount to, so that a reader need not begin at 1. May be lost.';

-- [table] holdfast.storage
create table holdfast.storage (
    one boolean default true not null,
    lowest_id bigint not null,
    ceiling_id bigint not null,
    partition_days integer not null,
    constraint storage_pkey PRIMARY KEY (one),
    constraint storage_one_check CHECK (one),
    constraint storage_partition_days_check CHECK (((partition_days >= 1) AND (partition_days <= 366)))
);
comment on table holdfast.storage is 'Ids in [lowest_id, ceiling_id) have a partition; below, job_kept and outcome_kept take over.';

-- [table] holdfast.stream
create table holdfast.stream (
    name text collate "C" not null,
    version bigint not null,
    partition smallint not null,
    constraint stream_pkey PRIMARY KEY (name),
    constraint stream_partition_check CHECK (((partition >= 0) AND (partition <= 63))),
    constraint stream_version_check CHECK ((version > 0))
)
with (autovacuum_vacuum_scale_factor=0.05, fillfactor=80, vacuum_truncate=off);
comment on table holdfast.stream is 'One row per series of events: the version of its last event. Whoever appends locks it first, and holds it until the end of the transaction.';

-- [table] holdfast.tally
create table holdfast.tally (
    queue text collate "C" not null,
    minute timestamp with time zone not null,
    enqueued bigint default 0 not null,
    completed bigint default 0 not null,
    failed bigint default 0 not null,
    cancelled bigint default 0 not null,
    retried bigint default 0 not null,
    lost bigint default 0 not null,
    reopened bigint default 0 not null,
    took_us bigint default 0 not null,
    constraint tally_pkey PRIMARY KEY (queue, minute)
);
CREATE INDEX tally_minute ON holdfast.tally USING btree (minute);
comment on table holdfast.tally is 'Moves per queue and minute. Unfinished = enqueued + reopened - completed - failed - cancelled, over all minutes.';

-- [table] holdfast.tally_delta
create table holdfast.tally_delta (
    id bigint generated always as identity (increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1) not null,
    queue text collate "C" not null,
    completed integer default 0 not null,
    failed integer default 0 not null,
    cancelled integer default 0 not null,
    retried integer default 0 not null,
    lost integer default 0 not null,
    reopened integer default 0 not null,
    took_us bigint default 0 not null,
    constraint tally_delta_pkey PRIMARY KEY (id)
)
with (vacuum_truncate=off);

-- [table] holdfast.tally_hour
create table holdfast.tally_hour (
    queue text collate "C" not null,
    hour timestamp with time zone not null,
    enqueued bigint not null,
    completed bigint not null,
    failed bigint not null,
    cancelled bigint not null,
    retried bigint not null,
    lost bigint not null,
    reopened bigint not null,
    took_us bigint not null,
    waits bigint[] not null,
    runs bigint[] not null,
    constraint tally_hour_pkey PRIMARY KEY (hour, queue)
);
comment on table holdfast.tally_hour is 'The minutes of tally and pace, by the hour, for ninety days.';

-- [table] holdfast.tally_mark
create table holdfast.tally_mark (
    one boolean default true not null,
    folded_id bigint not null,
    pending_id bigint,
    pending_fence text[],
    constraint tally_mark_pkey PRIMARY KEY (one),
    constraint tally_mark_one_check CHECK (one)
);
comment on table holdfast.tally_mark is 'Jobs with ids up to folded_id are counted as enqueued; pending_id follows once the writers of then have ended.';

-- [table] holdfast.task
create table holdfast.task (
    name text collate "C" not null,
    queue text not null,
    priority smallint not null,
    flags smallint not null,
    max_attempts smallint not null,
    timeout_seconds real,
    gates jsonb,
    declared_at timestamp with time zone not null,
    constraint task_pkey PRIMARY KEY (name)
);
comment on table holdfast.task is 'What workers declared about their tasks, so that SQL callers need to name only the task.';

-- [table] holdfast.tick
create table holdfast.tick (
    "position" bigint not null,
    at timestamp with time zone not null,
    ticker bigint not null,
    constraint tick_pkey PRIMARY KEY ("position")
)
with (vacuum_truncate=off);
CREATE INDEX tick_by_time ON holdfast.tick USING btree (at, "position");
comment on table holdfast.tick is 'Up to this position every event is visible or dead. Inserted, never updated: the newest is found at once under an old snapshot, too.';
comment on column holdfast.tick.ticker is 'The worker that published it, 0 for a reader: workers leave ticking to the lowest number that does it';

-- [table] holdfast.unique_key
create table holdfast.unique_key (
    hash uuid not null,
    generation bigint not null,
    job_id bigint not null,
    until timestamp with time zone,
    constraint unique_key_pkey PRIMARY KEY (hash, generation)
)
with (vacuum_truncate=off);
comment on table holdfast.unique_key is 'The newest generation of a key names its holder; the key of a finished job is stale and may be taken over, at the earliest at until.';

-- [table] holdfast.worker
create table holdfast.worker (
    id bigint generated always as identity (increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1) not null,
    name text not null,
    state text not null,
    host text not null,
    pid integer not null,
    incarnation text not null,
    version text not null,
    queues text[] not null,
    concurrency integer not null,
    has_session boolean not null,
    started_at timestamp with time zone not null,
    ended_at timestamp with time zone,
    end_reason text,
    constraint worker_pkey PRIMARY KEY (id),
    constraint worker_state_check CHECK ((state = ANY (ARRAY['live'::text, 'dead'::text])))
);
comment on column holdfast.worker.incarnation is 'boot id, pid namespace, pid and start time: on the same machine it proves whether that very process still exists';
comment on column holdfast.worker.has_session is 'a session of its own holds the advisory lock (1212568, id) for as long as it lives';

-- [table] holdfast.worker_beat
create table holdfast.worker_beat (
    worker bigint not null,
    beat bigint not null,
    beaten_at timestamp with time zone not null,
    running bigint[] default '{}'::bigint[] not null,
    asked_at timestamp with time zone,
    claimed_at timestamp with time zone,
    constraint worker_beat_pkey PRIMARY KEY (worker)
)
with (autovacuum_vacuum_scale_factor=0.0, autovacuum_vacuum_threshold=200, fillfactor=50, vacuum_truncate=off);
comment on table holdfast.worker_beat is 'Apart from worker, so that the row locks of claims never meet the updates of beats.';
comment on column holdfast.worker_beat.asked_at is 'When its pump last turned: it asked for jobs, or had reason not to. A process beats although its event loop is blocked; this stands still then.';
comment on column holdfast.worker_beat.claimed_at is 'When it last got a job.';

-- [foreign key] holdfast.projection_model.projection_model_projection_fkey
alter table holdfast.projection_model add constraint projection_model_projection_fkey FOREIGN KEY (projection) REFERENCES holdfast.projection(name) ON DELETE CASCADE;

-- [foreign key] holdfast.projection_parked.projection_parked_projection_model_fkey
alter table holdfast.projection_parked add constraint projection_parked_projection_model_fkey FOREIGN KEY (projection, model) REFERENCES holdfast.projection_model(projection, model) ON DELETE CASCADE;

-- [foreign key] holdfast.projection_partition.projection_partition_projection_model_fkey
alter table holdfast.projection_partition add constraint projection_partition_projection_model_fkey FOREIGN KEY (projection, model) REFERENCES holdfast.projection_model(projection, model) ON DELETE CASCADE;

-- [foreign key] holdfast.projection_skip.projection_skip_projection_fkey
alter table holdfast.projection_skip add constraint projection_skip_projection_fkey FOREIGN KEY (projection) REFERENCES holdfast.projection(name) ON DELETE CASCADE;

-- [foreign key] holdfast.projector.projector_projection_fkey
alter table holdfast.projector add constraint projector_projection_fkey FOREIGN KEY (projection) REFERENCES holdfast.projection(name) ON DELETE CASCADE;

-- [view] holdfast.every_job
create view holdfast.every_job as
 SELECT job.id,
    job.queue,
    job.task,
    job.args,
    job.priority,
    job.flags,
    job.max_attempts,
    job.timeout_seconds,
    job.unique_key,
    job.trace,
    job.gates
   FROM holdfast.job
UNION ALL
 SELECT job_kept.id,
    job_kept.queue,
    job_kept.task,
    job_kept.args,
    job_kept.priority,
    job_kept.flags,
    job_kept.max_attempts,
    job_kept.timeout_seconds,
    job_kept.unique_key,
    job_kept.trace,
    job_kept.gates
   FROM holdfast.job_kept;
comment on view holdfast.every_job is 'Partitioned jobs and kept stragglers.';

-- [view] holdfast.every_outcome
create view holdfast.every_outcome as
 SELECT outcome.job_id,
    outcome.lease,
    outcome.state,
    outcome.attempt,
    outcome.started_at,
    outcome.finished_at,
    outcome.result,
    outcome.error
   FROM holdfast.outcome
UNION ALL
 SELECT outcome_kept.job_id,
    outcome_kept.lease,
    outcome_kept.state,
    outcome_kept.attempt,
    outcome_kept.started_at,
    outcome_kept.finished_at,
    outcome_kept.result,
    outcome_kept.error
   FROM holdfast.outcome_kept;
comment on view holdfast.every_outcome is 'Partitioned outcomes and those of kept stragglers.';

-- [view] holdfast.every_slot
create view holdfast.every_slot as
 SELECT s.job_id,
    s.gate
   FROM holdfast.slot s
UNION ALL
 SELECT j.job_id,
    l.gate
   FROM holdfast.lease_slot l,
    LATERAL unnest(l.job_ids) j(job_id);
comment on view holdfast.every_slot is 'Who holds a place under which gate, however it was taken.';

-- [function] holdfast.add_counts_v1(bigint[],bigint[])
CREATE OR REPLACE FUNCTION holdfast.add_counts_v1(p_old bigint[], p_new bigint[])
 RETURNS bigint[]
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT coalesce(array_agg(coalesce(o, 0) + coalesce(n, 0) ORDER BY i), coalesce(p_old, p_new))
    FROM unnest(p_old, p_new) WITH ORDINALITY AS u(o, n, i)
$function$;
comment on function holdfast.add_counts_v1(bigint[],bigint[]) is 'Counts of the same intervals, added up.';

-- [function] holdfast.admit_v1(bigint[],text[],bigint,text,integer)
CREATE OR REPLACE FUNCTION holdfast.admit_v1(p_freed bigint[], p_left text[], p_settled bigint, p_sweep text, p_limit integer, OUT is_mine boolean, OUT seated bigint, OUT heard bigint, OUT opens_us bigint, OUT swept text, OUT queues text[])
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_now   timestamptz := holdfast.now();
    v_gates text[];
    v_rows  holdfast.blocked[];
    v_stops text[];
    v_turn  record;
    v_calls record;
BEGIN
    is_mine := pg_try_advisory_xact_lock(1212574, 0);
    IF NOT is_mine THEN
        RETURN;
    END IF;
    seated := 0;
    queues := '{}';
    -- Gates to look at: those that jobs have left, by name (p_left) or of jobs that have ended (p_freed), those somebody has come to, rates whose time has come, a part of all as a safety net.
    -- Calls for the same gates are heard together: many who enqueue into the same lanes would otherwise have them looked at each time.
    heard := 0;
    SELECT NULL::text[] AS gates, 0::bigint AS heard, p_settled AS last INTO v_calls;
    WHILE coalesce(cardinality(v_gates), 0) <= p_limit AND EXISTS (SELECT FROM holdfast.gate_call c WHERE c.id > v_calls.last) LOOP
        SELECT c.gates, c.heard, c.last INTO v_calls FROM holdfast.calls_v1(v_calls.last, p_limit / 2 + 1) AS c;
        EXIT WHEN v_calls.heard = 0;
        heard := heard + v_calls.heard;
        v_gates := ARRAY(SELECT g FROM unnest(v_gates || v_calls.gates) AS g GROUP BY g);
        EXIT WHEN heard >= 5 * p_limit;
    END LOOP;
    v_gates := v_gates || p_left;
    IF cardinality(p_freed) > 0 THEN
        v_gates := v_gates || holdfast.gates_among_v1(p_freed);
    END IF;
    v_gates := v_gates || ARRAY(SELECT g.name FROM holdfast.gate g WHERE g.opens_at <= v_now ORDER BY g.opens_at LIMIT 1000);
    IF p_sweep IS NOT NULL THEN
        SELECT v_gates || w.gates, w.swept INTO v_gates, swept FROM holdfast.sweep_gates_v1(p_sweep) AS w;
    END IF;
    -- Who has come to a fairly shared line gets its place in it; who finds it empty passes.
    v_rows := holdfast.arrivals_v1(p_limit);
    IF v_rows IS NOT NULL THEN
        v_stops := holdfast.stops_v1(v_rows, true);
        queues := coalesce(holdfast.seat_v1(v_rows, v_stops), '{}');
        seated := (SELECT count(*) FROM unnest(v_stops) AS s WHERE s IS NULL);
        v_gates := v_gates || ARRAY(SELECT DISTINCT s FROM unnest(v_stops) AS s WHERE s IS NOT NULL) || holdfast.left_room_v1(v_rows, v_stops);
    END IF;
    FOR turn IN 1..5 LOOP
        EXIT WHEN coalesce(cardinality(v_gates), 0) = 0;
        SELECT * INTO v_turn FROM holdfast.serve_v1(v_gates);
        seated := seated + v_turn.seated;
        queues := queues || coalesce(v_turn.queues, '{}');
        v_gates := v_turn.again;
    END LOOP;
    IF cardinality(queues) > 0 THEN
        queues := ARRAY(SELECT DISTINCT q FROM unnest(queues) AS q);
        PERFORM holdfast.ring_v1(queues);
    END IF;
    -- No row, no answer: greatest() over no row at all would be 0, and everybody would look without a pause. Not the line of a limit:
    -- it opens when the worker it was left to stays away, and looks made to see that would keep that worker from its claims.
    SELECT greatest(0, extract(epoch FROM g.opens_at - v_now) * 1000000)::bigint INTO opens_us
    FROM holdfast.gate g WHERE g.opens_at IS NOT NULL AND starts_with(g.name, 'rate:') ORDER BY g.opens_at LIMIT 1;
END $function$;
comment on function holdfast.admit_v1(bigint[],text[],bigint,text,integer) is 'Lets into ready whoever may pass its gates: behind jobs that have ended (p_freed) or have left gates (p_left), after calls (above p_settled), at rates whose time has come. is_mine false: another worker is at it, look again soon.';

-- [function] holdfast.adopt_log_v1()
CREATE OR REPLACE FUNCTION holdfast.adopt_log_v1(OUT drawn_before bigint, OUT highest bigint, OUT settled bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
BEGIN
    LOCK TABLE holdfast.event IN EXCLUSIVE MODE;            -- waits for every append; readers go on
    drawn_before := holdfast.last_position_v1();
    highest := greatest((SELECT max(e.position) FROM holdfast.event e), holdfast.settled_v1(), 0);
    IF highest > drawn_before THEN
        PERFORM setval('holdfast.event_position', highest);
    END IF;
    settled := greatest(highest, drawn_before);
    IF settled > holdfast.settled_v1() THEN
        INSERT INTO holdfast.tick (position, at, ticker) VALUES (settled, holdfast.now(), 0) ON CONFLICT DO NOTHING;
        PERFORM pg_notify('holdfast_tick', settled::text);
    END IF;
END $function$;
comment on function holdfast.adopt_log_v1() is 'After a restore or a switch-over: everything present is committed, so the sequence is put behind the last position and the whole log is published.';

-- [function] holdfast.answer_request_key_v1(text,text,integer,bytea)
CREATE OR REPLACE FUNCTION holdfast.answer_request_key_v1(p_actor text, p_key text, p_status integer, p_body bytea)
 RETURNS void
 LANGUAGE sql
AS $function$
    UPDATE holdfast.request_key SET status = p_status, body = p_body WHERE actor = p_actor AND key = p_key
$function$;
comment on function holdfast.answer_request_key_v1(text,text,integer,bytea) is 'Keeps the answer beside the key, in the transaction that took it.';

-- [function] holdfast.anyone_idle_v1(text[],integer)
CREATE OR REPLACE FUNCTION holdfast.anyone_idle_v1(p_queues text[], p_except integer)
 RETURNS boolean
 LANGUAGE sql
AS $function$
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = 1212567 AND l.objsubid = 2 AND l.mode = 'ShareLock' AND l.granted
          AND l.pid <> p_except
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
          AND l.objid = ANY (SELECT (holdfast.idle_key_v1(q)::bigint & 4294967295)::oid FROM unnest(p_queues) AS q))
$function$;
comment on function holdfast.anyone_idle_v1(text[],integer) is 'Is another worker idle on one of these queues? Then prefetched jobs that wait are better given back.';

-- [function] holdfast.append_each_v1(text[],bigint[],integer[],integer[],integer[],uuid[],text[],smallint[],jsonb[],jsonb[],text[],text[],jsonb[])
CREATE OR REPLACE FUNCTION holdfast.append_each_v1(p_streams text[], p_expected bigint[], p_counts integer[], p_of integer[], p_nth integer[], p_ids uuid[], p_types text[], p_schema_versions smallint[], p_data jsonb[], p_metadata jsonb[], p_correlations text[], p_causations text[], p_traces jsonb[])
 RETURNS TABLE(verdict text, positions bigint[], versions bigint[], recorded_at timestamp with time zone, detail jsonb)
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_type      text;
    v_taken     record;
    v_positions bigint[];
    v_at        timestamptz := holdfast.now();
BEGIN
    FOR v_type IN SELECT DISTINCT t FROM unnest(p_types) AS t LOOP
        IF NOT pg_try_advisory_xact_lock_shared(1212577, holdfast.condition_key_v1('type', v_type)) THEN
            RETURN QUERY SELECT 'busy', NULL::bigint[], NULL::bigint[], NULL::timestamptz, NULL::jsonb FROM unnest(p_streams);
            RETURN;
        END IF;
    END LOOP;
    v_taken := holdfast.take_streams_v1(p_streams, p_expected, p_counts);
    WITH added AS (
        INSERT INTO holdfast.event AS e (version, recorded_at, id, partition, schema_version, stream, type, data, metadata,
                                    correlation_id, causation_id, trace)
        SELECT v_taken.bases[i.of] + i.nth, v_at, i.id, v_taken.partitions[i.of], i.schema_version, p_streams[i.of], i.type,
               i.data, i.metadata, i.correlation_id, i.causation_id, i.trace
        FROM unnest(p_of, p_nth, p_ids, p_types, p_schema_versions, p_data, p_metadata, p_correlations, p_causations, p_traces)
             WITH ORDINALITY AS i(of, nth, id, type, schema_version, data, metadata, correlation_id, causation_id, trace, at)
        WHERE v_taken.verdicts[i.of] = 'appended' ORDER BY i.at
        RETURNING e.position
    )
    SELECT array_agg(a.position ORDER BY a.position) INTO v_positions FROM added a;
    IF v_positions IS NOT NULL THEN
        PERFORM holdfast.judge_position_v1(v_positions[1]);
    END IF;
    RETURN QUERY
    WITH placed AS (
        SELECT i.of, array_agg(v_positions[i.turn] ORDER BY i.turn) AS positions, array_agg(v_taken.bases[i.of] + i.nth ORDER BY i.turn) AS versions
        FROM (SELECT u.of, u.nth, row_number() OVER (ORDER BY u.at) AS turn
              FROM unnest(p_of, p_nth) WITH ORDINALITY AS u(of, nth, at) WHERE v_taken.verdicts[u.of] = 'appended') AS i
        GROUP BY i.of
    )
    SELECT t.verdict, p.positions, p.versions, v_at,
           CASE WHEN t.verdict = 'conflict' THEN holdfast.winners_v1(p_streams[t.at], p_expected[t.at]) END
    FROM unnest(v_taken.verdicts) WITH ORDINALITY AS t(verdict, at) LEFT JOIN placed p ON p.of = t.at ORDER BY t.at;
END $function$;
comment on function holdfast.append_each_v1(text[],bigint[],integer[],integer[],integer[],uuid[],text[],smallint[],jsonb[],jsonb[],text[],text[],jsonb[]) is 'Appends of strangers in one commit, each to a stream of its own, without tags, conditions, keys and given ids; a verdict each, as append_v1 gives it, or busy: nothing was done for it, and it is to be sent alone.';

-- [function] holdfast.append_events(text,jsonb,bigint,text,jsonb)
CREATE OR REPLACE FUNCTION holdfast.append_events(stream text, events jsonb, expected_version bigint DEFAULT NULL::bigint, idempotency_key text DEFAULT NULL::text, condition jsonb DEFAULT NULL::jsonb)
 RETURNS TABLE(version bigint, "position" bigint)
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_answer record;
    v_given  boolean;
BEGIN
    IF jsonb_typeof(events) IS DISTINCT FROM 'array' OR jsonb_array_length(events) = 0 THEN
        RAISE EXCEPTION 'events must be a JSON array with at least one event' USING ERRCODE = 'HF108',
            HINT = 'Write [{"type": "OrderPlaced", "data": {…}}].';
    ELSIF coalesce(append_events.stream, '') = '' OR expected_version < 0 THEN
        RAISE EXCEPTION 'a stream needs a name, and an expected version is 0 (none yet) or more' USING ERRCODE = 'HF108';
    ELSIF EXISTS (SELECT FROM jsonb_array_elements(events) AS e WHERE jsonb_typeof(e -> 'type') IS DISTINCT FROM 'string' OR e -> 'data' IS NULL) THEN
        RAISE EXCEPTION 'every event needs a type and data' USING ERRCODE = 'HF108';
    END IF;
    v_given := EXISTS (SELECT FROM jsonb_array_elements(events) AS e WHERE e ? 'id');
    SELECT a.* INTO v_answer FROM (
        SELECT array_agg(1) AS of, array_agg(e.at::integer ORDER BY e.at) AS nth,
               array_agg(coalesce((e.event ->> 'id')::uuid, holdfast.new_event_id()) ORDER BY e.at) AS ids,
               array_agg(e.event ->> 'type' ORDER BY e.at) AS types,
               array_agg(coalesce((e.event ->> 'schema_version')::smallint, 1::smallint) ORDER BY e.at) AS schema_versions,
               array_agg(e.event -> 'data' ORDER BY e.at) AS data,
               CASE WHEN bool_or(jsonb_array_length(e.event -> 'tags') > 0) THEN array_agg(nullif(ARRAY(SELECT t FROM jsonb_array_elements_text(e.event -> 'tags') AS t)::text, '{}') ORDER BY e.at) END AS tags,
               array_agg(e.event -> 'metadata' ORDER BY e.at) AS metadata,
               array_agg(e.event ->> 'correlation_id' ORDER BY e.at) AS correlations,
               array_agg(e.event ->> 'causation_id' ORDER BY e.at) AS causations,
               array_agg(e.event -> 'trace' ORDER BY e.at) AS traces
        FROM jsonb_array_elements(events) WITH ORDINALITY AS e(event, at)) AS i,
        LATERAL holdfast.append_v1(
            ARRAY[append_events.stream], ARRAY[expected_version], ARRAY[jsonb_array_length(events)], i.of, i.nth, i.ids, i.types,
            i.schema_versions, i.data, i.tags, i.metadata, i.correlations, i.causations, i.traces, v_given, idempotency_key, condition) AS a;
    IF v_answer.verdict NOT IN ('appended', 'repeated') THEN
        RAISE EXCEPTION 'nothing was appended to %: %', append_events.stream, CASE v_answer.verdict
                WHEN 'conflict' THEN format('version %s was expected, it stands at %s', expected_version, v_answer.detail ->> 'actual')
                WHEN 'condition' THEN 'events that the condition excludes were appended meanwhile'
                WHEN 'id_taken' THEN 'an event with such an id is in the log, with other content'
                ELSE 'the idempotency key was used for other events' END
            USING ERRCODE = CASE v_answer.verdict WHEN 'conflict' THEN 'HF101' WHEN 'condition' THEN 'HF102' WHEN 'id_taken' THEN 'HF103' ELSE 'HF104' END,
                  DETAIL = coalesce(v_answer.detail::text, '');
    END IF;
    RETURN QUERY SELECT u.version, u.pos FROM unnest(v_answer.versions, v_answer.positions) AS u(version, pos);
END $function$;
comment on function holdfast.append_events(text,jsonb,bigint,text,jsonb) is 'Appends [{"type", "data", "id"?, "schema_version"?, "tags"?, "metadata"?, "correlation_id"?, "causation_id"?, "trace"?}] to one stream, in the transaction of the caller. expected_version: 0 = the stream is new, n = it stands at n, NULL = any. Raises HF101 to HF104 with the winners in DETAIL.';

-- [function] holdfast.append_one_v1(text,bigint,uuid,text,smallint,jsonb,text,jsonb,text,text,jsonb)
CREATE OR REPLACE FUNCTION holdfast.append_one_v1(p_stream text, p_expected bigint, p_id uuid, p_type text, p_schema_version smallint, p_data jsonb, p_tags text, p_metadata jsonb, p_correlation text, p_causation text, p_trace jsonb, OUT verdict text, OUT positions bigint[], OUT versions bigint[], OUT recorded_at timestamp with time zone, OUT detail jsonb)
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_taken     record;
    v_base      bigint;
    v_partition smallint;
    v_position  bigint;
BEGIN
    IF p_tags IS NULL THEN
        PERFORM pg_advisory_xact_lock_shared(1212577, holdfast.condition_key_v1('type', p_type));
    ELSE
        PERFORM holdfast.lock_conditions_v1(ARRAY[p_type], ARRAY[p_tags], NULL);
    END IF;
    IF p_expected IS NULL THEN                              -- as take_stream_v1, whose call would cost a fifth of the append
        UPDATE holdfast.stream s SET version = s.version + 1 WHERE s.name = p_stream
        RETURNING s.version - 1, s.partition INTO v_base, v_partition;
    END IF;
    IF v_base IS NULL THEN
        v_taken := holdfast.take_stream_v1(p_stream, p_expected, 1);
        v_base := v_taken.base;
        v_partition := v_taken.partition;
        IF v_base IS NULL THEN
            verdict := 'conflict';
            detail := holdfast.winners_v1(p_stream, p_expected);
            RETURN;
        END IF;
    END IF;
    recorded_at := holdfast.now();
    INSERT INTO holdfast.event AS e (version, recorded_at, id, partition, schema_version, stream, type, data, tags, metadata,
                                correlation_id, causation_id, trace)
    VALUES (v_base + 1, append_one_v1.recorded_at, p_id, v_partition, p_schema_version, p_stream, p_type, p_data, p_tags::text[],
            p_metadata, p_correlation, p_causation, p_trace)
    RETURNING e.position INTO v_position;
    PERFORM holdfast.judge_position_v1(v_position);
    IF p_tags IS NOT NULL THEN
        INSERT INTO holdfast.event_tag (tag, position) SELECT DISTINCT t.tag, v_position FROM unnest(p_tags::text[]) AS t(tag);
    END IF;
    verdict := 'appended';
    positions := ARRAY[v_position];
    versions := ARRAY[v_base + 1];
END $function$;
comment on function holdfast.append_one_v1(text,bigint,uuid,text,smallint,jsonb,text,jsonb,text,text,jsonb) is 'append_v1 for one event with a fresh id and no condition: without arrays it costs a third.';

-- [function] holdfast.append_v1(text[],bigint[],integer[],integer[],integer[],uuid[],text[],smallint[],jsonb[],text[],jsonb[],text[],text[],jsonb[],boolean,text,jsonb)
CREATE OR REPLACE FUNCTION holdfast.append_v1(p_streams text[], p_expected bigint[], p_counts integer[], p_of integer[], p_nth integer[], p_ids uuid[], p_types text[], p_schema_versions smallint[], p_data jsonb[], p_tags text[], p_metadata jsonb[], p_correlations text[], p_causations text[], p_traces jsonb[], p_ids_are_given boolean, p_key text, p_condition jsonb, OUT verdict text, OUT positions bigint[], OUT versions bigint[], OUT recorded_at timestamp with time zone, OUT detail jsonb)
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_content uuid;
    v_written record;
    v_refused integer;
    v_kept    holdfast.append_key;
BEGIN
    IF (p_ids_are_given OR p_key IS NOT NULL OR p_condition IS NOT NULL) AND current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'ids, idempotency keys and conditions cannot be checked in a % transaction', current_setting('transaction_isolation')
            USING ERRCODE = 'HF105', HINT = 'Its snapshot is older than the locks that protect the check: append in READ COMMITTED.';
    END IF;
    IF p_condition IS NOT NULL AND EXISTS (
        SELECT FROM jsonb_array_elements(p_condition -> 'items') AS i WHERE i #> '{types,0}' IS NULL AND i #> '{tags,0}' IS NULL
    ) THEN
        RAISE EXCEPTION 'every item of a condition names a type or a tag' USING ERRCODE = 'HF108';
    END IF;
    IF p_key IS NOT NULL THEN
        v_content := md5(row(p_streams, p_of, p_types, p_schema_versions, p_data, p_tags)::text)::uuid;
        PERFORM pg_advisory_xact_lock(1212579, hashtext(p_key));
        SELECT * INTO v_kept FROM holdfast.append_key k WHERE k.key = p_key;
        IF FOUND THEN
            verdict := CASE WHEN v_kept.content = v_content THEN 'repeated' ELSE 'key_taken' END;
            positions := v_kept.positions; versions := v_kept.versions; recorded_at := v_kept.recorded_at;
            RETURN;
        END IF;
    END IF;
    PERFORM holdfast.lock_conditions_v1(p_types, p_tags, p_condition);
    IF p_ids_are_given THEN
        SELECT * INTO verdict, positions, versions, recorded_at, detail
        FROM holdfast.find_repeated_v1(p_streams, p_of, p_ids, p_types, p_schema_versions, p_data);
        IF verdict IS NOT NULL THEN RETURN; END IF;
    END IF;
    IF p_condition IS NOT NULL THEN
        detail := holdfast.matching_v1(p_condition);
        IF detail <> '[]' THEN
            verdict := 'condition';
            RETURN;
        END IF;
    END IF;
    IF cardinality(p_streams) = 1 AND NOT p_ids_are_given THEN
        v_written := holdfast.write_events_v1(
            p_streams, p_expected, p_counts, p_of, p_nth, p_ids, p_types, p_schema_versions, p_data, p_tags, p_metadata,
            p_correlations, p_causations, p_traces);
        v_refused := v_written.refused_by;
    ELSE
        -- A savepoint: what was done before the refusal is undone, and the caller's transaction goes on.
        BEGIN
            v_written := holdfast.write_events_v1(
                p_streams, p_expected, p_counts, p_of, p_nth, p_ids, p_types, p_schema_versions, p_data, p_tags, p_metadata,
                p_correlations, p_causations, p_traces);
            IF v_written.refused_by IS NOT NULL THEN
                v_refused := v_written.refused_by;
                RAISE EXCEPTION 'refused' USING ERRCODE = 'HF101';
            END IF;
        EXCEPTION
            WHEN SQLSTATE 'HF101' THEN NULL;
            WHEN unique_violation THEN
                IF NOT p_ids_are_given THEN RAISE; END IF;
                v_refused := 0;
        END;
    END IF;
    IF v_refused IS NOT NULL AND p_ids_are_given THEN
        -- Whoever was faster may have been our own first try, or somebody with one of our ids: in a new statement it shows.
        SELECT * INTO verdict, positions, versions, recorded_at, detail
        FROM holdfast.find_repeated_v1(p_streams, p_of, p_ids, p_types, p_schema_versions, p_data);
        IF verdict IS NOT NULL THEN RETURN; END IF;
    END IF;
    IF v_refused = 0 THEN
        RAISE EXCEPTION 'an id is given twice in one append' USING ERRCODE = 'HF103';
    ELSIF v_refused IS NOT NULL THEN
        verdict := 'conflict';
        detail := holdfast.winners_v1(p_streams[v_refused], p_expected[v_refused]);
        RETURN;
    END IF;
    verdict := 'appended';
    positions := v_written.positions;
    versions := v_written.versions;
    recorded_at := v_written.recorded_at;
    detail := NULL;
    IF p_key IS NOT NULL THEN
        INSERT INTO holdfast.append_key (key, content, positions, versions, recorded_at)
        VALUES (p_key, v_content, append_v1.positions, append_v1.versions, append_v1.recorded_at);
    END IF;
END $function$;
comment on function holdfast.append_v1(text[],bigint[],integer[],integer[],integer[],uuid[],text[],smallint[],jsonb[],text[],jsonb[],text[],text[],jsonb[],boolean,text,jsonb) is 'All of these events are in the log, or none. verdict: appended; repeated (they were already); conflict, condition, id_taken, key_taken: nothing was changed, detail says why, and the transaction can go on.';

-- [function] holdfast.argument_key_v1(jsonb,jsonb)
CREATE OR REPLACE FUNCTION holdfast.argument_key_v1(p_args jsonb, p_by jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT holdfast.gate_key_v1(coalesce(string_agg(coalesce(p_args ->> (b.part ->> 0), b.part ->> 1, ''), ',' ORDER BY b.at), ''))
    FROM jsonb_array_elements(p_by) WITH ORDINALITY AS b(part, at)
$function$;
comment on function holdfast.argument_key_v1(jsonb,jsonb) is 'The key that these arguments have by [[name, default], …], as the application makes it too.';

-- [function] holdfast.arrivals_v1(integer)
CREATE OR REPLACE FUNCTION holdfast.arrivals_v1(p_limit integer)
 RETURNS holdfast.blocked[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_sort TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_seen bigint[];
    v_rows holdfast.blocked[];
BEGIN
    SELECT array_agg(x.job_id) INTO v_seen FROM (
        SELECT b.job_id FROM holdfast.blocked b WHERE b.gate = '' ORDER BY b.rank, b.seq LIMIT p_limit) AS x;
    IF v_seen IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(x ORDER BY x.seq) INTO v_rows FROM (
        SELECT b.* FROM holdfast.blocked b WHERE b.job_id = ANY (v_seen) AND b.gate = '' FOR UPDATE SKIP LOCKED) AS x;
    RETURN v_rows;
END $function$;
comment on function holdfast.arrivals_v1(integer) is 'The oldest of those that no line has taken up yet and nobody holds, locked.';

-- [function] holdfast.audit_batches_v1()
CREATE OR REPLACE FUNCTION holdfast.audit_batches_v1()
 RETURNS TABLE(batch_id bigint, trouble text)
 LANGUAGE sql
 STABLE
AS $function$
    WITH deltas AS (
        SELECT d.batch_id, sum(d.joined - d.completed - d.failed - d.cancelled + d.reopened) AS open_jobs, sum(d.inner_open) AS inner_open
        FROM holdfast.batch_delta d GROUP BY d.batch_id
    ), said AS (
        SELECT b.id, b.finished_at, d.batch_id IS NOT NULL AS unsettled,
               b.members - b.completed - b.failed - b.cancelled + b.reopened + coalesce(d.open_jobs, 0) AS open_jobs,
               b.inner_open + coalesce(d.inner_open, 0) AS inner_open
        FROM holdfast.batch b LEFT JOIN deltas d ON d.batch_id = b.id
    ), truth AS (
        SELECT s.*, (SELECT count(*) FROM holdfast.batch_member m WHERE m.batch_id = s.id AND NOT holdfast.is_finished_v1(m.job_id)) AS open_truly,
               (SELECT count(*) FROM holdfast.batch i WHERE i.parent_batch = s.id AND i.finished_at IS NULL) AS inner_truly
        FROM said s
    )
    SELECT t.id, format('counts %s open jobs and %s open batches, there are %s and %s', t.open_jobs, t.inner_open, t.open_truly, t.inner_truly)
    FROM truth t WHERE t.open_jobs <> t.open_truly OR t.inner_open <> t.inner_truly
    UNION ALL
    SELECT t.id, 'nothing of it is open, and nobody is going to end it' FROM truth t
    WHERE t.finished_at IS NULL AND t.open_truly = 0 AND t.inner_truly = 0 AND NOT t.unsettled
$function$;
comment on function holdfast.audit_batches_v1() is 'Both laws for batches: what they count is what there is, and every open one has somebody who ends it. Empty is well.';

-- [function] holdfast.audit_gates_v1()
CREATE OR REPLACE FUNCTION holdfast.audit_gates_v1()
 RETURNS TABLE(gate text, job_id bigint, trouble text)
 LANGUAGE sql
 STABLE
AS $function$
    SELECT s.gate, NULL::bigint, format('%s slots are taken of %s', count(*), coalesce(r.capacity, 1))
    FROM holdfast.every_slot s LEFT JOIN holdfast.limit_rule r ON r.name = split_part(s.gate, ':', 1) || ':' || split_part(s.gate, ':', 2)
    WHERE starts_with(s.gate, 'lane:') OR r.name IS NOT NULL
    GROUP BY s.gate, r.capacity HAVING count(*) > coalesce(r.capacity, 1)
    UNION ALL
    SELECT s.gate, s.job_id, 'a slot of a job that has ended' FROM holdfast.every_slot s
    WHERE holdfast.is_finished_v1(s.job_id) OR NOT EXISTS (SELECT FROM holdfast.every_job j WHERE j.id = s.job_id)
    UNION ALL
    SELECT s.gate, s.job_id, 'a slot of a limit, and the job waits elsewhere' FROM holdfast.every_slot s
    WHERE NOT starts_with(s.gate, 'lane:')
      AND (EXISTS (SELECT FROM holdfast.scheduled d WHERE d.job_id = s.job_id) OR EXISTS (SELECT FROM holdfast.blocked b WHERE b.job_id = s.job_id))
    UNION ALL
    SELECT l.gate, NULL, format('slots of lease %s, which has ended', l.lease) FROM holdfast.lease_slot l
    WHERE NOT EXISTS (SELECT FROM holdfast.lease x WHERE x.id = l.lease)
    UNION ALL
    SELECT split_part(e.gate, E'\t', 1), a.job_id, 'admitted without a slot'
    FROM (SELECT r.job_id FROM holdfast.ready r WHERE r.flags & 8 <> 0
          UNION ALL SELECT h.job_id FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id)
          WHERE NOT EXISTS (SELECT FROM holdfast.lease_exit x WHERE x.lease = l.id AND x.job_id = h.job_id)
            AND NOT holdfast.is_finished_v1(h.job_id)) AS a
    JOIN holdfast.every_job j ON j.id = a.job_id, unnest(string_to_array(j.gates, E'\n')) AS e(gate)
    WHERE NOT starts_with(e.gate, 'rate:')
      AND NOT EXISTS (SELECT FROM holdfast.every_slot s WHERE s.job_id = a.job_id AND s.gate = split_part(e.gate, E'\t', 1))
$function$;
comment on function holdfast.audit_gates_v1() is 'The law of gates: never more slots than a gate has, each held by a job that may run, and nobody runs without. Empty is well.';

-- [function] holdfast.audit_movers_v1()
CREATE OR REPLACE FUNCTION holdfast.audit_movers_v1()
 RETURNS TABLE(job_id bigint, place text, trouble text)
 LANGUAGE sql
 STABLE
AS $function$
    SELECT h.job_id, 'lease', 'its worker is not live'
    FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id)
    WHERE NOT EXISTS (SELECT FROM holdfast.worker w WHERE w.id = l.id >> 36 AND w.state = 'live')
      AND NOT holdfast.is_finished_v1(h.job_id)
      AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = l.id AND e.job_id = h.job_id)
    UNION ALL
    SELECT s.job_id, 'scheduled', 'overdue by more than 5 s' FROM holdfast.scheduled s WHERE s.due_at < holdfast.now() - interval '5 seconds'
    UNION ALL
    SELECT b.job_id, 'blocked', CASE WHEN b.gate = '' THEN 'no worker looks at who has arrived' ELSE 'its gate has room and nobody takes it' END
    FROM holdfast.blocked b
    WHERE holdfast.id_time(b.job_id) < holdfast.now() - interval '5 seconds'
      AND (b.gate = '' OR coalesce(holdfast.room_v1(b.gate), 1) > 0
           OR EXISTS (SELECT FROM holdfast.slot s WHERE s.job_id = b.job_id AND s.gate = b.gate))
      AND b.queue IN (SELECT unnest(w.queues) FROM holdfast.worker w WHERE w.state = 'live')
      AND NOT EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = b.queue)
    UNION ALL
    SELECT b.job_id, 'blocked', 'no live worker' FROM holdfast.blocked b
    WHERE NOT EXISTS (SELECT FROM holdfast.worker w WHERE w.state = 'live' AND b.queue = ANY (w.queues))
      AND NOT EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = b.queue)
    UNION ALL
    SELECT r.job_id, 'ready', 'no live worker listens to its queue' FROM holdfast.ready r
    WHERE NOT EXISTS (SELECT FROM holdfast.worker w WHERE w.state = 'live' AND r.queue = ANY (w.queues))
      AND NOT EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = r.queue)
$function$;
comment on function holdfast.audit_movers_v1() is 'The next-mover law: unfinished jobs that nobody is going to move. Empty is well.';

-- [function] holdfast.audit_v1()
CREATE OR REPLACE FUNCTION holdfast.audit_v1()
 RETURNS TABLE(job_id bigint, places text[])
 LANGUAGE sql
 STABLE
AS $function$
    WITH standing AS (
        SELECT r.job_id, 'ready' AS place FROM holdfast.ready r
        UNION ALL SELECT s.job_id, 'scheduled' FROM holdfast.scheduled s
        UNION ALL SELECT b.job_id, 'blocked' FROM holdfast.blocked b
        UNION ALL SELECT o.job_id, 'outcome' FROM holdfast.every_outcome o
        UNION ALL SELECT h.job_id, 'lease' FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id)
            WHERE NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = l.id AND e.job_id = h.job_id)
              AND NOT EXISTS (SELECT FROM holdfast.every_outcome o WHERE o.job_id = h.job_id AND o.lease = l.id)
    )
    SELECT coalesce(j.id, s.job_id), coalesce(array_agg(s.place ORDER BY s.place) FILTER (WHERE s.place IS NOT NULL), '{}')
           || CASE WHEN j.id IS NULL THEN ARRAY['no job row'] ELSE '{}' END
    FROM (SELECT DISTINCT id FROM holdfast.every_job) j FULL JOIN standing s ON s.job_id = j.id
    GROUP BY coalesce(j.id, s.job_id), j.id
    HAVING count(s.place) <> 1 OR j.id IS NULL
$function$;
comment on function holdfast.audit_v1() is 'The conservation law: every job that stands in no place or in more than one. Empty is well.';

-- [function] holdfast.backfill_v1(text,timestamp with time zone[])
CREATE OR REPLACE FUNCTION holdfast.backfill_v1(p_name text, p_ats timestamp with time zone[])
 RETURNS SETOF holdfast.occurrence
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_schedule holdfast.schedule;
    v_made     holdfast.occurrence;
    v_at       timestamptz;
BEGIN
    SELECT * INTO v_schedule FROM holdfast.schedule s WHERE s.name = p_name FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    FOREACH v_at IN ARRAY p_ats LOOP
        -- What has, or waits for, its job is done already; what is still to come comes by itself.
        CONTINUE WHEN v_at >= v_schedule.next_at OR EXISTS (
            SELECT FROM holdfast.occurrence o WHERE o.schedule = p_name AND o.at = v_at AND o.state <> 'skipped');
        v_made := holdfast.decide_occurrence_v1(
            p_name, v_schedule.plan, v_at, 'backfill', CASE v_schedule.plan ->> 'overlap' WHEN 'allow' THEN 'allow' ELSE 'queue' END, NULL, NULL);
        DELETE FROM holdfast.occurrence o WHERE o.schedule = p_name AND o.at = v_at;
        INSERT INTO holdfast.occurrence SELECT (v_made).*;
        RETURN NEXT v_made;
    END LOOP;
END $function$;
comment on function holdfast.backfill_v1(text,timestamp with time zone[]) is 'Jobs for past moments that have none: at once where overlap is allowed, otherwise one after the other. Moments that have a job are left out, so it may be repeated.';

-- [function] holdfast.beat_v1(bigint)
CREATE OR REPLACE FUNCTION holdfast.beat_v1(p_worker bigint)
 RETURNS boolean
 LANGUAGE sql
AS $function$
    UPDATE holdfast.worker_beat SET beat = beat + 1, beaten_at = holdfast.now() WHERE worker = p_worker;
    SELECT EXISTS (SELECT FROM holdfast.worker w WHERE w.id = p_worker AND w.state = 'live')
$function$;
comment on function holdfast.beat_v1(bigint) is 'One more beat; false: this worker was declared dead and must stop at once.';

-- [function] holdfast.bounds_v1(text,integer)
CREATE OR REPLACE FUNCTION holdfast.bounds_v1(p_projection text, p_model integer)
 RETURNS TABLE(settled bigint, live bigint[])
 LANGUAGE sql
 STABLE
AS $function$
    SELECT holdfast.settled_v1(),
           CASE WHEN m.state <> 'live' THEN ARRAY(
               SELECT t.checkpoint FROM holdfast.projection_partition t
               JOIN holdfast.projection_model l USING (projection, model)
               WHERE t.projection = p_projection AND l.state = 'live' ORDER BY t.partition) END
    FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.model = p_model
$function$;
comment on function holdfast.bounds_v1(text,integer) is 'How far may be read: to the settled position; a model that is not live only as far as the live one has come, so that a switch neither loses nor doubles effects.';

-- [function] holdfast.call_back_v1(holdfast.batch,jsonb)
CREATE OR REPLACE FUNCTION holdfast.call_back_v1(p_batch holdfast.batch, p_call jsonb)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_outer boolean := p_call IS NOT NULL AND p_batch.parent_batch IS NOT NULL;
    v_job   bigint;
BEGIN
    IF p_call IS NULL THEN
        RETURN false;
    END IF;
    v_job := (holdfast.enqueue_v1(
        NULL, ARRAY[p_call->>'queue'], ARRAY[p_call->>'task'], ARRAY[p_call->'args'], ARRAY[(p_call->>'priority')::smallint],
        ARRAY[((p_call->>'flags')::smallint | CASE WHEN v_outer THEN 16 ELSE 0 END)::smallint], NULL, NULL,
        ARRAY[(p_call->>'max_attempts')::smallint], ARRAY[(p_call->>'timeout_seconds')::real], NULL, NULL,
        CASE WHEN p_call->>'gates' IS NOT NULL THEN ARRAY[p_call->>'gates'] END))[1];
    INSERT INTO holdfast.batch_callback (job_id, batch_id) VALUES (v_job, p_batch.id);
    IF v_outer THEN
        INSERT INTO holdfast.batch_member (batch_id, job_id) VALUES (p_batch.parent_batch, v_job);
    END IF;
    RETURN v_outer;
END $function$;
comment on function holdfast.call_back_v1(holdfast.batch,jsonb) is 'Enqueues one callback of a batch that ends. True: it has joined the batch of the parent job.';

-- [function] holdfast.call_gates_v1(bigint[])
CREATE OR REPLACE FUNCTION holdfast.call_gates_v1(p_jobs bigint[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_gates text[] := holdfast.gates_among_v1(p_jobs);
BEGIN
    IF cardinality(v_gates) > 0 THEN
        INSERT INTO holdfast.gate_call (gate, rank, seq) SELECT g, 9223372036854775807, 9223372036854775807 FROM unnest(v_gates) AS g;
        PERFORM holdfast.ring_v1(ARRAY(SELECT DISTINCT j.queue::text FROM holdfast.every_job j WHERE j.id = ANY (p_jobs)), 'gates');
    END IF;
END $function$;
comment on function holdfast.call_gates_v1(bigint[]) is 'With this commit somebody looks at the gates of these jobs again: they have freed slots, or were held while others looked. Nobody new stands there, so no mark moves.';

-- [function] holdfast.call_mark_v1(bigint,text[])
CREATE OR REPLACE FUNCTION holdfast.call_mark_v1(p_pending bigint, p_fence text[], OUT settled bigint, OUT pending bigint, OUT fence text[])
 RETURNS record
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
DECLARE
    v_writers text[];
BEGIN
    -- As marks_v1: first the sequence, then the writers; once the writers of then have ended, no call appears below it any more.
    SELECT o.last_value - CASE WHEN o.is_called THEN 0 ELSE 1 END INTO pending FROM holdfast.gate_call_number o;
    SELECT coalesce(array_agg(l.virtualtransaction), '{}') INTO v_writers FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'relation' AND l.relation = 'holdfast.gate_call'::regclass AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
      AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database());
    fence := v_writers;
    IF p_pending IS NULL THEN
        RETURN;
    END IF;
    IF p_fence && v_writers THEN
        pending := p_pending;
        fence := ARRAY(SELECT w FROM unnest(p_fence) AS w WHERE w = ANY (v_writers));
        RETURN;
    END IF;
    settled := coalesce((SELECT least(c.id - 1, p_pending) FROM holdfast.gate_call c ORDER BY c.id LIMIT 1), p_pending);
END $function$;
comment on function holdfast.call_mark_v1(bigint,text[]) is 'No call with a number up to settled is there or can ever appear; pending and fence are for the next call.';

-- [function] holdfast.calls_v1(bigint,integer)
CREATE OR REPLACE FUNCTION holdfast.calls_v1(p_settled bigint, p_limit integer, OUT gates text[], OUT heard bigint, OUT last bigint)
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_sort TO 'off'
 SET jit TO 'off'
AS $function$
BEGIN
    WITH heard AS (
        DELETE FROM holdfast.gate_call c WHERE c.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.gate_call x WHERE x.id > p_settled ORDER BY x.id LIMIT p_limit FOR UPDATE SKIP LOCKED))
        RETURNING c.id, c.gate, c.rank, c.seq
    ), of_gates AS (
        SELECT h.gate, min(h.rank) AS rank, min(h.seq) AS seq, count(*) AS n, max(h.id) AS last FROM heard h GROUP BY h.gate
    ), lowered AS (
        UPDATE holdfast.gate g SET mark_rank = least(o.rank, g.mark_rank), mark_seq = 0
        FROM of_gates o WHERE g.name = o.gate AND (o.rank, o.seq) < (g.mark_rank, g.mark_seq)
    )
    SELECT array_agg(o.gate) FILTER (WHERE o.gate <> ''), coalesce(sum(o.n), 0), max(o.last) INTO gates, heard, last FROM of_gates o;
END $function$;
comment on function holdfast.calls_v1(bigint,integer) is 'Takes calls, the oldest first: the gates to look at, and the number of the last. A newcomer before the mark of its gate lowers the mark.';

-- [function] holdfast.cancel_batch_v1(bigint,text)
CREATE OR REPLACE FUNCTION holdfast.cancel_batch_v1(p_batch bigint, p_reason text)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_inner bigint;
BEGIN
    UPDATE holdfast.batch b SET cancelled_at = holdfast.now(), cancel_reason = p_reason
    WHERE b.id = p_batch AND b.finished_at IS NULL AND b.cancelled_at IS NULL;
    IF NOT FOUND THEN
        RETURN (SELECT CASE WHEN b.finished_at IS NULL THEN 'cancelled already' ELSE 'finished' END FROM holdfast.batch b WHERE b.id = p_batch);
    END IF;
    PERFORM holdfast.cancel_members_v1(p_batch, p_reason);
    -- Also those whose parent job has ended: it lives on in its children.
    FOR v_inner IN SELECT b.id FROM holdfast.batch b WHERE b.parent_batch = p_batch AND b.finished_at IS NULL ORDER BY b.id LOOP
        PERFORM holdfast.cancel_batch_v1(v_inner, p_reason);
    END LOOP;
    INSERT INTO holdfast.batch_delta (batch_id) VALUES (p_batch);           -- the last member may have ended already
    RETURN 'cancelled';
END $function$;
comment on function holdfast.cancel_batch_v1(bigint,text) is 'Cancels a batch with its members, and the batches that these opened. cancelled, cancelled already, finished, or NULL: there is none.';

-- [function] holdfast.cancel_children_v1(bigint[],text)
CREATE OR REPLACE FUNCTION holdfast.cancel_children_v1(p_jobs bigint[], p_reason text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_batch bigint;
BEGIN
    FOR v_batch IN
        SELECT b.id FROM holdfast.batch b WHERE b.parent_job = ANY (p_jobs) AND b.finished_at IS NULL AND b.cancelled_at IS NULL ORDER BY b.id
    LOOP
        PERFORM holdfast.cancel_batch_v1(v_batch, p_reason);
    END LOOP;
END $function$;
comment on function holdfast.cancel_children_v1(bigint[],text) is 'The cascade of a cancel: the batches that these jobs have opened, whether the jobs are finished or not.';

-- [function] holdfast.cancel_members_v1(bigint,text)
CREATE OR REPLACE FUNCTION holdfast.cancel_members_v1(p_batch bigint, p_reason text)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_open bigint[] := ARRAY(
        SELECT m.job_id FROM holdfast.batch_member m
        WHERE m.batch_id = p_batch AND NOT holdfast.is_finished_v1(m.job_id)
          AND NOT EXISTS (SELECT FROM holdfast.cancel_request c WHERE c.job_id = m.job_id) ORDER BY m.job_id);
BEGIN
    IF cardinality(v_open) > 0 THEN
        PERFORM FROM holdfast.cancel_v1(v_open, p_reason);
    END IF;
    RETURN cardinality(v_open);
END $function$;
comment on function holdfast.cancel_members_v1(bigint,text) is 'Cancels the members of a batch that are not finished and were not asked before; returns how many.';

-- [function] holdfast.cancel_v1(bigint[],text)
CREATE OR REPLACE FUNCTION holdfast.cancel_v1(p_jobs bigint[], p_reason text)
 RETURNS TABLE(job_id bigint, answer text)
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
DECLARE
    v_open     bigint[];
    v_ended    bigint[];
    v_queues   text[];
    v_attempts smallint[];
BEGIN
    SELECT array_agg(j.id) INTO v_open FROM holdfast.every_job j
    WHERE j.id = ANY (p_jobs) AND NOT holdfast.is_finished_v1(j.id);
    INSERT INTO holdfast.cancel_request (job_id, requested_at, reason)
    SELECT j, holdfast.now(), p_reason FROM unnest(v_open) AS j ORDER BY j ON CONFLICT DO NOTHING;
    SELECT array_agg(w.job_id), array_agg(w.queue), array_agg(w.attempt) INTO v_ended, v_queues, v_attempts
    FROM holdfast.take_out_v1(v_open) w;
    IF v_ended IS NOT NULL THEN
        PERFORM holdfast.end_cancelled_v1(0, v_ended, v_queues, v_attempts);
    END IF;
    IF cardinality(v_open) > coalesce(cardinality(v_ended), 0) THEN
        PERFORM pg_notify('holdfast_cancel', '');
    END IF;
    PERFORM holdfast.cancel_children_v1(p_jobs, p_reason);
    RETURN QUERY SELECT i.id, CASE WHEN i.id = ANY (v_ended) THEN 'cancelled' WHEN i.id = ANY (v_open) THEN 'requested'
                                   WHEN EXISTS (SELECT FROM holdfast.every_job j WHERE j.id = i.id) THEN 'finished' ELSE 'unknown' END
    FROM unnest(p_jobs) AS i(id);
END $function$;
comment on function holdfast.cancel_v1(bigint[],text) is 'Waiting jobs end as cancelled at once; running ones are asked to stop (requested); finished and unknown ones are told apart. What they opened is cancelled with them.';

-- [function] holdfast.category_of(text)
CREATE OR REPLACE FUNCTION holdfast.category_of(p_stream text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$ SELECT split_part(p_stream, '-', 1) $function$;
comment on function holdfast.category_of(text) is 'What stands before the first hyphen: order-42 is of category order.';

-- [function] holdfast.change_schedule_v1(text,bigint,jsonb,timestamp with time zone,timestamp with time zone,boolean,timestamp with time zone[],text)
CREATE OR REPLACE FUNCTION holdfast.change_schedule_v1(p_name text, p_version bigint, p_edited jsonb, p_next timestamp with time zone, p_due timestamp with time zone, p_resume boolean, p_paused timestamp with time zone[], p_detail text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM FROM holdfast.schedule s WHERE s.name = p_name AND s.version = p_version FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO holdfast.occurrence (schedule, at, origin, state, because, detail, decided_at)
    SELECT p_name, m.at, 'due', 'skipped', 'paused', p_detail, holdfast.now() FROM unnest(p_paused) AS m(at) ON CONFLICT DO NOTHING;
    UPDATE holdfast.schedule s SET edited = p_edited, version = s.version + 1, next_at = p_next, due_at = p_due,
           last_at = greatest(s.last_at, (SELECT max(m.at) FROM unnest(p_paused) AS m(at))),
           paused_at = CASE WHEN p_resume THEN NULL ELSE s.paused_at END, pause_reason = CASE WHEN p_resume THEN NULL ELSE s.pause_reason END
    WHERE s.name = p_name;
    RETURN true;
END $function$;
comment on function holdfast.change_schedule_v1(text,bigint,jsonb,timestamp with time zone,timestamp with time zone,boolean,timestamp with time zone[],text) is 'An edit of the plan, or the end of a pause with the occurrences that it swallowed. False: the schedule was changed since it was read, so look again.';

-- [function] holdfast.checkpoint_v1(text,integer,smallint[],bigint[],bigint[],bigint[],interval)
CREATE OR REPLACE FUNCTION holdfast.checkpoint_v1(p_projection text, p_model integer, p_partitions smallint[], p_epochs bigint[], p_old bigint[], p_new bigint[], p_lease interval)
 RETURNS bigint
 LANGUAGE sql
AS $function$
    WITH moved AS (
        UPDATE holdfast.projection_partition t
        SET checkpoint = n.new, lease_until = holdfast.now() + p_lease, moved_at = holdfast.now(), failing = NULL
        FROM unnest(p_partitions, p_epochs, p_old, p_new) AS n(partition, epoch, old, new)
        WHERE t.projection = p_projection AND t.model = p_model AND t.partition = n.partition
          AND t.epoch = n.epoch AND t.checkpoint = n.old
        RETURNING 1)
    SELECT count(*) FROM moved
$function$;
comment on function holdfast.checkpoint_v1(text,integer,smallint[],bigint[],bigint[],bigint[],interval) is 'Fence, renewal and checkpoint in one guarded update, last in the transaction of the read model. Fewer rows than asked for: roll back, the lease is lost.';

-- [function] holdfast.claim_v1(bigint,bigint,integer,text[],smallint[],bigint[],text[],text[])
CREATE OR REPLACE FUNCTION holdfast.claim_v1(p_worker bigint, p_lease bigint, p_limit integer, p_queues text[], p_priorities smallint[], p_marks bigint[], p_kept text[] DEFAULT NULL::text[], p_freed text[] DEFAULT NULL::text[])
 RETURNS TABLE(kind smallint, job_id bigint, lease bigint, queue text, priority smallint, seq bigint, attempt smallint, flags smallint, task text, args text, max_attempts smallint, timeout_seconds real, trace jsonb)
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_sort TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_jobs       bigint[];
    v_leases     bigint[];
    v_queues     text[];
    v_priorities smallint[];
    v_seqs       bigint[];
    v_attempts   smallint[];
    v_flags      smallint[];
    v_alone      boolean;
    v_places     tid[];
    v_line       tid[];
    v_lanes      text[];
    v_wanting    text[];
    v_later      text[] := p_kept || p_freed;
    v_straight   bigint[];
    v_room       integer;
BEGIN
    SELECT array_agg(r.place) INTO v_places FROM (
        SELECT f.place
        FROM unnest(p_queues, p_priorities, p_marks) AS m(queue, priority, mark)
        CROSS JOIN LATERAL (
            SELECT x.ctid AS place FROM holdfast.ready x
            WHERE x.queue = m.queue AND x.priority = m.priority AND x.seq >= m.mark
              AND NOT EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = m.queue)
            ORDER BY x.seq LIMIT p_limit FOR UPDATE OF x SKIP LOCKED
        ) AS f
        LIMIT p_limit) AS r;
    v_room := p_limit - coalesce(cardinality(v_places), 0);
    IF v_room >= 25 OR v_room > 0 AND cardinality(v_later) > 0 THEN
        SELECT f.places, f.marks, f.wanting, f.later INTO v_line, v_lanes, v_wanting, v_later
        FROM holdfast.find_straight_v1(p_queues, v_room, p_kept, p_freed) AS f;
    END IF;
    IF cardinality(v_wanting) > 0 THEN
        kind := 3; args := array_to_string(v_wanting, E'\n');
        RETURN NEXT;
    END IF;
    IF cardinality(v_later) > 0 THEN
        kind := 4; args := array_to_string(v_later, E'\n');
        RETURN NEXT;
    END IF;
    IF v_places IS NULL AND v_line IS NULL THEN
        -- A look that finds nothing must not write: a row lock is a write, and every write is a flush of the log.
        IF NOT EXISTS (SELECT FROM holdfast.worker w WHERE w.id = p_worker AND w.state = 'live') THEN
            kind := 2;
            RETURN NEXT;
        END IF;
        RETURN;
    END IF;
    PERFORM FROM holdfast.worker w WHERE w.id = p_worker AND w.state = 'live' FOR KEY SHARE;
    IF NOT FOUND THEN
        kind := 2;
        RETURN NEXT;
        RETURN;
    END IF;
    WITH taken AS (
        DELETE FROM holdfast.ready x WHERE x.ctid = ANY (v_places)
        RETURNING x.queue, x.priority, x.seq, x.job_id, x.attempt, x.flags
    )
    SELECT array_agg(t.job_id), array_agg(t.queue), array_agg(t.priority), array_agg(t.seq), array_agg(t.attempt), array_agg(t.flags),
           bool_or(t.flags & 5 <> 0)
    INTO v_jobs, v_queues, v_priorities, v_seqs, v_attempts, v_flags, v_alone
    FROM (SELECT * FROM taken ORDER BY taken.priority, taken.seq) AS t;
    IF v_line IS NOT NULL THEN
        SELECT s.jobs, v_jobs || s.jobs, v_queues || s.queues, v_priorities || s.priorities, v_seqs || s.seqs, v_attempts || s.attempts,
               v_flags || s.flags, coalesce(v_alone, false) OR coalesce(s.alone, false)
        INTO v_straight, v_jobs, v_queues, v_priorities, v_seqs, v_attempts, v_flags, v_alone
        FROM holdfast.take_straight_v1(p_lease, v_line, v_lanes, v_room) AS s;
    END IF;
    IF v_jobs IS NULL THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM holdfast.cancel_request c WHERE c.job_id = ANY (v_jobs)) THEN
        SELECT s.jobs, s.queues, s.priorities, s.seqs, s.attempts, s.flags
        INTO v_jobs, v_queues, v_priorities, v_seqs, v_attempts, v_flags
        FROM holdfast.drop_cancelled_v1(v_jobs, v_queues, v_priorities, v_seqs, v_attempts, v_flags) AS s;
        PERFORM holdfast.leave_lease_slots_v1(ARRAY(SELECT unnest(v_straight) EXCEPT SELECT unnest(v_jobs)), ARRAY[p_lease]);
        IF v_jobs IS NULL THEN
            RETURN;
        END IF;
    END IF;
    IF v_alone THEN
        -- Transactional tasks and suspects get a lease of their own (p_lease + 1 …); all others share p_lease.
        SELECT array_agg(n.lease ORDER BY n.at) INTO v_leases FROM (
            SELECT i.at, CASE WHEN i.flags & 5 <> 0
                              THEN p_lease + count(*) FILTER (WHERE i.flags & 5 <> 0) OVER (ROWS UNBOUNDED PRECEDING)
                              ELSE p_lease END AS lease
            FROM unnest(v_flags) WITH ORDINALITY AS i(flags, at)) AS n;
        INSERT INTO holdfast.lease (id, job_ids, claimed_at)
        SELECT i.lease, array_agg(i.job_id), holdfast.now()
        FROM unnest(v_leases, v_jobs) AS i(lease, job_id) GROUP BY i.lease;
        INSERT INTO holdfast.lease_slot (lease, gate, job_ids)
        SELECT i.lease, s.gate, ARRAY[i.job_id] FROM holdfast.lease_slot s, unnest(s.job_ids) AS h(job_id)
        JOIN unnest(v_leases, v_jobs) AS i(lease, job_id) ON i.job_id = h.job_id WHERE s.lease = p_lease AND i.lease <> p_lease;
        PERFORM holdfast.leave_lease_slots_v1(array_agg(i.job_id), ARRAY[p_lease])
        FROM unnest(v_leases, v_jobs) AS i(lease, job_id) WHERE i.lease <> p_lease HAVING count(*) > 0;
    ELSE
        v_leases := array_fill(p_lease, ARRAY[cardinality(v_jobs)]);
        INSERT INTO holdfast.lease (id, job_ids, claimed_at) VALUES (p_lease, v_jobs, holdfast.now());
    END IF;
    IF cardinality(v_jobs) > 1 THEN
        RETURN QUERY SELECT * FROM holdfast.payload_v1(v_jobs, v_leases, v_queues, v_priorities, v_seqs, v_attempts, v_flags);
        RETURN;
    END IF;
    -- One job: a kept plan that prunes when it starts. Planning a statement for it would take longer than all the rest.
    kind := 0; job_id := v_jobs[1]; lease := v_leases[1]; queue := v_queues[1]; priority := v_priorities[1]; seq := v_seqs[1];
    attempt := v_attempts[1]; flags := v_flags[1];
    SELECT j.task, j.args, j.max_attempts, j.timeout_seconds, j.trace INTO task, args, max_attempts, timeout_seconds, trace
    FROM (SELECT * FROM holdfast.job x WHERE x.id = claim_v1.job_id
          UNION ALL SELECT * FROM holdfast.job_kept x WHERE x.id = claim_v1.job_id LIMIT 1) AS j;
    RETURN NEXT;
END $function$;
comment on function holdfast.claim_v1(bigint,bigint,integer,text[],smallint[],bigint[],text[],text[]) is 'Takes up to p_limit jobs into leases of this worker: ready ones, in the order of the given (queue, priority, mark) triples, then straight from lines: of lanes its jobs have left (p_kept by an earlier call, p_freed by this transaction), of limits. kind 0: a job; 2: this worker was declared dead; 3: those of these gates that want a look, 4: those that the next claim may go on at, in args.';

-- [function] holdfast.company_among_v1(bigint[])
CREATE OR REPLACE FUNCTION holdfast.company_among_v1(p_jobs bigint[])
 RETURNS bigint[]
 LANGUAGE sql
 STABLE
AS $function$
    SELECT array_agg(j.id) FROM (
        SELECT x.id FROM holdfast.job x WHERE x.id = ANY (p_jobs) AND x.flags & 24 <> 0
        UNION SELECT x.id FROM holdfast.job_kept x WHERE x.id = ANY (p_jobs) AND x.flags & 24 <> 0) AS j
$function$;
comment on function holdfast.company_among_v1(bigint[]) is 'Those of the jobs that have company, or NULL. Off the hot path, where flags are not at hand.';

-- [function] holdfast.condition_key_v1(text,text)
CREATE OR REPLACE FUNCTION holdfast.condition_key_v1(p_kind text, p_word text)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$ SELECT hashtext(p_kind || ':' || p_word) $function$;

-- [function] holdfast.copy_grants_v1(regclass,regclass)
CREATE OR REPLACE FUNCTION holdfast.copy_grants_v1(p_from regclass, p_to regclass)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_grant record;
BEGIN
    FOR v_grant IN
        SELECT a.privilege_type, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS grantee
        FROM pg_catalog.pg_class c, aclexplode(c.relacl) AS a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
        WHERE c.oid = p_from AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON %s TO %s', v_grant.privilege_type, p_to, v_grant.grantee);
    END LOOP;
END $function$;
comment on function holdfast.copy_grants_v1(regclass,regclass) is 'Who may read the old table may read the new one.';

-- [function] holdfast.count_held_v1(bigint[],bigint[],bigint[])
CREATE OR REPLACE FUNCTION holdfast.count_held_v1(p_live bigint[], p_leases bigint[], p_jobs bigint[])
 RETURNS bigint
 LANGUAGE sql
 STABLE
AS $function$
    SELECT count(*) FROM (
        SELECT i.lease, i.job_id FROM unnest(p_leases, p_jobs) AS i(lease, job_id)
        INTERSECT
        SELECT l.id, h.job_id FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id) WHERE l.id = ANY (p_live)) AS both_say
$function$;
comment on function holdfast.count_held_v1(bigint[],bigint[],bigint[]) is 'How many of these jobs are named by these locked leases: by hashing, since comparing every pair costs 60 ms for 500.';

-- [function] holdfast.count_loss_v1(bigint,bigint,text,boolean,text)
CREATE OR REPLACE FUNCTION holdfast.count_loss_v1(p_lease bigint, p_job bigint, p_queue text, p_counted boolean, p_reason text)
 RETURNS TABLE(losses bigint, counted bigint)
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM FROM holdfast.lease l WHERE l.id = p_lease AND p_job = ANY (l.job_ids) FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN;                                             -- lost as well: whoever rescued it has counted
    END IF;
    INSERT INTO holdfast.loss (job_id, lease, lost_at, counted, reason)
    VALUES (p_job, p_lease, holdfast.now(), p_counted, p_reason) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        INSERT INTO holdfast.tally_delta (queue, lost) VALUES (p_queue, 1);
    END IF;
    RETURN QUERY SELECT count(*), count(*) FILTER (WHERE l.counted) FROM holdfast.loss l WHERE l.job_id = p_job;
END $function$;
comment on function holdfast.count_loss_v1(bigint,bigint,text,boolean,text) is 'Remembers that the process or engine that ran this attempt died, and says how often that happened; no row: the lease is lost.';

-- [function] holdfast.create_first_token_v1(text,bytea)
CREATE OR REPLACE FUNCTION holdfast.create_first_token_v1(p_name text, p_digest bytea)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_id bigint;
BEGIN
    -- Locked here, looked at in the next statement: of several that start together one finds the table empty.
    PERFORM pg_catalog.pg_advisory_xact_lock(72700, 15);
    INSERT INTO holdfast.access_token (name, digest, role, created_by)
    SELECT p_name, p_digest, 'admin', 'first start' WHERE NOT EXISTS (SELECT FROM holdfast.access_token)
    RETURNING id INTO v_id;
    RETURN v_id;
END $function$;
comment on function holdfast.create_first_token_v1(text,bytea) is 'An admin token if there is no token at all, at most once; NULL otherwise.';

-- [function] holdfast.decide_occurrence_v1(text,jsonb,timestamp with time zone,text,text,text,text)
CREATE OR REPLACE FUNCTION holdfast.decide_occurrence_v1(p_name text, p_plan jsonb, p_at timestamp with time zone, p_origin text, p_overlap text, p_fingerprint text, p_detail text)
 RETURNS holdfast.occurrence
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_seen    timestamptz;
    v_busy    bigint;
    v_busy_at timestamptz;
    v_made    holdfast.occurrence;
BEGIN
    v_made := ROW(p_name, p_at, p_origin, 'started', NULL, p_detail, NULL, p_fingerprint, holdfast.now());
    v_seen := holdfast.unchanged_since_v1(p_name, p_fingerprint);
    IF p_overlap <> 'allow' THEN
        SELECT u.job_id, u.at INTO v_busy, v_busy_at FROM holdfast.unfinished_job_of_v1(p_name) u;
    END IF;
    IF v_seen IS NOT NULL THEN
        v_made.state := 'skipped';
        v_made.because := 'unchanged';
        v_made.detail := format('the source is as it was at %s', to_char(v_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"'));
    ELSIF v_busy IS NOT NULL AND p_overlap = 'skip' THEN
        v_made.state := 'skipped';
        v_made.because := 'overlap';
        v_made.detail := format('job %s of %s has not ended', v_busy, to_char(v_busy_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"'));
    ELSIF p_overlap = 'queue' AND (v_busy IS NOT NULL
            OR EXISTS (SELECT FROM holdfast.occurrence o WHERE o.schedule = p_name AND o.state = 'waiting')) THEN
        v_made.state := 'waiting';
    ELSE
        v_made.job_id := holdfast.enqueue_occurrence_v1(p_plan, p_at);
    END IF;
    RETURN v_made;
END $function$;
comment on function holdfast.decide_occurrence_v1(text,jsonb,timestamp with time zone,text,text,text,text) is 'What becomes of one occurrence of a schedule that the caller has locked: a job, a wait, or skipped because the source is unchanged or a job is on its way.';

-- [function] holdfast.declare_dead_v1(bigint,text)
CREATE OR REPLACE FUNCTION holdfast.declare_dead_v1(p_worker bigint, p_reason text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
    -- A claim in flight holds KEY SHARE on this row: it must end before, so that no lease appears after.
    PERFORM FROM holdfast.worker w WHERE w.id = p_worker AND w.state = 'live' FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NOT EXISTS (SELECT FROM holdfast.worker w WHERE w.id = p_worker AND w.state = 'live');
    END IF;
    UPDATE holdfast.worker SET state = 'dead', ended_at = holdfast.now(), end_reason = p_reason WHERE id = p_worker;
    RETURN true;
END $function$;
comment on function holdfast.declare_dead_v1(bigint,text) is 'True: the worker is dead from now on, it claims nothing more. False: a claim of it is in flight, ask again.';

-- [function] holdfast.declare_limits_v1(text[],integer[],bigint[],jsonb[])
CREATE OR REPLACE FUNCTION holdfast.declare_limits_v1(p_names text[], p_capacities integer[], p_pers_us bigint[], p_weights jsonb[])
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO holdfast.limit_rule AS r (name, declared, per_us, weights, declared_at)
    SELECT i.name, i.capacity, i.per_us, i.weights, holdfast.now()
    FROM unnest(p_names, p_capacities, p_pers_us, p_weights) AS i(name, capacity, per_us, weights) ORDER BY i.name
    ON CONFLICT (name) DO UPDATE SET declared = excluded.declared, per_us = excluded.per_us, weights = excluded.weights,
        declared_at = excluded.declared_at
    WHERE (r.declared, r.per_us, r.weights) IS DISTINCT FROM (excluded.declared, excluded.per_us, excluded.weights)
$function$;
comment on function holdfast.declare_limits_v1(text[],integer[],bigint[],jsonb[]) is 'What the application says about its limits; unchanged ones are not written, and what an operator has chosen stays.';

-- [function] holdfast.declare_projection_v1(text,text,text,integer,text[],text[],text[],text[],boolean)
CREATE OR REPLACE FUNCTION holdfast.declare_projection_v1(p_name text, p_kind text, p_on_failure text, p_code_version integer, p_types text[], p_categories text[], p_tags text[], p_tables text[], p_from_now boolean)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_live  integer;
    v_start bigint := 0;
BEGIN
    INSERT INTO holdfast.projection AS p (name, kind, on_failure, code_version, types, categories, tags, tables, declared_at)
    VALUES (p_name, p_kind, p_on_failure, p_code_version, p_types, p_categories, p_tags, p_tables, holdfast.now())
    ON CONFLICT (name) DO UPDATE SET
        kind = excluded.kind, on_failure = excluded.on_failure, types = excluded.types, categories = excluded.categories,
        tags = excluded.tags, tables = excluded.tables, code_version = excluded.code_version, declared_at = excluded.declared_at
        WHERE p.code_version <= excluded.code_version;      -- older code in a rolling deploy changes nothing
    SELECT m.model INTO v_live FROM holdfast.projection_model m WHERE m.projection = p_name AND m.state = 'live';
    IF FOUND THEN
        RETURN EXISTS (SELECT FROM holdfast.projection_model m WHERE m.projection = p_name AND m.code_version = p_code_version);
    END IF;
    IF p_from_now THEN
        v_start := holdfast.settled_v1();
    END IF;
    PERFORM holdfast.make_model_v1(p_name, 1, p_code_version, 'live', NULL, v_start);
    RETURN true;
END $function$;
comment on function holdfast.declare_projection_v1(text,text,text,integer,text[],text[],text[],text[],boolean) is 'Makes the projection known, and its first model. False: it has a live model of other code, and none of this; a rebuild makes one.';

-- [function] holdfast.declare_schedule_v1(text,bigint,text,jsonb,timestamp with time zone,timestamp with time zone,timestamp with time zone)
CREATE OR REPLACE FUNCTION holdfast.declare_schedule_v1(p_name text, p_version bigint, p_source text, p_declared jsonb, p_anchor timestamp with time zone, p_next timestamp with time zone, p_due timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF p_version IS NULL THEN
        INSERT INTO holdfast.schedule (name, source, declared, anchor_at, next_at, due_at, declared_at)
        VALUES (p_name, p_source, p_declared, p_anchor, p_next, p_due, holdfast.now()) ON CONFLICT DO NOTHING;
        RETURN FOUND;
    END IF;
    UPDATE holdfast.schedule s SET source = p_source, declared = p_declared, version = s.version + 1, next_at = p_next,
           due_at = p_due, withdrawn_at = NULL, declared_at = holdfast.now()
    WHERE s.name = p_name AND s.version = p_version;
    RETURN FOUND;
END $function$;
comment on function holdfast.declare_schedule_v1(text,bigint,text,jsonb,timestamp with time zone,timestamp with time zone,timestamp with time zone) is 'What the code says from now on. False: somebody else declared or changed it since it was read, so look again.';

-- [function] holdfast.detach_statements_v1(text)
CREATE OR REPLACE FUNCTION holdfast.detach_statements_v1(p_name text)
 RETURNS SETOF text
 LANGUAGE sql
 STABLE
AS $function$
    SELECT format('ALTER TABLE holdfast.%I DETACH PARTITION holdfast.%I %s', parent.relname, child.relname,
                  CASE WHEN i.inhdetachpending THEN 'FINALIZE' ELSE 'CONCURRENTLY' END)
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class parent ON parent.oid = i.inhparent
    JOIN pg_catalog.pg_class child ON child.oid = i.inhrelid
    WHERE i.inhparent IN ('holdfast.job'::regclass, 'holdfast.outcome'::regclass)
      AND child.relname IN ('job_' || p_name, 'outcome_' || p_name)
    ORDER BY i.inhdetachpending DESC, parent.relname
$function$;
comment on function holdfast.detach_statements_v1(text) is 'What is left to do to detach a partition, outside of a transaction; an interrupted detach is finalized first.';

-- [function] holdfast.detached_partitions_v1()
CREATE OR REPLACE FUNCTION holdfast.detached_partitions_v1()
 RETURNS SETOF text
 LANGUAGE sql
 STABLE
AS $function$
    SELECT substr(j.relname, 5) FROM pg_catalog.pg_class j
    WHERE j.relnamespace = 'holdfast'::regnamespace AND j.relkind = 'r' AND j.relname ~ '^job_\d{8}$' AND NOT j.relispartition
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_class o WHERE o.relnamespace = j.relnamespace
                      AND o.relname = 'outcome_' || substr(j.relname, 5) AND o.relispartition)
$function$;
comment on function holdfast.detached_partitions_v1() is 'Partitions detached but not dropped, because somebody was still reading or retention was interrupted.';

-- [function] holdfast.draw_ids_v1(integer)
CREATE OR REPLACE FUNCTION holdfast.draw_ids_v1(p_blocks integer)
 RETURNS SETOF bigint
 LANGUAGE sql
AS $function$
    SELECT holdfast.id_floor(holdfast.now()) | (1 << 21) | ((nextval('holdfast.job_block') & 2047) << 10)
    FROM generate_series(1, p_blocks)
$function$;
comment on function holdfast.draw_ids_v1(integer) is 'First ids of blocks of 1024, drawn before sending so that a repeated enqueue is recognised. Stale after a minute.';

-- [function] holdfast.drop_cancelled_v1(bigint[],text[],smallint[],bigint[],smallint[],smallint[])
CREATE OR REPLACE FUNCTION holdfast.drop_cancelled_v1(p_jobs bigint[], p_queues text[], p_priorities smallint[], p_seqs bigint[], p_attempts smallint[], p_flags smallint[], OUT jobs bigint[], OUT queues text[], OUT priorities smallint[], OUT seqs bigint[], OUT attempts smallint[], OUT flags smallint[])
 RETURNS record
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM holdfast.end_cancelled_v1(0, array_agg(i.job_id), array_agg(i.queue), array_agg(i.attempt))
    FROM unnest(p_jobs, p_queues, p_attempts) AS i(job_id, queue, attempt)
    JOIN holdfast.cancel_request c ON c.job_id = i.job_id;
    SELECT array_agg(i.job_id ORDER BY i.at), array_agg(i.queue ORDER BY i.at), array_agg(i.priority ORDER BY i.at),
           array_agg(i.seq ORDER BY i.at), array_agg(i.attempt ORDER BY i.at), array_agg(i.flags ORDER BY i.at)
    INTO jobs, queues, priorities, seqs, attempts, flags
    FROM unnest(p_jobs, p_queues, p_priorities, p_seqs, p_attempts, p_flags) WITH ORDINALITY
         AS i(job_id, queue, priority, seq, attempt, flags, at)
    WHERE NOT EXISTS (SELECT FROM holdfast.outcome o WHERE o.job_id = i.job_id)
      AND NOT EXISTS (SELECT FROM holdfast.outcome_kept o WHERE o.job_id = i.job_id);
END $function$;
comment on function holdfast.drop_cancelled_v1(bigint[],text[],smallint[],bigint[],smallint[],smallint[]) is 'Ends those of the just claimed jobs that somebody cancelled while they waited; returns the others.';

-- [function] holdfast.drop_detached_v1(text)
CREATE OR REPLACE FUNCTION holdfast.drop_detached_v1(p_name text)
 RETURNS integer
 LANGUAGE plpgsql
 SET lock_timeout TO '2s'
AS $function$
DECLARE
    v_kept integer;
BEGIN
    PERFORM pg_advisory_xact_lock(1212570, 0);
    -- Decided again, now that nothing is written there any more: whoever is unfinished must stand in job_kept; a straggler
    -- copied before that has finished meanwhile takes its outcome along.
    EXECUTE format(
        'INSERT INTO holdfast.outcome_kept SELECT o.* FROM holdfast.%I o
         WHERE EXISTS (SELECT FROM holdfast.job_kept k WHERE k.id = o.job_id) ON CONFLICT DO NOTHING', 'outcome_' || p_name);
    EXECUTE format(
        'INSERT INTO holdfast.job_kept SELECT j.* FROM holdfast.%I j
         WHERE NOT EXISTS (SELECT FROM holdfast.%I o WHERE o.job_id = j.id) ON CONFLICT DO NOTHING', 'job_' || p_name, 'outcome_' || p_name);
    GET DIAGNOSTICS v_kept = ROW_COUNT;
    PERFORM holdfast.forget_company_v1('outcome_' || p_name);
    EXECUTE format('DROP TABLE holdfast.%I, holdfast.%I', 'job_' || p_name, 'outcome_' || p_name);
    RETURN v_kept;
END $function$;
comment on function holdfast.drop_detached_v1(text) is 'Drops a detached partition, after a last look for anybody unfinished.';

-- [function] holdfast.drop_log_partitions_v1(interval)
CREATE OR REPLACE FUNCTION holdfast.drop_log_partitions_v1(p_keep interval)
 RETURNS integer
 LANGUAGE plpgsql
 SET lock_timeout TO '2s'
AS $function$
DECLARE
    v_name    text;
    v_dropped integer := 0;
BEGIN
    FOR v_name IN
        SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'holdfast.job_log'::regclass
          AND to_date(substr(c.relname, 5), 'YYYYMMDD') + 1 <= ((holdfast.now() - p_keep) AT TIME ZONE 'UTC')::date
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE holdfast.%I', v_name);
        v_dropped := v_dropped + 1;
    END LOOP;
    RETURN v_dropped;
END $function$;
comment on function holdfast.drop_log_partitions_v1(interval) is 'Lets go of whole days of log lines. Nothing but log lines is behind this lock; a reader only delays it to the next hour.';

-- [function] holdfast.drop_model_v1(text,integer)
CREATE OR REPLACE FUNCTION holdfast.drop_model_v1(p_projection text, p_model integer)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_schema text;
BEGIN
    DELETE FROM holdfast.projection_model m
    WHERE m.projection = p_projection AND m.model = p_model AND m.state <> 'live' RETURNING m.schema_name INTO v_schema;
    IF v_schema IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', v_schema);
    RETURN true;
END $function$;
comment on function holdfast.drop_model_v1(text,integer) is 'A model that is built or kept, with its tables. The live one is never dropped.';

-- [function] holdfast.due_schedules_v1(text[])
CREATE OR REPLACE FUNCTION holdfast.due_schedules_v1(p_probes text[])
 RETURNS TABLE(name text, version bigint, plan jsonb, anchor_at timestamp with time zone, next_at timestamp with time zone, due_at timestamp with time zone, seen_at timestamp with time zone)
 LANGUAGE sql
AS $function$
    SELECT s.name, s.version, s.plan, s.anchor_at, s.next_at, s.due_at, n.seen_at
    FROM (SELECT holdfast.now() AS seen_at) AS n, holdfast.schedule s
    WHERE s.due_at <= n.seen_at AND s.paused_at IS NULL AND s.withdrawn_at IS NULL
      AND (s.plan ->> 'probe' IS NULL OR s.name = ANY (p_probes))
      AND (s.probing_until IS NULL OR s.probing_until <= n.seen_at)
    ORDER BY s.due_at
$function$;
comment on function holdfast.due_schedules_v1(text[]) is 'Schedules with an occurrence to decide about, but for those whose probe this process does not have or somebody else is asking.';

-- [function] holdfast.edit_v1(bigint,jsonb,jsonb,text)
CREATE OR REPLACE FUNCTION holdfast.edit_v1(p_job bigint, p_from jsonb, p_args jsonb, p_reason text)
 RETURNS text
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
DECLARE
    v_args jsonb;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1212570, 0);
    IF NOT holdfast.lock_place_v1(p_job) THEN
        RETURN holdfast.standing_v1(p_job);
    END IF;
    SELECT j.args INTO v_args FROM holdfast.every_job j WHERE j.id = p_job;
    IF v_args <> p_from THEN
        RETURN 'changed';
    END IF;
    INSERT INTO holdfast.job_edit (job_id, edited_at, reason, args) VALUES (p_job, holdfast.now(), p_reason, v_args);
    UPDATE holdfast.job SET args = p_args WHERE id = p_job;
    UPDATE holdfast.job_kept SET args = p_args WHERE id = p_job;
    PERFORM holdfast.call_gates_v1(ARRAY[p_job]);           -- whoever looked meanwhile has passed it by
    RETURN 'moved';
END $function$;
comment on function holdfast.edit_v1(bigint,jsonb,jsonb,text) is 'moved: a job that does not run has other arguments from now on, and the gates and key it had. changed: its arguments are not p_from any more. Otherwise nothing changes and the answer is where it stands.';

-- [function] holdfast.end_batch_v1(holdfast.batch)
CREATE OR REPLACE FUNCTION holdfast.end_batch_v1(p_batch holdfast.batch)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_well   boolean := p_batch.completed = p_batch.members AND p_batch.inner_unwell = 0 AND p_batch.cancelled_at IS NULL;
    v_joined integer := 0;
BEGIN
    UPDATE holdfast.batch b SET finished_at = holdfast.now() WHERE b.id = p_batch.id;
    IF p_batch.cancelled_at IS NULL THEN
        v_joined := holdfast.call_back_v1(p_batch, CASE WHEN v_well THEN p_batch.on_success ELSE p_batch.on_failure END)::integer
                  + holdfast.call_back_v1(p_batch, p_batch.on_finish)::integer;
    END IF;
    IF p_batch.parent_batch IS NOT NULL THEN
        INSERT INTO holdfast.batch_delta (batch_id, joined, inner_open, inner_unwell)
        VALUES (p_batch.parent_batch, v_joined, -1, (NOT v_well)::integer);
    END IF;
END $function$;
comment on function holdfast.end_batch_v1(holdfast.batch) is 'Ends a batch, locked by the caller, of which nothing is open: callbacks, and the word to the batch around it. A cancelled one calls nobody.';

-- [function] holdfast.end_cancelled_v1(bigint,bigint[],text[],smallint[])
CREATE OR REPLACE FUNCTION holdfast.end_cancelled_v1(p_lease bigint, p_jobs bigint[], p_queues text[], p_attempts smallint[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_now     timestamptz := holdfast.now();
    v_company bigint[] := holdfast.company_among_v1(p_jobs);
BEGIN
    PERFORM holdfast.write_outcome_v1(i.job_id, p_lease, 3::smallint, i.attempt, v_now,
        jsonb_build_object('type', 'Cancelled', 'message', coalesce(c.reason, 'cancelled on request')))
    FROM unnest(p_jobs, p_attempts) AS i(job_id, attempt)
    LEFT JOIN holdfast.cancel_request c ON c.job_id = i.job_id;
    INSERT INTO holdfast.tally_delta (queue, cancelled) SELECT q, count(*) FROM unnest(p_queues) AS q GROUP BY q;
    DELETE FROM holdfast.cancel_request c WHERE c.job_id = ANY (p_jobs);
    IF v_company IS NOT NULL THEN
        PERFORM holdfast.tell_company_v1(v_company, array_fill(p_lease, ARRAY[cardinality(v_company)]),
                                         array_fill(3::smallint, ARRAY[cardinality(v_company)]));
        PERFORM pg_notify('holdfast_gates', '');
    END IF;
END $function$;
comment on function holdfast.end_cancelled_v1(bigint,bigint[],text[],smallint[]) is 'Ends jobs that nobody runs any more as cancelled. The caller has taken them out of their place.';

-- [function] holdfast.end_leases_v1(bigint[])
CREATE OR REPLACE FUNCTION holdfast.end_leases_v1(p_done bigint[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF cardinality(p_done) > 0 THEN
        DELETE FROM holdfast.lease l WHERE l.id = ANY (p_done);
        DELETE FROM holdfast.lease_exit e WHERE e.lease = ANY (p_done);
    END IF;
END $function$;
comment on function holdfast.end_leases_v1(bigint[]) is 'Ends leases of which the worker knows that every job has left.';

-- [function] holdfast.end_operation_v1(bigint,text,text,text)
CREATE OR REPLACE FUNCTION holdfast.end_operation_v1(p_operation bigint, p_state text, p_by text, p_trouble text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE holdfast.operation o SET state = p_state, finished_at = holdfast.now(), ended_by = p_by, trouble = coalesce(p_trouble, o.trouble)
    WHERE o.id = p_operation AND o.state = 'running';
    RETURN FOUND;
END $function$;
comment on function holdfast.end_operation_v1(bigint,text,text,text) is 'No batch of a running operation begins from now on; waits for one that is under way. False: it was not running.';

-- [function] holdfast.enqueue(text,jsonb,text,integer,timestamp with time zone,text,integer,real,text)
CREATE OR REPLACE FUNCTION holdfast.enqueue(p_task text, p_args jsonb DEFAULT '{}'::jsonb, queue text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, unique_key text DEFAULT NULL::text, max_attempts integer DEFAULT NULL::integer, timeout_seconds real DEFAULT NULL::real, lane text DEFAULT NULL::text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_task  holdfast.task;
    v_queue text;
    v_gates text;
BEGIN
    IF jsonb_typeof(p_args) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'the arguments of % must be a JSON object that names them, not %', p_task, coalesce(jsonb_typeof(p_args), 'null')
            USING ERRCODE = 'HF004', HINT = 'Write {"user_id": 42}.';
    END IF;
    IF run_at = 'infinity' THEN
        RAISE EXCEPTION 'a job of % cannot be due at infinity', p_task USING ERRCODE = 'HF004', HINT = 'Say when, or enqueue it once it is wanted.';
    END IF;
    SELECT * INTO v_task FROM holdfast.task t WHERE t.name = p_task;
    v_queue := coalesce(queue, v_task.queue);
    IF v_queue IS NULL THEN
        RAISE EXCEPTION 'no worker has declared a task named "%" yet', p_task
            USING ERRCODE = 'HF005', HINT = 'Start a worker of the application once, or say queue => ''…''.';
    END IF;
    IF lane IS NOT NULL OR v_task.gates IS NOT NULL THEN
        v_gates := holdfast.gates_of_v1(p_task, coalesce(v_task.gates, '[]'), p_args, lane);
    END IF;
    RETURN (holdfast.enqueue_keyed_v1(
        NULL, ARRAY[v_queue], ARRAY[p_task], ARRAY[p_args],
        ARRAY[coalesce(priority, v_task.priority, 5)::smallint],
        ARRAY[(coalesce(v_task.flags, 0) | CASE WHEN run_at > holdfast.now() THEN 32 ELSE 0 END)::smallint],
        NULL, CASE WHEN run_at IS NOT NULL THEN ARRAY[run_at] END,
        ARRAY[max_attempts::smallint], ARRAY[coalesce(timeout_seconds, v_task.timeout_seconds)],
        ARRAY[p_task || ':' || unique_key], NULL, CASE WHEN v_gates IS NOT NULL THEN ARRAY[v_gates] END))[1];
END $function$;
comment on function holdfast.enqueue(text,jsonb,text,integer,timestamp with time zone,text,integer,real,text) is 'SELECT holdfast.enqueue(''send_welcome'', ''{"user_id": 42}''): enqueue from psql, a trigger or any language, in your own transaction.';

-- [function] holdfast.enqueue_into_v1(bigint,bigint,bigint[],text[],text[],jsonb[],smallint[],smallint[],bigint[],timestamp with time zone[],smallint[],real[],text[],jsonb[],text[],smallint[],bigint[],smallint[])
CREATE OR REPLACE FUNCTION holdfast.enqueue_into_v1(p_batch bigint, p_beside bigint, p_ids bigint[], p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[], p_flags smallint[], p_delays_us bigint[], p_due_at timestamp with time zone[], p_max_attempts smallint[], p_timeouts real[], p_keys text[], p_traces jsonb[], p_gates text[] DEFAULT NULL::text[], p_covered smallint[] DEFAULT NULL::smallint[], p_periods_us bigint[] DEFAULT NULL::bigint[], p_conflicts smallint[] DEFAULT NULL::smallint[])
 RETURNS bigint[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_batch bigint := coalesce(p_batch, (SELECT m.batch_id FROM holdfast.batch_member m WHERE m.job_id = p_beside));
    v_flags smallint[] := ARRAY(SELECT (i.flags | 16)::smallint FROM unnest(p_flags) WITH ORDINALITY AS i(flags, at) ORDER BY i.at);
    v_ids   bigint[];
BEGIN
    IF v_batch IS NULL THEN
        RAISE EXCEPTION 'job % belongs to no batch', p_beside USING ERRCODE = 'HF012';
    END IF;
    -- Until this transaction ends nobody decides that the batch is over; who decides at this moment is waited for.
    PERFORM FROM holdfast.batch b WHERE b.id = v_batch AND b.finished_at IS NULL AND b.cancelled_at IS NULL FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'batch % is over: nobody can join it', v_batch USING ERRCODE = 'HF012';
    END IF;
    IF p_keys IS NOT NULL THEN
        v_ids := holdfast.enqueue_keyed_told_v1(p_ids, p_queues, p_tasks, p_args, p_priorities, v_flags,
                                                p_delays_us, p_due_at, p_max_attempts, p_timeouts, p_keys, p_traces,
                                                p_gates, p_covered, p_periods_us, p_conflicts);
    ELSIF p_ids IS NOT NULL AND EXISTS (SELECT FROM holdfast.job j WHERE j.id = p_ids[1]) THEN
        v_ids := p_ids;                                     -- repeated after a lost answer
    ELSE
        v_ids := holdfast.enqueue_v1(p_ids, p_queues, p_tasks, p_args, p_priorities, v_flags,
                                     p_delays_us, p_due_at, p_max_attempts, p_timeouts, p_keys, p_traces, p_gates);
    END IF;
    WITH joined AS (
        INSERT INTO holdfast.batch_member (batch_id, job_id) SELECT v_batch, i FROM unnest(v_ids) AS i WHERE i > 0
        ON CONFLICT DO NOTHING RETURNING 1
    )
    INSERT INTO holdfast.batch_delta (batch_id, joined) SELECT v_batch, count(*) FROM joined HAVING count(*) > 0;
    RETURN v_ids;
END $function$;
comment on function holdfast.enqueue_into_v1(bigint,bigint,bigint[],text[],text[],jsonb[],smallint[],smallint[],bigint[],timestamp with time zone[],smallint[],real[],text[],jsonb[],text[],smallint[],bigint[],smallint[]) is 'As enqueue, into a batch that is not over: p_batch, or the batch of the job p_beside. A job that existed before comes back negative and does not join.';

-- [function] holdfast.enqueue_keyed_told_v1(bigint[],text[],text[],jsonb[],smallint[],smallint[],bigint[],timestamp with time zone[],smallint[],real[],text[],jsonb[],text[],smallint[],bigint[],smallint[])
CREATE OR REPLACE FUNCTION holdfast.enqueue_keyed_told_v1(p_ids bigint[], p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[], p_flags smallint[], p_delays_us bigint[], p_due_at timestamp with time zone[], p_max_attempts smallint[], p_timeouts real[], p_keys text[], p_traces jsonb[], p_gates text[] DEFAULT NULL::text[], p_covered smallint[] DEFAULT NULL::smallint[], p_periods_us bigint[] DEFAULT NULL::bigint[], p_conflicts smallint[] DEFAULT NULL::smallint[])
 RETURNS bigint[]
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_ids    bigint[] := ARRAY(
        SELECT holdfast.id_floor(holdfast.now()) | (nextval('holdfast.job_number') & 2097151)
        FROM generate_series(1, cardinality(p_tasks)));
    v_stored bigint[] := holdfast.enqueue_keyed_v1(
        coalesce(p_ids, v_ids), p_queues, p_tasks, p_args, p_priorities, p_flags,
        p_delays_us, p_due_at, p_max_attempts, p_timeouts, p_keys, p_traces, p_gates, p_covered, p_periods_us, p_conflicts);
BEGIN
    RETURN ARRAY(SELECT CASE WHEN s.id = d.id THEN s.id ELSE -s.id END
                 FROM unnest(v_stored) WITH ORDINALITY AS s(id, at) JOIN unnest(coalesce(p_ids, v_ids)) WITH ORDINALITY AS d(id, at) USING (at)
                 ORDER BY at);
END $function$;
comment on function holdfast.enqueue_keyed_told_v1(bigint[],text[],text[],jsonb[],smallint[],smallint[],bigint[],timestamp with time zone[],smallint[],real[],text[],jsonb[],text[],smallint[],bigint[],smallint[]) is 'As enqueue_keyed_v1 for callers that draw no ids of their own: the id of a job that existed before comes back negative.';

-- [function] holdfast.enqueue_keyed_v1(bigint[],text[],text[],jsonb[],smallint[],smallint[],bigint[],timestamp with time zone[],smallint[],real[],text[],jsonb[],text[],smallint[],bigint[],smallint[])
CREATE OR REPLACE FUNCTION holdfast.enqueue_keyed_v1(p_ids bigint[], p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[], p_flags smallint[], p_delays_us bigint[], p_due_at timestamp with time zone[], p_max_attempts smallint[], p_timeouts real[], p_keys text[], p_traces jsonb[], p_gates text[] DEFAULT NULL::text[], p_covered smallint[] DEFAULT NULL::smallint[], p_periods_us bigint[] DEFAULT NULL::bigint[], p_conflicts smallint[] DEFAULT NULL::smallint[])
 RETURNS bigint[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_ids    bigint[] := p_ids;
    v_answer bigint[];
    v_base   bigint := holdfast.id_floor(holdfast.now());
    v_row    record;
    v_owner  bigint;
    v_at     integer;
    v_there  bigint[] := '{}';
BEGIN
    IF v_ids IS NULL THEN
        SELECT array_agg(v_base | (nextval('holdfast.job_number') & 2097151)) INTO v_ids
        FROM generate_series(1, cardinality(p_tasks));
    ELSE
        v_there := ARRAY(SELECT j.id FROM holdfast.job j WHERE j.id = ANY (v_ids));     -- repeated after a lost answer
    END IF;
    IF cardinality(p_keys) = 1 AND p_keys[1] IS NOT NULL THEN
        v_owner := holdfast.take_key_v1(p_keys[1], v_ids[1], coalesce(p_covered[1], 15::smallint), p_periods_us[1], coalesce(p_conflicts[1], 0::smallint));
        IF v_owner = v_ids[1] AND cardinality(v_there) = 0 THEN
            PERFORM holdfast.enqueue_v1(v_ids, p_queues, p_tasks, p_args, p_priorities, ARRAY[(p_flags[1] | 2)::smallint], p_delays_us, p_due_at,
                                        p_max_attempts, p_timeouts, p_keys, p_traces, p_gates);
        END IF;
        RETURN ARRAY[v_owner];
    END IF;
    v_answer := v_ids;
    -- Sorted by hash, so that two callers with overlapping keys never deadlock; a key repeated in the input is taken once.
    FOR v_row IN
        SELECT k.key, array_agg(k.at ORDER BY k.at) AS positions
        FROM unnest(p_keys) WITH ORDINALITY AS k(key, at) WHERE k.key IS NOT NULL
        GROUP BY k.key ORDER BY holdfast.key_hash_v1(k.key)
    LOOP
        v_at := v_row.positions[1];
        v_owner := holdfast.take_key_v1(v_row.key, v_ids[v_at], coalesce(p_covered[v_at], 15::smallint), p_periods_us[v_at],
                                        coalesce(p_conflicts[v_at], 0::smallint));
        FOREACH v_at IN ARRAY v_row.positions LOOP
            v_answer[v_at] := v_owner;
        END LOOP;
    END LOOP;
    PERFORM holdfast.enqueue_v1(
        array_agg(v_ids[n]), array_agg(p_queues[n]), array_agg(p_tasks[n]), array_agg(p_args[n]), array_agg(p_priorities[n]),
        array_agg((p_flags[n] | CASE WHEN p_keys[n] IS NULL THEN 0 ELSE 2 END)::smallint),
        CASE WHEN p_delays_us IS NOT NULL THEN array_agg(p_delays_us[n]) END,
        CASE WHEN p_due_at IS NOT NULL THEN array_agg(p_due_at[n]) END,
        array_agg(p_max_attempts[n]), array_agg(p_timeouts[n]), array_agg(p_keys[n]), array_agg(p_traces[n]),
        CASE WHEN p_gates IS NOT NULL THEN array_agg(p_gates[n]) END)
    FROM generate_subscripts(p_tasks, 1) AS n
    WHERE v_answer[n] = v_ids[n] AND v_ids[n] <> ALL (v_there)
    HAVING count(*) > 0;
    RETURN v_answer;
END $function$;
comment on function holdfast.enqueue_keyed_v1(bigint[],text[],text[],jsonb[],smallint[],smallint[],bigint[],timestamp with time zone[],smallint[],real[],text[],jsonb[],text[],smallint[],bigint[],smallint[]) is 'As enqueue_v1, for jobs with unique keys: where a job in a covered place holds the key, its id is returned and nothing is inserted.';

-- [function] holdfast.enqueue_occurrence_v1(jsonb,timestamp with time zone)
CREATE OR REPLACE FUNCTION holdfast.enqueue_occurrence_v1(p_plan jsonb, p_at timestamp with time zone)
 RETURNS bigint
 LANGUAGE sql
AS $function$
    SELECT holdfast.enqueue(
        p_plan ->> 'task',
        p_plan -> 'args' || CASE WHEN p_plan ->> 'occurrence_argument' IS NOT NULL
                                 THEN jsonb_build_object(p_plan ->> 'occurrence_argument', to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                                 ELSE '{}' END,
        queue => p_plan ->> 'queue', priority => (p_plan ->> 'priority')::integer)
$function$;
comment on function holdfast.enqueue_occurrence_v1(jsonb,timestamp with time zone) is 'The job of one occurrence, as the plan says; told which moment it is for if its task takes that argument.';

-- [function] holdfast.enqueue_one_keyed_v1(bigint,text,text,jsonb,smallint,smallint,bigint,timestamp with time zone,smallint,real,jsonb,text,smallint,bigint,smallint)
CREATE OR REPLACE FUNCTION holdfast.enqueue_one_keyed_v1(p_id bigint, p_queue text, p_task text, p_args jsonb, p_priority smallint, p_flags smallint, p_delay_us bigint, p_due_at timestamp with time zone, p_max_attempts smallint, p_timeout real, p_trace jsonb, p_key text, p_covered smallint, p_period_us bigint, p_conflict smallint)
 RETURNS bigint
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    v_hash  uuid := holdfast.key_hash_v1(p_key);
    v_owner bigint;
BEGIN
    SELECT k.job_id INTO v_owner FROM holdfast.unique_key k WHERE k.hash = v_hash ORDER BY k.generation DESC LIMIT 1;
    IF v_owner = p_id THEN
        RETURN p_id;                                        -- repeated after a lost answer: key and job came in one commit
    END IF;
    IF v_owner IS NULL THEN
        -- Most keys are new: nobody to look up, nobody to hold.
        INSERT INTO holdfast.unique_key (hash, generation, job_id, until)
        VALUES (v_hash, 1, p_id, holdfast.now() + p_period_us * interval '1 microsecond') ON CONFLICT DO NOTHING;
        IF FOUND THEN
            v_owner := p_id;
        END IF;
    END IF;
    IF v_owner IS DISTINCT FROM p_id THEN
        v_owner := holdfast.take_key_v1(p_key, p_id, p_covered, p_period_us, p_conflict);
        IF v_owner <> p_id THEN
            RETURN v_owner;
        END IF;
    END IF;
    RETURN holdfast.enqueue_one_v1(p_id, p_queue, p_task, p_args, p_priority, (p_flags | 2)::smallint, p_delay_us, p_due_at,
                                   p_max_attempts, p_timeout, p_trace, p_key);
END $function$;
comment on function holdfast.enqueue_one_keyed_v1(bigint,text,text,jsonb,smallint,smallint,bigint,timestamp with time zone,smallint,real,jsonb,text,smallint,bigint,smallint) is 'enqueue_keyed_v1 for one job without gates: where a job in a covered place holds the key, its id is returned and nothing is inserted.';

-- [function] holdfast.enqueue_one_v1(bigint,text,text,jsonb,smallint,smallint,bigint,timestamp with time zone,smallint,real,jsonb,text)
CREATE OR REPLACE FUNCTION holdfast.enqueue_one_v1(p_id bigint, p_queue text, p_task text, p_args jsonb, p_priority smallint, p_flags smallint, p_delay_us bigint, p_due_at timestamp with time zone, p_max_attempts smallint, p_timeout real, p_trace jsonb, p_key text DEFAULT NULL::text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_now timestamptz := holdfast.now();
    v_due timestamptz := coalesce(p_due_at, v_now + p_delay_us * interval '1 microsecond');
BEGIN
    IF p_id < holdfast.id_floor(v_now) - (60000::bigint << 22) THEN
        RAISE EXCEPTION 'this id was drawn more than a minute ago' USING ERRCODE = 'HF002';
    END IF;
    IF p_id + (60000::bigint << 22) >= (SELECT s.ceiling_id FROM holdfast.storage s) THEN
        PERFORM holdfast.make_partitions_v1();
    END IF;
    INSERT INTO holdfast.job (id, queue, task, args, priority, flags, max_attempts, timeout_seconds, trace, unique_key)
    VALUES (p_id, p_queue, p_task, p_args, p_priority, p_flags, p_max_attempts, p_timeout, p_trace, p_key);
    IF v_due IS NULL OR v_due <= v_now THEN
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags) VALUES (p_queue, p_priority, p_id, 1, p_flags);
    ELSE
        INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
        VALUES (v_due, p_id, p_queue, p_priority, 1, p_flags);
        IF v_due > v_now + interval '2 seconds' THEN
            RETURN p_id;
        END IF;
    END IF;
    IF pg_try_advisory_lock(1212567, holdfast.idle_key_v1(p_queue)) THEN
        PERFORM pg_advisory_unlock(1212567, holdfast.idle_key_v1(p_queue));
    ELSE
        PERFORM holdfast.ring_v1(ARRAY[p_queue]);
    END IF;
    RETURN p_id;
END $function$;
comment on function holdfast.enqueue_one_v1(bigint,text,text,jsonb,smallint,smallint,bigint,timestamp with time zone,smallint,real,jsonb,text) is 'enqueue_v1 for one job without gates: without arrays it costs half as much. A unique key (p_key) must have been taken before.';

-- [function] holdfast.enqueue_v1(bigint[],text[],text[],jsonb[],smallint[],smallint[],bigint[],timestamp with time zone[],smallint[],real[],text[],jsonb[],text[])
CREATE OR REPLACE FUNCTION holdfast.enqueue_v1(p_ids bigint[], p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[], p_flags smallint[], p_delays_us bigint[], p_due_at timestamp with time zone[], p_max_attempts smallint[], p_timeouts real[], p_keys text[], p_traces jsonb[], p_gates text[] DEFAULT NULL::text[])
 RETURNS bigint[]
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_now   timestamptz := holdfast.now();
    v_base  bigint;
    v_ids   bigint[] := p_ids;
    v_flags smallint[] := p_flags;
    v_limit bigint;
    v_soon  text[];
BEGIN
    SELECT s.ceiling_id INTO v_limit FROM holdfast.storage s;
    v_base := holdfast.id_floor(v_now);
    IF v_base + (60000::bigint << 22) >= v_limit THEN
        PERFORM holdfast.make_partitions_v1();              -- last resort: workers make them days ahead
    END IF;
    IF v_ids IS NULL THEN
        SELECT array_agg(v_base | (nextval('holdfast.job_number') & 2097151)) INTO v_ids
        FROM generate_series(1, cardinality(p_tasks));
    ELSIF v_ids[1] < v_base - (60000::bigint << 22) THEN
        RAISE EXCEPTION 'these ids were drawn more than a minute ago' USING ERRCODE = 'HF002';
    END IF;
    IF p_gates IS NOT NULL THEN
        SELECT array_agg((i.flags | CASE WHEN i.gates IS NULL THEN 0 ELSE 8 END)::smallint ORDER BY i.at) INTO v_flags
        FROM unnest(p_flags, p_gates) WITH ORDINALITY AS i(flags, gates, at);
    END IF;
    INSERT INTO holdfast.job (id, queue, task, args, priority, flags, max_attempts, timeout_seconds, unique_key, trace, gates)
    SELECT i.id, i.queue, i.task, i.args, i.priority, i.flags, i.max_attempts, i.timeout, i.key, i.trace, i.gates
    FROM unnest(v_ids, p_queues, p_tasks, p_args, p_priorities, v_flags, p_max_attempts, p_timeouts, p_keys, p_traces, p_gates)
         AS i(id, queue, task, args, priority, flags, max_attempts, timeout, key, trace, gates);
    IF p_delays_us IS NULL AND p_due_at IS NULL AND p_gates IS NULL THEN
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT i.queue, i.priority, i.id, 1, i.flags
        FROM unnest(v_ids, p_queues, p_priorities, p_flags) AS i(id, queue, priority, flags);
        v_soon := p_queues;
    ELSE
        v_soon := holdfast.place_v1(v_ids, p_queues, p_priorities, v_flags, p_delays_us, p_due_at, v_now, p_gates);
    END IF;
    IF cardinality(v_soon) > 1 THEN
        v_soon := ARRAY(SELECT DISTINCT q FROM unnest(v_soon) AS q);
    END IF;
    IF cardinality(v_soon) > 0 THEN
        PERFORM holdfast.ring_v1(v_soon);
    END IF;
    RETURN v_ids;
END $function$;
comment on function holdfast.enqueue_v1(bigint[],text[],text[],jsonb[],smallint[],smallint[],bigint[],timestamp with time zone[],smallint[],real[],text[],jsonb[],text[]) is 'One statement for one job or ten thousand: all are stored and placed, or none. Repeating it with the same ids fails on the primary key.';

-- [function] holdfast.error_frame_v1(jsonb)
CREATE OR REPLACE FUNCTION holdfast.error_frame_v1(p_error jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT coalesce(p_error ->> 'frame', (
        SELECT regexp_replace(f.found[1], '^.*?([^/\\]+)\.py$', '\1') || ':' || f.found[2]
        FROM regexp_matches(p_error ->> 'traceback', 'File "([^"\n]+)", line \d+, in (\S+)', 'g') WITH ORDINALITY AS f(found, at)
        WHERE f.found[1] !~ '[/\\]((site|dist)-packages|python\d[\d.]*|holdfast)[/\\]'
        ORDER BY f.at DESC LIMIT 1))
$function$;
comment on function holdfast.error_frame_v1(jsonb) is 'The function of the application in which an error was raised: as the worker wrote it down, or else the innermost of its traceback that belongs to no library.';

-- [function] holdfast.event_writers_v1()
CREATE OR REPLACE FUNCTION holdfast.event_writers_v1()
 RETURNS text[]
 LANGUAGE sql
AS $function$
    WITH held AS MATERIALIZED (
        SELECT l.locktype, l.relation, l.database, l.mode, l.virtualtransaction, l.transactionid FROM pg_catalog.pg_locks l WHERE l.granted
    ), writer AS (
        SELECT DISTINCT h.virtualtransaction FROM held h
        WHERE h.locktype = 'relation' AND h.relation = 'holdfast.event'::regclass
          AND h.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
          AND h.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    )
    -- Prepared and then taken over by a restarted server, a transaction is called -1/<transaction id>: both names are its own.
    SELECT coalesce(array_agg(n.name), '{}') FROM (
        SELECT w.virtualtransaction AS name FROM writer w
        UNION SELECT '-1/' || h.transactionid FROM held h JOIN writer w USING (virtualtransaction)
        WHERE h.locktype = 'transactionid' AND h.mode = 'ExclusiveLock') AS n
$function$;
comment on function holdfast.event_writers_v1() is 'Who may have drawn a position that is not visible yet: the transactions that hold a write lock on the log, prepared ones too.';

-- [function] holdfast.expired_partitions_v1(interval)
CREATE OR REPLACE FUNCTION holdfast.expired_partitions_v1(p_keep interval)
 RETURNS TABLE(name text, until_id bigint)
 LANGUAGE sql
 STABLE
AS $function$
    SELECT substr(c.relname, 5), (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''?(\d+)''?\)'))[1]::bigint AS until_id
    FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'holdfast.job'::regclass
      AND (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''?(\d+)''?\)'))[1]::bigint <= holdfast.id_floor(holdfast.now() - p_keep)
    ORDER BY 2
$function$;
comment on function holdfast.expired_partitions_v1(interval) is 'Partitions all of whose jobs are older than what is kept, oldest first.';

-- [function] holdfast.failure_fingerprint_v1(text,text,text)
CREATE OR REPLACE FUNCTION holdfast.failure_fingerprint_v1(p_task text, p_type text, p_frame text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT left(md5(concat_ws(E'\n', p_task, p_type, p_frame)), 16)
$function$;
comment on function holdfast.failure_fingerprint_v1(text,text,text) is 'The name of a group: lines and messages change with every release and every user, these three do not.';

-- [function] holdfast.fence_partitions_v1(text,integer)
CREATE OR REPLACE FUNCTION holdfast.fence_partitions_v1(p_projection text, p_model integer)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM FROM holdfast.projection_partition t
    WHERE t.projection = p_projection AND (p_model IS NULL OR t.model = p_model)
    ORDER BY t.model, t.partition FOR UPDATE;
    UPDATE holdfast.projection_partition t SET epoch = t.epoch + 1, owner = NULL, lease_until = NULL
    WHERE t.projection = p_projection AND (p_model IS NULL OR t.model = p_model);
END $function$;
comment on function holdfast.fence_partitions_v1(text,integer) is 'Waits for the batches that are being committed; whatever their owners do after that is refused.';

-- [function] holdfast.find_repeated_v1(text[],integer[],uuid[],text[],smallint[],jsonb[])
CREATE OR REPLACE FUNCTION holdfast.find_repeated_v1(p_streams text[], p_of integer[], p_ids uuid[], p_types text[], p_schema_versions smallint[], p_data jsonb[], OUT verdict text, OUT positions bigint[], OUT versions bigint[], OUT recorded_at timestamp with time zone, OUT detail jsonb)
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    SELECT CASE WHEN count(*) = 0 THEN NULL
                WHEN count(*) = cardinality(p_ids) AND bool_and(f.same) THEN 'repeated' ELSE 'id_taken' END,
           array_agg(f.position ORDER BY f.at), array_agg(f.version ORDER BY f.at), min(f.recorded_at),
           jsonb_build_object('events', jsonb_agg(jsonb_build_object(
               'id', f.id, 'stream', f.stream, 'version', f.version, 'position', f.position, 'type', f.type,
               'recorded_at', f.recorded_at, 'same', f.same) ORDER BY f.at))
    INTO verdict, positions, versions, recorded_at, detail
    FROM (
        SELECT i.at, e.id, e.stream, e.version, e.position, e.type, e.recorded_at,
               (e.stream, e.type, e.schema_version, e.data) = (p_streams[i.of], i.type, i.schema_version, i.data) AS same
        FROM unnest(p_of, p_ids, p_types, p_schema_versions, p_data) WITH ORDINALITY AS i(of, id, type, schema_version, data, at)
        JOIN holdfast.event e ON e.id = i.id) AS f;
END $function$;
comment on function holdfast.find_repeated_v1(text[],integer[],uuid[],text[],smallint[],jsonb[]) is 'repeated: all of these ids are in the log with the same stream, type and data. id_taken: some are, or with other content. NULL: none is.';

-- [function] holdfast.find_straight_v1(text[],integer,text[],text[])
CREATE OR REPLACE FUNCTION holdfast.find_straight_v1(p_queues text[], p_limit integer, p_kept text[], p_freed text[], OUT places tid[], OUT marks text[], OUT wanting text[], OUT later text[])
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_sort TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_left   text[] COLLATE "C" := p_kept || p_freed;       -- lane: < limit: < rate:, whatever the database sorts by
    v_kept   integer := coalesce(cardinality(p_kept), 0);
    v_open   text[];
    v_line   record;
    v_places tid[];
    v_ours   integer;
    v_limits text[];
BEGIN
    IF NOT coalesce('lane;' > ANY (v_left), false)
       AND (p_limit < 25 OR NOT EXISTS (SELECT FROM holdfast.gate g WHERE g.name > 'limit:' AND g.name < 'limit;')) THEN
        wanting := v_left;
        RETURN;
    ELSIF NOT pg_try_advisory_xact_lock(1212574, 0) THEN
        later := v_left;
        RETURN;
    END IF;
    v_open := ARRAY(SELECT DISTINCT q FROM unnest(p_queues) AS q WHERE NOT EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = q));
    IF 'lane;' > ANY (v_left) THEN
        -- Of each lane its first, if it is ours. One that was kept may be taken by now; of those freed here nobody else knows yet.
        -- The mark of a lane moves now and then, its lowest slot whenever it must.
        WITH g AS MATERIALIZED (SELECT x.name, x.mark_rank, x.mark_seq, x.low_slot FROM holdfast.gate x WHERE x.name = ANY (v_left[:p_limit]))
        SELECT array_agg(h.place) FILTER (WHERE h.is_ours), array_agg(l.gate) FILTER (WHERE h.is_ours AND (random() < 0.03 OR g.low_slot > h.job_id)),
               array_agg(l.gate) FILTER (WHERE NOT h.is_ours)
        INTO places, marks, wanting
        FROM unnest(v_left[:p_limit]) WITH ORDINALITY AS l(gate, at)
        LEFT JOIN g ON g.name = l.gate
        CROSS JOIN LATERAL (
            SELECT b.ctid AS place, b.job_id, b.gates = l.gate AND b.queue = ANY (v_open) AS is_ours
            FROM holdfast.blocked b WHERE b.gate = l.gate AND (b.rank, b.seq) >= (coalesce(g.mark_rank, -1), coalesce(g.mark_seq, 0))
            ORDER BY b.rank, b.seq LIMIT 1) AS h
        WHERE l.gate < 'lane;' AND (l.at > v_kept OR NOT EXISTS (
            SELECT FROM holdfast.slot s WHERE s.gate = l.gate AND s.job_id >= coalesce(g.low_slot, 0)));
        v_places := ARRAY(SELECT b.ctid FROM holdfast.blocked b WHERE b.ctid = ANY (places) FOR UPDATE SKIP LOCKED);
        IF cardinality(v_places) < cardinality(places) THEN
            wanting := v_left;                                  -- of some somebody holds the row
        ELSE
            later := v_left[p_limit + 1:];
        END IF;
        places := v_places;
    END IF;
    v_limits := CASE WHEN 'lane;' < ANY (v_left) THEN ARRAY(SELECT x FROM unnest(v_left) AS x WHERE x > 'lane;') END;
    FOR v_line IN
        SELECT g.name, g.mark_rank, g.mark_seq FROM holdfast.gate g WHERE g.name > 'limit:' AND g.name < 'limit;' ORDER BY g.name LIMIT 16
    LOOP
        EXIT WHEN p_limit - coalesce(cardinality(places), 0) < 25;
        -- Of each line its beginning, as far as it is ours: who needs more, or waits for a queue of others, is let in by a look.
        SELECT array_agg(w.place), array_position(array_agg(w.is_ours), false) - 1 INTO v_places, v_ours FROM (
            SELECT b.ctid AS place, b.gates = v_line.name AND b.queue = ANY (v_open) AS is_ours
            FROM holdfast.blocked b WHERE b.gate = v_line.name AND (b.rank, b.seq) >= (v_line.mark_rank, v_line.mark_seq)
            ORDER BY b.rank, b.seq
            LIMIT least(greatest(holdfast.room_v1(v_line.name), 0), p_limit - coalesce(cardinality(places), 0)) FOR UPDATE SKIP LOCKED) AS w;
        places := places || v_places[1:coalesce(v_ours, cardinality(v_places))];
        IF v_ours IS NULL THEN
            v_limits := array_remove(v_limits, v_line.name);    -- full, or empty, or this worker comes back for more
        END IF;
    END LOOP;
    places := nullif(places, '{}');
    wanting := wanting || v_limits;
END $function$;
comment on function holdfast.find_straight_v1(text[],integer,text[],text[]) is 'Where up to p_limit jobs stand that may pass their only gate now, their rows locked: the next in lanes that have been left (p_kept: by an earlier call, p_freed: by this transaction), and from 25 on the first under limits. From here to the end of the transaction nobody else lets in. wanting: gates left that want a look; later: those for which there was no room, or another worker was at it.';

-- [function] holdfast.finish_carefully_v1(bigint[],timestamp with time zone,bigint[],bigint[],smallint[],smallint[],bigint[],bigint[],jsonb[],jsonb[],text[],smallint[],bigint[])
CREATE OR REPLACE FUNCTION holdfast.finish_carefully_v1(p_live bigint[], p_now timestamp with time zone, p_leases bigint[], p_jobs bigint[], p_states smallint[], p_attempts smallint[], p_ago_us bigint[], p_took_us bigint[], p_results jsonb[], p_errors jsonb[], p_queues text[], p_queue_at smallint[], p_company bigint[])
 RETURNS bigint[]
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_lowest bigint := (SELECT s.lowest_id FROM holdfast.storage s);
    v_job    record;
    v_refused bigint[] := '{}';
BEGIN
    FOR v_job IN
        SELECT * FROM unnest(p_leases, p_jobs, p_states, p_attempts, p_ago_us, p_took_us, p_results, p_errors, p_queue_at)
            AS i(lease, job_id, state, attempt, ago_us, took_us, result, error, queue_at)
    LOOP
        IF EXISTS (SELECT FROM holdfast.every_outcome o WHERE o.job_id = v_job.job_id AND o.lease = v_job.lease) THEN
            CONTINUE;                                       -- mine already: the answer to the first try was lost
        ELSIF holdfast.is_finished_v1(v_job.job_id)
           OR NOT EXISTS (SELECT FROM holdfast.lease l WHERE l.id = v_job.lease AND l.id = ANY (p_live) AND v_job.job_id = ANY (l.job_ids))
           OR EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = v_job.lease AND e.job_id = v_job.job_id) THEN
            v_refused := v_refused || v_job.job_id;
            CONTINUE;
        ELSIF v_job.job_id >= v_lowest THEN
            INSERT INTO holdfast.outcome (job_id, lease, state, attempt, started_at, finished_at, result, error)
            VALUES (v_job.job_id, v_job.lease, v_job.state, v_job.attempt, p_now - v_job.ago_us * interval '1 microsecond',
                    p_now - (v_job.ago_us - v_job.took_us) * interval '1 microsecond', v_job.result, v_job.error);
        ELSE
            INSERT INTO holdfast.outcome_kept (job_id, lease, state, attempt, started_at, finished_at, result, error)
            VALUES (v_job.job_id, v_job.lease, v_job.state, v_job.attempt, p_now - v_job.ago_us * interval '1 microsecond',
                    p_now - (v_job.ago_us - v_job.took_us) * interval '1 microsecond', v_job.result, v_job.error);
        END IF;
        INSERT INTO holdfast.tally_delta (queue, completed, failed, cancelled, took_us)
        VALUES (p_queues[v_job.queue_at], (v_job.state = 1)::integer, (v_job.state = 2)::integer, (v_job.state = 3)::integer, v_job.took_us);
        IF v_job.job_id = ANY (p_company) THEN
            PERFORM holdfast.tell_company_v1(ARRAY[v_job.job_id], ARRAY[v_job.lease], ARRAY[v_job.state]);
        END IF;
    END LOOP;
    RETURN v_refused;
END $function$;
comment on function holdfast.finish_carefully_v1(bigint[],timestamp with time zone,bigint[],bigint[],smallint[],smallint[],bigint[],bigint[],jsonb[],jsonb[],text[],smallint[],bigint[]) is 'As finish_v1, job by job, for batches of which some may be finished already, lost, or older than the oldest partition.';

-- [function] holdfast.finish_solo_v1(bigint,bigint,smallint,bigint,jsonb,text,smallint)
CREATE OR REPLACE FUNCTION holdfast.finish_solo_v1(p_lease bigint, p_job bigint, p_attempt smallint, p_took_us bigint, p_result jsonb, p_queue text, p_flags smallint DEFAULT 0)
 RETURNS boolean
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_now timestamptz := holdfast.now();
BEGIN
    DELETE FROM holdfast.lease l WHERE l.id = p_lease AND p_job = ANY (l.job_ids);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF p_job >= (SELECT s.lowest_id FROM holdfast.storage s) THEN
        INSERT INTO holdfast.outcome (job_id, lease, state, attempt, started_at, finished_at, result)
        VALUES (p_job, p_lease, 1, p_attempt, v_now - p_took_us * interval '1 microsecond', v_now, p_result);
    ELSE
        INSERT INTO holdfast.outcome_kept (job_id, lease, state, attempt, started_at, finished_at, result)
        VALUES (p_job, p_lease, 1, p_attempt, v_now - p_took_us * interval '1 microsecond', v_now, p_result);
    END IF;
    INSERT INTO holdfast.tally_delta (queue, completed, took_us) VALUES (p_queue, 1, p_took_us);
    IF p_flags & 24 <> 0 THEN
        PERFORM holdfast.tell_company_v1(ARRAY[p_job], ARRAY[p_lease], ARRAY[1::smallint]);
    END IF;
    RETURN true;
END $function$;
comment on function holdfast.finish_solo_v1(bigint,bigint,smallint,bigint,jsonb,text,smallint) is 'Last statement of a job''s own transaction: fence, outcome and end of the solo lease are one with the effects. False: the lease is lost, roll back.';

-- [function] holdfast.finish_v1(bigint[],bigint[],smallint[],smallint[],bigint[],bigint[],jsonb[],jsonb[],text[],smallint[],bigint[],boolean,bigint[])
CREATE OR REPLACE FUNCTION holdfast.finish_v1(p_leases bigint[], p_jobs bigint[], p_states smallint[], p_attempts smallint[], p_ago_us bigint[], p_took_us bigint[], p_results jsonb[], p_errors jsonb[], p_queues text[], p_queue_at smallint[], p_done bigint[], p_again boolean, p_company bigint[] DEFAULT NULL::bigint[], OUT refused bigint[], OUT gates text[])
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_sort TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_now  timestamptz := holdfast.now();
    v_live bigint[];
    v_low  bigint;
    v_high bigint;
BEGIN
    refused := '{}';
    IF cardinality(p_jobs) = 0 THEN
        PERFORM holdfast.end_leases_v1(p_done);
        RETURN;
    END IF;
    SELECT min(j), max(j) INTO v_low, v_high FROM unnest(p_jobs) AS j;
    -- The fence. Locked in one statement; what the leases still hold is read in the next.
    SELECT array_agg(l.id) INTO v_live FROM (
        SELECT id FROM holdfast.lease WHERE id = ANY (p_leases) ORDER BY id FOR KEY SHARE) AS l;
    IF NOT p_again
       AND holdfast.count_held_v1(v_live, p_leases, p_jobs) = cardinality(p_jobs)
       AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = ANY (v_live))
       AND v_low >= (SELECT s.lowest_id FROM holdfast.storage s) THEN
        INSERT INTO holdfast.outcome (job_id, lease, state, attempt, started_at, finished_at, result, error)
        SELECT i.job_id, i.lease, i.state, i.attempt, v_now - i.ago_us * interval '1 microsecond',
               v_now - (i.ago_us - i.took_us) * interval '1 microsecond', i.result, i.error
        FROM unnest(p_leases, p_jobs, p_states, p_attempts, p_ago_us, p_took_us, p_results, p_errors)
             AS i(lease, job_id, state, attempt, ago_us, took_us, result, error);
        INSERT INTO holdfast.tally_delta (queue, completed, failed, cancelled, took_us)
        SELECT p_queues[i.queue_at], count(*) FILTER (WHERE i.state = 1), count(*) FILTER (WHERE i.state = 2),
               count(*) FILTER (WHERE i.state = 3), sum(i.took_us)
        FROM unnest(p_queue_at, p_states, p_took_us) AS i(queue_at, state, took_us) GROUP BY i.queue_at;
        IF cardinality(p_company) = cardinality(p_jobs) THEN
            gates := holdfast.tell_company_v1(p_jobs, v_live, p_states);
        ELSIF p_company IS NOT NULL THEN
            SELECT holdfast.tell_company_v1(array_agg(i.job_id), v_live, array_agg(i.state)) INTO gates
            FROM unnest(p_jobs, p_states) AS i(job_id, state) JOIN unnest(p_company) AS c(job_id) ON c.job_id = i.job_id;
        END IF;
    ELSE
        refused := coalesce(holdfast.finish_carefully_v1(v_live, v_now, p_leases, p_jobs, p_states, p_attempts, p_ago_us, p_took_us,
                                                         p_results, p_errors, p_queues, p_queue_at, p_company), '{}');
        gates := holdfast.gates_among_v1(p_company);
    END IF;
    -- Only between the lowest and the highest of these ids: requests that are long dead are not waded through.
    IF EXISTS (SELECT FROM holdfast.cancel_request c WHERE c.job_id BETWEEN v_low AND v_high) THEN
        DELETE FROM holdfast.cancel_request c WHERE c.job_id = ANY (p_jobs) AND holdfast.is_finished_v1(c.job_id);
    END IF;
    PERFORM holdfast.end_leases_v1(p_done);
END $function$;
comment on function holdfast.finish_v1(bigint[],bigint[],smallint[],smallint[],bigint[],bigint[],jsonb[],jsonb[],text[],smallint[],bigint[],boolean,bigint[]) is 'Writes outcomes under the fence of their leases. p_again: part of it may have been committed before, what is mine already counts as accepted. p_company: those with company, NULL for none. refused: jobs whose lease is lost; gates: those that the others have left.';

-- [function] holdfast.fire_v1(text,bigint,timestamp with time zone,timestamp with time zone[],boolean[],text[],timestamp with time zone,timestamp with time zone,text)
CREATE OR REPLACE FUNCTION holdfast.fire_v1(p_name text, p_version bigint, p_expected timestamp with time zone, p_ats timestamp with time zone[], p_run boolean[], p_details text[], p_next timestamp with time zone, p_due timestamp with time zone, p_fingerprint text)
 RETURNS SETOF holdfast.occurrence
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_schedule holdfast.schedule;
    v_now      timestamptz;
    v_made     holdfast.occurrence;
BEGIN
    -- Whoever locks the row as it was read decides about these occurrences; everybody else finds it locked or advanced.
    SELECT * INTO v_schedule FROM holdfast.schedule s
    WHERE s.name = p_name AND s.version = p_version AND s.next_at = p_expected
      AND s.paused_at IS NULL AND s.withdrawn_at IS NULL FOR UPDATE SKIP LOCKED;
    v_now := holdfast.now();
    IF NOT FOUND OR v_schedule.due_at > v_now THEN
        RETURN;                                             -- somebody else was first, or the clock was set back
    END IF;
    FOR v_n IN 1 .. cardinality(p_ats) LOOP
        CONTINUE WHEN EXISTS (SELECT FROM holdfast.occurrence o WHERE o.schedule = p_name AND o.at = p_ats[v_n]);
        IF p_run[v_n] THEN
            v_made := holdfast.decide_occurrence_v1(
                p_name, v_schedule.plan, p_ats[v_n], 'due', v_schedule.plan ->> 'overlap', p_fingerprint, p_details[v_n]);
        ELSE
            v_made := ROW(p_name, p_ats[v_n], 'due', 'skipped', 'missed', p_details[v_n], NULL, NULL, v_now);
        END IF;
        INSERT INTO holdfast.occurrence SELECT (v_made).*;
        RETURN NEXT v_made;
    END LOOP;
    UPDATE holdfast.schedule SET next_at = p_next, due_at = p_due, last_at = p_ats[cardinality(p_ats)], probing_until = NULL
    WHERE name = p_name;
END $function$;
comment on function holdfast.fire_v1(text,bigint,timestamp with time zone,timestamp with time zone[],boolean[],text[],timestamp with time zone,timestamp with time zone,text) is 'Decides about the occurrences of a due schedule and advances it, in one transaction. Nothing comes back when somebody else did, or when the plan has changed since.';

-- [function] holdfast.first_gate_v1(text)
CREATE OR REPLACE FUNCTION holdfast.first_gate_v1(p_gates text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE WHEN position(E'\t' IN split_part(p_gates, E'\n', 1)) > 0 THEN '' ELSE split_part(p_gates, E'\n', 1) END
$function$;
comment on function holdfast.first_gate_v1(text) is 'The gate in whose line a job stands first; empty where only a worker can say its place, in a fairly shared line.';

-- [function] holdfast.fold_failures_v1(integer)
CREATE OR REPLACE FUNCTION holdfast.fold_failures_v1(p_most integer)
 RETURNS integer
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_jobs bigint[];
BEGIN
    IF NOT EXISTS (SELECT FROM holdfast.failure_noted) OR NOT pg_try_advisory_xact_lock(1212575, 0) THEN
        RETURN 0;
    END IF;
    WITH taken AS (
        DELETE FROM holdfast.failure_noted n WHERE n.id = ANY (ARRAY(SELECT x.id FROM holdfast.failure_noted x ORDER BY x.id LIMIT p_most))
        RETURNING n.job_id
    )
    SELECT array_agg(DISTINCT t.job_id) INTO v_jobs FROM taken t;
    -- Whoever was retried since, or moved to another partition with the failure it had, is counted once all the same:
    -- a failure is a job and the moment it failed.
    WITH failed AS MATERIALIZED (
        SELECT j.id AS job_id, j.queue, j.task, o.finished_at, coalesce(o.error ->> 'type', '') AS error_type,
               holdfast.error_frame_v1(o.error) AS frame,
               left(split_part(coalesce(o.error ->> 'message', ''), E'\n', 1), 300) AS message
        FROM unnest(v_jobs) AS n(job_id)
        CROSS JOIN LATERAL (SELECT x.finished_at, x.error FROM holdfast.every_outcome x WHERE x.job_id = n.job_id AND x.state = 2 LIMIT 1) AS o
        CROSS JOIN LATERAL (SELECT x.id, x.queue, x.task FROM holdfast.every_job x WHERE x.id = n.job_id LIMIT 1) AS j
    ), named AS MATERIALIZED (
        SELECT f.*, holdfast.failure_fingerprint_v1(f.task, f.error_type, f.frame) AS fingerprint FROM failed f
    ), told AS (
        INSERT INTO holdfast.failure_member AS m (job_id, fingerprint, failed_at)
        SELECT n.job_id, n.fingerprint, n.finished_at FROM named n ORDER BY n.job_id
        ON CONFLICT (job_id) DO UPDATE SET fingerprint = excluded.fingerprint, failed_at = excluded.failed_at
        WHERE m.failed_at <> excluded.failed_at
        RETURNING m.job_id
    ), counted AS MATERIALIZED (SELECT n.* FROM named n WHERE n.job_id IN (SELECT t.job_id FROM told t)
    ), by_hour AS (
        INSERT INTO holdfast.failure_bucket AS b (fingerprint, queue, hour, failures)
        SELECT c.fingerprint, c.queue, date_trunc('hour', c.finished_at, 'UTC'), count(*) FROM counted c GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (fingerprint, queue, hour) DO UPDATE SET failures = b.failures + excluded.failures
    )
    INSERT INTO holdfast.failure_group AS g (fingerprint, queue, task, error_type, frame, message, failures, first_at, last_at, sample_job)
    SELECT c.fingerprint, c.queue, min(c.task), min(c.error_type), min(c.frame), (array_agg(c.message ORDER BY c.finished_at DESC))[1],
           count(*), min(c.finished_at), max(c.finished_at), (array_agg(c.job_id ORDER BY c.finished_at DESC))[1]
    FROM counted c GROUP BY c.fingerprint, c.queue ORDER BY c.fingerprint, c.queue
    ON CONFLICT (fingerprint, queue) DO UPDATE SET
        failures = g.failures + excluded.failures, first_at = least(g.first_at, excluded.first_at), last_at = greatest(g.last_at, excluded.last_at),
        message = CASE WHEN excluded.last_at >= g.last_at THEN excluded.message ELSE g.message END,
        sample_job = CASE WHEN excluded.last_at >= g.last_at THEN excluded.sample_job ELSE g.sample_job END;
    RETURN cardinality(v_jobs);
END $function$;
comment on function holdfast.fold_failures_v1(integer) is 'Counts noted failures into their groups, each once; says how many notes were taken. One worker at a time; a job that was retried before is passed over.';

-- [function] holdfast.fold_v1()
CREATE OR REPLACE FUNCTION holdfast.fold_v1()
 RETURNS boolean
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
DECLARE
    v_minute  timestamptz := date_trunc('minute', holdfast.now());
    v_mark    holdfast.tally_mark;
    v_writers text[];
    v_next    bigint;
    v_last    bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1212572, 0) THEN
        RETURN false;
    END IF;
    WITH gone AS (
        DELETE FROM holdfast.tally_delta d WHERE d.id IN (SELECT x.id FROM holdfast.tally_delta x ORDER BY x.id LIMIT 20000) RETURNING d.*
    ), summed AS (
        SELECT g.queue, m.minute, sum(g.completed) AS completed, sum(g.failed) AS failed, sum(g.cancelled) AS cancelled,
               sum(g.retried) AS retried, sum(g.lost) AS lost, sum(g.reopened) AS reopened, sum(g.took_us) AS took_us
        FROM gone g, (VALUES (v_minute), ('-infinity')) AS m(minute) GROUP BY g.queue, m.minute
    )
    INSERT INTO holdfast.tally AS t (queue, minute, completed, failed, cancelled, retried, lost, reopened, took_us)
    SELECT s.queue, s.minute, s.completed, s.failed, s.cancelled, s.retried, s.lost, s.reopened, s.took_us FROM summed s
    ON CONFLICT (queue, minute) DO UPDATE SET
        completed = t.completed + excluded.completed, failed = t.failed + excluded.failed, cancelled = t.cancelled + excluded.cancelled,
        retried = t.retried + excluded.retried, lost = t.lost + excluded.lost, reopened = t.reopened + excluded.reopened,
        took_us = t.took_us + excluded.took_us;
    -- Arrivals are counted from settled ranges of job: ids are refused when older than a minute, and the writers of then must have ended.
    SELECT * INTO v_mark FROM holdfast.tally_mark;
    v_next := holdfast.id_floor(holdfast.now() - interval '65 seconds');
    SELECT coalesce(array_agg(l.virtualtransaction), '{}') INTO v_writers FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'relation' AND l.relation = 'holdfast.job'::regclass AND l.granted AND l.mode = 'RowExclusiveLock'
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database());
    IF v_mark.pending_id IS NULL THEN
        UPDATE holdfast.tally_mark SET pending_id = v_next, pending_fence = v_writers;
    ELSIF NOT v_mark.pending_fence && v_writers THEN
        -- So many at once: what nobody folded for a night must not take longer than a statement may.
        EXECUTE 'WITH arrived AS MATERIALIZED (
                     SELECT j.id, j.queue FROM holdfast.job j WHERE j.id > $1 AND j.id <= $2 ORDER BY j.id LIMIT 200000
                 ), counted AS (
                     INSERT INTO holdfast.tally AS t (queue, minute, enqueued)
                     SELECT a.queue, m.minute, count(*) FROM arrived a, (VALUES ($3), (''-infinity''::timestamptz)) AS m(minute)
                     GROUP BY a.queue, m.minute
                     ON CONFLICT (queue, minute) DO UPDATE SET enqueued = t.enqueued + excluded.enqueued
                 )
                 SELECT max(a.id) FROM arrived a HAVING count(*) = 200000'
        INTO v_last USING v_mark.folded_id, v_mark.pending_id, v_minute;
        IF v_last IS NULL THEN
            UPDATE holdfast.tally_mark SET folded_id = v_mark.pending_id, pending_id = v_next, pending_fence = v_writers;
        ELSE
            UPDATE holdfast.tally_mark SET folded_id = v_last;
        END IF;
    END IF;
    RETURN true;
END $function$;
comment on function holdfast.fold_v1() is 'Folds the deltas of flushes and the arrivals of settled ranges into the counters; false: another worker is at it.';

-- [function] holdfast.forget_append_keys_v1(integer,integer)
CREATE OR REPLACE FUNCTION holdfast.forget_append_keys_v1(p_days integer, p_most integer)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_rows integer;
BEGIN
    DELETE FROM holdfast.append_key k WHERE k.key IN (
        SELECT x.key FROM holdfast.append_key x WHERE x.recorded_at < holdfast.now() - p_days * interval '1 day'
        ORDER BY x.recorded_at LIMIT p_most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END $function$;
comment on function holdfast.forget_append_keys_v1(integer,integer) is 'Idempotency keys older than that no longer recognise a repetition; the events stay.';

-- [function] holdfast.forget_company_v1(text)
CREATE OR REPLACE FUNCTION holdfast.forget_company_v1(p_outcomes text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['failed_attempt', 'loss', 'progress', 'checkpoint', 'batch_member', 'batch_callback',
                                  'attempt_link', 'job_edit'] LOOP
        EXECUTE format('DELETE FROM holdfast.%I f USING holdfast.%I o WHERE o.job_id = f.job_id
                        AND NOT EXISTS (SELECT FROM holdfast.job_kept k WHERE k.id = f.job_id)', v_table, p_outcomes);
    END LOOP;
END $function$;
comment on function holdfast.forget_company_v1(text) is 'Side rows go when their jobs go: those of a partition that is about to be dropped, stragglers excepted.';

-- [function] holdfast.forget_failures_v1(interval)
CREATE OR REPLACE FUNCTION holdfast.forget_failures_v1(p_keep interval)
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
BEGIN
    DELETE FROM holdfast.failure_member m WHERE m.job_id < (SELECT s.lowest_id FROM holdfast.storage s)
        AND NOT EXISTS (SELECT FROM holdfast.job_kept k WHERE k.id = m.job_id);
    DELETE FROM holdfast.failure_group g WHERE g.last_at < holdfast.now() - p_keep;
    DELETE FROM holdfast.failure_bucket b WHERE b.hour < holdfast.now() - interval '8 days';
    DELETE FROM holdfast.failure_mark m WHERE NOT EXISTS (SELECT FROM holdfast.failure_group g WHERE g.fingerprint = m.fingerprint)
        AND m.marked_at < holdfast.now() - p_keep;
END $function$;
comment on function holdfast.forget_failures_v1(interval) is 'Groups in which nothing has failed for so long are gone, and members whose jobs are gone.';

-- [function] holdfast.forget_jobs_v1(bigint[])
CREATE OR REPLACE FUNCTION holdfast.forget_jobs_v1(p_jobs bigint[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    DELETE FROM holdfast.failed_attempt x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.loss x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.attempt_link x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.progress x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.checkpoint x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.job_log x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.batch_member x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.batch_callback x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.job_edit x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.cancel_request x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.unique_key x WHERE x.ctid = ANY (ARRAY(
        SELECT k.ctid FROM holdfast.unique_key k WHERE k.hash = ANY (ARRAY(
            SELECT holdfast.key_hash_v1(j.unique_key) FROM holdfast.every_job j WHERE j.id = ANY (p_jobs) AND j.unique_key IS NOT NULL))
          AND k.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED));
    DELETE FROM holdfast.job x WHERE x.id = ANY (p_jobs);
    DELETE FROM holdfast.job_kept x WHERE x.id = ANY (p_jobs);
END $function$;
comment on function holdfast.forget_jobs_v1(bigint[]) is 'Deletes job rows and every side row of jobs that the caller has taken out of their places.';

-- [function] holdfast.forget_occurrences_v1(interval)
CREATE OR REPLACE FUNCTION holdfast.forget_occurrences_v1(p_after interval)
 RETURNS integer
 LANGUAGE sql
AS $function$
    WITH gone AS (
        DELETE FROM holdfast.occurrence o WHERE o.decided_at < holdfast.now() - p_after AND o.state <> 'waiting'
          AND o.at < (SELECT max(x.at) FROM holdfast.occurrence x WHERE x.schedule = o.schedule AND x.job_id IS NOT NULL)
        RETURNING 1
    ) SELECT count(*)::integer FROM gone
$function$;
comment on function holdfast.forget_occurrences_v1(interval) is 'Deletes what was decided so long ago, but the last occurrence that had a job, and what came after it.';

-- [function] holdfast.forget_workers_v1(interval)
CREATE OR REPLACE FUNCTION holdfast.forget_workers_v1(p_after interval)
 RETURNS integer
 LANGUAGE sql
AS $function$
    WITH gone AS (
        DELETE FROM holdfast.worker w
        WHERE w.state = 'dead' AND w.ended_at < holdfast.now() - p_after
          AND NOT EXISTS (SELECT FROM holdfast.lease l WHERE l.id >= w.id << 36 AND l.id < (w.id + 1) << 36)
        RETURNING w.id
    ), silent AS (DELETE FROM holdfast.worker_beat b USING gone WHERE b.worker = gone.id)
    SELECT count(*)::integer FROM gone
$function$;
comment on function holdfast.forget_workers_v1(interval) is 'Deletes workers dead for longer than any statement can last and named by no lease.';

-- [function] holdfast.gate_key_v1(text)
CREATE OR REPLACE FUNCTION holdfast.gate_key_v1(p_text text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE WHEN length(p_text) > 200 THEN md5(p_text) ELSE translate(p_text, E'\n\t', '  ') END
$function$;
comment on function holdfast.gate_key_v1(text) is 'A key as it stands in the name of a gate: on one line, and no longer than an index likes.';

-- [function] holdfast.gates_among_v1(bigint[])
CREATE OR REPLACE FUNCTION holdfast.gates_among_v1(p_jobs bigint[])
 RETURNS text[]
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_low  bigint;
    v_high bigint;
BEGIN
    SELECT min(j), max(j) INTO v_low, v_high FROM unnest(p_jobs) AS j;
    RETURN ARRAY(
        SELECT DISTINCT split_part(e.gate, E'\t', 1)
        FROM (SELECT j.gates FROM holdfast.job j WHERE j.id = ANY (p_jobs) AND j.id >= v_low AND j.id <= v_high AND j.gates IS NOT NULL
              UNION ALL SELECT k.gates FROM holdfast.job_kept k WHERE k.id = ANY (p_jobs) AND k.gates IS NOT NULL) AS j,
             unnest(string_to_array(j.gates, E'\n')) AS e(gate));
END $function$;
comment on function holdfast.gates_among_v1(bigint[]) is 'The gates of these jobs, each once.';

-- [function] holdfast.gates_of_v1(text,jsonb,jsonb,text)
CREATE OR REPLACE FUNCTION holdfast.gates_of_v1(p_task text, p_declared jsonb, p_args jsonb, p_lane text)
 RETURNS text
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
    IF EXISTS (SELECT FROM jsonb_array_elements(p_declared) AS d WHERE d ? 'code') THEN
        RAISE EXCEPTION 'a limit of the task "%" has a key that only the application can work out', p_task
            USING ERRCODE = 'HF007', HINT = 'Enqueue it from the application, or declare the limit with by="argument".';
    END IF;
    RETURN (
        SELECT string_agg(g.gate, E'\n' ORDER BY g.at) FROM (
            SELECT 0 AS at, 'lane:' || holdfast.gate_key_v1(p_lane) AS gate WHERE p_lane IS NOT NULL
            UNION ALL
            SELECT d.at, (d.rule ->> 'rule') || ':' || holdfast.argument_key_v1(p_args, d.rule -> 'by')
                         || CASE WHEN d.rule ? 'fair' THEN E'\t' || holdfast.argument_key_v1(p_args, d.rule -> 'fair') ELSE '' END
            FROM jsonb_array_elements(p_declared) WITH ORDINALITY AS d(rule, at)) AS g);
END $function$;
comment on function holdfast.gates_of_v1(text,jsonb,jsonb,text) is 'The gates before which a job with these arguments stands; NULL for none.';

-- [function] holdfast.give_back_partitions_v1(bigint,text,integer,bigint)
CREATE OR REPLACE FUNCTION holdfast.give_back_partitions_v1(p_projector bigint, p_projection text, p_model integer, p_count bigint)
 RETURNS void
 LANGUAGE sql
AS $function$
    UPDATE holdfast.projection_partition t SET owner = NULL, lease_until = NULL
    WHERE t.projection = p_projection AND t.model = p_model AND t.partition = ANY (ARRAY(
        SELECT o.partition FROM holdfast.projection_partition o
        WHERE o.owner = p_projector AND o.projection = p_projection AND o.model = p_model
        ORDER BY o.partition DESC LIMIT p_count FOR UPDATE SKIP LOCKED))
$function$;
comment on function holdfast.give_back_partitions_v1(bigint,text,integer,bigint) is 'Lets go of so many partitions between two batches; the epoch stays, the next owner raises it.';

-- [function] holdfast.has_caught_up_v1(text,bigint)
CREATE OR REPLACE FUNCTION holdfast.has_caught_up_v1(p_projection text, p_position bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
AS $function$
    SELECT CASE WHEN count(*) > 0 THEN NOT bool_or(EXISTS (
        SELECT FROM holdfast.event e
        WHERE e.partition = t.partition AND e.position > t.checkpoint AND e.position <= p_position
          AND holdfast.in_scope_v1(e.type, e.stream, e.tags, j.types, j.categories, j.tags))) END
    FROM holdfast.projection_partition t
    JOIN holdfast.projection_model m USING (projection, model)
    JOIN holdfast.projection j ON j.name = t.projection
    WHERE t.projection = p_projection AND m.state = 'live'
$function$;
comment on function holdfast.has_caught_up_v1(text,bigint) is 'Whether every visible event up to this position is in the live read model (or parked). NULL: there is no such projection.';

-- [function] holdfast.heads_v1(text[],text[])
CREATE OR REPLACE FUNCTION holdfast.heads_v1(p_lanes text[], p_others text[], OUT jobs bigint[], OUT is_simple boolean)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_sort TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_served text[];
    v_more   bigint[];
    v_plain  boolean;
BEGIN
    -- Of a lane its head, should it be on its way back; else the first, and only the first: where somebody holds its row, the lane waits.
    SELECT array_agg(h.job_id), coalesce(bool_and(h.gates = l.gate), true) INTO jobs, is_simple
    FROM unnest(p_lanes) AS l(gate)
    LEFT JOIN holdfast.gate g ON g.name = l.gate
    LEFT JOIN LATERAL (
        SELECT s.job_id FROM holdfast.slot s WHERE s.gate = l.gate AND s.job_id >= coalesce(g.low_slot, 0) LIMIT 1) AS head ON true
    CROSS JOIN LATERAL (
        SELECT b.job_id, b.gates FROM holdfast.blocked b WHERE b.job_id = head.job_id AND b.gate = l.gate
        UNION ALL
        (SELECT b.job_id, b.gates FROM holdfast.blocked b
         WHERE head.job_id IS NULL AND b.gate = l.gate AND (b.rank, b.seq) >= (coalesce(g.mark_rank, -1), coalesce(g.mark_seq, 0))
         ORDER BY b.rank, b.seq LIMIT 1)) AS h;
    IF cardinality(p_others) = 0 THEN
        RETURN;
    END IF;
    -- Of a limit a hundred at a time: a worker that wants more takes them straight from the line.
    -- Who waits for a queue that nobody serves must not take the slots of a limit that others share; look a little past them.
    SELECT array_agg(DISTINCT q.name) INTO v_served FROM holdfast.worker w, unnest(w.queues) AS q(name)
    WHERE w.state = 'live' AND NOT EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = q.name);
    SELECT array_agg(h.job_id), coalesce(bool_and(position(E'\n' IN h.gates) = 0 AND NOT starts_with(g.gate, 'rate:')), true) INTO v_more, v_plain
    FROM (SELECT d.gate, least(holdfast.room_v1(d.gate), CASE WHEN starts_with(d.gate, 'rate:') THEN 1000 ELSE 100 END) AS room,
                 coalesce(m.mark_rank, -1) AS rank, coalesce(m.mark_seq, 0) AS seq
          FROM unnest(p_others) AS d(gate) LEFT JOIN holdfast.gate m ON m.name = d.gate) AS g
    CROSS JOIN LATERAL (
        SELECT l.job_id, l.gates FROM (
            SELECT b.job_id, b.queue, b.gates FROM holdfast.blocked b WHERE b.gate = g.gate AND (b.rank, b.seq) >= (g.rank, g.seq)
            ORDER BY b.rank, b.seq LIMIT g.room + 1000) AS l
        WHERE l.queue = ANY (v_served) LIMIT greatest(0, g.room)) AS h;
    jobs := jobs || v_more;
    is_simple := is_simple AND v_plain;
END $function$;
comment on function holdfast.heads_v1(text[],text[]) is 'Who stands first before these gates and may be let in, as far as there is room; simple: each needs nothing but the one gate it stands before.';

-- [function] holdfast.hold_jobs_v1(text,bigint[],text[],bigint[])
CREATE OR REPLACE FUNCTION holdfast.hold_jobs_v1(p_place text, p_jobs bigint[], p_queues text[], p_seqs bigint[])
 RETURNS bigint[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_held  bigint[];
    v_gated bigint[];
BEGIN
    CASE p_place
        WHEN 'ready' THEN
            -- Found by their numbers, and put where verbs find them by id, marked so that move_jobs_v1 knows them again.
            WITH named AS (
                SELECT x.place, x.gated, i.job_id FROM unnest(p_jobs, p_queues, p_seqs) AS i(job_id, queue, seq)
                CROSS JOIN LATERAL (
                    SELECT r.ctid AS place, r.flags & 8 <> 0 AS gated FROM holdfast.ready r
                    WHERE r.queue = i.queue AND r.priority = ANY ('{0,1,2,3,4,5,6,7,8,9}') AND r.seq = i.seq AND r.job_id = i.job_id
                    FOR UPDATE SKIP LOCKED) AS x
            ), taken AS (
                DELETE FROM holdfast.ready r WHERE r.ctid = ANY (ARRAY(SELECT n.place FROM named n WHERE NOT n.gated)) RETURNING r.*
            ), put AS (
                INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
                SELECT '-infinity', t.job_id, t.queue, t.priority, t.attempt, t.flags FROM taken t
            )
            SELECT (SELECT array_agg(t.job_id) FROM taken t), (SELECT array_agg(n.job_id) FROM named n WHERE n.gated) INTO v_held, v_gated;
            v_held := coalesce(v_held, '{}') || v_gated;
        WHEN 'scheduled' THEN
            SELECT array_agg(h.job_id) INTO v_held FROM (
                SELECT s.job_id FROM holdfast.scheduled s WHERE s.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED) AS h;
        WHEN 'blocked' THEN
            SELECT array_agg(h.job_id) INTO v_held FROM (
                SELECT b.job_id FROM holdfast.blocked b WHERE b.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED) AS h;
        WHEN 'running' THEN
            SELECT array_agg(p.job_id) INTO v_held FROM holdfast.places_v1(p_jobs) p WHERE p.place = 'running';
        ELSE
            SELECT array_agg(h.job_id) INTO v_held FROM (
                SELECT o.job_id FROM holdfast.outcome o WHERE o.job_id = ANY (p_jobs)
                AND (ARRAY['completed', 'failed', 'cancelled'])[o.state] = p_place FOR UPDATE SKIP LOCKED) AS h;
            SELECT coalesce(v_held, '{}') || array_agg(h.job_id) INTO v_held FROM (
                SELECT o.job_id FROM holdfast.outcome_kept o WHERE o.job_id = ANY (p_jobs)
                AND (ARRAY['completed', 'failed', 'cancelled'])[o.state] = p_place FOR UPDATE SKIP LOCKED) AS h;
    END CASE;
    RETURN coalesce(v_held, '{}');
END $function$;
comment on function holdfast.hold_jobs_v1(text,bigint[],text[],bigint[]) is 'Those of the jobs that stand in this place still, held there until the end of the transaction; one that runs cannot be held.';

-- [function] holdfast.hold_partitions_v1(bigint,interval)
CREATE OR REPLACE FUNCTION holdfast.hold_partitions_v1(p_projector bigint, p_lease interval)
 RETURNS TABLE(model integer, state text, schema_name text, partition smallint, epoch bigint, checkpoint bigint, effects_after bigint, failing jsonb, rests_seconds double precision)
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_me      holdfast.projector;
    v_idle    boolean;
    v_model   record;
    v_workers integer;
    v_rank    integer;
    v_share   integer;
    v_have    integer;
BEGIN
    SELECT * INTO v_me FROM holdfast.projector p WHERE p.id = p_projector;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'projector % is not registered any more', p_projector USING ERRCODE = 'HF120';
    END IF;
    SELECT j.paused_at IS NOT NULL OR j.retired_at IS NOT NULL INTO v_idle FROM holdfast.projection j WHERE j.name = v_me.projection;
    SELECT count(*), count(*) FILTER (WHERE l.id < p_projector) INTO v_workers, v_rank
    FROM holdfast.live_projectors_v1(v_me.projection, v_me.code_version) AS l WHERE l.id <> p_projector;
    v_workers := v_workers + 1;
    FOR v_model IN
        SELECT m.model, m.state = 'live' AND coalesce(j.still_until > holdfast.now(), false) AS stands_still
        FROM holdfast.projection_model m JOIN holdfast.projection j ON j.name = m.projection
        WHERE m.projection = v_me.projection AND m.code_version = v_me.code_version
    LOOP
        v_share := CASE WHEN v_idle OR v_model.stands_still THEN 0
                        WHEN v_me.total_partitions IS NOT NULL THEN 64
                        ELSE 64 / v_workers + CASE WHEN v_rank < 64 % v_workers THEN 1 ELSE 0 END END;
        SELECT count(*) INTO v_have FROM holdfast.projection_partition t
        WHERE t.projection = v_me.projection AND t.model = v_model.model AND t.owner = p_projector;
        IF v_have > v_share THEN
            PERFORM holdfast.give_back_partitions_v1(p_projector, v_me.projection, v_model.model, v_have - v_share);
        END IF;
        -- An array, because a joined subquery may be evaluated once for every row, and would take its limit each time.
        UPDATE holdfast.projection_partition t
        SET owner = p_projector, epoch = t.epoch + 1, lease_until = holdfast.now() + p_lease
        WHERE t.projection = v_me.projection AND t.model = v_model.model AND t.partition = ANY (ARRAY(
            SELECT f.partition FROM holdfast.projection_partition f
            WHERE f.projection = v_me.projection AND f.model = v_model.model
              AND (v_me.total_partitions IS NULL OR f.partition % v_me.total_partitions = v_me.partition_key)
              AND (f.owner IS NULL OR f.lease_until < holdfast.now()
                   OR f.owner NOT IN (SELECT l.id FROM holdfast.live_projectors_v1(v_me.projection, v_me.code_version) AS l))
            ORDER BY (f.owner = p_projector) IS TRUE DESC, f.partition
            LIMIT greatest(v_share - least(v_have, v_share) + (
                SELECT count(*) FROM holdfast.projection_partition o
                WHERE o.projection = v_me.projection AND o.model = v_model.model AND o.owner = p_projector
                  AND o.lease_until < holdfast.now()), 0)
            FOR UPDATE SKIP LOCKED));
    END LOOP;
    RETURN QUERY
        SELECT t.model, m.state, m.schema_name, t.partition, t.epoch, t.checkpoint, t.effects_after, t.failing,
               extract(epoch FROM (t.failing ->> 'retry_at')::timestamptz - holdfast.now())::double precision
        FROM holdfast.projection_partition t JOIN holdfast.projection_model m USING (projection, model)
        WHERE t.owner = p_projector AND t.lease_until > holdfast.now() AND m.code_version = v_me.code_version
        ORDER BY t.model, t.partition;
END $function$;
comment on function holdfast.hold_partitions_v1(bigint,interval) is 'Gives back what is above the fair share, takes what is free below it, each with a new epoch, and tells what is held. A live lease is never taken.';

-- [function] holdfast.hold_still_v1(text,interval)
CREATE OR REPLACE FUNCTION holdfast.hold_still_v1(p_projection text, p_for interval)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE holdfast.projection j SET still_until = holdfast.now() + p_for WHERE j.name = p_projection;
    PERFORM holdfast.fence_partitions_v1(p_projection, m.model) FROM holdfast.projection_model m
    WHERE p_for IS NOT NULL AND m.projection = p_projection AND m.state = 'live';
END $function$;
comment on function holdfast.hold_still_v1(text,interval) is 'The live model stands still for so long, so that another can reach it; NULL: it goes on now.';

-- [function] holdfast.hold_waiting_v1(bigint)
CREATE OR REPLACE FUNCTION holdfast.hold_waiting_v1(p_job bigint)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_old boolean := holdfast.id_time(p_job) < holdfast.now() - interval '5 seconds';
BEGIN
    IF v_old THEN
        BEGIN
            PERFORM FROM holdfast.ready r WHERE r.job_id = p_job AND r.flags & 2 <> 0 FOR UPDATE NOWAIT;
            PERFORM FROM holdfast.blocked b WHERE b.job_id = p_job FOR UPDATE NOWAIT;
            RAISE EXCEPTION 'only looking' USING ERRCODE = 'HF003';
        EXCEPTION
            WHEN lock_not_available THEN RETURN 'held';
            WHEN SQLSTATE 'HF003' THEN NULL;                -- rolls the exclusive lock back
        END;
    END IF;
    PERFORM FROM holdfast.ready r WHERE r.job_id = p_job AND r.flags & 2 <> 0 FOR KEY SHARE;
    IF FOUND THEN RETURN 'ready'; END IF;
    -- In the direction in which jobs move, so that one that moves meanwhile is met at the next look.
    PERFORM FROM holdfast.scheduled s WHERE s.job_id = p_job FOR KEY SHARE;
    IF FOUND THEN RETURN 'scheduled'; END IF;
    FOR look IN 1..3 LOOP                                   -- it may move from line to line
        PERFORM FROM holdfast.blocked b WHERE b.job_id = p_job FOR KEY SHARE;
        IF FOUND THEN RETURN 'blocked'; END IF;
    END LOOP;
    PERFORM FROM holdfast.ready r WHERE r.job_id = p_job AND r.flags & 2 <> 0 FOR KEY SHARE;  -- promoted meanwhile
    IF FOUND THEN RETURN 'ready'; END IF;
    IF holdfast.is_finished_v1(p_job) THEN
        RETURN (SELECT (ARRAY['completed', 'failed', 'cancelled'])[o.state] FROM (
            SELECT x.state FROM holdfast.outcome x WHERE x.job_id = p_job
            UNION ALL SELECT x.state FROM holdfast.outcome_kept x WHERE x.job_id = p_job) AS o LIMIT 1);
    END IF;
    -- Finished so long ago that retention has dropped it, with its outcome: a key must not be taken for ever.
    IF NOT EXISTS (SELECT FROM holdfast.job j WHERE j.id = p_job) AND NOT EXISTS (SELECT FROM holdfast.job_kept j WHERE j.id = p_job) THEN
        RETURN 'dropped';
    END IF;
    RETURN 'running';
END $function$;
comment on function holdfast.hold_waiting_v1(bigint) is 'The place of a job, held there until this transaction ends where it waits; dropped: retention has let go of it; held: by others for too long.';

-- [function] holdfast.id_floor(timestamp with time zone)
CREATE OR REPLACE FUNCTION holdfast.id_floor(p_at timestamp with time zone)
 RETURNS bigint
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
    SELECT ((date_part('epoch', p_at) * 1000)::bigint - 1704067200000) << 22
$function$;
comment on function holdfast.id_floor(timestamp with time zone) is 'The lowest id that could have been drawn at that moment.';

-- [function] holdfast.id_time(bigint)
CREATE OR REPLACE FUNCTION holdfast.id_time(p_id bigint)
 RETURNS timestamp with time zone
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT to_timestamp(((p_id >> 22) + 1704067200000) / 1000.0)
$function$;
comment on function holdfast.id_time(bigint) is 'The moment (milliseconds) at which an id was drawn.';

-- [function] holdfast.idle_key_v1(text)
CREATE OR REPLACE FUNCTION holdfast.idle_key_v1(p_queue text)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$ SELECT hashtext(p_queue COLLATE "C") $function$;
comment on function holdfast.idle_key_v1(text) is 'Idle workers hold (1212567, this) shared on their LISTEN session; a collision of hashes costs one needless wake-up.';

-- [function] holdfast.in_scope_v1(text,text,text[],text[],text[],text[])
CREATE OR REPLACE FUNCTION holdfast.in_scope_v1(p_type text, p_stream text, p_tags text[], p_types text[], p_categories text[], p_wanted_tags text[])
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT (p_types IS NULL OR p_type = ANY (p_types))
       AND (p_categories IS NULL OR holdfast.category_of(p_stream) = ANY (p_categories))
       AND (p_wanted_tags IS NULL OR coalesce(p_tags @> p_wanted_tags, false))
$function$;
comment on function holdfast.in_scope_v1(text,text,text[],text[],text[],text[]) is 'Any of the types, any of the categories, all of the tags; NULL asks for nothing.';

-- [function] holdfast.is_finished_v1(bigint)
CREATE OR REPLACE FUNCTION holdfast.is_finished_v1(p_job bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT EXISTS (SELECT FROM holdfast.outcome o WHERE o.job_id = p_job)
        OR EXISTS (SELECT FROM holdfast.outcome_kept o WHERE o.job_id = p_job)
$function$;

-- [function] holdfast.job_fits_v1(jsonb,timestamp with time zone,bigint,text,text,smallint,smallint,text,jsonb,jsonb,timestamp with time zone,timestamp with time zone)
CREATE OR REPLACE FUNCTION holdfast.job_fits_v1(p_terms jsonb, p_now timestamp with time zone, p_id bigint, p_queue text, p_task text, p_priority smallint, p_attempt smallint, p_key text, p_args jsonb, p_error jsonb, p_ended_at timestamp with time zone, p_due_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
    SELECT NOT EXISTS (
        SELECT FROM jsonb_to_recordset(p_terms) AS t(field text, path text[], op text, negated boolean, texts text[], number double precision)
        WHERE t.negated = holdfast.term_holds_v1(t.op, t.texts, t.number,
            CASE t.field
                WHEN 'queue' THEN p_queue
                WHEN 'task' THEN p_task
                WHEN 'key' THEN p_key
                WHEN 'id' THEN p_id::text
                WHEN 'args' THEN holdfast.sought_v1(p_args #> t.path)
                WHEN 'error' THEN CASE t.op WHEN '=' THEN p_error ->> 'type' ELSE concat_ws(': ', p_error ->> 'type', p_error ->> 'message') END
            END,
            CASE t.field
                WHEN 'priority' THEN p_priority::double precision
                WHEN 'attempt' THEN p_attempt::double precision
                WHEN 'ended' THEN extract(epoch FROM p_now - p_ended_at)::double precision
                WHEN 'due' THEN extract(epoch FROM p_due_at - p_now)::double precision
            END))
$function$;
comment on function holdfast.job_fits_v1(jsonb,timestamp with time zone,bigint,text,text,smallint,smallint,text,jsonb,jsonb,timestamp with time zone,timestamp with time zone) is 'Whether every term of a filter holds for a job, ages counted from p_now.';

-- [function] holdfast.judge_position_v1(bigint)
CREATE OR REPLACE FUNCTION holdfast.judge_position_v1(p_position bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    IF p_position <= (SELECT max(t.position) FROM holdfast.tick t) THEN
        RAISE EXCEPTION 'the sequence of positions is behind the log: it gave %, which readers have passed', p_position
            USING ERRCODE = 'HF106', HINT = 'After a restore or a switch-over run `holdfast event adopt`, or SELECT holdfast.adopt_log_v1().';
    END IF;
END $function$;
comment on function holdfast.judge_position_v1(bigint) is 'A position that was just drawn is beyond every tick, for ticks wait for whoever has one. One that is not would never be read: refused.';

-- [function] holdfast.keep_stragglers_v1(text,bigint)
CREATE OR REPLACE FUNCTION holdfast.keep_stragglers_v1(p_name text, p_until bigint)
 RETURNS integer
 LANGUAGE plpgsql
 SET lock_timeout TO '2s'
AS $function$
DECLARE
    v_kept integer;
BEGIN
    -- From now on outcomes of these ids go to outcome_kept; retries of finished jobs wait for this decision.
    PERFORM pg_advisory_xact_lock(1212570, 0);
    EXECUTE format(
        'INSERT INTO holdfast.job_kept SELECT j.* FROM holdfast.%I j
         WHERE NOT EXISTS (SELECT FROM holdfast.%I o WHERE o.job_id = j.id) ON CONFLICT DO NOTHING', 'job_' || p_name, 'outcome_' || p_name);
    GET DIAGNOSTICS v_kept = ROW_COUNT;
    UPDATE holdfast.storage SET lowest_id = p_until WHERE lowest_id < p_until;
    RETURN v_kept;
END $function$;
comment on function holdfast.keep_stragglers_v1(text,bigint) is 'Copies the unfinished jobs of a partition aside, before the partition is detached.';

-- [function] holdfast.key_hash_v1(text)
CREATE OR REPLACE FUNCTION holdfast.key_hash_v1(p_key text)
 RETURNS uuid
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$ SELECT md5(p_key)::uuid $function$;

-- [function] holdfast.last_position_v1()
CREATE OR REPLACE FUNCTION holdfast.last_position_v1()
 RETURNS bigint
 LANGUAGE sql
AS $function$ SELECT s.last_value - CASE WHEN s.is_called THEN 0 ELSE 1 END FROM holdfast.event_position s $function$;
comment on function holdfast.last_position_v1() is 'The last position that was drawn, by whomever.';

-- [function] holdfast.leave_lease_slots_v1(bigint[],bigint[])
CREATE OR REPLACE FUNCTION holdfast.leave_lease_slots_v1(p_jobs bigint[], p_leases bigint[])
 RETURNS text[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_left text[];
BEGIN
    -- In the order of the leases, so that two that leave together never wait for each other crosswise.
    PERFORM FROM holdfast.lease_slot s WHERE s.lease = ANY (p_leases) ORDER BY s.lease FOR NO KEY UPDATE;
    IF FOUND THEN
        WITH smaller AS (
            UPDATE holdfast.lease_slot s SET job_ids = ARRAY(SELECT unnest(s.job_ids) EXCEPT SELECT unnest(p_jobs)) WHERE s.lease = ANY (p_leases)
            RETURNING s.gate)
        SELECT array_agg(DISTINCT x.gate) INTO v_left FROM smaller x;
        DELETE FROM holdfast.lease_slot s WHERE s.lease = ANY (p_leases) AND s.job_ids = '{}';
    END IF;
    RETURN v_left;
END $function$;
comment on function holdfast.leave_lease_slots_v1(bigint[],bigint[]) is 'Gives back what these jobs hold together with others of their leases. Returns the gates; of another job of these leases perhaps one more.';

-- [function] holdfast.leave_v1(bigint[],bigint[],smallint[],bigint[],smallint[],text[],smallint[],smallint[],jsonb[],bigint[],bigint[],bigint[])
CREATE OR REPLACE FUNCTION holdfast.leave_v1(p_leases bigint[], p_jobs bigint[], p_moves smallint[], p_delays_us bigint[], p_attempts smallint[], p_queues text[], p_priorities smallint[], p_flags smallint[], p_errors jsonb[], p_ago_us bigint[], p_took_us bigint[], p_done bigint[])
 RETURNS bigint[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_sort TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_now     timestamptz := holdfast.now();
    v_live    bigint[];
    v_left    bigint[];
    v_cancel  bigint[];
    v_refused bigint[];
BEGIN
    SELECT array_agg(l.id) INTO v_live FROM (
        SELECT id FROM holdfast.lease WHERE id = ANY (p_leases) ORDER BY id FOR KEY SHARE) AS l;
    WITH held AS (
        SELECT l.id AS lease, h.job_id FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id) WHERE l.id = ANY (v_live)
    ), gone AS (
        INSERT INTO holdfast.lease_exit (lease, job_id)
        SELECT i.lease, i.job_id FROM unnest(p_leases, p_jobs) AS i(lease, job_id)
        JOIN held h ON h.lease = i.lease AND h.job_id = i.job_id
        WHERE NOT holdfast.is_finished_v1(i.job_id)
        ON CONFLICT DO NOTHING RETURNING job_id
    )
    SELECT array_agg(job_id) INTO v_left FROM gone;
    IF cardinality(v_left) > 0 THEN
        SELECT array_agg(c.job_id) INTO v_cancel FROM holdfast.cancel_request c WHERE c.job_id = ANY (v_left);
        INSERT INTO holdfast.failed_attempt (job_id, attempt, lease, started_at, finished_at, error)
        SELECT i.job_id, i.attempt - 1, i.lease, v_now - i.ago_us * interval '1 microsecond',
               v_now - (i.ago_us - i.took_us) * interval '1 microsecond', i.error
        FROM unnest(p_leases, p_jobs, p_attempts, p_errors, p_ago_us, p_took_us) AS i(lease, job_id, attempt, error, ago_us, took_us)
        WHERE i.error IS NOT NULL AND i.job_id = ANY (v_left);
        INSERT INTO holdfast.tally_delta (queue, retried)
        SELECT i.queue, count(*) FROM unnest(p_jobs, p_queues, p_moves) AS i(job_id, queue, move)
        WHERE i.move = 1 AND i.job_id = ANY (v_left) AND i.job_id <> ALL (coalesce(v_cancel, '{}')) GROUP BY i.queue;
        INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
        SELECT v_now + i.delay_us * interval '1 microsecond', i.job_id, i.queue, i.priority, i.attempt, i.flags
        FROM unnest(p_jobs, p_delays_us, p_queues, p_priorities, p_attempts, p_flags)
             AS i(job_id, delay_us, queue, priority, attempt, flags)
        WHERE i.delay_us > 0 AND i.job_id = ANY (v_left) AND i.job_id <> ALL (coalesce(v_cancel, '{}'));
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT i.queue, i.priority, i.job_id, i.attempt, i.flags
        FROM unnest(p_jobs, p_delays_us, p_queues, p_priorities, p_attempts, p_flags)
             AS i(job_id, delay_us, queue, priority, attempt, flags)
        WHERE i.delay_us <= 0 AND i.flags & 8 = 0 AND i.job_id = ANY (v_left) AND i.job_id <> ALL (coalesce(v_cancel, '{}'));
        IF EXISTS (SELECT FROM unnest(p_flags) AS f WHERE f & 24 <> 0) THEN
            PERFORM holdfast.tell_company_v1(array_agg(i.job_id), array_agg(i.lease), array_agg((10 + i.move)::smallint))
            FROM unnest(p_leases, p_jobs, p_moves, p_flags) AS i(lease, job_id, move, flags)
            WHERE i.flags & 24 <> 0 AND i.job_id = ANY (v_left) AND i.job_id <> ALL (coalesce(v_cancel, '{}'))
            HAVING count(*) > 0;
            PERFORM holdfast.line_up_v1(array_agg(i.job_id), array_agg(i.queue), array_agg(i.priority), array_agg(i.attempt), array_agg(i.flags))
            FROM unnest(p_jobs, p_delays_us, p_queues, p_priorities, p_attempts, p_flags)
                 AS i(job_id, delay_us, queue, priority, attempt, flags)
            WHERE i.delay_us <= 0 AND i.flags & 8 <> 0 AND i.job_id = ANY (v_left) AND i.job_id <> ALL (coalesce(v_cancel, '{}'))
            HAVING count(*) > 0;
        END IF;
        IF cardinality(v_cancel) > 0 THEN
            PERFORM holdfast.end_cancelled_v1(i.lease, array_agg(i.job_id), array_agg(i.queue), array_agg(i.attempt))
            FROM unnest(p_leases, p_jobs, p_queues, p_attempts) AS i(lease, job_id, queue, attempt)
            WHERE i.job_id = ANY (v_cancel) GROUP BY i.lease;
        END IF;
        PERFORM holdfast.ring_v1(ARRAY(
            SELECT DISTINCT i.queue FROM unnest(p_jobs, p_queues, p_delays_us) AS i(job_id, queue, delay_us)
            WHERE i.delay_us <= 0 AND i.job_id = ANY (v_left)));
    END IF;
    SELECT array_agg(i.job_id) INTO v_refused FROM unnest(p_leases, p_jobs) AS i(lease, job_id)
    WHERE i.job_id <> ALL (coalesce(v_left, '{}'))
      AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = i.lease AND e.job_id = i.job_id);
    PERFORM holdfast.end_leases_v1(p_done);
    RETURN coalesce(v_refused, '{}');
END $function$;
comment on function holdfast.leave_v1(bigint[],bigint[],smallint[],bigint[],smallint[],text[],smallint[],smallint[],jsonb[],bigint[],bigint[],bigint[]) is 'Ways out of a lease that are no outcome: move 1 retry, 2 snooze, 3 return. The exit and the new place are one commit; a job asked to be cancelled ends as cancelled instead.';

-- [function] holdfast.left_behind_v1(text[])
CREATE OR REPLACE FUNCTION holdfast.left_behind_v1(p_queues text[])
 RETURNS boolean
 LANGUAGE sql
AS $function$
    SELECT EXISTS (
        SELECT FROM holdfast.lease l
        LEFT JOIN holdfast.worker w ON w.id = l.id >> 36
        LEFT JOIN holdfast.worker_beat b ON b.worker = w.id
        CROSS JOIN LATERAL unnest(l.job_ids) AS h(job_id)
        JOIN holdfast.every_job j ON j.id = h.job_id
        WHERE (w.state IS DISTINCT FROM 'live' OR b.beaten_at < holdfast.now() - interval '5 seconds'
               OR w.has_session AND NOT EXISTS (
                   SELECT FROM pg_catalog.pg_locks k
                   WHERE k.locktype = 'advisory' AND k.classid = 1212568 AND k.objid = w.id::oid AND k.objsubid = 2 AND k.granted
                     AND k.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())))
          AND j.queue = ANY (p_queues) AND NOT holdfast.is_finished_v1(h.job_id)
          AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = l.id AND e.job_id = h.job_id))
$function$;
comment on function holdfast.left_behind_v1(text[]) is 'Is a job of these queues held by somebody who looks dead? Then it is about to run again: worth waiting for, and not more; who is dead the observer decides.';

-- [function] holdfast.left_room_v1(holdfast.blocked[],text[])
CREATE OR REPLACE FUNCTION holdfast.left_room_v1(p_rows holdfast.blocked[], p_stops text[])
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT array_agg(DISTINCT split_part(e.gate, E'\t', 1))
    FROM unnest(p_rows, p_stops) AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop),
         unnest(string_to_array(i.gates, E'\n')) AS e(gate)
    WHERE i.stop IS NOT NULL AND position(E'\n' IN i.gates) > 0 AND (split_part(e.gate, E'\t', 1) <> i.stop OR i.stop <> i.gate)
$function$;
comment on function holdfast.left_room_v1(holdfast.blocked[],text[]) is 'Who needs several gates and stopped at one had a turn at the others, too: whoever stands next before those may pass instead.';

-- [function] holdfast.limits_v1(integer)
CREATE OR REPLACE FUNCTION holdfast.limits_v1(p_most integer)
 RETURNS TABLE(name text, capacity integer, declared integer, per_us bigint, gate text, taken bigint, waiting bigint)
 LANGUAGE sql
 STABLE
AS $function$
    WITH RECURSIVE held(gate) AS (          -- the distinct gates by one index descent each
        (SELECT s.gate FROM holdfast.slot s WHERE s.gate > 'limit:' AND s.gate < 'limit;' ORDER BY s.gate LIMIT 1)
        UNION ALL
        SELECT (SELECT s.gate FROM holdfast.slot s WHERE s.gate > h.gate AND s.gate < 'limit;' ORDER BY s.gate LIMIT 1)
        FROM held h WHERE h.gate IS NOT NULL
    ), gates AS (
        SELECT x.gate FROM (
            SELECT h.gate FROM held h WHERE h.gate IS NOT NULL
            UNION SELECT l.gate FROM holdfast.lease_slot l
            UNION SELECT g.name FROM holdfast.gate g WHERE NOT starts_with(g.name, 'lane:')
            UNION SELECT b.gate FROM holdfast.rate_block b WHERE b.ends_at > holdfast.now()) AS x
        ORDER BY x.gate LIMIT p_most
    )
    SELECT r.name, r.capacity, r.declared, r.per_us, g.gate,
           CASE WHEN r.per_us IS NULL THEN (SELECT count(*) FROM holdfast.every_slot s WHERE s.gate = g.gate)
                ELSE coalesce((SELECT sum(b.taken) FROM holdfast.rate_block b WHERE b.gate = g.gate AND b.ends_at > holdfast.now()), 0) END,
           (SELECT count(*) FROM (SELECT FROM holdfast.blocked b WHERE b.gate = g.gate LIMIT 10000) AS w)
    FROM holdfast.limit_rule r
    LEFT JOIN gates g ON split_part(g.gate, ':', 1) || ':' || split_part(g.gate, ':', 2) = r.name
    ORDER BY r.name, g.gate
$function$;
comment on function holdfast.limits_v1(integer) is 'Every limit and rate, and for each key of it that is in use how many have passed and how many wait (counted up to 10 000).';

-- [function] holdfast.line_up_v1(bigint[],text[],smallint[],smallint[],smallint[])
CREATE OR REPLACE FUNCTION holdfast.line_up_v1(p_jobs bigint[], p_queues text[], p_priorities smallint[], p_attempts smallint[], p_flags smallint[])
 RETURNS void
 LANGUAGE sql
 SET enable_seqscan TO 'off'
AS $function$
    WITH lined_up AS (
        INSERT INTO holdfast.blocked (gate, rank, job_id, queue, priority, attempt, flags, gates)
        SELECT holdfast.first_gate_v1(j.gates), holdfast.rank_v1(j.gates, i.priority, holdfast.now()),
               i.job_id, i.queue, i.priority, i.attempt, i.flags, j.gates
        FROM unnest(p_jobs, p_queues, p_priorities, p_attempts, p_flags) WITH ORDINALITY AS i(job_id, queue, priority, attempt, flags, at)
        JOIN (SELECT x.id, x.gates FROM holdfast.job x WHERE x.id = ANY (p_jobs)
              UNION SELECT x.id, x.gates FROM holdfast.job_kept x WHERE x.id = ANY (p_jobs)) AS j ON j.id = i.job_id
        WHERE i.flags & 8 <> 0 ORDER BY i.at
        RETURNING gate, rank, seq
    )
    INSERT INTO holdfast.gate_call (gate, rank, seq) SELECT l.gate, min(l.rank), min(l.seq) FROM lined_up l GROUP BY l.gate
$function$;
comment on function holdfast.line_up_v1(bigint[],text[],smallint[],smallint[],smallint[]) is 'Puts those of the jobs that have gates before them (again); whoever is the head of its lane passes at once.';

-- [function] holdfast.link_attempt_v1(bigint,bigint,smallint,text,text,text)
CREATE OR REPLACE FUNCTION holdfast.link_attempt_v1(p_lease bigint, p_job bigint, p_attempt smallint, p_engine text, p_external_id text, p_log_url text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
    PERFORM FROM holdfast.lease l WHERE l.id = p_lease AND p_job = ANY (l.job_ids) FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO holdfast.attempt_link AS k (job_id, lease, attempt, engine, external_id, log_url, linked_at)
    VALUES (p_job, p_lease, p_attempt, p_engine, p_external_id, p_log_url, holdfast.now())
    ON CONFLICT (job_id, lease) DO UPDATE SET engine = excluded.engine, external_id = excluded.external_id,
        log_url = coalesce(excluded.log_url, k.log_url);
    RETURN true;
END $function$;
comment on function holdfast.link_attempt_v1(bigint,bigint,smallint,text,text,text) is 'Keeps under which name an engine runs this attempt, and where it logs; false: the lease is lost.';

-- [function] holdfast.live_projectors_v1(text,integer)
CREATE OR REPLACE FUNCTION holdfast.live_projectors_v1(p_projection text, p_code_version integer)
 RETURNS SETOF holdfast.projector
 LANGUAGE sql
 STABLE
AS $function$
    SELECT p.* FROM holdfast.projector p
    WHERE p.projection = p_projection AND (p_code_version IS NULL OR p.code_version = p_code_version)
      AND p.refused IS NULL AND p.lives_until > holdfast.now()
      AND (p.worker IS NULL OR EXISTS (SELECT FROM holdfast.worker w WHERE w.id = p.worker AND w.state = 'live'))
$function$;
comment on function holdfast.live_projectors_v1(text,integer) is 'Projectors whose lease runs and whose worker, if they have one, is not declared dead. NULL: of any code version.';

-- [function] holdfast.lock_conditions_v1(text[],text[],jsonb)
CREATE OR REPLACE FUNCTION holdfast.lock_conditions_v1(p_types text[], p_tags text[], p_condition jsonb)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_shared integer[];
    v_key    record;
BEGIN
    IF cardinality(p_types) = 1 AND p_tags IS NULL AND p_condition IS NULL THEN
        PERFORM pg_advisory_xact_lock_shared(1212577, holdfast.condition_key_v1('type', p_types[1]));
        RETURN;
    END IF;
    v_shared := ARRAY(
        SELECT holdfast.condition_key_v1('type', t) FROM unnest(p_types) AS t
        UNION SELECT holdfast.condition_key_v1('tag', t) FROM unnest(p_tags) AS w(words), unnest(w.words::text[]) AS t);
    -- The lock table of the server is finite: many keys become one, which excludes conditions but no other plain append.
    IF cardinality(v_shared) > 64 THEN
        PERFORM pg_advisory_xact_lock(1212578, 0);
        v_shared := '{}';
    ELSIF p_condition IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock_shared(1212578, 0);
    END IF;
    FOR v_key IN
        SELECT k.key, bool_or(k.alone) AS alone FROM (
            SELECT s AS key, false AS alone FROM unnest(v_shared) AS s
            -- One tag is enough: whatever an item matches carries all of its tags, and locks each of them.
            UNION ALL SELECT holdfast.condition_key_v1('tag', i.item #>> '{tags,0}'), true
            FROM jsonb_array_elements(p_condition -> 'items') AS i(item) WHERE i.item #> '{tags,0}' IS NOT NULL
            UNION ALL SELECT holdfast.condition_key_v1('type', t), true
            FROM jsonb_array_elements(p_condition -> 'items') AS i(item), jsonb_array_elements_text(i.item -> 'types') AS t
            WHERE i.item #> '{tags,0}' IS NULL
        ) AS k GROUP BY k.key ORDER BY k.key
    LOOP
        IF v_key.alone THEN
            PERFORM pg_advisory_xact_lock(1212577, v_key.key);
        ELSE
            PERFORM pg_advisory_xact_lock_shared(1212577, v_key.key);
        END IF;
    END LOOP;
END $function$;
comment on function holdfast.lock_conditions_v1(text[],text[],jsonb) is 'Shared locks on the types and tags of what is appended, exclusive ones on what a condition looks at; in one order, before any position is drawn.';

-- [function] holdfast.lock_place_v1(bigint)
CREATE OR REPLACE FUNCTION holdfast.lock_place_v1(p_job bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
BEGIN
    PERFORM FROM holdfast.scheduled s WHERE s.job_id = p_job FOR UPDATE SKIP LOCKED;
    IF FOUND THEN RETURN true; END IF;
    PERFORM FROM holdfast.blocked b WHERE b.job_id = p_job FOR UPDATE SKIP LOCKED;
    IF FOUND THEN RETURN true; END IF;
    PERFORM FROM holdfast.ready r WHERE r.job_id = p_job
        AND (r.queue, r.priority) IN (SELECT j.queue, j.priority FROM holdfast.every_job j WHERE j.id = p_job) FOR UPDATE SKIP LOCKED;
    IF FOUND THEN RETURN true; END IF;
    PERFORM FROM holdfast.outcome o WHERE o.job_id = p_job AND o.state <> 1 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN RETURN true; END IF;
    PERFORM FROM holdfast.outcome_kept o WHERE o.job_id = p_job AND o.state <> 1 FOR UPDATE SKIP LOCKED;
    RETURN FOUND;
END $function$;
comment on function holdfast.lock_place_v1(bigint) is 'Locks the place of a job that does not run and has not completed: until the end of the transaction nobody claims or retries it. False: it runs, has completed, or somebody else holds it.';

-- [function] holdfast.lockers_v1(xid)
CREATE OR REPLACE FUNCTION holdfast.lockers_v1(p_xmax xid)
 RETURNS TABLE(pid integer, application text, username text, client text, state text, seconds double precision, query text)
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    v_xids xid[] := ARRAY[p_xmax];
BEGIN
    IF p_xmax IS NULL OR p_xmax = '0'::xid THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype = 'transactionid' AND l.transactionid = p_xmax AND l.granted) THEN
        BEGIN
            v_xids := ARRAY(SELECT m.xid FROM pg_catalog.pg_get_multixact_members(p_xmax) AS m);
        EXCEPTION
            WHEN OTHERS THEN RETURN;                        -- the number of one transaction, which has ended
        END;
    END IF;
    RETURN QUERY
    SELECT a.pid, a.application_name, a.usename::text, host(a.client_addr), a.state,
           extract(epoch FROM clock_timestamp() - a.xact_start)::double precision, a.query
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'transactionid' AND l.granted AND l.transactionid = ANY (v_xids)
    ORDER BY a.xact_start;
END $function$;
comment on function holdfast.lockers_v1(xid) is 'The open transactions that hold a row of which this is the xmax: one, or those of a multixact. Needs no lock on the row.';

-- [function] holdfast.make_log_partitions_v1()
CREATE OR REPLACE FUNCTION holdfast.make_log_partitions_v1()
 RETURNS integer
 LANGUAGE plpgsql
 SET lock_timeout TO '2s'
AS $function$
DECLARE
    v_day  date := (holdfast.now() AT TIME ZONE 'UTC')::date;
    v_name text;
    v_made integer := 0;
BEGIN
    FOR v_ahead IN 0..2 LOOP
        v_name := 'log_' || to_char(v_day + v_ahead, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('holdfast.' || v_name) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(1212573, 0);
        CONTINUE WHEN to_regclass('holdfast.' || v_name) IS NOT NULL;       -- somebody else made it while we waited
        EXECUTE format('CREATE TABLE holdfast.%I (LIKE holdfast.job_log INCLUDING ALL)', v_name);
        EXECUTE format('ALTER TABLE holdfast.job_log ATTACH PARTITION holdfast.%I FOR VALUES FROM (%L) TO (%L)', v_name,
                       to_char(v_day + v_ahead, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(v_day + v_ahead + 1, 'YYYY-MM-DD') || ' 00:00:00+00');
        v_made := v_made + 1;
    END LOOP;
    RETURN v_made;
END $function$;
comment on function holdfast.make_log_partitions_v1() is 'A partition of job_log for today and the two days after. Any worker does it; a write does as a last resort.';

-- [function] holdfast.make_model_v1(text,integer,integer,text,text,bigint)
CREATE OR REPLACE FUNCTION holdfast.make_model_v1(p_projection text, p_model integer, p_code_version integer, p_state text, p_schema text, p_start bigint)
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO holdfast.projection_model (projection, model, code_version, state, schema_name, made_at, live_at)
    VALUES (p_projection, p_model, p_code_version, p_state, p_schema, holdfast.now(),
            CASE WHEN p_state = 'live' THEN holdfast.now() END);
    INSERT INTO holdfast.projection_partition (projection, model, partition, checkpoint, effects_after)
    SELECT p_projection, p_model, n, p_start, p_start FROM generate_series(0, 63) AS n
$function$;
comment on function holdfast.make_model_v1(text,integer,integer,text,text,bigint) is 'A model with its 64 partitions, all at one position.';

-- [function] holdfast.make_partitions_v1()
CREATE OR REPLACE FUNCTION holdfast.make_partitions_v1()
 RETURNS integer
 LANGUAGE plpgsql
 SET lock_timeout TO '2s'
AS $function$
DECLARE
    v_span  bigint;
    v_from  bigint;
    v_until bigint;
    v_name  text;
    v_made  integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(1212571, 0);
    SELECT s.partition_days * (86400000::bigint << 22), s.ceiling_id INTO v_span, v_from FROM holdfast.storage s;
    v_until := holdfast.id_floor(holdfast.now() + interval '8 days');
    IF v_from < holdfast.id_floor(holdfast.now()) - 8 * v_span THEN
        v_from := holdfast.id_floor(holdfast.now()) / v_span * v_span;      -- nobody ran for weeks: leave the gap
    END IF;
    WHILE v_from <= v_until LOOP
        v_name := to_char(holdfast.id_time(v_from) AT TIME ZONE 'UTC', 'YYYYMMDD');
        -- CREATE … PARTITION OF would lock the parent against everybody; ATTACH lets inserts go on.
        EXECUTE format('CREATE TABLE holdfast.%I (LIKE holdfast.job INCLUDING ALL)', 'job_' || v_name);
        EXECUTE format('ALTER TABLE holdfast.job ATTACH PARTITION holdfast.%I FOR VALUES FROM (%s) TO (%s)', 'job_' || v_name, v_from, v_from + v_span);
        EXECUTE format('CREATE TABLE holdfast.%I (LIKE holdfast.outcome INCLUDING ALL)', 'outcome_' || v_name);
        EXECUTE format('ALTER TABLE holdfast.outcome ATTACH PARTITION holdfast.%I FOR VALUES FROM (%s) TO (%s)', 'outcome_' || v_name, v_from, v_from + v_span);
        v_from := v_from + v_span;
        v_made := v_made + 1;
    END LOOP;
    UPDATE holdfast.storage SET ceiling_id = v_from WHERE ceiling_id < v_from;
    RETURN v_made;
END $function$;
comment on function holdfast.make_partitions_v1() is 'Partitions of job and outcome for at least eight days ahead. Any worker does it; an enqueue does as a last resort.';

-- [function] holdfast.marks_v1(text[],smallint[],bigint[],bigint,text[])
CREATE OR REPLACE FUNCTION holdfast.marks_v1(p_queues text[], p_priorities smallint[], p_marks bigint[], p_pending bigint, p_fence text[], OUT settled bigint, OUT pending bigint, OUT fence text[], OUT marks bigint[])
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_writers text[];
BEGIN
    -- First the sequence, then the writers: a number drawn before belongs to one of them or to somebody who has ended.
    -- A sequence that nobody has drawn from names the number that comes first as its last.
    SELECT o.last_value - CASE WHEN o.is_called THEN 0 ELSE 1 END INTO pending FROM holdfast.ready_number o;
    SELECT coalesce(array_agg(l.virtualtransaction), '{}') INTO v_writers FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'relation' AND l.relation = 'holdfast.ready'::regclass AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
      AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database());
    fence := v_writers;
    marks := p_marks;
    IF p_pending IS NULL THEN
        RETURN;
    END IF;
    IF p_fence && v_writers THEN
        pending := p_pending;                               -- somebody of then still writes: wait for these, not for newer ones
        fence := ARRAY(SELECT w FROM unnest(p_fence) AS w WHERE w = ANY (v_writers));
        RETURN;
    END IF;
    settled := p_pending;
    SELECT array_agg(least(coalesce(
               (SELECT r.seq FROM holdfast.ready r WHERE r.queue = m.queue AND r.priority = m.priority AND r.seq >= m.mark
                ORDER BY r.seq LIMIT 1), settled + 1), settled + 1) ORDER BY m.at)
    INTO marks FROM unnest(p_queues, p_priorities, p_marks) WITH ORDINALITY AS m(queue, priority, mark, at);
END $function$;
comment on function holdfast.marks_v1(text[],smallint[],bigint[],bigint,text[]) is 'The settled watermark: below a mark no row of (queue, priority) exists or can ever appear, so that claims need not wade through dead index entries.';

-- [function] holdfast.matching_v1(jsonb)
CREATE OR REPLACE FUNCTION holdfast.matching_v1(p_condition jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
DECLARE
    v_after bigint   := coalesce((p_condition ->> 'after')::bigint, 0);
    v_seen  bigint[] := ARRAY(SELECT s::bigint FROM jsonb_array_elements_text(p_condition -> 'seen') AS s);
    v_item  jsonb;
    v_types text[];
    v_tags  text[];
    v_found jsonb := '[]';
    v_more  jsonb;
BEGIN
    FOR v_item IN SELECT i FROM jsonb_array_elements(p_condition -> 'items') AS i LOOP
        v_types := ARRAY(SELECT t FROM jsonb_array_elements_text(v_item -> 'types') AS t);
        v_tags := ARRAY(SELECT t FROM jsonb_array_elements_text(v_item -> 'tags') AS t);
        SELECT coalesce(jsonb_agg(to_jsonb(f) ORDER BY f.position), '[]') INTO v_more FROM (
            SELECT e.stream, e.version, e.position, e.type, e.id, e.recorded_at
            FROM holdfast.event_tag g JOIN holdfast.event e ON e.position = g.position
            WHERE cardinality(v_tags) > 0 AND g.tag = v_tags[1] AND g.position > v_after AND g.position <> ALL (v_seen)
              AND e.tags @> v_tags AND (cardinality(v_types) = 0 OR e.type = ANY (v_types))
            UNION ALL
            SELECT e.stream, e.version, e.position, e.type, e.id, e.recorded_at FROM holdfast.event e
            WHERE cardinality(v_tags) = 0 AND e.type = ANY (v_types) AND e.position > v_after AND e.position <> ALL (v_seen)
            LIMIT 20) AS f;
        v_found := v_found || v_more;
    END LOOP;
    RETURN v_found;
END $function$;
comment on function holdfast.matching_v1(jsonb) is 'Events that an append condition did not want: {"after": position, "seen": [positions], "items": [{"types": [], "tags": []}]}. An item matches any of its types and all of its tags.';

-- [function] holdfast.may_speak_v1(bigint[],bigint,bigint)
CREATE OR REPLACE FUNCTION holdfast.may_speak_v1(p_live bigint[], p_lease bigint, p_job bigint)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
    SELECT CASE
        WHEN holdfast.is_finished_v1(p_job) THEN
            EXISTS (SELECT FROM holdfast.outcome o WHERE o.job_id = p_job AND o.lease = p_lease)
            OR EXISTS (SELECT FROM holdfast.outcome_kept o WHERE o.job_id = p_job AND o.lease = p_lease)
        ELSE EXISTS (SELECT FROM holdfast.lease l WHERE l.id = p_lease AND l.id = ANY (p_live) AND p_job = ANY (l.job_ids))
             AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = p_lease AND e.job_id = p_job)
    END
$function$;
comment on function holdfast.may_speak_v1(bigint[],bigint,bigint) is 'Whether this attempt runs under one of these locked leases, or was the one that ended the job: its last words count.';

-- [function] holdfast.move_jobs_v1(text,bigint[],text,timestamp with time zone,smallint)
CREATE OR REPLACE FUNCTION holdfast.move_jobs_v1(p_verb text, p_jobs bigint[], p_reason text, p_due_at timestamp with time zone, p_priority smallint)
 RETURNS bigint
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
DECLARE
    v_moved bigint := 0;
    v_job   bigint;
BEGIN
    CASE p_verb
        WHEN 'retry' THEN
            -- In the order in which enqueues take keys: two that need the same ones wait for each other, never in a circle.
            FOR v_job IN SELECT j.id FROM holdfast.every_job j WHERE j.id = ANY (p_jobs) ORDER BY holdfast.key_hash_v1(j.unique_key) NULLS FIRST, j.id LOOP
                v_moved := v_moved + (holdfast.retry_v1(v_job) = 'moved')::integer;
            END LOOP;
        WHEN 'cancel' THEN
            SELECT count(*) INTO v_moved FROM holdfast.cancel_v1(p_jobs, p_reason) m WHERE m.answer IN ('cancelled', 'requested');
        WHEN 'reschedule' THEN
            SELECT count(*) INTO v_moved FROM holdfast.reschedule_v1(p_jobs, p_due_at) m WHERE m.answer = 'moved';
        WHEN 'priority' THEN
            SELECT count(*) INTO v_moved FROM holdfast.prioritize_v1(p_jobs, p_priority) m WHERE m.answer = 'moved';
        WHEN 'purge' THEN
            SELECT count(*) INTO v_moved FROM holdfast.purge_v1(p_jobs) m WHERE m.answer = 'purged';
    END CASE;
    WITH back AS (                                          -- held by hold_jobs_v1, and ready as they were
        DELETE FROM holdfast.scheduled s WHERE s.job_id = ANY (p_jobs) AND s.due_at = '-infinity' RETURNING s.*
    )
    INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
    SELECT b.queue, b.priority, b.job_id, b.attempt, b.flags FROM back b ORDER BY b.job_id;
    RETURN v_moved;
END $function$;
comment on function holdfast.move_jobs_v1(text,bigint[],text,timestamp with time zone,smallint) is 'Does what the verb says with each of the jobs, by the function that does it for one; says how many it moved.';

-- [function] holdfast.move_marks_v1(text[],text[])
CREATE OR REPLACE FUNCTION holdfast.move_marks_v1(p_lanes text[], p_others text[])
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
BEGIN
    -- Of lanes now and then: a few dead entries cost less than a row written each time.
    INSERT INTO holdfast.gate AS g (name, mark_rank, mark_seq, virtual, low_slot)
    SELECT d.gate, h.rank, h.seq, h.rank,
           coalesce((SELECT s.job_id FROM holdfast.slot s WHERE s.gate = d.gate AND s.job_id >= coalesce(m.low_slot, 0) ORDER BY s.job_id LIMIT 1),
                    m.low_slot, 0)
    FROM (SELECT x AS gate FROM unnest(p_others) AS x
          UNION ALL SELECT x FROM unnest(p_lanes) AS x WHERE random() < 0.03) AS d
    LEFT JOIN holdfast.gate m ON m.name = d.gate
    CROSS JOIN LATERAL (
        SELECT b.rank, b.seq FROM holdfast.blocked b
        WHERE b.gate = d.gate AND (b.rank, b.seq) >= (coalesce(m.mark_rank, -1), coalesce(m.mark_seq, 0))
        ORDER BY b.rank, b.seq LIMIT 1) AS h
    ON CONFLICT (name) DO UPDATE SET mark_rank = excluded.mark_rank, mark_seq = excluded.mark_seq,
        virtual = greatest(g.virtual, excluded.virtual), low_slot = excluded.low_slot
    WHERE (g.mark_rank, g.mark_seq) <> (excluded.mark_rank, excluded.mark_seq);
    IF cardinality(p_others) > 0 THEN
        UPDATE holdfast.gate g SET opens_at = CASE WHEN EXISTS (SELECT FROM holdfast.blocked b WHERE b.gate = g.name) THEN
            (SELECT min(k.ends_at) FROM holdfast.rate_block k WHERE k.gate = g.name AND k.ends_at > holdfast.now()) END
        WHERE g.name = ANY (p_others) AND starts_with(g.name, 'rate:');
        UPDATE holdfast.gate g SET opens_at = NULL
        WHERE g.name = ANY (p_others) AND starts_with(g.name, 'limit:') AND g.opens_at <= holdfast.now();
    END IF;
END $function$;
comment on function holdfast.move_marks_v1(text[],text[]) is 'Nobody stands before the mark of a gate, a call lowers it again; no slot is held before low_slot, whoever takes one lowers it. Rates say when they open next.';

-- [function] holdfast.new_event_id()
CREATE OR REPLACE FUNCTION holdfast.new_event_id()
 RETURNS uuid
 LANGUAGE sql
 PARALLEL SAFE
AS $function$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
        substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$function$;
comment on function holdfast.new_event_id() is 'A UUID of version 7: in the order of time, so that its index grows at one end.';

-- [function] holdfast.next_due_seconds_v1()
CREATE OR REPLACE FUNCTION holdfast.next_due_seconds_v1()
 RETURNS double precision
 LANGUAGE sql
AS $function$
    SELECT extract(epoch FROM min(s.due_at) - holdfast.now())::double precision FROM holdfast.schedule s
    WHERE s.due_at > holdfast.now() AND s.paused_at IS NULL AND s.withdrawn_at IS NULL
$function$;
comment on function holdfast.next_due_seconds_v1() is 'How long until something is due that is not due yet.';

-- [function] holdfast.next_events_v1(text,integer,smallint[],bigint[],bigint[],integer,text[],text[],text[])
CREATE OR REPLACE FUNCTION holdfast.next_events_v1(p_projection text, p_model integer, p_partitions smallint[], p_after bigint[], p_upto bigint[], p_limit_each integer, p_types text[], p_categories text[], p_tags text[])
 RETURNS TABLE("position" bigint, stream text, version bigint, type text, schema_version smallint, data jsonb, id uuid, recorded_at timestamp with time zone, tags text[], metadata jsonb, correlation_id text, causation_id text, trace jsonb, partition smallint, parked boolean)
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_sort TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
AS $function$
    SELECT e.position, e.stream, e.version, e.type, e.schema_version, e.data, e.id, e.recorded_at, e.tags, e.metadata,
           e.correlation_id, e.causation_id, e.trace, e.partition,
           EXISTS (SELECT FROM holdfast.projection_parked k WHERE k.projection = p_projection AND k.model = p_model AND k.stream = e.stream)
    FROM unnest(p_partitions, p_after, p_upto) AS o(partition, after, upto)
    CROSS JOIN LATERAL (
        SELECT x.* FROM holdfast.event x
        WHERE x.partition = o.partition AND x.position > o.after AND x.position <= o.upto
          AND holdfast.in_scope_v1(x.type, x.stream, x.tags, p_types, p_categories, p_tags)
        ORDER BY x.position LIMIT p_limit_each) AS e
$function$;
comment on function holdfast.next_events_v1(text,integer,smallint[],bigint[],bigint[],integer,text[],text[],text[]) is 'The next events of each partition, in order inside each, by the index of partitions: n readers read the log once, not n times.';

-- [function] holdfast.note_failure_v1()
CREATE OR REPLACE FUNCTION holdfast.note_failure_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    INSERT INTO holdfast.failure_noted (job_id) VALUES (NEW.job_id);
    RETURN NULL;
END $function$;
comment on function holdfast.note_failure_v1() is 'Notes a job that has failed for good. Waits for nobody.';

-- [function] holdfast.note_moments_v1()
CREATE OR REPLACE FUNCTION holdfast.note_moments_v1()
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO holdfast.moment (kind, at, what, text)
    SELECT 'paused', p.paused_at, p.queue, format('queue %s paused%s', p.queue, coalesce(': ' || p.reason, '')) FROM holdfast.queue_pause p
    UNION ALL
    SELECT 'worker_lost', w.ended_at, w.id::text, format('%s on %s: %s', coalesce(nullif(w.name, ''), 'worker ' || w.id), w.host, w.end_reason)
    FROM holdfast.worker w WHERE w.state = 'dead' AND w.end_reason <> 'stopped' AND w.ended_at > holdfast.now() - interval '10 minutes'
    UNION ALL
    -- Those of one deploy start together: one line for all of them.
    SELECT 'started', min(w.started_at), '', format('%s workers started', count(*)) FROM holdfast.worker w
    WHERE w.started_at > holdfast.now() - interval '5 minutes' AND w.started_at < holdfast.now() - interval '1 minute'
      AND NOT EXISTS (SELECT FROM holdfast.moment m WHERE m.kind = 'started' AND m.at > w.started_at - interval '5 minutes' AND m.at <= w.started_at)
    HAVING count(*) > 0
    ON CONFLICT DO NOTHING
$function$;
comment on function holdfast.note_moments_v1() is 'Keeps, once, the moments of the last minutes; the rows they are read from are forgotten sooner.';

-- [function] holdfast.now()
CREATE OR REPLACE FUNCTION holdfast.now()
 RETURNS timestamp with time zone
 LANGUAGE sql
 PARALLEL SAFE
AS $function$
    select pg_catalog.clock_timestamp()
         + coalesce(nullif(pg_catalog.current_setting('holdfast.clock_offset', true), ''), '0')::interval
$function$;
comment on function holdfast.now() is 'The time by which everything in this schema is judged; tests move it with holdfast.clock_offset.';

-- [table] holdfast.access_session
create table holdfast.access_session (
    id bigint generated always as identity (increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1) not null,
    digest bytea not null,
    token_id bigint,
    name text not null,
    permissions text[] not null,
    roles text[] not null,
    queues text[],
    client text,
    agent text,
    created_at timestamp with time zone default holdfast.now() not null,
    seen_at timestamp with time zone default holdfast.now() not null,
    expires_at timestamp with time zone not null,
    ended_at timestamp with time zone,
    constraint access_session_pkey PRIMARY KEY (id),
    constraint access_session_digest_key UNIQUE (digest),
    constraint access_session_digest_check CHECK ((octet_length(digest) = 32))
);
CREATE INDEX access_session_expiry ON holdfast.access_session USING btree (expires_at);
CREATE INDEX access_session_token ON holdfast.access_session USING btree (token_id);
comment on table holdfast.access_session is 'Browsers that are signed in. A session of a token permits what the token permits now, and ends with it; one of an OIDC bearer what that granted.';

-- [table] holdfast.access_token
create table holdfast.access_token (
    id bigint generated always as identity (increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1) not null,
    name text not null,
    digest bytea not null,
    role text,
    permissions text[] default '{}'::text[] not null,
    queues text[],
    created_at timestamp with time zone default holdfast.now() not null,
    created_by text not null,
    expires_at timestamp with time zone,
    used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    revoked_by text,
    constraint access_token_pkey PRIMARY KEY (id),
    constraint access_token_digest_key UNIQUE (digest),
    constraint access_token_check CHECK (((role IS NOT NULL) OR (permissions <> '{}'::text[]))),
    constraint access_token_check1 CHECK (((revoked_at IS NULL) = (revoked_by IS NULL))),
    constraint access_token_digest_check CHECK ((octet_length(digest) = 32)),
    constraint access_token_name_check CHECK ((name <> ''::text))
);
comment on table holdfast.access_token is 'Credentials of programs and people. What one permits: its role and the permissions beside it; in these queues only, if any are named.';

-- [table] holdfast.audit
create table holdfast.audit (
    id bigint generated always as identity (increment 1 minvalue 1 maxvalue 9223372036854775807 start 1 cache 1) not null,
    at timestamp with time zone default holdfast.now() not null,
    actor text not null,
    actor_kind text not null,
    action text not null,
    result text not null,
    target_kind text,
    target text,
    reason text,
    before jsonb,
    after jsonb,
    code text,
    detail text,
    request_id text,
    client text,
    constraint audit_pkey PRIMARY KEY (id),
    constraint audit_result_check CHECK ((result = ANY (ARRAY['done'::text, 'begun'::text, 'failed'::text, 'denied'::text])))
);
CREATE INDEX audit_about ON holdfast.audit USING btree (target, id DESC);
CREATE INDEX audit_action ON holdfast.audit USING btree (action, id DESC);
CREATE INDEX audit_actor ON holdfast.audit USING btree (actor, id DESC);
CREATE INDEX audit_at ON holdfast.audit USING btree (at);
comment on table holdfast.audit is 'Every act over HTTP or by a command, and every refusal: who, what, on what, from where, and how it ended. Rows are written once.';

-- [table] holdfast.request_key
create table holdfast.request_key (
    actor text collate "C" not null,
    key text collate "C" not null,
    digest bytea not null,
    status integer,
    body bytea,
    created_at timestamp with time zone default holdfast.now() not null,
    constraint request_key_pkey PRIMARY KEY (actor, key)
);
CREATE INDEX request_key_age ON holdfast.request_key USING btree (created_at);
comment on table holdfast.request_key is 'Idempotency keys of requests: the answer to the first is the answer to all that repeat it. Committed with the act.';

-- [foreign key] holdfast.access_session.access_session_token_id_fkey
alter table holdfast.access_session add constraint access_session_token_id_fkey FOREIGN KEY (token_id) REFERENCES holdfast.access_token(id);

-- [function] holdfast.observe_v1()
CREATE OR REPLACE FUNCTION holdfast.observe_v1()
 RETURNS TABLE(worker bigint, beat bigint, has_session boolean, session_held boolean, host text, incarnation text, server_age_seconds double precision)
 LANGUAGE sql
AS $function$
    SELECT w.id, b.beat, w.has_session,
           EXISTS (SELECT FROM pg_catalog.pg_locks l
                   WHERE l.locktype = 'advisory' AND l.classid = 1212568 AND l.objid = w.id::oid AND l.objsubid = 2 AND l.granted
                     AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())),
           w.host, w.incarnation,
           extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::double precision
    FROM holdfast.worker w JOIN holdfast.worker_beat b ON b.worker = w.id WHERE w.state = 'live'
$function$;
comment on function holdfast.observe_v1() is 'One look at everybody who is said to live: the beat, and whether the session of each still stands.';

-- [function] holdfast.open_batch_v1(bigint,text,bigint,jsonb,jsonb,jsonb)
CREATE OR REPLACE FUNCTION holdfast.open_batch_v1(p_id bigint, p_name text, p_parent bigint, p_on_success jsonb, p_on_failure jsonb, p_on_finish jsonb)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_id    bigint := coalesce(p_id, holdfast.id_floor(holdfast.now()) | (nextval('holdfast.job_number') & 2097151));
    v_outer bigint;
BEGIN
    IF p_parent IS NOT NULL THEN
        SELECT b.id INTO v_outer FROM holdfast.batch_member m JOIN holdfast.batch b ON b.id = m.batch_id
        WHERE m.job_id = p_parent AND b.finished_at IS NULL FOR KEY SHARE OF b;
    END IF;
    INSERT INTO holdfast.batch (id, name, parent_job, parent_batch, on_success, on_failure, on_finish, created_at)
    VALUES (v_id, p_name, p_parent, v_outer, p_on_success, p_on_failure, p_on_finish, holdfast.now())
    ON CONFLICT (parent_job, name) WHERE parent_job IS NOT NULL DO NOTHING;
    IF NOT FOUND THEN
        -- A new statement: the one above may have waited for the transaction that opened it.
        RETURN (SELECT -b.id FROM holdfast.batch b WHERE b.parent_job = p_parent AND b.name = p_name);
    END IF;
    INSERT INTO holdfast.batch_delta (batch_id) VALUES (v_id);              -- a batch without members ends as well
    IF v_outer IS NOT NULL THEN
        INSERT INTO holdfast.batch_delta (batch_id, inner_open) VALUES (v_outer, 1);
    END IF;
    RETURN v_id;
END $function$;
comment on function holdfast.open_batch_v1(bigint,text,bigint,jsonb,jsonb,jsonb) is 'The id of the new batch; negative: an earlier attempt of the parent has opened it, with its members. Members join in the same transaction.';

-- [function] holdfast.operate_v1(integer,integer)
CREATE OR REPLACE FUNCTION holdfast.operate_v1(p_most integer, p_window integer)
 RETURNS TABLE(operation bigint, verb text, state text, taken integer)
 LANGUAGE plpgsql
 SET jit TO 'off'
 SET lock_timeout TO '500ms'
AS $function$
DECLARE
    v_op      holdfast.operation;
    v_jobs    bigint[];
    v_at      bigint[];
    v_queues  text[];
    v_end     bigint;
    v_before  bigint;
    v_moved   bigint := 0;
    v_skipped bigint := 0;
    v_failed  bigint := 0;
BEGIN
    -- Whoever waited longest for its turn; one that another worker has in hand is passed over. Locked here, looked at below.
    SELECT * INTO v_op FROM holdfast.operation o WHERE o.state = 'running' ORDER BY o.turn_at, o.id LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT array_agg(s.job_id ORDER BY s."position" DESC) FILTER (WHERE s.job_id IS NOT NULL),
           array_agg(s."position" ORDER BY s."position" DESC) FILTER (WHERE s.job_id IS NOT NULL),
           array_agg(s.queue ORDER BY s."position" DESC) FILTER (WHERE s.job_id IS NOT NULL), min(s."position") FILTER (WHERE s.job_id IS NULL)
    INTO v_jobs, v_at, v_queues, v_end
    FROM holdfast.search_jobs_v1(ARRAY[v_op.places[v_op.place_at]], v_op.queues, v_op.tasks, v_op.failures, v_op.terms, v_op.frozen_at, v_op.frozen_at,
                                 v_op.from_id, v_op.until_id, v_op.before, p_most, p_window) s;
    taken := coalesce(cardinality(v_jobs), 0);
    v_before := CASE WHEN taken >= p_most THEN v_at[taken] ELSE v_end END;
    IF taken > 0 THEN
        BEGIN
            v_moved := holdfast.move_jobs_v1(v_op.verb, holdfast.hold_jobs_v1(v_op.places[v_op.place_at], v_jobs, v_queues, v_at),
                                             v_op.reason, v_op.due_at, v_op.priority);
            v_skipped := taken - v_moved;
        EXCEPTION WHEN OTHERS THEN                          -- it is one of them: each by itself, and not for long
            PERFORM set_config('lock_timeout', '50ms', true);
            FOR i IN 1 .. taken LOOP
                BEGIN
                    IF holdfast.move_jobs_v1(v_op.verb, holdfast.hold_jobs_v1(v_op.places[v_op.place_at], v_jobs[i:i], v_queues[i:i], v_at[i:i]),
                                             v_op.reason, v_op.due_at, v_op.priority) > 0 THEN
                        v_moved := v_moved + 1;
                    ELSE
                        v_skipped := v_skipped + 1;
                    END IF;
                EXCEPTION WHEN OTHERS THEN
                    v_failed := v_failed + 1;
                    v_op.trouble := 'job ' || v_jobs[i] || ': ' || SQLERRM;
                END;
                IF v_failed >= 20 AND i < taken THEN
                    v_before := v_at[i];
                    EXIT;
                END IF;
            END LOOP;
        END;
    END IF;
    IF v_before IS NULL THEN                                -- nothing of this place is left
        v_op.place_at := v_op.place_at + 1;
        v_before := 9223372036854775807;
    END IF;
    operation := v_op.id;
    verb := v_op.verb;
    state := CASE WHEN v_op.place_at > cardinality(v_op.places) THEN 'finished' ELSE 'running' END;
    UPDATE holdfast.operation o SET state = operate_v1.state, place_at = v_op.place_at, before = v_before, moved = o.moved + v_moved,
        skipped = o.skipped + v_skipped, failed = o.failed + v_failed, trouble = v_op.trouble, turn_at = holdfast.now(),
        finished_at = CASE WHEN operate_v1.state = 'finished' THEN holdfast.now() END
    WHERE o.id = v_op.id;
    RETURN NEXT;
END $function$;
comment on function holdfast.operate_v1(integer,integer) is 'One batch of one running operation, in one transaction with its progress: at most p_most jobs, found by the frozen filter now, held in their place, moved by its verb. No row: nothing is to be done.';

-- [function] holdfast.outcomes_at_the_end_v1(jsonb,timestamp with time zone)
CREATE OR REPLACE FUNCTION holdfast.outcomes_at_the_end_v1(p_pages jsonb, p_since timestamp with time zone)
 RETURNS TABLE(job_id bigint, started_at timestamp with time zone, finished_at timestamp with time zone, attempt smallint)
 LANGUAGE plpgsql
 STABLE
 SET jit TO 'off'
AS $function$
DECLARE
    v_part  record;
    v_from  bigint;
    v_step  bigint;
    v_chunk bigint;
BEGIN
    -- Outcomes are only appended: what ended last stands at the end of each partition, whenever its job was enqueued.
    FOR v_part IN
        SELECT c.relname, c.oid::regclass AS name, pg_relation_size(c.oid) / current_setting('block_size')::bigint AS pages,
               (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''?(\d+)''?\)'))[1]::bigint AS until_id
        FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'holdfast.outcome'::regclass AND NOT i.inhdetachpending
    LOOP
        CONTINUE WHEN v_part.pages = 0;
        CONTINUE WHEN v_part.pages = (p_pages ->> v_part.relname)::bigint AND v_part.until_id < holdfast.id_floor(holdfast.now());
        -- PostgreSQL may add pages ahead of the rows; so a look begins a little before where the last one ended.
        v_from := greatest(coalesce((p_pages ->> v_part.relname)::bigint, v_part.pages) - 16, 0);
        v_step := greatest((v_part.pages - v_from + 7) / 8, 8);
        v_chunk := v_from;
        WHILE v_chunk < v_part.pages LOOP
            RETURN QUERY EXECUTE format(
                'SELECT o.job_id, o.started_at, o.finished_at, o.attempt FROM ONLY %s o
                 WHERE o.ctid >= %L::tid AND o.ctid < %L::tid AND o.finished_at > $1 AND o.started_at IS NOT NULL LIMIT 250',
                v_part.name, format('(%s,0)', v_chunk), format('(%s,0)', v_chunk + 8)) USING p_since;
            v_chunk := v_chunk + v_step;
        END LOOP;
    END LOOP;
END $function$;
comment on function holdfast.outcomes_at_the_end_v1(jsonb,timestamp with time zone) is 'A sample of what ended since then: up to 64 pages and 2000 rows a partition, spread over what was written since p_pages.';

-- [function] holdfast.pace_bounds_v1()
CREATE OR REPLACE FUNCTION holdfast.pace_bounds_v1()
 RETURNS double precision[]
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT ARRAY[.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800]::double precision[]
$function$;
comment on function holdfast.pace_bounds_v1() is 'Upper ends, in seconds, of the intervals in which waits and runs are counted.';

-- [function] holdfast.park_failed_v1(text,integer,text,smallint,bigint,integer,jsonb,interval)
CREATE OR REPLACE FUNCTION holdfast.park_failed_v1(p_projection text, p_model integer, p_stream text, p_partition smallint, p_position bigint, p_attempts integer, p_error jsonb, p_retry_in interval)
 RETURNS void
 LANGUAGE sql
AS $function$
    INSERT INTO holdfast.projection_parked AS p (projection, model, stream, partition, next_position, attempts, parked_at, retry_at, error)
    VALUES (p_projection, p_model, p_stream, p_partition, p_position, p_attempts, holdfast.now(), holdfast.now() + p_retry_in, p_error)
    ON CONFLICT (projection, model, stream) DO UPDATE SET
        next_position = excluded.next_position, attempts = excluded.attempts, retry_at = excluded.retry_at, error = excluded.error
$function$;
comment on function holdfast.park_failed_v1(text,integer,text,smallint,bigint,integer,jsonb,interval) is 'The stream waits from this event on; retried after p_retry_in, or by a person when that is NULL. In one transaction with the checkpoint.';

-- [function] holdfast.park_stream_v1(text,text,smallint,text)
CREATE OR REPLACE FUNCTION holdfast.park_stream_v1(p_projection text, p_stream text, p_partition smallint, p_reason text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_model      integer;
    v_checkpoint bigint;
BEGIN
    SELECT m.model INTO v_model FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.state = 'live';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- The owner does not know of this yet: a new epoch makes it look again before it commits anything.
    UPDATE holdfast.projection_partition t SET epoch = t.epoch + 1
    WHERE t.projection = p_projection AND t.model = v_model AND t.partition = p_partition
    RETURNING t.checkpoint INTO v_checkpoint;
    INSERT INTO holdfast.projection_parked AS p (projection, model, stream, partition, next_position, attempts, parked_at, reason)
    VALUES (p_projection, v_model, p_stream, p_partition, v_checkpoint + 1, 0, holdfast.now(), p_reason)
    ON CONFLICT (projection, model, stream) DO UPDATE SET retry_at = NULL, reason = excluded.reason;
    RETURN true;
END $function$;
comment on function holdfast.park_stream_v1(text,text,smallint,text) is 'From the checkpoint on the events of this stream wait, others go on.';

-- [function] holdfast.partition_of(text)
CREATE OR REPLACE FUNCTION holdfast.partition_of(p_stream text)
 RETURNS smallint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
    SELECT (get_byte(sha256(convert_to(p_stream, 'UTF8')), 0) & 63)::smallint
$function$;
comment on function holdfast.partition_of(text) is 'One of the 64 partitions of the log, 0 to 63. SHA-256, so that it is the same on every server, version and platform.';

-- [function] holdfast.pause_projection_v1(text,text)
CREATE OR REPLACE FUNCTION holdfast.pause_projection_v1(p_projection text, p_reason text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_before timestamptz;
BEGIN
    SELECT j.paused_at INTO v_before FROM holdfast.projection j WHERE j.name = p_projection FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE holdfast.projection j SET paused_at = coalesce(j.paused_at, holdfast.now()), pause_reason = p_reason WHERE j.name = p_projection;
    PERFORM holdfast.fence_partitions_v1(p_projection, NULL);
    RETURN v_before IS NULL;
END $function$;
comment on function holdfast.pause_projection_v1(text,text) is 'When it returns nothing more is applied, by nobody. NULL: there is no such projection; false: it was paused.';

-- [function] holdfast.pause_queue_v1(text,text,text)
CREATE OR REPLACE FUNCTION holdfast.pause_queue_v1(p_queue text, p_reason text, p_by text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE sql
AS $function$
    WITH done AS (
        INSERT INTO holdfast.queue_pause (queue, paused_at, reason, paused_by) VALUES (p_queue, holdfast.now(), p_reason, p_by)
        ON CONFLICT DO NOTHING RETURNING queue
    ) SELECT EXISTS (SELECT FROM done)
$function$;
comment on function holdfast.pause_queue_v1(text,text,text) is 'No claim looks into the queue from now on; what runs, runs on. False: it was paused already.';

-- [function] holdfast.pause_schedule_v1(text,text)
CREATE OR REPLACE FUNCTION holdfast.pause_schedule_v1(p_name text, p_reason text)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_paused boolean;
BEGIN
    SELECT s.paused_at IS NOT NULL INTO v_paused FROM holdfast.schedule s WHERE s.name = p_name FOR UPDATE;
    IF v_paused IS NULL THEN RETURN 'unknown'; END IF;
    IF v_paused THEN RETURN 'already'; END IF;
    UPDATE holdfast.schedule SET paused_at = holdfast.now(), pause_reason = p_reason WHERE name = p_name;
    RETURN 'paused';
END $function$;
comment on function holdfast.pause_schedule_v1(text,text) is 'Nothing of it is due from now on; jobs that exist run on. Answers paused, already or unknown.';

-- [function] holdfast.payload_v1(bigint[],bigint[],text[],smallint[],bigint[],smallint[],smallint[])
CREATE OR REPLACE FUNCTION holdfast.payload_v1(p_jobs bigint[], p_leases bigint[], p_queues text[], p_priorities smallint[], p_seqs bigint[], p_attempts smallint[], p_flags smallint[])
 RETURNS TABLE(kind smallint, job_id bigint, lease bigint, queue text, priority smallint, seq bigint, attempt smallint, flags smallint, task text, args text, max_attempts smallint, timeout_seconds real, trace jsonb)
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_nestloop TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_span bigint;
    v_low  bigint;
    v_from bigint;
    v_to   bigint;
BEGIN
    -- Joining 400 partitions costs 20 ms, one partition 0.1: so the bounds are given as values, a partition's worth at a time.
    SELECT s.partition_days * (86400000::bigint << 22), s.lowest_id INTO v_span, v_low FROM holdfast.storage s;
    SELECT min(j), max(j) INTO v_from, v_to FROM unnest(p_jobs) AS j;
    IF v_from < v_low THEN
        RETURN QUERY
        SELECT 0::smallint, i.job_id, i.lease, i.queue, i.priority, i.seq, i.attempt, i.flags,
               j.task, j.args::text, j.max_attempts, j.timeout_seconds, j.trace
        FROM unnest(p_jobs, p_leases, p_queues, p_priorities, p_seqs, p_attempts, p_flags)
             AS i(job_id, lease, queue, priority, seq, attempt, flags)
        LEFT JOIN holdfast.job_kept j ON j.id = i.job_id WHERE i.job_id < v_low;
        SELECT min(j) INTO v_from FROM unnest(p_jobs) AS j WHERE j >= v_low;
    END IF;
    WHILE v_from IS NOT NULL LOOP
        v_to := (v_from / v_span + 1) * v_span;             -- where the partition of v_from ends
        RETURN QUERY EXECUTE
            'SELECT 0::smallint, i.job_id, i.lease, i.queue, i.priority, i.seq, i.attempt, i.flags,
                    j.task, j.args::text, j.max_attempts, j.timeout_seconds, j.trace
             FROM unnest($1, $2, $3, $4, $5, $6, $7) AS i(job_id, lease, queue, priority, seq, attempt, flags)
             LEFT JOIN (SELECT * FROM holdfast.job x WHERE x.id = ANY (ARRAY(SELECT unnest($1))) AND x.id >= $8 AND x.id < $9) AS j ON j.id = i.job_id
             WHERE i.job_id >= $8 AND i.job_id < $9'
            USING p_jobs, p_leases, p_queues, p_priorities, p_seqs, p_attempts, p_flags, v_from, v_to;
        SELECT min(j) INTO v_from FROM unnest(p_jobs) AS j WHERE j >= v_to;
    END LOOP;
END $function$;
comment on function holdfast.payload_v1(bigint[],bigint[],text[],smallint[],bigint[],smallint[],smallint[]) is 'What to run for each claimed job; task is NULL where the payload is missing, so that it can be failed instead of vanishing.';

-- [function] holdfast.place_v1(bigint[],text[],smallint[],smallint[],bigint[],timestamp with time zone[],timestamp with time zone,text[])
CREATE OR REPLACE FUNCTION holdfast.place_v1(p_ids bigint[], p_queues text[], p_priorities smallint[], p_flags smallint[], p_delays_us bigint[], p_due_at timestamp with time zone[], p_now timestamp with time zone, p_gates text[])
 RETURNS text[]
 LANGUAGE sql
AS $function$
    WITH input AS (
        SELECT i.id, i.queue, i.priority, i.flags, i.gates,
               coalesce(i.due_at, p_now + i.delay_us * interval '1 microsecond', p_now) AS due_at
        FROM unnest(p_ids, p_queues, p_priorities, p_flags, p_delays_us, p_due_at, p_gates)
             AS i(id, queue, priority, flags, delay_us, due_at, gates)
    ), later AS (
        INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
        SELECT due_at, id, queue, priority, 1, flags FROM input WHERE due_at > p_now
    ), at_once AS (
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT queue, priority, id, 1, flags FROM input WHERE due_at <= p_now AND gates IS NULL
    ), before_gates AS (
        INSERT INTO holdfast.blocked (gate, rank, job_id, queue, priority, attempt, flags, gates)
        SELECT holdfast.first_gate_v1(gates), holdfast.rank_v1(gates, priority, p_now), id, queue, priority, 1, flags, gates
        FROM input WHERE due_at <= p_now AND gates IS NOT NULL
        RETURNING gate, rank, seq
    ), called AS (
        INSERT INTO holdfast.gate_call (gate, rank, seq) SELECT gate, min(rank), min(seq) FROM before_gates GROUP BY gate
    ), told AS (
        SELECT holdfast.ring_v1(array_agg(DISTINCT queue), 'gates') FROM input WHERE due_at <= p_now AND gates IS NOT NULL HAVING count(*) > 0
    )
    SELECT coalesce(array_agg(queue) FILTER (WHERE gates IS NULL OR due_at > p_now), '{}') FROM input
    WHERE due_at <= p_now + interval '2 seconds' AND (SELECT count(*) FROM told) >= 0
$function$;
comment on function holdfast.place_v1(bigint[],text[],smallint[],smallint[],bigint[],timestamp with time zone[],timestamp with time zone,text[]) is 'Puts new jobs into ready, scheduled or before their gates; returns the queues worth waking somebody for (due now, or sooner than workers look again).';

-- [function] holdfast.places_v1(bigint[])
CREATE OR REPLACE FUNCTION holdfast.places_v1(p_jobs bigint[])
 RETURNS TABLE(job_id bigint, place text, attempt smallint, lease bigint, worker bigint, due_at timestamp with time zone, started_at timestamp with time zone, finished_at timestamp with time zone, result jsonb, error jsonb, cancel_requested boolean)
 LANGUAGE sql
 STABLE
AS $function$
    WITH held AS (
        SELECT h.job_id, l.id AS lease, l.claimed_at FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id)
        WHERE h.job_id = ANY (p_jobs)
          AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = l.id AND e.job_id = h.job_id)
    )
    SELECT j.id,
           CASE WHEN o.state = 1 THEN 'completed' WHEN o.state = 2 THEN 'failed' WHEN o.state = 3 THEN 'cancelled'
                WHEN s.job_id IS NOT NULL THEN 'scheduled' WHEN b.job_id IS NOT NULL THEN 'blocked' WHEN h.job_id IS NOT NULL THEN 'running' ELSE 'ready' END,
           coalesce(o.attempt, s.attempt, b.attempt, (1 + (SELECT count(*) FROM holdfast.failed_attempt f WHERE f.job_id = j.id))::smallint),
           coalesce(h.lease, o.lease), nullif(coalesce(h.lease, o.lease) >> 36, 0), s.due_at,
           coalesce(o.started_at, h.claimed_at), o.finished_at, o.result, o.error, c.job_id IS NOT NULL
    FROM holdfast.every_job j
    LEFT JOIN holdfast.every_outcome o ON o.job_id = j.id AND o.job_id = ANY (p_jobs)
    LEFT JOIN holdfast.scheduled s ON s.job_id = j.id
    LEFT JOIN holdfast.blocked b ON b.job_id = j.id
    LEFT JOIN held h ON h.job_id = j.id AND o.job_id IS NULL
    LEFT JOIN holdfast.cancel_request c ON c.job_id = j.id
    WHERE j.id = ANY (p_jobs)
$function$;
comment on function holdfast.places_v1(bigint[]) is 'Where each job stands, for people. One snapshot: what is neither finished, scheduled, blocked nor leased is ready, so ready needs no index by id.';

-- [function] holdfast.prioritize_v1(bigint[],smallint)
CREATE OR REPLACE FUNCTION holdfast.prioritize_v1(p_jobs bigint[], p_priority smallint)
 RETURNS TABLE(job_id bigint, answer text)
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
DECLARE
    v_moved bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1212570, 0);
    WITH taken AS (SELECT * FROM holdfast.take_out_v1(p_jobs)),
    later AS (
        INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
        SELECT t.due_at, t.job_id, t.queue, p_priority, t.attempt, t.flags FROM taken t WHERE t.due_at IS NOT NULL
    ), soon AS (
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT t.queue, p_priority, t.job_id, t.attempt, t.flags FROM taken t
        WHERE t.due_at IS NULL AND (t.line).gate IS NULL ORDER BY t.job_id
    ), in_line AS (
        -- As if it had come with that priority: where the line of a limit counts it (rank_v1) the place in it moves.
        INSERT INTO holdfast.blocked (gate, rank, seq, job_id, queue, priority, attempt, flags, gates)
        SELECT (t.line).gate, (t.line).rank + CASE
                   WHEN (t.line).gate = '' OR starts_with((t.line).gate, 'lane:')
                        OR position(E'\n' || (t.line).gate || E'\t' IN E'\n' || (t.line).gates) > 0 THEN 0
                   ELSE (p_priority - t.priority) * 10000 END,
               (t.line).seq, t.job_id, t.queue, p_priority, t.attempt, t.flags, (t.line).gates
        FROM taken t WHERE (t.line).gate IS NOT NULL
        RETURNING gate, rank, seq
    ), called AS (
        INSERT INTO holdfast.gate_call (gate, rank, seq) SELECT l.gate, min(l.rank), min(l.seq) FROM in_line l GROUP BY l.gate
    )
    SELECT array_agg(t.job_id) INTO v_moved FROM taken t;
    INSERT INTO holdfast.job_edit (job_id, edited_at, priority)
    SELECT j.id, holdfast.now(), j.priority FROM holdfast.every_job j WHERE j.id = ANY (v_moved);
    UPDATE holdfast.job j SET priority = p_priority WHERE j.id = ANY (v_moved);
    UPDATE holdfast.job_kept j SET priority = p_priority WHERE j.id = ANY (v_moved);
    RETURN QUERY SELECT i.id, CASE WHEN i.id = ANY (v_moved) THEN 'moved' ELSE holdfast.standing_v1(i.id) END FROM unnest(p_jobs) AS i(id);
END $function$;
comment on function holdfast.prioritize_v1(bigint[],smallint) is 'Waiting jobs have another priority from now on, and stand at the end of it; before a gate they keep the time they came. What one in ready holds of gates it keeps. For the others nothing changes and the answer is where they stand.';

-- [function] holdfast.projection_lag_v1(text,integer)
CREATE OR REPLACE FUNCTION holdfast.projection_lag_v1(p_projection text, p_most integer)
 RETURNS TABLE(projection text, model integer, state text, partition smallint, checkpoint bigint, events bigint, seconds double precision, parked bigint, failing jsonb, moved_at timestamp with time zone, epoch bigint, owner bigint, owner_host text, owner_pid integer)
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
AS $function$
    SELECT t.projection, t.model, m.state, t.partition, t.checkpoint, b.events,
           CASE WHEN b.oldest IS NOT NULL THEN greatest(extract(epoch FROM holdfast.now() - b.oldest), 0) END::double precision,
           (SELECT count(*) FROM holdfast.projection_parked k
            WHERE k.projection = t.projection AND k.model = t.model AND k.partition = t.partition),
           t.failing, t.moved_at, t.epoch, o.id, o.host, o.pid
    FROM holdfast.projection_partition t
    JOIN holdfast.projection_model m USING (projection, model)
    JOIN holdfast.projection j ON j.name = t.projection
    LEFT JOIN LATERAL (SELECT p.id, p.host, p.pid FROM holdfast.live_projectors_v1(t.projection, NULL) AS p
                       WHERE p.id = t.owner AND t.lease_until > holdfast.now()) AS o ON true
    CROSS JOIN LATERAL (
        SELECT count(*) AS events, min(x.recorded_at) AS oldest FROM (
            SELECT e.recorded_at FROM holdfast.event e
            WHERE e.partition = t.partition AND e.position > t.checkpoint
              AND holdfast.in_scope_v1(e.type, e.stream, e.tags, j.types, j.categories, j.tags)
            ORDER BY e.position LIMIT p_most) AS x) AS b
    WHERE p_projection IS NULL OR t.projection = p_projection
    ORDER BY t.projection, t.model, t.partition
$function$;
comment on function holdfast.projection_lag_v1(text,integer) is 'Per partition: events that wait (counted up to p_most) and the age of the oldest of them. An idle projection has none, whatever positions say.';

-- [function] holdfast.projections_v1(text,integer)
CREATE OR REPLACE FUNCTION holdfast.projections_v1(p_projection text, p_most integer)
 RETURNS TABLE(name text, kind text, on_failure text, code_version integer, model integer, model_version integer, building integer, kept integer, paused_at timestamp with time zone, pause_reason text, retired_at timestamp with time zone, workers bigint, held bigint, events bigint, seconds double precision, building_events bigint, parked bigint, undecided bigint, stopped bigint, total_partitions smallint, missing_keys integer[], refused text[])
 LANGUAGE sql
 STABLE
 SET jit TO 'off'
AS $function$
    SELECT j.name, j.kind, j.on_failure, j.code_version, m.model, m.code_version,
           (SELECT b.model FROM holdfast.projection_model b WHERE b.projection = j.name AND b.state = 'building'),
           (SELECT b.model FROM holdfast.projection_model b WHERE b.projection = j.name AND b.state = 'kept'),
           j.paused_at, j.pause_reason, j.retired_at, w.workers, l.held, l.events, l.seconds, l.building_events,
           k.parked, k.undecided, l.stopped, w.total,
           CASE WHEN w.total IS NOT NULL THEN ARRAY(SELECT n FROM generate_series(0, w.total - 1) AS n WHERE n <> ALL (w.keys) ORDER BY n) END,
           ARRAY(SELECT format('process %s on %s: %s', r.pid, r.host, r.refused) FROM holdfast.projector r
                 WHERE r.projection = j.name AND r.refused IS NOT NULL AND r.started_at > holdfast.now() - interval '5 minutes' ORDER BY r.id)
    FROM holdfast.projection j
    LEFT JOIN holdfast.projection_model m ON m.projection = j.name AND m.state = 'live'
    CROSS JOIN LATERAL (
        SELECT count(*) AS workers, max(p.total_partitions) AS total, coalesce(array_agg(p.partition_key::integer), '{}') AS keys
        FROM holdfast.live_projectors_v1(j.name, m.code_version) AS p) AS w
    CROSS JOIN LATERAL (
        SELECT count(g.owner) FILTER (WHERE g.state = 'live') AS held, sum(g.events) FILTER (WHERE g.state = 'live')::bigint AS events,
               max(g.seconds) FILTER (WHERE g.state = 'live') AS seconds, sum(g.events) FILTER (WHERE g.state = 'building')::bigint AS building_events,
               count(*) FILTER (WHERE g.state = 'live' AND g.failing IS NOT NULL AND NOT g.failing ? 'retry_at') AS stopped
        FROM holdfast.projection_lag_v1(j.name, p_most) AS g) AS l
    CROSS JOIN LATERAL (
        SELECT count(*) AS parked, count(*) FILTER (WHERE q.retry_at IS NULL) AS undecided
        FROM holdfast.projection_parked q WHERE q.projection = j.name AND q.model = m.model) AS k
    WHERE p_projection IS NULL OR j.name = p_projection
    ORDER BY j.name
$function$;
comment on function holdfast.projections_v1(text,integer) is 'Every projection on one line: who serves it, how far it is, what waits for a person.';

-- [function] holdfast.promote_v1(timestamp with time zone,integer)
CREATE OR REPLACE FUNCTION holdfast.promote_v1(p_mark timestamp with time zone, p_limit integer)
 RETURNS TABLE(promoted integer, last_due timestamp with time zone, next_due_us bigint)
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_now    timestamptz := holdfast.now();
    v_queues text[];
    v_gated  boolean;
BEGIN
    WITH due AS MATERIALIZED (
        SELECT s.ctid AS place FROM holdfast.scheduled s
        WHERE s.due_at > p_mark AND s.due_at <= v_now ORDER BY s.due_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), taken AS (
        DELETE FROM holdfast.scheduled s WHERE s.ctid = ANY (ARRAY(SELECT d.place FROM due d))
        RETURNING s.due_at, s.job_id, s.queue, s.priority, s.attempt, s.flags
    ), placed AS (
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT t.queue, t.priority, t.job_id, t.attempt, t.flags FROM taken t WHERE t.flags & 8 = 0 ORDER BY t.due_at
    ), gated AS (
        SELECT holdfast.line_up_v1(array_agg(t.job_id ORDER BY t.due_at), array_agg(t.queue::text ORDER BY t.due_at),
                                   array_agg(t.priority ORDER BY t.due_at), array_agg(t.attempt ORDER BY t.due_at),
                                   array_agg(t.flags ORDER BY t.due_at)), count(*) AS n
        FROM taken t WHERE t.flags & 8 <> 0 HAVING count(*) > 0
    )
    SELECT count(*)::integer, max(t.due_at), array_agg(DISTINCT t.queue::text), (SELECT g.n FROM gated g) IS NOT NULL
    INTO promoted, last_due, v_queues, v_gated FROM taken t;
    IF promoted > 0 THEN
        PERFORM holdfast.ring_v1(v_queues);
        IF v_gated THEN
            PERFORM holdfast.ring_v1(v_queues, 'gates');
        END IF;
    END IF;
    SELECT greatest(0, (extract(epoch FROM s.due_at - v_now) * 1000000))::bigint INTO next_due_us
    FROM holdfast.scheduled s WHERE s.due_at > p_mark AND s.due_at < 'infinity' ORDER BY s.due_at LIMIT 1;
    RETURN NEXT;
END $function$;
comment on function holdfast.promote_v1(timestamp with time zone,integer) is 'Moves due jobs into ready, or before their gates, in the order they were due, and says how long until the next one.';

-- [function] holdfast.prune_access_v1(integer,integer)
CREATE OR REPLACE FUNCTION holdfast.prune_access_v1(p_audit_days integer, p_most integer)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_count bigint := 0;
    v_now timestamptz := holdfast.now();
    v_rows bigint;
BEGIN
    DELETE FROM holdfast.request_key WHERE ctid = ANY (ARRAY(
        SELECT k.ctid FROM holdfast.request_key k WHERE k.created_at < v_now - interval '24 hours'
        ORDER BY k.created_at LIMIT p_most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    v_count := v_count + v_rows;
    DELETE FROM holdfast.access_session WHERE ctid = ANY (ARRAY(
        SELECT s.ctid FROM holdfast.access_session s WHERE s.expires_at < v_now - interval '7 days'
        ORDER BY s.expires_at LIMIT p_most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    v_count := v_count + v_rows;
    DELETE FROM holdfast.audit WHERE ctid = ANY (ARRAY(
        SELECT a.ctid FROM holdfast.audit a WHERE a.at < v_now - make_interval(days => p_audit_days)
        ORDER BY a.at LIMIT p_most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_count + v_rows;
END $function$;
comment on function holdfast.prune_access_v1(integer,integer) is 'Lets go of idempotency keys after a day, of sessions a week after their end, of audit rows after so many days; so many of each at most.';

-- [function] holdfast.purge_v1(bigint[])
CREATE OR REPLACE FUNCTION holdfast.purge_v1(p_jobs bigint[])
 RETURNS TABLE(job_id bigint, answer text)
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
DECLARE
    v_minute  timestamptz := date_trunc('minute', holdfast.now());
    v_waited  bigint[];
    v_ended   bigint[];
    v_gone    bigint[];
    v_company bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1212570, 0);
    PERFORM pg_advisory_xact_lock(1212572, 0);              -- arrivals are counted from job rows: not while these vanish
    WITH taken AS (SELECT * FROM holdfast.take_out_v1(p_jobs)),
    counted AS (
        INSERT INTO holdfast.tally_delta (queue, cancelled) SELECT t.queue, count(*) FROM taken t GROUP BY t.queue
    )
    SELECT array_agg(t.job_id) INTO v_waited FROM taken t;
    WITH old AS (
        DELETE FROM holdfast.outcome o WHERE o.job_id = ANY (ARRAY(
            SELECT x.job_id FROM holdfast.outcome x WHERE x.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED)) RETURNING o.job_id, o.lease
    ), kept AS (
        DELETE FROM holdfast.outcome_kept o WHERE o.job_id = ANY (ARRAY(
            SELECT x.job_id FROM holdfast.outcome_kept x WHERE x.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED)) RETURNING o.job_id, o.lease
    ), ended AS (SELECT * FROM old UNION ALL SELECT * FROM kept),
    left_behind AS (                                        -- its lease may still be there for other jobs: this one has left it
        INSERT INTO holdfast.lease_exit (lease, job_id) SELECT e.lease, e.job_id FROM ended e
        WHERE EXISTS (SELECT FROM holdfast.lease l WHERE l.id = e.lease) ON CONFLICT DO NOTHING
    )
    SELECT array_agg(e.job_id) INTO v_ended FROM ended e;
    v_gone := v_waited || v_ended;
    INSERT INTO holdfast.tally AS t (queue, minute, enqueued)
    SELECT j.queue, m.minute, count(*) FROM holdfast.every_job j, (VALUES (v_minute), ('-infinity')) AS m(minute)
    WHERE j.id = ANY (v_gone) AND j.id > (SELECT k.folded_id FROM holdfast.tally_mark k) GROUP BY j.queue, m.minute
    ON CONFLICT (queue, minute) DO UPDATE SET enqueued = t.enqueued + excluded.enqueued;
    v_company := holdfast.company_among_v1(v_waited);
    IF v_company IS NOT NULL THEN                           -- whoever waits for them need not wait any more
        PERFORM holdfast.tell_company_v1(v_company, array_fill(0::bigint, ARRAY[cardinality(v_company)]),
                                         array_fill(3::smallint, ARRAY[cardinality(v_company)]));
        PERFORM holdfast.call_gates_v1(v_company);
    END IF;
    PERFORM holdfast.forget_jobs_v1(v_gone);
    RETURN QUERY SELECT i.id, CASE WHEN i.id = ANY (v_gone) THEN 'purged' ELSE holdfast.standing_v1(i.id) END FROM unnest(p_jobs) AS i(id);
END $function$;
comment on function holdfast.purge_v1(bigint[]) is 'Jobs that do not run are gone, with everything about them; the counters keep them. For the others nothing changes and the answer is where they stand.';

-- [function] holdfast.queue_depths_v1(integer)
CREATE OR REPLACE FUNCTION holdfast.queue_depths_v1(p_most integer)
 RETURNS TABLE(queue text, ready bigint, ready_is_exact boolean, oldest_seconds double precision, scheduled bigint, blocked bigint, running bigint, paused_at timestamp with time zone, pause_reason text, completed bigint, failed bigint, cancelled bigint, retried bigint, lost bigint, unfinished_about bigint)
 LANGUAGE sql
 STABLE
AS $function$
    WITH RECURSIVE waiting(queue) AS (      -- the distinct queues by one index descent each
        (SELECT r.queue FROM holdfast.ready r ORDER BY r.queue LIMIT 1)
        UNION ALL
        SELECT (SELECT r.queue FROM holdfast.ready r WHERE r.queue > w.queue ORDER BY r.queue LIMIT 1) FROM waiting w WHERE w.queue IS NOT NULL
    ), busy AS (
        SELECT j.queue, count(*) AS n FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id)
        JOIN holdfast.every_job j ON j.id = h.job_id
        WHERE NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = l.id AND e.job_id = h.job_id)
          AND NOT EXISTS (SELECT FROM holdfast.outcome o WHERE o.job_id = h.job_id)
        GROUP BY j.queue
    ), later AS (
        SELECT s.queue, count(*) AS n FROM (SELECT x.queue FROM holdfast.scheduled x LIMIT p_most) AS s GROUP BY s.queue
    ), in_line AS (
        SELECT b.queue, count(*) AS n FROM (SELECT x.queue FROM holdfast.blocked x LIMIT p_most) AS b GROUP BY b.queue
    ), names AS (
        SELECT queue FROM waiting WHERE queue IS NOT NULL UNION SELECT queue FROM busy UNION SELECT queue FROM later
        UNION SELECT queue FROM in_line
        UNION SELECT queue FROM holdfast.queue_pause UNION SELECT queue FROM holdfast.tally WHERE minute = '-infinity'
        UNION SELECT unnest(queues) FROM holdfast.worker WHERE state = 'live'
    )
    SELECT n.queue, c.ready, c.ready < p_most, extract(epoch FROM holdfast.now() - holdfast.id_time(c.oldest))::double precision,
           coalesce(l.n, 0), coalesce(g.n, 0), coalesce(b.n, 0), p.paused_at, p.reason,
           coalesce(t.completed, 0), coalesce(t.failed, 0), coalesce(t.cancelled, 0), coalesce(t.retried, 0), coalesce(t.lost, 0),
           greatest(0, coalesce(t.enqueued + t.reopened - t.completed - t.failed - t.cancelled, 0))
    FROM names n
    CROSS JOIN LATERAL (SELECT count(*) AS ready, min(x.job_id) AS oldest
                        FROM (SELECT r.job_id FROM holdfast.ready r WHERE r.queue = n.queue LIMIT p_most) AS x) AS c
    LEFT JOIN busy b ON b.queue = n.queue
    LEFT JOIN later l ON l.queue = n.queue
    LEFT JOIN in_line g ON g.queue = n.queue
    LEFT JOIN holdfast.queue_pause p ON p.queue = n.queue
    LEFT JOIN holdfast.tally t ON t.queue = n.queue AND t.minute = '-infinity'
    ORDER BY n.queue
$function$;
comment on function holdfast.queue_depths_v1(integer) is 'One line per queue. Depths are counted up to p_most rows and said to be inexact beyond; totals come from the folded counters. No unbounded count.';

-- [function] holdfast.queue_depths_v2(integer)
CREATE OR REPLACE FUNCTION holdfast.queue_depths_v2(p_most integer)
 RETURNS TABLE(queue text, ready bigint, ready_is_exact boolean, oldest_seconds double precision, scheduled bigint, blocked bigint, running bigint, paused_at timestamp with time zone, pause_reason text, completed bigint, failed bigint, cancelled bigint, retried bigint, lost bigint, unfinished_about bigint)
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
    SELECT s.name, s.ready, s.ready_is_exact, s.oldest_seconds, s.scheduled, s.blocked, s.running, s.paused_at, s.pause_reason,
           coalesce(t.completed, 0), coalesce(t.failed, 0), coalesce(t.cancelled, 0), coalesce(t.retried, 0), coalesce(t.lost, 0),
           greatest(0, coalesce(t.enqueued + t.reopened - t.completed - t.failed - t.cancelled, 0))
    FROM holdfast.sight_queues_v1(p_most) s
    LEFT JOIN holdfast.tally t ON t.queue = s.name AND t.minute = '-infinity'
    ORDER BY s.name
$function$;
comment on function holdfast.queue_depths_v2(integer) is 'One line per queue. Depths are counted up to p_most rows and said to be inexact beyond; totals come from the folded counters. No unbounded count.';

-- [function] holdfast.rank_v1(text,smallint,timestamp with time zone)
CREATE OR REPLACE FUNCTION holdfast.rank_v1(p_gates text, p_priority smallint, p_at timestamp with time zone)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE WHEN starts_with(p_gates, 'lane:') OR holdfast.first_gate_v1(p_gates) = '' THEN 0
                ELSE (extract(epoch FROM p_at) * 1000)::bigint + p_priority * 10000 END
$function$;
comment on function holdfast.rank_v1(text,smallint,timestamp with time zone) is 'A lane keeps the order of arrival. In the line of a limit a level of priority is worth ten seconds, so nobody starves.';

-- [function] holdfast.ready_lines_v1(text[])
CREATE OR REPLACE FUNCTION holdfast.ready_lines_v1(p_queues text[])
 RETURNS TABLE(queue text, priority smallint)
 LANGUAGE sql
 STABLE
AS $function$
    WITH RECURSIVE line(queue, priority) AS (
        (SELECT r.queue, r.priority FROM holdfast.ready r ORDER BY r.queue, r.priority LIMIT 1)
        UNION ALL
        SELECT n.queue, n.priority FROM line l CROSS JOIN LATERAL (
            SELECT r.queue, r.priority FROM holdfast.ready r WHERE (r.queue, r.priority) > (l.queue, l.priority)
            ORDER BY r.queue, r.priority LIMIT 1) AS n
    )
    SELECT l.queue::text, l.priority FROM line l WHERE p_queues IS NULL
    UNION ALL
    SELECT q, n::smallint FROM unnest(p_queues) AS q, generate_series(0, 9) AS n
$function$;
comment on function holdfast.ready_lines_v1(text[]) is 'The queues and priorities in which jobs are ready, by one index descent each; all priorities of the given queues.';

-- [function] holdfast.ready_seconds_v1(text)
CREATE OR REPLACE FUNCTION holdfast.ready_seconds_v1(p_queue text)
 RETURNS double precision
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET jit TO 'off'
AS $function$
    SELECT greatest(max(extract(epoch FROM holdfast.now() - greatest(
               holdfast.id_time(f.job_id), (SELECT m.at FROM holdfast.ready_mark m WHERE m.seq < f.seq ORDER BY m.seq DESC LIMIT 1)))), 0)::double precision
    FROM generate_series(0, 9) AS n(priority)
    CROSS JOIN LATERAL (SELECT r.job_id, r.seq FROM holdfast.ready r WHERE r.queue = p_queue AND r.priority = n.priority
                        ORDER BY r.seq LIMIT 1) AS f
$function$;
comment on function holdfast.ready_seconds_v1(text) is 'How long the job that has been ready longest in a queue has been so, to a few seconds; NULL: none is. A job that was scheduled counts from when it became ready.';

-- [function] holdfast.redrive_v1(bigint[])
CREATE OR REPLACE FUNCTION holdfast.redrive_v1(p_jobs bigint[])
 RETURNS TABLE(job_id bigint, answer text)
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
BEGIN
    -- In the order in which enqueues take keys: two that need the same ones wait for each other, never in a circle.
    FOR job_id IN
        SELECT j.id FROM holdfast.every_job j JOIN holdfast.every_outcome o ON o.job_id = j.id AND o.state <> 1
        WHERE j.id = ANY (p_jobs) ORDER BY holdfast.key_hash_v1(j.unique_key) NULLS FIRST, j.id
    LOOP
        answer := holdfast.retry_v1(job_id);
        RETURN NEXT;
    END LOOP;
END $function$;
comment on function holdfast.redrive_v1(bigint[]) is 'retry_v1 for those of the given jobs that have failed or were cancelled; the others are left out of the answer.';

-- [function] holdfast.refuse_change_of_events()
CREATE OR REPLACE FUNCTION holdfast.refuse_change_of_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION 'the event log is append-only: % of holdfast.event is refused', lower(TG_OP)
        USING ERRCODE = 'HF107', HINT = 'Append an event that says what has changed.';
END $function$;

-- [function] holdfast.refuse_change_v1()
CREATE OR REPLACE FUNCTION holdfast.refuse_change_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    RAISE EXCEPTION 'rows of % are written once', TG_TABLE_NAME USING ERRCODE = 'HF151';
END $function$;

-- [function] holdfast.register_projector_v1(text,integer,bigint,integer,integer,text,integer,interval)
CREATE OR REPLACE FUNCTION holdfast.register_projector_v1(p_projection text, p_code_version integer, p_worker bigint, p_key integer, p_total integer, p_host text, p_pid integer, p_lease interval)
 RETURNS TABLE(projector bigint, refusal text)
 LANGUAGE plpgsql
AS $function$
BEGIN
    -- One after the other: two processes with one key must not both find that nobody has it.
    PERFORM pg_advisory_xact_lock(1212569, hashtext(p_projection));
    DELETE FROM holdfast.projector p
    WHERE p.projection = p_projection AND p.lives_until < holdfast.now() - interval '10 minutes';
    SELECT CASE
            WHEN p_total IS NULL THEN format('%s holds fixed partitions, key %s of %s; a projection is served either by fixed or by elastic workers',
                                             x.who, x.partition_key, x.total_partitions)
            WHEN x.total_partitions IS NULL THEN format('%s takes any partition (it has no partition key)', x.who)
            WHEN x.total_partitions <> p_total THEN format('%s counts %s partitions in all, this one %s', x.who, x.total_partitions, p_total)
            ELSE format('%s has partition key %s of %s already', x.who, p_key, p_total) END
    INTO refusal
    FROM (SELECT p.*, format('process %s on %s', p.pid, p.host) AS who
          FROM holdfast.live_projectors_v1(p_projection, p_code_version) AS p) AS x
    WHERE x.total_partitions IS DISTINCT FROM p_total OR x.partition_key = p_key
    ORDER BY x.id LIMIT 1;
    -- A process that asks again takes the place of its own refusal.
    DELETE FROM holdfast.projector p
    WHERE p.projection = p_projection AND p.refused IS NOT NULL AND p.host = p_host AND p.pid = p_pid;
    INSERT INTO holdfast.projector AS p (projection, code_version, worker, partition_key, total_partitions, host, pid, started_at, lives_until, refused)
    VALUES (p_projection, p_code_version, p_worker, p_key, p_total, p_host, p_pid, holdfast.now(), holdfast.now() + p_lease, refusal)
    RETURNING p.id INTO projector;
    RETURN NEXT;
END $function$;
comment on function holdfast.register_projector_v1(text,integer,bigint,integer,integer,text,integer,interval) is 'A number for a process that wants to serve, or why it may not. A refusal is kept, so that people see it.';

-- [function] holdfast.register_worker_v1(text,text,integer,text,text,text[],integer,boolean)
CREATE OR REPLACE FUNCTION holdfast.register_worker_v1(p_name text, p_host text, p_pid integer, p_incarnation text, p_version text, p_queues text[], p_concurrency integer, p_has_session boolean)
 RETURNS bigint
 LANGUAGE sql
AS $function$
    WITH born AS (
        INSERT INTO holdfast.worker (name, state, host, pid, incarnation, version, queues, concurrency, has_session, started_at)
        VALUES (p_name, 'live', p_host, p_pid, p_incarnation, p_version, p_queues, p_concurrency, p_has_session, holdfast.now())
        RETURNING id
    ), beating AS (
        INSERT INTO holdfast.worker_beat (worker, beat, beaten_at) SELECT id, 0, holdfast.now() FROM born
    )
    SELECT id FROM born
$function$;
comment on function holdfast.register_worker_v1(text,text,integer,text,text,text[],integer,boolean) is 'A number never used before and never used again.';

-- [function] holdfast.release_lease_v1(bigint)
CREATE OR REPLACE FUNCTION holdfast.release_lease_v1(p_lease bigint)
 RETURNS integer
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_jobs    bigint[];
    v_company bigint[];
BEGIN
    PERFORM FROM holdfast.lease l WHERE l.id = p_lease FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT array_agg(h.job_id) INTO v_jobs
    FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id)
    WHERE l.id = p_lease AND NOT holdfast.is_finished_v1(h.job_id)
      AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = p_lease AND e.job_id = h.job_id);
    PERFORM holdfast.end_leases_v1(ARRAY[p_lease]);
    WITH back AS MATERIALIZED (
        SELECT j.queue, j.priority, j.id, (1 + (SELECT count(*) FROM holdfast.failed_attempt f WHERE f.job_id = j.id))::smallint AS attempt,
               (j.flags | CASE WHEN EXISTS (SELECT FROM holdfast.loss o WHERE o.job_id = j.id) THEN 4 ELSE 0 END)::smallint AS flags
        FROM (SELECT id, queue, priority, flags FROM holdfast.job WHERE id = ANY (v_jobs)
              UNION SELECT id, queue, priority, flags FROM holdfast.job_kept WHERE id = ANY (v_jobs)) AS j
    ), before_gates AS (
        SELECT count(holdfast.line_up_v1(ARRAY[b.id], ARRAY[b.queue::text], ARRAY[b.priority], ARRAY[b.attempt], ARRAY[b.flags])) AS n
        FROM back b WHERE b.flags & 8 <> 0
    )
    INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
    SELECT b.queue, b.priority, b.id, b.attempt, b.flags FROM back b WHERE b.flags & 8 = 0 AND (SELECT g.n FROM before_gates g) = 0
    UNION ALL
    SELECT b.queue, b.priority, b.id, b.attempt, b.flags FROM back b WHERE b.flags & 8 = 0 AND (SELECT g.n FROM before_gates g) > 0;
    v_company := holdfast.company_among_v1(v_jobs);
    IF v_company IS NOT NULL THEN
        PERFORM holdfast.tell_company_v1(v_company, array_fill(p_lease, ARRAY[cardinality(v_company)]),
                                         array_fill(14::smallint, ARRAY[cardinality(v_company)]));
    END IF;
    RETURN coalesce(cardinality(v_jobs), 0);
END $function$;
comment on function holdfast.release_lease_v1(bigint) is 'A live worker gives back a lease that nobody executes; nothing ran, so nothing is counted.';

-- [function] holdfast.renew_projectors_v1(bigint[],interval)
CREATE OR REPLACE FUNCTION holdfast.renew_projectors_v1(p_projectors bigint[], p_lease interval)
 RETURNS bigint[]
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_known bigint[];
BEGIN
    WITH known AS (
        UPDATE holdfast.projector p SET lives_until = holdfast.now() + p_lease WHERE p.id = ANY (p_projectors) RETURNING p.id
    )
    SELECT array_agg(id) INTO v_known FROM known;
    WITH mine AS MATERIALIZED (
        SELECT o.projection, o.model, o.partition FROM holdfast.projection_partition o
        WHERE o.owner = ANY (p_projectors) AND o.lease_until > holdfast.now()
          AND o.lease_until < holdfast.now() + p_lease * 0.6
        FOR UPDATE SKIP LOCKED)
    UPDATE holdfast.projection_partition t SET lease_until = holdfast.now() + p_lease FROM mine
    WHERE t.projection = mine.projection AND t.model = mine.model AND t.partition = mine.partition;
    RETURN v_known;
END $function$;
comment on function holdfast.renew_projectors_v1(bigint[],interval) is 'Renews projectors and those of their leases that run out soon; one that has run out is not renewed, it is claimed anew. Returns who is known.';

-- [function] holdfast.report_progress_v1(bigint[],bigint[],bigint[],bigint[],text[],bigint[])
CREATE OR REPLACE FUNCTION holdfast.report_progress_v1(p_leases bigint[], p_jobs bigint[], p_done bigint[], p_totals bigint[], p_messages text[], p_ago_us bigint[])
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_now  timestamptz := holdfast.now();
    v_live bigint[];
BEGIN
    -- A lease that is locked is being ended: what its jobs report now is not worth a wait.
    SELECT array_agg(l.id) INTO v_live FROM (
        SELECT id FROM holdfast.lease WHERE id = ANY (p_leases) ORDER BY id FOR KEY SHARE SKIP LOCKED) AS l;
    INSERT INTO holdfast.progress AS p (job_id, lease, done, total, message, reported_at)
    SELECT i.job_id, i.lease, i.done, i.total, i.message, v_now - i.ago_us * interval '1 microsecond'
    FROM unnest(p_leases, p_jobs, p_done, p_totals, p_messages, p_ago_us) AS i(lease, job_id, done, total, message, ago_us)
    WHERE holdfast.may_speak_v1(coalesce(v_live, '{}'), i.lease, i.job_id)
    ORDER BY i.job_id
    ON CONFLICT (job_id) DO UPDATE SET
        lease = excluded.lease, done = excluded.done, total = excluded.total, message = excluded.message, reported_at = excluded.reported_at;
END $function$;
comment on function holdfast.report_progress_v1(bigint[],bigint[],bigint[],bigint[],text[],bigint[]) is 'How far these jobs are, one row each; what a lost lease says is passed over.';

-- [function] holdfast.report_running_v2(bigint,bigint[],bigint,bigint)
CREATE OR REPLACE FUNCTION holdfast.report_running_v2(p_worker bigint, p_running bigint[], p_asked_us bigint, p_claimed_us bigint)
 RETURNS void
 LANGUAGE sql
AS $function$
    UPDATE holdfast.worker_beat SET running = p_running, asked_at = holdfast.now() - p_asked_us * interval '1 microsecond',
        claimed_at = holdfast.now() - p_claimed_us * interval '1 microsecond'
    WHERE worker = p_worker
$function$;
comment on function holdfast.report_running_v2(bigint,bigint[],bigint,bigint) is 'What is really executing, and how long ago the worker asked for jobs and got one (NULL: never). At most once a second, at least every ten.';

-- [function] holdfast.reschedule_v1(bigint[],timestamp with time zone)
CREATE OR REPLACE FUNCTION holdfast.reschedule_v1(p_jobs bigint[], p_due_at timestamp with time zone)
 RETURNS TABLE(job_id bigint, answer text)
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
DECLARE
    v_now    timestamptz := holdfast.now();
    v_later  boolean := p_due_at > v_now;
    v_moved  bigint[];
    v_gated  bigint[];
    v_queues text[];
BEGIN
    WITH taken AS (SELECT * FROM holdfast.take_out_v1(p_jobs)),
    later AS (
        INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
        SELECT p_due_at, t.job_id, t.queue, t.priority, t.attempt, t.flags FROM taken t WHERE v_later
    ), soon AS (                                            -- with the slots it has, if it was ready
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT t.queue, t.priority, t.job_id, t.attempt, t.flags FROM taken t
        WHERE NOT v_later AND (t.line).gate IS NULL AND (t.flags & 8 = 0 OR t.due_at IS NULL) ORDER BY t.job_id
    ), in_line AS (                                         -- it is as soon as it may be: the place in line stays
        INSERT INTO holdfast.blocked SELECT (t.line).* FROM taken t WHERE NOT v_later AND (t.line).gate IS NOT NULL
    ), lined_up AS (
        SELECT holdfast.line_up_v1(array_agg(t.job_id ORDER BY t.job_id), array_agg(t.queue ORDER BY t.job_id), array_agg(t.priority ORDER BY t.job_id),
                                   array_agg(t.attempt ORDER BY t.job_id), array_agg(t.flags ORDER BY t.job_id))
        FROM taken t WHERE NOT v_later AND t.flags & 8 <> 0 AND t.due_at IS NOT NULL HAVING count(*) > 0
    )
    SELECT array_agg(t.job_id), array_agg(t.job_id) FILTER (WHERE t.flags & 8 <> 0), array_agg(DISTINCT t.queue)
    INTO v_moved, v_gated, v_queues FROM taken t WHERE (SELECT count(*) FROM lined_up) >= 0;
    IF v_gated IS NOT NULL THEN
        IF v_later THEN                                     -- it gives up its turn, also in its lane, and comes anew when it is due
            DELETE FROM holdfast.slot s WHERE s.job_id = ANY (v_gated);
        END IF;
        PERFORM holdfast.call_gates_v1(v_gated);
    END IF;
    IF v_moved IS NOT NULL AND p_due_at <= v_now + interval '2 seconds' THEN
        PERFORM holdfast.ring_v1(v_queues);
    END IF;
    RETURN QUERY SELECT i.id, CASE WHEN i.id = ANY (v_moved) THEN 'moved' ELSE holdfast.standing_v1(i.id) END FROM unnest(p_jobs) AS i(id);
END $function$;
comment on function holdfast.reschedule_v1(bigint[],timestamp with time zone) is 'Waiting jobs are due at that moment, and ready or before their gates if it is past. Later: they give up what they hold of gates. For the others nothing changes and the answer is where they stand.';

-- [function] holdfast.rescue_lease_v1(bigint,integer)
CREATE OR REPLACE FUNCTION holdfast.rescue_lease_v1(p_lease bigint, p_max_losses integer)
 RETURNS integer
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_now  timestamptz := holdfast.now();
    v_jobs bigint[];
    v_job  record;
BEGIN
    SELECT array_agg(h.job_id) INTO v_jobs
    FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id)
    WHERE l.id = p_lease AND NOT holdfast.is_finished_v1(h.job_id)
      AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = p_lease AND e.job_id = h.job_id);
    PERFORM holdfast.end_leases_v1(ARRAY[p_lease]);
    IF v_jobs IS NULL THEN
        RETURN 0;
    END IF;
    -- The first loss only makes a suspect: it shared its worker with others. A worker runs one suspect at a time, in the
    -- order of their leases, which is the order of rescue: only the first of them can have been the cause, and counts.
    -- A loss with a reason is that of a child process or an engine: it says nothing about who ended the worker.
    INSERT INTO holdfast.loss (job_id, lease, lost_at, counted)
    SELECT j, p_lease, v_now,
           EXISTS (SELECT FROM holdfast.loss o WHERE o.job_id = j AND o.reason IS NULL)
           AND NOT EXISTS (SELECT FROM holdfast.loss o WHERE o.counted AND o.reason IS NULL AND o.lease >> 36 = p_lease >> 36)
    FROM unnest(v_jobs) AS j ON CONFLICT DO NOTHING;
    FOR v_job IN
        SELECT j.id, j.queue, j.priority, j.flags, c.job_id IS NOT NULL AS cancelled,
               (1 + (SELECT count(*) FROM holdfast.failed_attempt f WHERE f.job_id = j.id))::smallint AS attempt,
               (SELECT count(*) FROM holdfast.loss o WHERE o.job_id = j.id AND o.counted) AS losses
        FROM (SELECT id, queue, priority, flags FROM holdfast.job WHERE id = ANY (v_jobs)
              UNION SELECT id, queue, priority, flags FROM holdfast.job_kept WHERE id = ANY (v_jobs)) AS j
        LEFT JOIN holdfast.cancel_request c ON c.job_id = j.id
        ORDER BY j.id
    LOOP
        INSERT INTO holdfast.tally_delta (queue, lost) VALUES (v_job.queue, 1);
        IF v_job.cancelled THEN
            PERFORM holdfast.end_cancelled_v1(p_lease, ARRAY[v_job.id], ARRAY[v_job.queue::text], ARRAY[v_job.attempt]);
        ELSIF v_job.losses >= p_max_losses THEN
            PERFORM holdfast.write_outcome_v1(v_job.id, p_lease, 2::smallint, v_job.attempt, v_now, jsonb_build_object(
                'type', 'LostTooOften', 'message', format('its worker died %s times while this job ran alone under suspicion', v_job.losses)));
            INSERT INTO holdfast.tally_delta (queue, failed) VALUES (v_job.queue, 1);
            IF v_job.flags & 24 <> 0 THEN
                PERFORM holdfast.tell_company_v1(ARRAY[v_job.id], ARRAY[p_lease], ARRAY[2::smallint]);
                PERFORM pg_notify('holdfast_gates', '');
            END IF;
        ELSE
            IF v_job.flags & 8 = 0 THEN
                INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
                VALUES (v_job.queue, v_job.priority, v_job.id, v_job.attempt, v_job.flags | 4);
            ELSE
                PERFORM holdfast.line_up_v1(ARRAY[v_job.id], ARRAY[v_job.queue::text], ARRAY[v_job.priority], ARRAY[v_job.attempt],
                                            ARRAY[(v_job.flags | 4)::smallint]);
            END IF;
            IF v_job.flags & 24 <> 0 THEN
                PERFORM holdfast.tell_company_v1(ARRAY[v_job.id], ARRAY[p_lease], ARRAY[14::smallint]);
            END IF;
        END IF;
    END LOOP;
    PERFORM holdfast.ring_v1(ARRAY(SELECT DISTINCT j.queue::text FROM holdfast.every_job j WHERE j.id = ANY (v_jobs)));
    RETURN cardinality(v_jobs);
END $function$;
comment on function holdfast.rescue_lease_v1(bigint,integer) is 'Ends one lease, already locked by the caller: what is outstanding goes back, or ends as cancelled or lost too often.';

-- [function] holdfast.rescue_v1(bigint,integer)
CREATE OR REPLACE FUNCTION holdfast.rescue_v1(p_worker bigint, p_max_losses integer)
 RETURNS integer
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_lease bigint;
    v_count integer := 0;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rescue decides after waiting and needs READ COMMITTED' USING ERRCODE = 'HF006';
    END IF;
    IF EXISTS (SELECT FROM holdfast.worker w WHERE w.id = p_worker AND w.state = 'live') THEN
        RETURN 0;
    END IF;
    LOOP
        -- Lock in one statement, decide in the next: a completion that commits while we wait is seen below.
        SELECT l.id INTO v_lease FROM holdfast.lease l
        WHERE l.id >= p_worker << 36 AND l.id < (p_worker + 1) << 36
        ORDER BY l.id LIMIT 1 FOR UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        v_count := v_count + holdfast.rescue_lease_v1(v_lease, p_max_losses);
    END LOOP;
    RETURN v_count;
END $function$;
comment on function holdfast.rescue_v1(bigint,integer) is 'Puts back what a dead worker held and had not finished; returns how many jobs. Leases locked by others are left for the next round.';

-- [function] holdfast.reset_projection_v1(text,bigint,boolean)
CREATE OR REPLACE FUNCTION holdfast.reset_projection_v1(p_projection text, p_position bigint, p_empty boolean)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_model integer;
    v_table text;
BEGIN
    PERFORM FROM holdfast.projection j WHERE j.name = p_projection FOR UPDATE;
    SELECT m.model INTO v_model FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.state = 'live';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM holdfast.fence_partitions_v1(p_projection, v_model);
    IF p_empty THEN
        FOR v_table IN SELECT unnest(j.tables) FROM holdfast.projection j WHERE j.name = p_projection LOOP
            EXECUTE format('TRUNCATE %s', quote_ident(v_table)::regclass);
        END LOOP;
    END IF;
    DELETE FROM holdfast.projection_parked p WHERE p.projection = p_projection AND p.model = v_model;
    UPDATE holdfast.projection_partition t
    SET checkpoint = least(p_position, t.checkpoint), effects_after = greatest(t.effects_after, t.checkpoint), failing = NULL
    WHERE t.projection = p_projection AND t.model = v_model;
    RETURN v_model;
END $function$;
comment on function holdfast.reset_projection_v1(text,bigint,boolean) is 'Empties the read model (p_empty) and handles the events after p_position again, without their effects. NULL: no such projection.';

-- [function] holdfast.resume_projection_v1(text)
CREATE OR REPLACE FUNCTION holdfast.resume_projection_v1(p_projection text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_paused  timestamptz;
    v_stopped bigint;
BEGIN
    SELECT j.paused_at INTO v_paused FROM holdfast.projection j WHERE j.name = p_projection FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE holdfast.projection j SET paused_at = NULL, pause_reason = NULL, retired_at = NULL WHERE j.name = p_projection;
    UPDATE holdfast.projection_partition t SET failing = NULL WHERE t.projection = p_projection AND t.failing IS NOT NULL;
    GET DIAGNOSTICS v_stopped = ROW_COUNT;
    RETURN v_paused IS NOT NULL OR v_stopped > 0;
END $function$;
comment on function holdfast.resume_projection_v1(text) is 'Goes on after a pause, and after partitions stopped at an event. NULL: no such projection; false: it was running.';

-- [function] holdfast.resume_queue_v1(text)
CREATE OR REPLACE FUNCTION holdfast.resume_queue_v1(p_queue text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
    DELETE FROM holdfast.queue_pause q WHERE q.queue = p_queue;
    IF FOUND THEN
        PERFORM holdfast.ring_v1(ARRAY[p_queue]);
        RETURN true;
    END IF;
    RETURN false;
END $function$;
comment on function holdfast.resume_queue_v1(text) is 'Claims look into the queue again. False: it was not paused.';

-- [function] holdfast.retire_projection_v1(text)
CREATE OR REPLACE FUNCTION holdfast.retire_projection_v1(p_projection text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE holdfast.projection j SET retired_at = holdfast.now() WHERE j.name = p_projection AND j.retired_at IS NULL;
    IF NOT FOUND THEN
        RETURN CASE WHEN EXISTS (SELECT FROM holdfast.projection j WHERE j.name = p_projection) THEN false END;
    END IF;
    PERFORM holdfast.fence_partitions_v1(p_projection, NULL);
    RETURN true;
END $function$;
comment on function holdfast.retire_projection_v1(text) is 'Nobody serves it any more, and health does not ask for it; resume brings it back.';

-- [function] holdfast.retire_projector_v1(bigint)
CREATE OR REPLACE FUNCTION holdfast.retire_projector_v1(p_projector bigint)
 RETURNS void
 LANGUAGE sql
AS $function$
    SELECT holdfast.give_back_partitions_v1(p_projector, m.projection, m.model, 64)
    FROM holdfast.projector p JOIN holdfast.projection_model m ON m.projection = p.projection WHERE p.id = p_projector;
    DELETE FROM holdfast.projector p WHERE p.id = p_projector
$function$;
comment on function holdfast.retire_projector_v1(bigint) is 'An ordered end: everything is given back at once, nobody waits for a lease to run out.';

-- [function] holdfast.retry_v1(bigint)
CREATE OR REPLACE FUNCTION holdfast.retry_v1(p_job bigint)
 RETURNS text
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
DECLARE
    v_job     holdfast.job;
    v_due     record;
    v_outcome record;
    v_flags   smallint;
    v_attempt smallint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1212570, 0);       -- retention decides what is finished under the exclusive side
    SELECT * INTO v_job FROM holdfast.every_job j WHERE j.id = p_job;
    IF NOT FOUND THEN RETURN 'unknown'; END IF;
    DELETE FROM holdfast.scheduled s WHERE s.job_id = p_job RETURNING s.queue, s.priority, s.attempt, s.flags INTO v_due;
    IF FOUND THEN
        PERFORM holdfast.stand_again_v1(p_job, v_due.queue, v_due.priority, v_due.attempt, v_due.flags);
        PERFORM holdfast.ring_v1(ARRAY[v_job.queue::text]);
        RETURN 'moved';
    END IF;
    WITH old AS (DELETE FROM holdfast.outcome o WHERE o.job_id = p_job AND o.state <> 1 RETURNING *),
         kept AS (DELETE FROM holdfast.outcome_kept o WHERE o.job_id = p_job AND o.state <> 1 RETURNING *)
    SELECT * INTO v_outcome FROM (SELECT * FROM old UNION ALL SELECT * FROM kept) AS o;
    IF v_outcome.job_id IS NULL THEN
        RETURN (SELECT p.place FROM holdfast.places_v1(ARRAY[p_job]) p);
    END IF;
    IF v_outcome.state = 2 AND v_outcome.error IS NOT NULL THEN
        INSERT INTO holdfast.failed_attempt (job_id, attempt, lease, started_at, finished_at, error)
        VALUES (p_job, v_outcome.attempt, v_outcome.lease, v_outcome.started_at, v_outcome.finished_at, v_outcome.error)
        ON CONFLICT DO NOTHING;
    END IF;
    IF v_outcome.lease <> 0 THEN
        -- The old lease may still be there for its other jobs: this one has left it, or a rescue would run it twice.
        INSERT INTO holdfast.lease_exit (lease, job_id) VALUES (v_outcome.lease, p_job) ON CONFLICT DO NOTHING;
    END IF;
    v_attempt := 1 + (SELECT count(*) FROM holdfast.failed_attempt f WHERE f.job_id = p_job);
    DELETE FROM holdfast.loss l WHERE l.job_id = p_job;
    DELETE FROM holdfast.cancel_request c WHERE c.job_id = p_job;      -- it came too late for the attempt that has ended
    v_flags := v_job.flags;
    IF v_job.unique_key IS NOT NULL AND holdfast.take_key_v1(v_job.unique_key, p_job) <> p_job THEN
        v_flags := v_flags & ~2;                            -- a newer job holds the key: this one runs again without it
    END IF;
    PERFORM holdfast.stand_again_v1(p_job, v_job.queue, v_job.priority, v_attempt, v_flags);
    INSERT INTO holdfast.tally_delta (queue, reopened) VALUES (v_job.queue, 1);
    IF v_job.flags & 24 <> 0 THEN
        PERFORM holdfast.tell_company_v1(ARRAY[p_job], ARRAY[0::bigint], ARRAY[21::smallint]);
    END IF;
    PERFORM holdfast.ring_v1(ARRAY[v_job.queue::text]);
    RETURN 'moved';
END $function$;
comment on function holdfast.retry_v1(bigint) is 'moved: a failed or cancelled job gets one more attempt, a scheduled one runs now. Otherwise nothing changes and the answer is the place it stands in, or unknown.';

-- [function] holdfast.ring_another_v1(text[],integer)
CREATE OR REPLACE FUNCTION holdfast.ring_another_v1(p_queues text[], p_except integer)
 RETURNS void
 LANGUAGE sql
AS $function$
    SELECT pg_notify('holdfast_' || i.pid, '') FROM (
        SELECT l.pid FROM pg_catalog.pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = 1212567 AND l.objsubid = 2 AND l.mode = 'ShareLock' AND l.granted
          AND l.pid <> p_except
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
          AND l.objid = ANY (SELECT (holdfast.idle_key_v1(q)::bigint & 4294967295)::oid FROM unnest(p_queues) AS q)
        ORDER BY random() LIMIT 1) AS i
$function$;
comment on function holdfast.ring_another_v1(text[],integer) is 'Wakes one idle worker other than the session p_except, which may say that it is idle and be held up by a handler.';

-- [function] holdfast.ring_v1(text[],text)
CREATE OR REPLACE FUNCTION holdfast.ring_v1(p_queues text[], p_about text DEFAULT NULL::text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_queue text;
    v_key   integer;
    v_pid   integer;
BEGIN
    FOREACH v_queue IN ARRAY p_queues LOOP
        v_key := holdfast.idle_key_v1(v_queue);
        IF pg_try_advisory_lock(1212567, v_key) THEN
            PERFORM pg_advisory_unlock(1212567, v_key);     -- nobody holds it: nobody is idle, nobody needs waking
        ELSE
            SELECT l.pid INTO v_pid FROM pg_catalog.pg_locks l
            WHERE l.locktype = 'advisory' AND l.classid = 1212567 AND l.objid = (v_key::bigint & 4294967295)::oid
              AND l.objsubid = 2 AND l.mode = 'ShareLock' AND l.granted
              AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
            ORDER BY random() LIMIT 1;
            IF v_pid IS NOT NULL THEN
                PERFORM pg_notify('holdfast_' || v_pid, coalesce(p_about, v_queue));
            END IF;
        END IF;
    END LOOP;
END $function$;
comment on function holdfast.ring_v1(text[],text) is 'Wakes one idle worker per queue, if there is one. A hint: losing it costs latency, never work. p_about gates: look at the gates.';

-- [function] holdfast.roll_hours_v1()
CREATE OR REPLACE FUNCTION holdfast.roll_hours_v1()
 RETURNS integer
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
DECLARE
    v_done  timestamptz;
    v_until timestamptz := date_trunc('hour', holdfast.now() - interval '2 minutes');
    v_rows  integer;
BEGIN
    SELECT m.hour_done INTO v_done FROM holdfast.history_mark m;
    IF v_done >= v_until THEN
        RETURN 0;
    END IF;
    -- Counters are folded into the minute in which they are folded, so what is over does not change any more.
    INSERT INTO holdfast.tally_hour (queue, hour, enqueued, completed, failed, cancelled, retried, lost, reopened, took_us, waits, runs)
    SELECT t.*,
           ARRAY(SELECT sum(u.n)::bigint FROM holdfast.pace p, unnest(p.waits) WITH ORDINALITY AS u(n, i)
                 WHERE p.queue = t.queue AND p.minute >= t.hour AND p.minute < t.hour + interval '1 hour' GROUP BY u.i ORDER BY u.i),
           ARRAY(SELECT sum(u.n)::bigint FROM holdfast.pace p, unnest(p.runs) WITH ORDINALITY AS u(n, i)
                 WHERE p.queue = t.queue AND p.minute >= t.hour AND p.minute < t.hour + interval '1 hour' GROUP BY u.i ORDER BY u.i)
    FROM (
        SELECT x.queue, date_trunc('hour', x.minute) AS hour, sum(x.enqueued), sum(x.completed), sum(x.failed), sum(x.cancelled),
               sum(x.retried), sum(x.lost), sum(x.reopened), sum(x.took_us)
        FROM holdfast.tally x WHERE x.minute >= v_done AND x.minute < v_until GROUP BY 1, 2) AS t
    ON CONFLICT (hour, queue) DO UPDATE SET
        enqueued = excluded.enqueued, completed = excluded.completed, failed = excluded.failed, cancelled = excluded.cancelled,
        retried = excluded.retried, lost = excluded.lost, reopened = excluded.reopened, took_us = excluded.took_us,
        waits = excluded.waits, runs = excluded.runs;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    DELETE FROM holdfast.tally t WHERE t.minute > '-infinity' AND t.minute < least(v_until, holdfast.now() - interval '48 hours');
    DELETE FROM holdfast.pace p WHERE p.minute > '-infinity' AND p.minute < least(v_until, holdfast.now() - interval '48 hours');
    DELETE FROM holdfast.tally_hour h WHERE h.hour < holdfast.now() - interval '90 days';
    DELETE FROM holdfast.moment m WHERE m.at < holdfast.now() - interval '90 days';
    UPDATE holdfast.history_mark SET hour_done = v_until;
    RETURN v_rows;
END $function$;
comment on function holdfast.roll_hours_v1() is 'Sums the minutes of hours that are over, once; minutes go after two days, hours after ninety.';

-- [function] holdfast.roll_up_v1()
CREATE OR REPLACE FUNCTION holdfast.roll_up_v1()
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_now timestamptz := holdfast.now();
    v_seq bigint;
    v_due boolean;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1212580, 0) THEN
        RETURN false;
    END IF;
    SELECT o.last_value - CASE WHEN o.is_called THEN 0 ELSE 1 END INTO v_seq FROM holdfast.ready_number o;
    INSERT INTO holdfast.ready_mark (at, seq) VALUES (v_now, v_seq) ON CONFLICT (seq) DO UPDATE SET at = excluded.at;
    -- In the minute in which they are found, as the counters are: several looks of one minute add up.
    SELECT v_now >= m.sampled_at + interval '20 seconds' OR v_now < m.sampled_at INTO v_due FROM holdfast.history_mark m;
    IF v_due THEN
        PERFORM holdfast.sample_pace_v1(date_trunc('minute', v_now));
        PERFORM holdfast.note_moments_v1();
        PERFORM holdfast.roll_hours_v1();
        DELETE FROM holdfast.ready_mark r WHERE r.at < v_now - interval '1 day' AND r.seq < v_seq;
    END IF;
    RETURN true;
END $function$;
comment on function holdfast.roll_up_v1() is 'All of the history, brought up to date; false: another worker is at it. Repeating it changes nothing.';

-- [function] holdfast.room_v1(text)
CREATE OR REPLACE FUNCTION holdfast.room_v1(p_gate text)
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_low       bigint;
    v_low_lease bigint;
BEGIN
    IF starts_with(p_gate, 'lane:') THEN
        RETURN 1 - (SELECT count(*) FROM holdfast.slot s WHERE s.gate = p_gate);
    ELSIF starts_with(p_gate, 'rate:') THEN
        RETURN (SELECT r.capacity FROM holdfast.limit_rule r WHERE r.name = 'rate:' || split_part(p_gate, ':', 2))
            - coalesce((SELECT sum(b.taken) FROM holdfast.rate_block b WHERE b.gate = p_gate AND b.ends_at > holdfast.now()), 0);
    END IF;
    SELECT g.low_slot, g.low_lease_slot INTO v_low, v_low_lease FROM holdfast.gate g WHERE g.name = p_gate;
    RETURN (SELECT r.capacity FROM holdfast.limit_rule r WHERE r.name = 'limit:' || split_part(p_gate, ':', 2))
        - (SELECT count(*) FROM holdfast.slot s WHERE s.gate = p_gate AND s.job_id >= coalesce(v_low, 0))
        - coalesce((SELECT sum(cardinality(l.job_ids)) FROM holdfast.lease_slot l WHERE l.gate = p_gate AND l.seq >= coalesce(v_low_lease, 0)), 0);
END $function$;
comment on function holdfast.room_v1(text) is 'How many more a gate lets through now; NULL: nobody has said, so any number.';

-- [function] holdfast.sample_pace_v1(timestamp with time zone)
CREATE OR REPLACE FUNCTION holdfast.sample_pace_v1(p_minute timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_mark  holdfast.history_mark;
    v_now   timestamptz := holdfast.now();
    v_pages jsonb;
    v_rows  integer;
BEGIN
    SELECT * INTO v_mark FROM holdfast.history_mark;
    SELECT coalesce(jsonb_object_agg(c.relname, pg_relation_size(c.oid) / current_setting('block_size')::bigint), '{}') INTO v_pages
    FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'holdfast.outcome'::regclass;
    WITH ended AS MATERIALIZED (
        SELECT * FROM holdfast.outcomes_at_the_end_v1(v_mark.pages, v_mark.sampled_at)
    ), timed AS (
        SELECT j.queue,
               CASE WHEN e.attempt = 1 AND j.flags & 32 = 0
                    THEN greatest(extract(epoch FROM e.started_at - holdfast.id_time(e.job_id)), 0)::double precision END AS waited,
               greatest(extract(epoch FROM e.finished_at - e.started_at), 0)::double precision AS ran
        FROM ended e JOIN holdfast.job j ON j.id = e.job_id
    ), counted AS (
        SELECT t.queue, n.n,
               count(*) FILTER (WHERE width_bucket(t.waited, holdfast.pace_bounds_v1()) = n.n) AS waits,
               count(*) FILTER (WHERE width_bucket(t.ran, holdfast.pace_bounds_v1()) = n.n) AS runs,
               CASE WHEN n.n = 0 THEN coalesce(sum(t.waited), 0) ELSE 0 END AS wait_sum, CASE WHEN n.n = 0 THEN coalesce(sum(t.ran), 0) ELSE 0 END AS run_sum
        FROM timed t, generate_series(0, cardinality(holdfast.pace_bounds_v1())) AS n(n) GROUP BY t.queue, n.n
    ), summed AS (
        SELECT c.queue, array_agg(c.waits ORDER BY c.n) AS waits, array_agg(c.runs ORDER BY c.n) AS runs,
               sum(c.wait_sum) AS wait_sum, sum(c.run_sum) AS run_sum
        FROM counted c GROUP BY c.queue
    )
    INSERT INTO holdfast.pace AS p (queue, minute, waits, runs, wait_sum, run_sum)
    SELECT s.queue, m.minute, s.waits, s.runs, s.wait_sum, s.run_sum
    FROM summed s, (VALUES (p_minute), ('-infinity')) AS m(minute)
    ON CONFLICT (minute, queue) DO UPDATE SET
        waits = holdfast.add_counts_v1(p.waits, excluded.waits), runs = holdfast.add_counts_v1(p.runs, excluded.runs),
        wait_sum = p.wait_sum + excluded.wait_sum, run_sum = p.run_sum + excluded.run_sum;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    UPDATE holdfast.history_mark SET sampled_at = v_now, pages = v_pages;
    RETURN v_rows;
END $function$;
comment on function holdfast.sample_pace_v1(timestamp with time zone) is 'Counts how long a sample of the jobs that ended since the last look had waited and run. Waits are those of first attempts that were to run at once.';

-- [function] holdfast.save_checkpoints_v1(bigint[],bigint[],jsonb[])
CREATE OR REPLACE FUNCTION holdfast.save_checkpoints_v1(p_leases bigint[], p_jobs bigint[], p_values jsonb[])
 RETURNS bigint[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_live  bigint[];
    v_saved bigint[];
BEGIN
    -- The fence. Locked in one statement; what the leases still hold is read in the next.
    SELECT array_agg(l.id) INTO v_live FROM (
        SELECT id FROM holdfast.lease WHERE id = ANY (p_leases) ORDER BY id FOR KEY SHARE) AS l;
    WITH saved AS (
        INSERT INTO holdfast.checkpoint AS c (job_id, lease, value, saved_at)
        SELECT i.job_id, i.lease, i.value, holdfast.now()
        FROM unnest(p_leases, p_jobs, p_values) AS i(lease, job_id, value)
        WHERE NOT holdfast.is_finished_v1(i.job_id) AND holdfast.may_speak_v1(coalesce(v_live, '{}'), i.lease, i.job_id)
        ORDER BY i.job_id
        ON CONFLICT (job_id) DO UPDATE SET lease = excluded.lease, value = excluded.value, saved_at = excluded.saved_at
        RETURNING job_id
    )
    SELECT array_agg(s.job_id) INTO v_saved FROM saved s;
    RETURN ARRAY(SELECT j FROM unnest(p_jobs) AS j WHERE j <> ALL (coalesce(v_saved, '{}')));
END $function$;
comment on function holdfast.save_checkpoints_v1(bigint[],bigint[],jsonb[]) is 'Keeps where each of these jobs goes on, under the fence of its lease; returns the jobs refused because their lease is lost.';

-- [function] holdfast.search_all_v1(text[],text[],text[],jsonb,timestamp with time zone,bigint,bigint,integer,integer)
CREATE OR REPLACE FUNCTION holdfast.search_all_v1(p_places text[], p_queues text[], p_tasks text[], p_terms jsonb, p_now timestamp with time zone, p_from bigint, p_before bigint, p_limit integer, p_window integer)
 RETURNS TABLE(job_id bigint, place text, queue text, task text, error_type text)
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_held bigint[] := ARRAY(
        SELECT h.job_id FROM holdfast.lease l CROSS JOIN LATERAL unnest(l.job_ids) AS h(job_id)
        WHERE NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = l.id AND e.job_id = h.job_id));
BEGIN
    RETURN QUERY
    SELECT f.id, f.place, f.queue, f.task, f.error ->> 'type' FROM (
        SELECT j.id, j.queue::text, j.task::text, j.priority, j.unique_key, j.args, o.error, o.finished_at, s.due_at,
               coalesce(o.attempt, s.attempt, b.attempt) AS attempt,
               CASE WHEN o.state IS NOT NULL THEN (ARRAY['completed', 'failed', 'cancelled'])[o.state]
                    WHEN s.job_id IS NOT NULL THEN 'scheduled' WHEN b.job_id IS NOT NULL THEN 'blocked'
                    WHEN j.id = ANY (v_held) THEN 'running' ELSE 'ready' END AS place
        FROM (SELECT * FROM holdfast.every_job x WHERE x.id >= p_from AND x.id < p_before ORDER BY x.id DESC LIMIT p_window) AS j
        LEFT JOIN LATERAL (SELECT x.state, x.attempt, x.error, x.finished_at FROM holdfast.every_outcome x WHERE x.job_id = j.id LIMIT 1) AS o ON true
        LEFT JOIN holdfast.scheduled s ON s.job_id = j.id
        LEFT JOIN holdfast.blocked b ON b.job_id = j.id
        WHERE (p_queues IS NULL OR j.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
    ) AS f
    WHERE f.place = ANY (p_places)
      AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, f.id, f.queue, f.task, f.priority, f.attempt, f.unique_key, f.args,
                                                   f.error, f.finished_at, f.due_at))
    ORDER BY f.id DESC LIMIT p_limit;
END $function$;
comment on function holdfast.search_all_v1(text[],text[],text[],jsonb,timestamp with time zone,bigint,bigint,integer,integer) is 'The newest p_limit jobs among p_window, whatever place of these they stand in.';

-- [function] holdfast.search_ended_v1(smallint[],text[],text[],text[],jsonb,timestamp with time zone,timestamp with time zone,bigint,bigint,integer,integer)
CREATE OR REPLACE FUNCTION holdfast.search_ended_v1(p_states smallint[], p_queues text[], p_tasks text[], p_failures text[], p_terms jsonb, p_now timestamp with time zone, p_ended_by timestamp with time zone, p_from bigint, p_before bigint, p_limit integer, p_window integer)
 RETURNS TABLE(job_id bigint, place text, queue text, task text, error_type text)
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
BEGIN
    IF p_failures IS NOT NULL THEN
        RETURN QUERY
        SELECT m.job_id, (ARRAY['completed', 'failed', 'cancelled'])[o.state], j.queue::text, j.task::text, o.error ->> 'type'
        FROM (SELECT x.job_id FROM unnest(p_failures) AS f(fingerprint)
              CROSS JOIN LATERAL (SELECT y.job_id FROM holdfast.failure_member y WHERE y.fingerprint = f.fingerprint
                                  AND y.job_id >= p_from AND y.job_id < p_before ORDER BY y.job_id DESC LIMIT p_window) AS x
              ORDER BY x.job_id DESC LIMIT p_window) AS m
        JOIN holdfast.every_outcome o ON o.job_id = m.job_id
        JOIN holdfast.every_job j ON j.id = m.job_id
        WHERE o.state = ANY (p_states) AND (p_ended_by IS NULL OR o.finished_at <= p_ended_by)
          AND (p_queues IS NULL OR j.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, j.queue, j.task, j.priority, o.attempt, j.unique_key, j.args,
                                                       o.error, o.finished_at, NULL))
        ORDER BY m.job_id DESC LIMIT p_limit;
    ELSIF 1 = ANY (p_states) THEN
        RETURN QUERY
        SELECT o.job_id, (ARRAY['completed', 'failed', 'cancelled'])[o.state], j.queue::text, j.task::text, o.error ->> 'type'
        FROM (SELECT * FROM holdfast.every_outcome x WHERE x.job_id >= p_from AND x.job_id < p_before ORDER BY x.job_id DESC LIMIT p_window) AS o
        JOIN holdfast.every_job j ON j.id = o.job_id
        WHERE o.state = ANY (p_states) AND (p_ended_by IS NULL OR o.finished_at <= p_ended_by)
          AND (p_queues IS NULL OR j.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, j.queue, j.task, j.priority, o.attempt, j.unique_key, j.args,
                                                       o.error, o.finished_at, NULL))
        ORDER BY o.job_id DESC LIMIT p_limit;
    ELSE
        RETURN QUERY
        SELECT o.job_id, (ARRAY['completed', 'failed', 'cancelled'])[o.state], j.queue::text, j.task::text, o.error ->> 'type'
        FROM (SELECT * FROM holdfast.every_outcome x WHERE x.state <> 1 AND x.job_id >= p_from AND x.job_id < p_before
              ORDER BY x.job_id DESC LIMIT p_window) AS o
        JOIN holdfast.every_job j ON j.id = o.job_id
        WHERE o.state = ANY (p_states) AND (p_ended_by IS NULL OR o.finished_at <= p_ended_by)
          AND (p_queues IS NULL OR j.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, j.queue, j.task, j.priority, o.attempt, j.unique_key, j.args,
                                                       o.error, o.finished_at, NULL))
        ORDER BY o.job_id DESC LIMIT p_limit;
    END IF;
END $function$;
comment on function holdfast.search_ended_v1(smallint[],text[],text[],text[],jsonb,timestamp with time zone,timestamp with time zone,bigint,bigint,integer,integer) is 'The newest p_limit jobs among p_window that have ended like this; of these groups of failures where given.';

-- [function] holdfast.search_jobs_v1(text[],text[],text[],text[],jsonb,timestamp with time zone,timestamp with time zone,bigint,bigint,bigint,integer,integer)
CREATE OR REPLACE FUNCTION holdfast.search_jobs_v1(p_places text[], p_queues text[], p_tasks text[], p_failures text[], p_terms jsonb, p_now timestamp with time zone, p_ended_by timestamp with time zone, p_from bigint, p_until bigint, p_before bigint, p_limit integer, p_window integer)
 RETURNS TABLE(job_id bigint, "position" bigint, place text, queue text, task text, error_type text)
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
    v_states smallint[] := array_remove(ARRAY[
        CASE WHEN 'completed' = ANY (p_places) THEN 1 END, CASE WHEN 'failed' = ANY (p_places) THEN 2 END,
        CASE WHEN 'cancelled' = ANY (p_places) THEN 3 END], NULL)::smallint[];
    v_before bigint := least(p_until, p_before);
    v_ready  record;
    v_end    bigint;
    v_found  bigint;
BEGIN
    IF cardinality(p_places) = 0 THEN
        RETURN;
    ELSIF p_places = ARRAY['ready'] THEN
        SELECT * INTO v_ready FROM holdfast.search_ready_v1(p_queues, p_tasks, p_terms, p_now, p_from, p_until, p_before, p_limit, p_window);
        RETURN QUERY SELECT f.job_id, f.seq, 'ready', f.queue, f.task, NULL::text
                     FROM unnest(v_ready.jobs, v_ready.seqs, v_ready.queues, v_ready.tasks) AS f(job_id, seq, queue, task);
        v_found := coalesce(cardinality(v_ready.jobs), 0);
        v_end := v_ready.ended_at;
    ELSE
        IF cardinality(v_states) = cardinality(p_places) THEN
            RETURN QUERY SELECT f.job_id, f.job_id, f.place, f.queue, f.task, f.error_type
                         FROM holdfast.search_ended_v1(v_states, p_queues, p_tasks, p_failures, p_terms, p_now, p_ended_by, p_from, v_before, p_limit, p_window) f;
        ELSIF p_places <@ ARRAY['scheduled', 'blocked', 'running'] AND cardinality(p_places) = 1 THEN
            RETURN QUERY SELECT f.job_id, f.job_id, f.place, f.queue, f.task, f.error_type
                         FROM holdfast.search_waiting_v1(p_places[1], p_queues, p_tasks, p_terms, p_now, p_from, v_before, p_limit, p_window) f;
        ELSE
            RETURN QUERY SELECT f.job_id, f.job_id, f.place, f.queue, f.task, f.error_type
                         FROM holdfast.search_all_v1(p_places, p_queues, p_tasks, p_terms, p_now, p_from, v_before, p_limit, p_window) f;
        END IF;
        GET DIAGNOSTICS v_found = ROW_COUNT;
        IF v_found < p_limit THEN
            v_end := holdfast.window_end_v1(p_places, p_failures, p_from, v_before, p_window);
        END IF;
    END IF;
    IF v_found < p_limit AND v_end IS NOT NULL THEN
        RETURN QUERY SELECT NULL::bigint, v_end, NULL::text, NULL::text, NULL::text, NULL::text;
    END IF;
END $function$;
comment on function holdfast.search_jobs_v1(text[],text[],text[],text[],jsonb,timestamp with time zone,timestamp with time zone,bigint,bigint,bigint,integer,integer) is 'The newest p_limit jobs, before p_before, that stand in these places and fit, among p_window candidates. A last row without a job says where the window ended: there may be more before it. Without it, and with less than p_limit, that is all.';

-- [function] holdfast.search_ready_v1(text[],text[],jsonb,timestamp with time zone,bigint,bigint,bigint,integer,integer)
CREATE OR REPLACE FUNCTION holdfast.search_ready_v1(p_queues text[], p_tasks text[], p_terms jsonb, p_now timestamp with time zone, p_from bigint, p_until bigint, p_before_seq bigint, p_limit integer, p_window integer, OUT jobs bigint[], OUT seqs bigint[], OUT queues text[], OUT tasks text[], OUT ended_at bigint)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_plain  boolean := p_tasks IS NULL AND p_terms IS NULL;
    v_lines  integer := (SELECT count(*) FROM holdfast.ready_lines_v1(p_queues));
    v_each   integer := CASE WHEN v_plain THEN p_limit ELSE greatest(p_limit, p_window / greatest(v_lines, 1)) END;
BEGIN
    -- In the order of their numbers, since ready has no index by id: the last to become ready first. Each line gives its
    -- newest; below the highest place where a line broke off nothing is known of that line.
    WITH seen AS MATERIALIZED (
        SELECT r.*, l.at FROM (SELECT x.queue, x.priority, row_number() OVER () AS at FROM holdfast.ready_lines_v1(p_queues) x) AS l
        CROSS JOIN LATERAL (
            SELECT x.seq, x.job_id, x.queue, x.priority, x.attempt FROM holdfast.ready x
            WHERE x.queue = l.queue AND x.priority = l.priority AND x.seq < p_before_seq ORDER BY x.seq DESC LIMIT v_each) AS r
    ), known AS (
        SELECT max(b.least) AS floor FROM (SELECT min(s.seq) AS least FROM seen s GROUP BY s.at HAVING count(*) >= v_each) AS b
    ), found AS (
        SELECT s.job_id, s.seq, s.queue, j.task FROM (SELECT * FROM seen ORDER BY seen.seq DESC) AS s
        JOIN holdfast.every_job j ON j.id = s.job_id
        WHERE s.seq >= coalesce((SELECT k.floor FROM known k), 0) AND s.job_id >= p_from AND s.job_id < p_until
          AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, s.queue, j.task, s.priority, s.attempt, j.unique_key, j.args, NULL, NULL, NULL))
        LIMIT p_limit
    )
    SELECT array_agg(f.job_id ORDER BY f.seq DESC), array_agg(f.seq ORDER BY f.seq DESC), array_agg(f.queue::text ORDER BY f.seq DESC),
           array_agg(f.task::text ORDER BY f.seq DESC), (SELECT k.floor FROM known k)
    INTO jobs, seqs, queues, tasks, ended_at FROM found f;
END $function$;
comment on function holdfast.search_ready_v1(text[],text[],jsonb,timestamp with time zone,bigint,bigint,bigint,integer,integer) is 'Ready jobs, the last that became ready first, below p_before_seq; ended_at: below this number there may be more, NULL: there are none.';

-- [function] holdfast.search_waiting_v1(text,text[],text[],jsonb,timestamp with time zone,bigint,bigint,integer,integer)
CREATE OR REPLACE FUNCTION holdfast.search_waiting_v1(p_place text, p_queues text[], p_tasks text[], p_terms jsonb, p_now timestamp with time zone, p_from bigint, p_before bigint, p_limit integer, p_window integer)
 RETURNS TABLE(job_id bigint, place text, queue text, task text, error_type text)
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
BEGIN
    IF p_place = 'scheduled' THEN
        RETURN QUERY
        SELECT s.job_id, p_place, s.queue::text, j.task::text, NULL::text
        FROM (SELECT * FROM holdfast.scheduled x WHERE x.job_id >= p_from AND x.job_id < p_before ORDER BY x.job_id DESC LIMIT p_window) AS s
        JOIN holdfast.every_job j ON j.id = s.job_id
        WHERE (p_queues IS NULL OR s.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, s.queue, j.task, s.priority, s.attempt, j.unique_key, j.args, NULL, NULL, s.due_at))
        ORDER BY s.job_id DESC LIMIT p_limit;
    ELSIF p_place = 'blocked' THEN
        RETURN QUERY
        SELECT b.job_id, p_place, b.queue::text, j.task::text, NULL::text
        FROM (SELECT * FROM holdfast.blocked x WHERE x.job_id >= p_from AND x.job_id < p_before ORDER BY x.job_id DESC LIMIT p_window) AS b
        JOIN holdfast.every_job j ON j.id = b.job_id
        WHERE (p_queues IS NULL OR b.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, b.queue, j.task, b.priority, b.attempt, j.unique_key, j.args, NULL, NULL, NULL))
        ORDER BY b.job_id DESC LIMIT p_limit;
    ELSE
        RETURN QUERY
        SELECT h.job_id, p_place, j.queue::text, j.task::text, NULL::text
        FROM (SELECT u.job_id, l.id AS lease FROM holdfast.lease l CROSS JOIN LATERAL unnest(l.job_ids) AS u(job_id)
              WHERE u.job_id >= p_from AND u.job_id < p_before
                AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = l.id AND e.job_id = u.job_id)
                AND NOT holdfast.is_finished_v1(u.job_id)
              ORDER BY u.job_id DESC LIMIT p_window) AS h
        JOIN holdfast.every_job j ON j.id = h.job_id
        WHERE (p_queues IS NULL OR j.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, j.queue, j.task, j.priority, NULL, j.unique_key, j.args, NULL, NULL, NULL))
        ORDER BY h.job_id DESC LIMIT p_limit;
    END IF;
END $function$;
comment on function holdfast.search_waiting_v1(text,text[],text[],jsonb,timestamp with time zone,bigint,bigint,integer,integer) is 'The newest p_limit jobs among p_window that are scheduled, blocked or running.';

-- [function] holdfast.seat_simply_v1(bigint[])
CREATE OR REPLACE FUNCTION holdfast.seat_simply_v1(p_jobs bigint[], OUT queues text[], OUT seated bigint)
 RETURNS record
 LANGUAGE sql
 SET enable_seqscan TO 'off'
AS $function$
    WITH gone AS (
        DELETE FROM holdfast.blocked b WHERE b.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.blocked x WHERE x.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED))
        RETURNING b.gate, b.rank, b.seq, b.job_id, b.queue, b.priority, b.attempt, b.flags
    ), held AS (
        INSERT INTO holdfast.slot (job_id, gate) SELECT g.job_id, g.gate FROM gone g ON CONFLICT DO NOTHING
    ), lowered AS (
        UPDATE holdfast.gate w SET low_slot = n.low FROM (SELECT g.gate, min(g.job_id) AS low FROM gone g GROUP BY g.gate) AS n
        WHERE w.name = n.gate AND w.low_slot > n.low
    ), placed AS (
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT g.queue, g.priority, g.job_id, g.attempt, g.flags FROM gone g ORDER BY g.rank, g.seq
    )
    SELECT array_agg(DISTINCT g.queue::text), count(*) FROM gone g
$function$;
comment on function holdfast.seat_simply_v1(bigint[]) is 'Into ready with the one slot they need: those of the jobs that nobody holds.';

-- [function] holdfast.seat_v1(holdfast.blocked[],text[])
CREATE OR REPLACE FUNCTION holdfast.seat_v1(p_rows holdfast.blocked[], p_stops text[])
 RETURNS text[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_now    timestamptz := holdfast.now();
    v_queues text[];
BEGIN
    DELETE FROM holdfast.blocked b WHERE b.job_id = ANY (ARRAY(
        SELECT i.job_id FROM unnest(p_rows, p_stops) AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop)
        WHERE i.stop IS DISTINCT FROM i.gate));
    -- Slots: of the lane for everybody who has come past it, of all limits for who passes them all.
    INSERT INTO holdfast.slot (job_id, gate)
    SELECT i.job_id, split_part(e.gate, E'\t', 1)
    FROM unnest(p_rows, p_stops) AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop),
         unnest(string_to_array(i.gates, E'\n')) AS e(gate)
    WHERE CASE WHEN starts_with(e.gate, 'lane:') THEN i.stop IS NULL OR NOT starts_with(i.stop, 'lane:')
               ELSE i.stop IS NULL AND starts_with(e.gate, 'limit:') END
    ON CONFLICT DO NOTHING;
    UPDATE holdfast.gate w SET low_slot = n.low
    FROM (SELECT split_part(e.gate, E'\t', 1) AS gate, min(r.job_id) AS low
          FROM unnest(p_rows) AS r, unnest(string_to_array(r.gates, E'\n')) AS e(gate) GROUP BY 1) AS n
    WHERE w.name = n.gate AND w.low_slot > n.low;
    INSERT INTO holdfast.rate_block AS k (gate, ends_at, taken)
    SELECT x.gate, to_timestamp(ceil(extract(epoch FROM v_now) * 1e6 / x.grain + 1) * x.grain / 1e6) + x.per_us * interval '1 microsecond', x.n
    FROM (SELECT t.gate, r.per_us, greatest(r.per_us / 100, 1) AS grain, t.n
          FROM (SELECT split_part(e.gate, E'\t', 1) AS gate, count(*) AS n
                FROM unnest(p_rows, p_stops) AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop),
                     unnest(string_to_array(i.gates, E'\n')) AS e(gate)
                WHERE i.stop IS NULL AND starts_with(e.gate, 'rate:') GROUP BY 1) AS t
          JOIN holdfast.limit_rule r ON r.name = 'rate:' || split_part(t.gate, ':', 2)) AS x
    ON CONFLICT (gate, ends_at) DO UPDATE SET taken = k.taken + excluded.taken;
    INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
    SELECT i.queue, i.priority, i.job_id, i.attempt, i.flags
    FROM unnest(p_rows, p_stops) WITH ORDINALITY AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop, at)
    WHERE i.stop IS NULL ORDER BY i.at;
    SELECT array_agg(DISTINCT i.queue::text) INTO v_queues
    FROM unnest(p_rows, p_stops) AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop) WHERE i.stop IS NULL;
    PERFORM holdfast.stand_in_line_v1(p_rows, p_stops);
    RETURN v_queues;
END $function$;
comment on function holdfast.seat_v1(holdfast.blocked[],text[]) is 'Does what stops_v1 has decided: into ready with their slots, or into the line where they stop. Returns the queues that got something.';

-- [function] holdfast.serve_v1(text[])
CREATE OR REPLACE FUNCTION holdfast.serve_v1(p_gates text[], OUT queues text[], OUT again text[], OUT seated bigint)
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_lanes  text[] := ARRAY(SELECT DISTINCT x FROM unnest(p_gates) AS x WHERE starts_with(x, 'lane:'));
    v_others text[];
    v_heads  record;
    v_rows   holdfast.blocked[];
    v_stops  text[];
BEGIN
    seated := 0;
    -- A line that is left to whoever takes straight from it is passed by: when its time has come it is looked at again.
    v_others := ARRAY(
        SELECT DISTINCT x FROM unnest(p_gates) AS x
        WHERE NOT starts_with(x, 'lane:') AND NOT (starts_with(x, 'limit:') AND EXISTS (
            SELECT FROM holdfast.gate g WHERE g.name = x AND g.opens_at > holdfast.now())));
    IF cardinality(v_lanes) + cardinality(v_others) = 0 THEN
        RETURN;
    END IF;
    SELECT * INTO v_heads FROM holdfast.heads_v1(v_lanes, v_others);
    IF v_heads.jobs IS NOT NULL AND v_heads.is_simple THEN
        SELECT s.queues, s.seated INTO queues, seated FROM holdfast.seat_simply_v1(v_heads.jobs) AS s;
    ELSIF v_heads.jobs IS NOT NULL THEN
        SELECT array_agg(x ORDER BY x.gate, x.rank, x.seq) INTO v_rows FROM (
            SELECT b.* FROM holdfast.blocked b WHERE b.job_id = ANY (v_heads.jobs) FOR UPDATE SKIP LOCKED) AS x;
        IF v_rows IS NOT NULL THEN
            v_stops := holdfast.stops_v1(v_rows, false);
            queues := holdfast.seat_v1(v_rows, v_stops);
            seated := (SELECT count(*) FROM unnest(v_stops) AS s WHERE s IS NULL);
            again := holdfast.left_room_v1(v_rows, v_stops);
        END IF;
    END IF;
    PERFORM holdfast.move_marks_v1(v_lanes, v_others);
END $function$;
comment on function holdfast.serve_v1(text[]) is 'Lets in who stands first before these gates, as far as there is room. again: gates that deserve another look.';

-- [function] holdfast.set_limit_v1(text,integer)
CREATE OR REPLACE FUNCTION holdfast.set_limit_v1(p_name text, p_capacity integer)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE holdfast.limit_rule r SET chosen = p_capacity WHERE r.name = p_name;
    IF FOUND THEN
        PERFORM pg_notify('holdfast_gates', '');
    END IF;
    RETURN FOUND;
END $function$;
comment on function holdfast.set_limit_v1(text,integer) is 'An operator''s capacity for a limit or rate; NULL: as declared. Who has passed already is left alone. False: no such limit.';

-- [function] holdfast.settle_batch_v1(bigint)
CREATE OR REPLACE FUNCTION holdfast.settle_batch_v1(p_id bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
DECLARE
    v_batch holdfast.batch;
BEGIN
    -- Locked in one statement, folded in the next. Who joins in an open transaction holds it: then it is not over.
    PERFORM FROM holdfast.batch b WHERE b.id = p_id FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    WITH gone AS (
        DELETE FROM holdfast.batch_delta d WHERE d.batch_id = p_id RETURNING d.*
    ), summed AS (
        SELECT sum(g.joined) AS joined, sum(g.completed) AS completed, sum(g.failed) AS failed, sum(g.cancelled) AS cancelled,
               sum(g.reopened) AS reopened, sum(g.inner_open) AS inner_open, sum(g.inner_unwell) AS inner_unwell FROM gone g HAVING count(*) > 0
    )
    UPDATE holdfast.batch b SET
        members = b.members + s.joined, completed = b.completed + s.completed, failed = b.failed + s.failed,
        cancelled = b.cancelled + s.cancelled, reopened = b.reopened + s.reopened,
        inner_open = b.inner_open + s.inner_open, inner_unwell = b.inner_unwell + s.inner_unwell
    FROM summed s WHERE b.id = p_id RETURNING b.* INTO v_batch;
    IF NOT FOUND OR v_batch.finished_at IS NOT NULL THEN
        RETURN false;
    END IF;
    IF v_batch.members - v_batch.completed - v_batch.failed - v_batch.cancelled + v_batch.reopened + v_batch.inner_open = 0 THEN
        PERFORM holdfast.end_batch_v1(v_batch);
        RETURN true;
    END IF;
    IF v_batch.cancelled_at IS NOT NULL THEN
        PERFORM holdfast.cancel_members_v1(p_id, v_batch.cancel_reason);            -- who joined while it was being cancelled
    END IF;
    RETURN false;
END $function$;
comment on function holdfast.settle_batch_v1(bigint) is 'Folds the deltas of one batch, unless somebody holds it, and ends it if nothing is open; true: it has ended.';

-- [function] holdfast.settle_batches_v1(integer)
CREATE OR REPLACE FUNCTION holdfast.settle_batches_v1(p_most integer)
 RETURNS integer
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_id    bigint;
    v_ended integer := 0;
BEGIN
    FOR v_id IN
        WITH RECURSIVE told(batch_id, n) AS (               -- the distinct batches by one index descent each
            (SELECT d.batch_id, 1 FROM holdfast.batch_delta d ORDER BY d.batch_id LIMIT 1)
            UNION ALL
            SELECT (SELECT d.batch_id FROM holdfast.batch_delta d WHERE d.batch_id > t.batch_id ORDER BY d.batch_id LIMIT 1), t.n + 1
            FROM told t WHERE t.batch_id IS NOT NULL AND t.n < p_most
        )
        SELECT t.batch_id FROM told t WHERE t.batch_id IS NOT NULL
    LOOP
        BEGIN
            v_ended := v_ended + holdfast.settle_batch_v1(v_id)::integer;
        EXCEPTION
            WHEN OTHERS THEN                                -- one batch at fault must not hold up the others
                RAISE WARNING 'batch % could not be settled: %', v_id, SQLERRM;
        END;
    END LOOP;
    RETURN v_ended;
END $function$;
comment on function holdfast.settle_batches_v1(integer) is 'Folds the deltas of at most p_most batches, one batch at a time, and ends those of which nothing is open; returns how many ended.';

-- [function] holdfast.settled_v1()
CREATE OR REPLACE FUNCTION holdfast.settled_v1()
 RETURNS bigint
 LANGUAGE sql
 STABLE
AS $function$ SELECT coalesce(max(t.position), 0) FROM holdfast.tick t $function$;
comment on function holdfast.settled_v1() is 'The settled watermark: up to it nothing is missing and nothing can appear any more. Read it in the same statement as the events.';

-- [function] holdfast.sight_queues_v1(integer)
CREATE OR REPLACE FUNCTION holdfast.sight_queues_v1(p_most integer)
 RETURNS TABLE(name text, ready bigint, ready_is_exact boolean, oldest_seconds double precision, scheduled bigint, blocked bigint, running bigint, paused_at timestamp with time zone, pause_reason text, paused_by text, completed bigint, failed bigint, retried bigint)
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_lately timestamptz := holdfast.now() - interval '5 minutes';     -- a value, so that the index on minutes serves it
BEGIN
    RETURN QUERY
    WITH RECURSIVE waiting(queue) AS (      -- the distinct queues by one index descent each
        (SELECT r.queue FROM holdfast.ready r ORDER BY r.queue LIMIT 1)
        UNION ALL
        SELECT (SELECT r.queue FROM holdfast.ready r WHERE r.queue > w.queue ORDER BY r.queue LIMIT 1) FROM waiting w WHERE w.queue IS NOT NULL
    ), busy AS MATERIALIZED (
        SELECT j.queue, count(*) AS n FROM holdfast.lease l CROSS JOIN LATERAL unnest(l.job_ids) AS h(job_id)
        CROSS JOIN LATERAL (SELECT x.queue FROM holdfast.job x WHERE x.id = h.job_id
                            UNION ALL SELECT x.queue FROM holdfast.job_kept x WHERE x.id = h.job_id) AS j
        WHERE NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = l.id AND e.job_id = h.job_id)
          AND NOT EXISTS (SELECT FROM holdfast.outcome o WHERE o.job_id = h.job_id)
        GROUP BY j.queue
    ), later AS MATERIALIZED (
        SELECT s.queue, count(*) AS n FROM (SELECT x.queue FROM holdfast.scheduled x LIMIT p_most) AS s GROUP BY s.queue
    ), in_line AS MATERIALIZED (
        SELECT b.queue, count(*) AS n FROM (SELECT x.queue FROM holdfast.blocked x LIMIT p_most) AS b GROUP BY b.queue
    ), lately AS MATERIALIZED (
        SELECT t.queue, sum(t.completed)::bigint AS completed, sum(t.failed)::bigint AS failed, sum(t.retried)::bigint AS retried
        FROM holdfast.tally t WHERE t.minute > v_lately GROUP BY t.queue
    ), names AS (
        SELECT w.queue FROM waiting w WHERE w.queue IS NOT NULL UNION SELECT b.queue FROM busy b UNION SELECT l.queue FROM later l
        UNION SELECT i.queue FROM in_line i UNION SELECT p.queue FROM holdfast.queue_pause p
        UNION SELECT t.queue FROM holdfast.tally t WHERE t.minute = '-infinity'
        UNION SELECT unnest(w.queues) FROM holdfast.worker w WHERE w.state = 'live'
    )
    SELECT n.queue, c.ready, c.ready < p_most, CASE WHEN c.ready > 0 THEN holdfast.ready_seconds_v1(n.queue) END,
           coalesce((SELECT l.n FROM later l WHERE l.queue = n.queue), 0), coalesce((SELECT i.n FROM in_line i WHERE i.queue = n.queue), 0),
           coalesce((SELECT b.n FROM busy b WHERE b.queue = n.queue), 0), p.paused_at, p.reason, p.paused_by,
           coalesce(y.completed, 0), coalesce(y.failed, 0), coalesce(y.retried, 0)
    FROM names n
    CROSS JOIN LATERAL (SELECT count(*) AS ready FROM (SELECT FROM holdfast.ready r WHERE r.queue = n.queue LIMIT p_most) AS x) AS c
    LEFT JOIN holdfast.queue_pause p ON p.queue = n.queue
    LEFT JOIN lately y ON y.queue = n.queue
    ORDER BY n.queue;
END $function$;
comment on function holdfast.sight_queues_v1(integer) is 'One line per queue: depths counted up to p_most rows, how long the first has been ready, and what ended in the last five minutes. No unbounded count.';

-- [function] holdfast.skip_v1(text,text,text)
CREATE OR REPLACE FUNCTION holdfast.skip_v1(p_projection text, p_stream text, p_reason text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_model    integer;
    v_parked   holdfast.projection_parked;
    v_stopped  holdfast.projection_partition;
    v_position bigint;
BEGIN
    SELECT m.model INTO v_model FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.state = 'live';
    SELECT * INTO v_parked FROM holdfast.projection_parked p
    WHERE p.projection = p_projection AND p.model = v_model AND p.stream = p_stream FOR UPDATE;
    IF FOUND THEN
        SELECT min(e.position) INTO v_position FROM holdfast.event e WHERE e.stream = p_stream AND e.position >= v_parked.next_position;
        IF v_position IS NOT NULL THEN
            UPDATE holdfast.projection_parked p SET next_position = v_position + 1, attempts = 0, retry_at = holdfast.now()
            WHERE p.projection = p_projection AND p.model = v_model AND p.stream = p_stream;
        END IF;
    ELSE
        SELECT * INTO v_stopped FROM holdfast.projection_partition t
        WHERE t.projection = p_projection AND t.model = v_model AND t.failing ->> 'stream' = p_stream FOR UPDATE;
        v_position := (v_stopped.failing ->> 'position')::bigint;
        UPDATE holdfast.projection_partition t SET checkpoint = v_position, epoch = t.epoch + 1, failing = NULL
        WHERE t.projection = p_projection AND t.model = v_model AND t.partition = v_stopped.partition AND v_position IS NOT NULL;
    END IF;
    IF v_position IS NOT NULL THEN
        INSERT INTO holdfast.projection_skip (projection, model, stream, position, skipped_at, reason, error)
        VALUES (p_projection, v_model, p_stream, v_position, holdfast.now(), p_reason, coalesce(v_parked.error, v_stopped.failing -> 'error'));
    END IF;
    RETURN v_position;
END $function$;
comment on function holdfast.skip_v1(text,text,text) is 'Passes over the event that the stream waits at, with a reason that is kept. NULL: it waits at none.';

-- [function] holdfast.sought_v1(jsonb)
CREATE OR REPLACE FUNCTION holdfast.sought_v1(p_value jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    -- The text of an object holds all that is in it, under keys that look secret, too: its parts are sought by their own names.
    SELECT CASE
        WHEN jsonb_path_exists(p_value, 'strict $.** ? (@.type() == "object")') THEN NULL
        WHEN p_value #>> '{}' !~* '://|bearer|basic|hf[ts]_' THEN p_value #>> '{}'
        -- As holdfast.access shows them: passwords in URLs, bearer tokens, tokens of ours.
        ELSE regexp_replace(regexp_replace(regexp_replace(p_value #>> '{}',
            '(\m[a-z][a-z0-9+.-]{0,30}://[^\s/:@]{0,200}):[^\s@]+@', '\1:***@', 'gi'),
            '\m(bearer|basic)\s+[\w.~+/=-]{8,}', '\1 [redacted]', 'gi'),
            '\mhf[ts]_[\w-]{16,}', '[redacted]', 'g')
    END
$function$;
comment on function holdfast.sought_v1(jsonb) is 'What a filter compares of an argument: its text as it is shown; nothing of an object, nor of a list that holds one.';

-- [function] holdfast.stalled_by_v1()
CREATE OR REPLACE FUNCTION holdfast.stalled_by_v1()
 RETURNS TABLE(pid integer, application text, username text, client text, state text, age_seconds double precision, query text, prepared text)
 LANGUAGE sql
AS $function$
    SELECT l.pid, a.application_name, a.usename::text, host(a.client_addr), a.state,
           extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::double precision, a.query, p.gid
    FROM pg_catalog.pg_locks l
    LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    LEFT JOIN LATERAL (
        SELECT x.gid, x.prepared FROM pg_catalog.pg_locks t JOIN pg_catalog.pg_prepared_xacts x ON x.transaction = t.transactionid
        WHERE l.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid' AND t.virtualtransaction = l.virtualtransaction LIMIT 1
    ) AS p ON true
    WHERE l.locktype = 'relation' AND l.relation = 'holdfast.event'::regclass AND l.granted
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
      AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    ORDER BY 6 DESC NULLS LAST
$function$;
comment on function holdfast.stalled_by_v1() is 'Who holds the watermark back, oldest first: sessions with an open append, and prepared transactions.';

-- [function] holdfast.stand_again_v1(bigint,text,smallint,smallint,smallint)
CREATE OR REPLACE FUNCTION holdfast.stand_again_v1(p_job bigint, p_queue text, p_priority smallint, p_attempt smallint, p_flags smallint)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF p_flags & 8 <> 0 THEN
        PERFORM holdfast.line_up_v1(ARRAY[p_job], ARRAY[p_queue], ARRAY[p_priority], ARRAY[p_attempt], ARRAY[p_flags]);
        PERFORM holdfast.ring_v1(ARRAY[p_queue], 'gates');
    ELSE
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags) VALUES (p_queue, p_priority, p_job, p_attempt, p_flags);
    END IF;
END $function$;
comment on function holdfast.stand_again_v1(bigint,text,smallint,smallint,smallint) is 'One job is to run as soon as it may: into ready, or before its gates.';

-- [function] holdfast.stand_in_line_v1(holdfast.blocked[],text[])
CREATE OR REPLACE FUNCTION holdfast.stand_in_line_v1(p_rows holdfast.blocked[], p_stops text[])
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_moves integer := (
        SELECT count(*) FROM unnest(p_rows, p_stops) AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop)
        WHERE i.stop IS DISTINCT FROM i.gate AND i.stop IS NOT NULL);
BEGIN
    IF v_moves = 0 THEN
        RETURN;
    END IF;
    INSERT INTO holdfast.gate (name) SELECT DISTINCT s FROM unnest(p_stops) AS s WHERE s IS NOT NULL ON CONFLICT DO NOTHING;
    -- A fairly shared line: each key's jobs stand a step (one over its weight) behind each other, from where the line is now.
    WITH comer AS MATERIALIZED (
        SELECT i.*, nullif(split_part(e.gate, E'\t', 2), '') AS share
        FROM unnest(p_rows, p_stops) WITH ORDINALITY AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop, at)
        LEFT JOIN LATERAL (SELECT g.gate FROM unnest(string_to_array(i.gates, E'\n')) AS g(gate)
                           WHERE split_part(g.gate, E'\t', 1) = i.stop AND position(E'\t' IN g.gate) > 0) AS e ON true
        WHERE i.stop IS DISTINCT FROM i.gate AND i.stop IS NOT NULL
    ), fair AS MATERIALIZED (
        SELECT c.stop, c.share, greatest(g.virtual, coalesce(f.finish, 0)) AS start,
               (1000000 / greatest(coalesce((r.weights ->> c.share)::numeric, 1), 0.001))::bigint AS step, count(*) AS n
        FROM comer c JOIN holdfast.gate g ON g.name = c.stop
        LEFT JOIN holdfast.gate_share f ON f.gate = c.stop AND f.share = c.share
        LEFT JOIN holdfast.limit_rule r ON r.name = split_part(c.stop, ':', 1) || ':' || split_part(c.stop, ':', 2)
        WHERE c.share IS NOT NULL GROUP BY c.stop, c.share, g.virtual, f.finish, r.weights
    ), shared AS (
        INSERT INTO holdfast.gate_share (gate, share, finish) SELECT f.stop, f.share, f.start + f.n * f.step FROM fair f
        ON CONFLICT (gate, share) DO UPDATE SET finish = excluded.finish
    )
    INSERT INTO holdfast.blocked (gate, rank, seq, job_id, queue, priority, attempt, flags, gates)
    SELECT c.stop,
           CASE WHEN f.share IS NOT NULL THEN f.start + f.step * (row_number() OVER (PARTITION BY c.stop, c.share ORDER BY c.at) - 1)
                ELSE holdfast.rank_v1(c.stop, c.priority, holdfast.now()) END,
           c.seq, c.job_id, c.queue, c.priority, c.attempt, c.flags, c.gates
    FROM comer c LEFT JOIN fair f ON f.stop = c.stop AND f.share = c.share;
    UPDATE holdfast.gate g SET mark_rank = h.rank, mark_seq = h.seq
    FROM (SELECT DISTINCT ON (b.gate) b.gate, b.rank, b.seq FROM holdfast.blocked b
          WHERE b.job_id = ANY (ARRAY(SELECT r.job_id FROM unnest(p_rows) AS r)) ORDER BY b.gate, b.rank, b.seq) AS h
    WHERE g.name = h.gate AND (h.rank, h.seq) < (g.mark_rank, g.mark_seq);
    UPDATE holdfast.gate g SET opens_at = (SELECT min(b.ends_at) FROM holdfast.rate_block b WHERE b.gate = g.name AND b.ends_at > holdfast.now())
    WHERE g.name = ANY (p_stops) AND starts_with(g.name, 'rate:');
END $function$;
comment on function holdfast.stand_in_line_v1(holdfast.blocked[],text[]) is 'Lines up who may not pass before the gate that stops it.';

-- [function] holdfast.standing_v1(bigint)
CREATE OR REPLACE FUNCTION holdfast.standing_v1(p_job bigint)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
    SELECT coalesce((SELECT p.place FROM holdfast.places_v1(ARRAY[p_job]) p), 'unknown')
$function$;
comment on function holdfast.standing_v1(bigint) is 'The place one job stands in, or unknown: what a verb answers that changed nothing.';

-- [function] holdfast.start_operation_v1(text,text,text)
CREATE OR REPLACE FUNCTION holdfast.start_operation_v1(p_token_hash text, p_by text, p_reason text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_id bigint;
BEGIN
    UPDATE holdfast.operation o SET state = 'running', started_at = holdfast.now(), turn_at = holdfast.now(), reason = coalesce(p_reason, o.reason),
        due_at = coalesce(o.due_at, holdfast.now() + make_interval(secs => o.delay_seconds))
    WHERE o.token_hash = p_token_hash AND o.state = 'previewed' AND o.expires_at > holdfast.now() AND o.requested_by IS NOT DISTINCT FROM p_by
    RETURNING o.id INTO v_id;
    IF FOUND THEN
        PERFORM pg_notify('holdfast_operations', '');
    END IF;
    RETURN v_id;
END $function$;
comment on function holdfast.start_operation_v1(text,text,text) is 'The previewed operation runs from now on; NULL: no such token, it has expired, was used, or belongs to somebody else.';

-- [function] holdfast.start_rebuild_v1(text,integer)
CREATE OR REPLACE FUNCTION holdfast.start_rebuild_v1(p_projection text, p_code_version integer)
 RETURNS TABLE(model integer, schema_name text)
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_projection holdfast.projection;
    v_table      text;
BEGIN
    SELECT * INTO v_projection FROM holdfast.projection j WHERE j.name = p_projection FOR UPDATE;
    IF EXISTS (SELECT FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.state = 'building') THEN
        RAISE EXCEPTION 'a model of % is being built already', p_projection USING ERRCODE = 'HF121';
    END IF;
    SELECT max(m.model) + 1 INTO start_rebuild_v1.model FROM holdfast.projection_model m WHERE m.projection = p_projection;
    schema_name := format('holdfast_%s_%s', p_projection, start_rebuild_v1.model);
    EXECUTE format('CREATE SCHEMA %I', schema_name);
    FOREACH v_table IN ARRAY v_projection.tables LOOP
        EXECUTE format('CREATE TABLE %I.%I (LIKE %s INCLUDING ALL)', schema_name, v_table, quote_ident(v_table)::regclass);
    END LOOP;
    PERFORM holdfast.make_model_v1(p_projection, start_rebuild_v1.model, p_code_version, 'building', schema_name, 0);
    RETURN NEXT;
END $function$;
comment on function holdfast.start_rebuild_v1(text,integer) is 'A new model from the beginning of the log, in tables of its own that are shaped like the live ones.';

-- [function] holdfast.start_waiting_v1()
CREATE OR REPLACE FUNCTION holdfast.start_waiting_v1()
 RETURNS SETOF holdfast.occurrence
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_schedule holdfast.schedule;
    v_name     text;
BEGIN
    FOR v_name IN
        WITH RECURSIVE queued(schedule) AS (                -- the distinct schedules by one index descent each
            (SELECT o.schedule FROM holdfast.occurrence o WHERE o.state = 'waiting' ORDER BY o.schedule LIMIT 1)
            UNION ALL
            SELECT (SELECT o.schedule FROM holdfast.occurrence o WHERE o.state = 'waiting' AND o.schedule > q.schedule ORDER BY o.schedule LIMIT 1)
            FROM queued q WHERE q.schedule IS NOT NULL
        )
        SELECT q.schedule FROM queued q WHERE q.schedule IS NOT NULL
    LOOP
        BEGIN
            SELECT * INTO v_schedule FROM holdfast.schedule s
            WHERE s.name = v_name AND s.paused_at IS NULL AND s.withdrawn_at IS NULL FOR UPDATE SKIP LOCKED;
            IF FOUND AND (SELECT u.job_id FROM holdfast.unfinished_job_of_v1(v_name) u) IS NULL THEN
                RETURN QUERY
                UPDATE holdfast.occurrence o SET state = 'started', job_id = holdfast.enqueue_occurrence_v1(v_schedule.plan, o.at)
                WHERE o.schedule = v_name AND o.at = (
                    SELECT min(x.at) FROM holdfast.occurrence x WHERE x.schedule = v_name AND x.state = 'waiting')
                RETURNING o.*;
            END IF;
        EXCEPTION
            WHEN OTHERS THEN                                -- what is wrong with one of them must not hold up the others
                RAISE WARNING 'the waiting occurrence of schedule % could not be started: %', v_name, SQLERRM;
        END;
    END LOOP;
END $function$;
comment on function holdfast.start_waiting_v1() is 'Of every schedule that queues its occurrences, the oldest one waiting gets its job once the job before it has ended.';

-- [function] holdfast.stop_at_v1(text,integer,smallint,bigint,jsonb,interval)
CREATE OR REPLACE FUNCTION holdfast.stop_at_v1(p_projection text, p_model integer, p_partition smallint, p_epoch bigint, p_failing jsonb, p_retry_in interval)
 RETURNS boolean
 LANGUAGE sql
AS $function$
    WITH told AS (
        UPDATE holdfast.projection_partition t
        SET failing = CASE WHEN p_retry_in IS NULL THEN p_failing
                           ELSE p_failing || jsonb_build_object('retry_at', holdfast.now() + p_retry_in) END
        WHERE t.projection = p_projection AND t.model = p_model AND t.partition = p_partition AND t.epoch = p_epoch
        RETURNING 1)
    SELECT EXISTS (SELECT FROM told)
$function$;
comment on function holdfast.stop_at_v1(text,integer,smallint,bigint,jsonb,interval) is 'The partition rests before this event, until its retry or for good; only its owner can say so.';

-- [function] holdfast.stops_v1(holdfast.blocked[],boolean)
CREATE OR REPLACE FUNCTION holdfast.stops_v1(p_rows holdfast.blocked[], p_arrivals boolean)
 RETURNS text[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_stops text[];
    v_other text[];
BEGIN
    -- First the lanes: whoever is or becomes the head of its lane passes on to its limits, with the lane in hand.
    SELECT array_agg(CASE WHEN l.lane IS NULL OR l.is_head OR (l.turn = 1 AND NOT l.is_taken) THEN NULL ELSE l.lane END ORDER BY l.at)
    INTO v_stops
    FROM (SELECT r.at, r.lane,
                 r.lane IS NOT NULL AND EXISTS (SELECT FROM holdfast.slot s WHERE s.job_id = r.job_id AND s.gate = r.lane) AS is_head,
                 r.lane IS NOT NULL AND (EXISTS (SELECT FROM holdfast.slot s WHERE s.gate = r.lane)
                     OR p_arrivals AND EXISTS (SELECT FROM holdfast.blocked b WHERE b.gate = r.lane)) AS is_taken,
                 row_number() OVER (PARTITION BY r.lane ORDER BY r.at) AS turn
          FROM (SELECT i.at, i.job_id, CASE WHEN starts_with(i.gates, 'lane:') THEN split_part(i.gates, E'\n', 1) END AS lane
                FROM unnest(p_rows) WITH ORDINALITY AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, at)) AS r) AS l;
    -- Then limits and rates: all that a job needs have room for everybody up to it, or it waits before the first that is full.
    WITH need AS MATERIALIZED (
        SELECT i.at, e.n, split_part(e.gate, E'\t', 1) AS gate, i.queue
        FROM unnest(p_rows, v_stops) WITH ORDINALITY
             AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop, at),
             unnest(string_to_array(i.gates, E'\n')) WITH ORDINALITY AS e(gate, n)
        WHERE i.stop IS NULL AND NOT starts_with(e.gate, 'lane:')
    ), room AS MATERIALIZED (
        SELECT g.gate, CASE WHEN p_arrivals AND EXISTS (SELECT FROM holdfast.blocked b WHERE b.gate = g.gate) THEN 0
                            ELSE holdfast.room_v1(g.gate) END AS room
        FROM (SELECT DISTINCT n.gate FROM need n) AS g
    ), unserved AS (
        SELECT q.queue FROM (SELECT DISTINCT n.queue FROM need n) AS q
        WHERE NOT EXISTS (SELECT FROM holdfast.worker w WHERE w.state = 'live' AND q.queue = ANY (w.queues))
           OR EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = q.queue)
    ), turn AS (
        SELECT n.at, n.n, n.gate, r.room < row_number() OVER (PARTITION BY n.gate ORDER BY n.at)
               OR EXISTS (SELECT FROM unserved u WHERE u.queue = n.queue) AS is_full
        FROM need n JOIN room r ON r.gate = n.gate
    )
    SELECT array_agg(coalesce(v_stops[i.at], t.gate) ORDER BY i.at) INTO v_other
    FROM generate_series(1, cardinality(p_rows)) AS i(at)
    LEFT JOIN (SELECT DISTINCT ON (x.at) x.at, x.gate FROM turn x WHERE x.is_full ORDER BY x.at, x.n) AS t ON t.at = i.at;
    RETURN v_other;
END $function$;
comment on function holdfast.stops_v1(holdfast.blocked[],boolean) is 'For each of these jobs, in order, the gate before which it must wait; NULL: it may pass them all. Arrivals wait behind those that wait already.';

-- [function] holdfast.stream_part_v1(text,bigint,bigint,integer,text[],text[],text[])
CREATE OR REPLACE FUNCTION holdfast.stream_part_v1(p_stream text, p_first bigint, p_last bigint, p_limit integer, p_types text[], p_categories text[], p_tags text[])
 RETURNS TABLE("position" bigint, stream text, version bigint, type text, schema_version smallint, data jsonb, id uuid, recorded_at timestamp with time zone, tags text[], metadata jsonb, correlation_id text, causation_id text, trace jsonb, partition smallint)
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
    SELECT e.position, e.stream, e.version, e.type, e.schema_version, e.data, e.id, e.recorded_at, e.tags, e.metadata,
           e.correlation_id, e.causation_id, e.trace, e.partition
    FROM holdfast.event e
    WHERE e.stream = p_stream AND e.position BETWEEN p_first AND p_last
      AND holdfast.in_scope_v1(e.type, e.stream, e.tags, p_types, p_categories, p_tags)
    ORDER BY e.position LIMIT p_limit
$function$;
comment on function holdfast.stream_part_v1(text,bigint,bigint,integer,text[],text[],text[]) is 'Events of one stream between two positions, both included: what a parked stream has still to be given.';

-- [function] holdfast.sweep_gates_v1(text)
CREATE OR REPLACE FUNCTION holdfast.sweep_gates_v1(p_after text, OUT gates text[], OUT swept text)
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_sort TO 'off'
 SET jit TO 'off'
AS $function$
BEGIN
    WITH RECURSIVE line(gate, n) AS (       -- the distinct gates by one index descent each
        (SELECT b.gate, 1 FROM holdfast.blocked b WHERE b.gate > p_after ORDER BY b.gate LIMIT 1)
        UNION ALL
        SELECT (SELECT b.gate FROM holdfast.blocked b WHERE b.gate > l.gate ORDER BY b.gate LIMIT 1), l.n + 1
        FROM line l WHERE l.gate IS NOT NULL AND l.n < 500
    )
    SELECT array_agg(l.gate), CASE WHEN count(*) = 500 THEN max(l.gate) ELSE '' END INTO gates, swept FROM line l WHERE l.gate IS NOT NULL;
    IF p_after = '' THEN
        DELETE FROM holdfast.gate g WHERE NOT EXISTS (SELECT FROM holdfast.blocked b WHERE b.gate = g.name);
        DELETE FROM holdfast.gate_share f WHERE NOT EXISTS (SELECT FROM holdfast.gate g WHERE g.name = f.gate);
        -- No path leaves such a slot behind; should one ever, it must not close its gate for good.
        DELETE FROM holdfast.lease_slot s WHERE NOT EXISTS (SELECT FROM holdfast.lease l WHERE l.id = s.lease);
        DELETE FROM holdfast.rate_block k WHERE k.ends_at < holdfast.now() - interval '1 second';
    END IF;
END $function$;
comment on function holdfast.sweep_gates_v1(text) is 'The safety net, five hundred lines at a time from p_after on; swept: where to go on, empty at the end. Empty lines are forgotten.';

-- [function] holdfast.sweep_v1(integer)
CREATE OR REPLACE FUNCTION holdfast.sweep_v1(p_most integer)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_rows   integer;
    v_total  integer := 0;
    v_places tid[];
BEGIN
    -- Locked in one statement, judged in the next: a retry may have taken its key back between snapshot and lock.
    SELECT array_agg(l.place) INTO v_places FROM (
        SELECT x.ctid AS place FROM holdfast.unique_key x
        WHERE holdfast.is_finished_v1(x.job_id) AND (x.until IS NULL OR x.until < holdfast.now())
        LIMIT p_most FOR UPDATE SKIP LOCKED) AS l;
    DELETE FROM holdfast.unique_key k WHERE k.ctid = ANY (v_places) AND holdfast.is_finished_v1(k.job_id);
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    v_total := v_rows;
    DELETE FROM holdfast.cancel_request c WHERE c.job_id IN (
        SELECT x.job_id FROM holdfast.cancel_request x WHERE holdfast.is_finished_v1(x.job_id) LIMIT p_most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    v_total := v_total + v_rows;
    DELETE FROM holdfast.lease_exit e WHERE NOT EXISTS (SELECT FROM holdfast.lease l WHERE l.id = e.lease);
    DELETE FROM holdfast.batch b WHERE b.id IN (
        SELECT x.id FROM holdfast.batch x
        WHERE x.finished_at IS NOT NULL AND x.id < (SELECT s.lowest_id FROM holdfast.storage s)
          AND NOT EXISTS (SELECT FROM holdfast.batch_member m WHERE m.batch_id = x.id)
          AND NOT EXISTS (SELECT FROM holdfast.batch_delta d WHERE d.batch_id = x.id) LIMIT p_most FOR UPDATE SKIP LOCKED);
    -- No path leaves a slot behind; should one ever, it must not close its gate for good.
    DELETE FROM holdfast.slot s WHERE holdfast.is_finished_v1(s.job_id);
    DELETE FROM holdfast.tally t WHERE t.minute > '-infinity' AND t.minute < holdfast.now() - interval '30 days';
    RETURN v_total;
END $function$;
comment on function holdfast.sweep_v1(integer) is 'Housekeeping that no promise rests on: keys and cancel requests of finished jobs, batches whose members are gone, old minutes of counters.';

-- [function] holdfast.switch_model_v1(text,integer)
CREATE OR REPLACE FUNCTION holdfast.switch_model_v1(p_projection text, p_model integer)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_live   holdfast.projection_model;
    v_next   holdfast.projection_model;
    v_aside  text;
    v_table  text;
    v_home   text;
    v_behind bigint;
BEGIN
    PERFORM FROM holdfast.projection j WHERE j.name = p_projection FOR UPDATE;
    PERFORM holdfast.fence_partitions_v1(p_projection, NULL);
    SELECT * INTO v_live FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.state = 'live';
    SELECT * INTO v_next FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.model = p_model AND m.state <> 'live';
    SELECT count(*) INTO v_behind
    FROM holdfast.projection_partition l JOIN holdfast.projection_partition t USING (projection, partition)
    WHERE l.projection = p_projection AND l.model = v_live.model AND t.model = v_next.model AND t.checkpoint < l.checkpoint;
    IF v_next.model IS NULL THEN
        RETURN 64;
    ELSIF v_behind > 0 THEN
        RETURN v_behind;
    END IF;
    v_aside := format('holdfast_%s_%s', p_projection, v_live.model);
    EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', v_aside);
    FOR v_table IN SELECT unnest(j.tables) FROM holdfast.projection j WHERE j.name = p_projection LOOP
        SELECT c.relnamespace::regnamespace::text INTO v_home FROM pg_catalog.pg_class c WHERE c.oid = quote_ident(v_table)::regclass;
        PERFORM holdfast.copy_grants_v1(quote_ident(v_table)::regclass, format('%I.%I', v_next.schema_name, v_table)::regclass);
        EXECUTE format('ALTER TABLE %s.%I SET SCHEMA %I', v_home, v_table, v_aside);
        EXECUTE format('ALTER TABLE %I.%I SET SCHEMA %s', v_next.schema_name, v_table, v_home);
    END LOOP;
    PERFORM holdfast.drop_model_v1(p_projection, m.model) FROM holdfast.projection_model m
    WHERE m.projection = p_projection AND m.state = 'kept' AND m.model <> p_model;
    UPDATE holdfast.projection_model m SET state = 'kept', schema_name = v_aside WHERE m.projection = p_projection AND m.model = v_live.model;
    UPDATE holdfast.projection_model m SET state = 'live', schema_name = NULL, live_at = holdfast.now() WHERE m.projection = p_projection AND m.model = p_model;
    UPDATE holdfast.projection_partition t SET effects_after = greatest(l.effects_after, l.checkpoint)
    FROM holdfast.projection_partition l
    WHERE t.projection = p_projection AND t.model = p_model AND l.projection = p_projection AND l.model = v_live.model AND l.partition = t.partition;
    UPDATE holdfast.projection j SET still_until = NULL WHERE j.name = p_projection;
    BEGIN
        EXECUTE format('DROP SCHEMA %I', v_next.schema_name);
    EXCEPTION WHEN dependent_objects_still_exist THEN
        NULL;       -- the application put something of its own there
    END;
    RETURN 0;
END $function$;
comment on function holdfast.switch_model_v1(text,integer) is 'In one transaction the other model becomes the live one, under the same table names, and the former is kept. Returns how many partitions are behind; then nothing was done.';

-- [function] holdfast.take_key_v1(text,bigint,smallint,bigint,smallint)
CREATE OR REPLACE FUNCTION holdfast.take_key_v1(p_key text, p_job bigint, p_covered smallint DEFAULT 15, p_period_us bigint DEFAULT NULL::bigint, p_conflict smallint DEFAULT 0)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_hash       uuid := holdfast.key_hash_v1(p_key);
    v_generation bigint;
    v_holder     bigint;
    v_until      timestamptz;
    v_place      text;
    v_bit        integer;
BEGIN
    LOOP
        v_generation := 0;
        SELECT k.generation, k.job_id, k.until INTO v_generation, v_holder, v_until
        FROM holdfast.unique_key k WHERE k.hash = v_hash ORDER BY k.generation DESC LIMIT 1;
        IF v_holder <> p_job THEN
            IF p_conflict = 1 THEN
                v_place := coalesce((SELECT p.place FROM holdfast.places_v1(ARRAY[v_holder]) AS p), 'dropped');
            ELSIF p_conflict <> 2 THEN
                v_place := holdfast.hold_waiting_v1(v_holder);
            ELSIF holdfast.withdraw_v1(v_holder, p_job) THEN
                v_place := 'replaced';
            ELSE
                v_place := holdfast.hold_waiting_v1(v_holder);
            END IF;
            -- 1 scheduled, 2 blocked, 4 ready, 8 running; after its end a key counts only for its period, in places 16, 32, 64.
            v_bit := coalesce(array_position(ARRAY['scheduled', 'blocked', 'ready', 'running', 'completed', 'failed', 'cancelled'], v_place), 0);
            IF (v_bit BETWEEN 1 AND 4 AND p_covered & (1 << (v_bit - 1)) <> 0)
               OR (v_bit > 4 AND v_until > holdfast.now() AND p_covered & (1 << (v_bit - 1)) <> 0) THEN
                IF v_place = 'blocked' THEN
                    -- Whoever looks meanwhile passes it by: the gate is called again when it is let go, with this commit.
                    INSERT INTO holdfast.gate_call (gate, rank, seq) SELECT b.gate, b.rank, b.seq FROM holdfast.blocked b WHERE b.job_id = v_holder;
                END IF;
                RETURN v_holder;
            END IF;
        END IF;
        IF v_holder IS NOT NULL THEN
            -- Generations go on counting only while the newest one is there: nobody may sweep it now. Gone: look again.
            PERFORM FROM holdfast.unique_key k WHERE k.hash = v_hash AND k.generation = v_generation FOR KEY SHARE;
            CONTINUE WHEN NOT FOUND;
        END IF;
        IF v_holder = p_job THEN RETURN p_job; END IF;
        INSERT INTO holdfast.unique_key (hash, generation, job_id, until)
        VALUES (v_hash, coalesce(v_generation, 0) + 1, p_job, holdfast.now() + p_period_us * interval '1 microsecond') ON CONFLICT DO NOTHING;
        IF FOUND THEN RETURN p_job; END IF;
        -- Somebody else took that generation while we waited: look again, in a new statement.
    END LOOP;
END $function$;
comment on function holdfast.take_key_v1(text,bigint,smallint,bigint,smallint) is 'The job that holds the key now: the given one, or the one that held it before and stands in a covered place. Conflict 2: one that waits is withdrawn for the new one.';

-- [function] holdfast.take_out_v1(bigint[])
CREATE OR REPLACE FUNCTION holdfast.take_out_v1(p_jobs bigint[])
 RETURNS TABLE(job_id bigint, queue text, priority smallint, attempt smallint, flags smallint, due_at timestamp with time zone, line holdfast.blocked)
 LANGUAGE plpgsql
 SET jit TO 'off'
 SET enable_seqscan TO 'off'
AS $function$
#variable_conflict use_column
DECLARE
    v_left bigint[] := ARRAY(
        SELECT i.id FROM unnest(p_jobs) AS i(id)
        WHERE NOT EXISTS (SELECT FROM holdfast.scheduled s WHERE s.job_id = i.id)
          AND NOT EXISTS (SELECT FROM holdfast.blocked b WHERE b.job_id = i.id) AND NOT holdfast.is_finished_v1(i.id));
BEGIN
    RETURN QUERY
    WITH later AS (
        DELETE FROM holdfast.scheduled s WHERE s.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.scheduled x WHERE x.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED))
        RETURNING s.job_id, s.queue, s.priority, s.attempt, s.flags, s.due_at, NULL::holdfast.blocked
    ), in_line AS (
        DELETE FROM holdfast.blocked b WHERE b.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.blocked x WHERE x.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED))
        RETURNING b.job_id, b.queue, b.priority, b.attempt, b.flags, NULL::timestamptz, b
    )
    SELECT * FROM later UNION ALL SELECT * FROM in_line;
    IF cardinality(v_left) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    DELETE FROM holdfast.ready r WHERE r.ctid = ANY (ARRAY(
        SELECT x.ctid FROM holdfast.ready x
        WHERE (x.queue, x.priority) IN (SELECT DISTINCT j.queue, j.priority FROM holdfast.every_job j WHERE j.id = ANY (v_left))
          AND x.job_id IN (SELECT unnest(v_left)) FOR UPDATE SKIP LOCKED))
    RETURNING r.job_id, r.queue, r.priority, r.attempt, r.flags, NULL::timestamptz, NULL::holdfast.blocked;
END $function$;
comment on function holdfast.take_out_v1(bigint[]) is 'Takes waiting jobs out of their place; what others hold locked stays there. The caller puts each into a place in the same transaction. due_at: it was scheduled; line: it was blocked, there.';

-- [function] holdfast.take_probe_v1(text,bigint,timestamp with time zone,double precision,boolean)
CREATE OR REPLACE FUNCTION holdfast.take_probe_v1(p_name text, p_version bigint, p_next timestamp with time zone, p_seconds double precision, p_again boolean)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_now timestamptz := holdfast.now();
BEGIN
    PERFORM FROM holdfast.schedule s WHERE s.name = p_name AND s.version = p_version AND s.next_at = p_next
        AND (p_again OR s.probing_until IS NULL OR s.probing_until <= v_now) FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE holdfast.schedule SET probing_until = v_now + make_interval(secs => p_seconds) WHERE name = p_name;
    RETURN true;
END $function$;
comment on function holdfast.take_probe_v1(text,bigint,timestamp with time zone,double precision,boolean) is 'True: the caller asks the source of this occurrence, and others leave it alone for so long. Again: it still does.';

-- [function] holdfast.take_request_key_v1(text,text,bytea)
CREATE OR REPLACE FUNCTION holdfast.take_request_key_v1(p_actor text, p_key text, p_digest bytea)
 RETURNS TABLE(is_new boolean, is_same boolean, status integer, body bytea)
 LANGUAGE plpgsql
AS $function$
BEGIN
    -- Waits for a request of that key that is still at work; what it left behind is looked at in the next statement.
    INSERT INTO holdfast.request_key (actor, key, digest) VALUES (p_actor, p_key, p_digest) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN QUERY SELECT true, true, NULL::integer, NULL::bytea;
        RETURN;
    END IF;
    RETURN QUERY SELECT false, k.digest = p_digest, k.status, k.body
    FROM holdfast.request_key k WHERE k.actor = p_actor AND k.key = p_key;
END $function$;
comment on function holdfast.take_request_key_v1(text,text,bytea) is 'Takes an idempotency key for this transaction, or tells what its first request was answered. No row: that was pruned just now.';

-- [function] holdfast.take_straight_v1(bigint,tid[],text[],integer)
CREATE OR REPLACE FUNCTION holdfast.take_straight_v1(p_lease bigint, p_places tid[], p_marks text[], p_limit integer, OUT jobs bigint[], OUT queues text[], OUT priorities smallint[], OUT seqs bigint[], OUT attempts smallint[], OUT flags smallint[], OUT alone boolean)
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
AS $function$
DECLARE
    v_now     timestamptz := holdfast.now();
    v_gates   text[] COLLATE "C";
    v_ranks   bigint[];
    v_numbers bigint[];
    v_last    text   COLLATE "C";
    v_line    record;
BEGIN
    WITH gone AS (
        DELETE FROM holdfast.blocked b WHERE b.ctid = ANY (p_places)
        RETURNING b.gate, b.rank, b.seq, b.job_id, b.queue, b.priority, b.attempt, b.flags
    )
    SELECT array_agg(g.job_id), array_agg(g.queue), array_agg(g.priority), array_agg(g.attempt), array_agg(g.flags), bool_or(g.flags & 5 <> 0),
           array_agg(g.gate), array_agg(g.rank), array_agg(g.seq), max(g.gate)
    INTO jobs, queues, priorities, attempts, flags, alone, v_gates, v_ranks, v_numbers, v_last
    FROM (SELECT * FROM gone ORDER BY gone.rank, gone.seq) AS g;
    -- Their numbers are below all that ready gives out: they are no marks for the next claim.
    seqs := ARRAY(SELECT generate_series(1, cardinality(jobs)) - 1000000);
    IF 'limit:' > ANY (v_gates) THEN
        INSERT INTO holdfast.slot (job_id, gate) SELECT i.job_id, i.gate FROM unnest(jobs, v_gates) AS i(job_id, gate) WHERE i.gate < 'limit:';
    END IF;
    IF p_marks IS NOT NULL THEN
        INSERT INTO holdfast.gate AS g (name, mark_rank, mark_seq, virtual, low_slot)
        SELECT i.gate, i.rank, i.seq, i.rank, i.job_id FROM unnest(v_gates, v_ranks, v_numbers, jobs) AS i(gate, rank, seq, job_id)
        JOIN unnest(p_marks) AS m(gate) ON m.gate = i.gate
        ON CONFLICT (name) DO UPDATE SET mark_rank = excluded.mark_rank, mark_seq = excluded.mark_seq,
            virtual = greatest(g.virtual, excluded.virtual), low_slot = excluded.low_slot;
    END IF;
    FOR v_line IN
        SELECT v_last AS gate, jobs AS holders, v_ranks[cardinality(jobs)] AS rank WHERE v_last = ALL (v_gates) AND v_last > 'limit:'
        UNION ALL SELECT i.gate, array_agg(i.job_id), max(i.rank) FROM unnest(v_gates, jobs, v_ranks) AS i(gate, job_id, rank)
        WHERE v_last > 'limit:' AND v_last <> ANY (v_gates) AND i.gate > 'limit:' GROUP BY i.gate ORDER BY 1
    LOOP
        INSERT INTO holdfast.lease_slot (lease, gate, job_ids) VALUES (p_lease, v_line.gate, v_line.holders);
        -- Who is left first, or else the last that was taken: a line that is emptied again and again must not be waded through anew.
        UPDATE holdfast.gate g
        SET (mark_rank, mark_seq) = (
                SELECT coalesce(max(h.rank), v_line.rank), coalesce(max(h.seq), 0) FROM (
                    SELECT b.rank, b.seq FROM holdfast.blocked b WHERE b.gate = g.name AND (b.rank, b.seq) >= (g.mark_rank, g.mark_seq)
                    ORDER BY b.rank, b.seq LIMIT 1) AS h),
            low_lease_slot = coalesce((
                SELECT s.seq FROM holdfast.lease_slot s WHERE s.gate = g.name AND s.seq >= g.low_lease_slot ORDER BY s.seq LIMIT 1), g.low_lease_slot),
            opens_at = CASE WHEN cardinality(jobs) = p_limit AND coalesce(g.opens_at < v_now + interval '50 milliseconds', true)
                            THEN v_now + interval '100 milliseconds' ELSE g.opens_at END
        WHERE g.name = v_line.gate;
    END LOOP;
END $function$;
comment on function holdfast.take_straight_v1(bigint,tid[],text[],integer) is 'Takes jobs out of their lines, with their slots. Where that is all the worker asked for, the line of a limit is its own for a moment.';

-- [function] holdfast.take_stream_v1(text,bigint,integer)
CREATE OR REPLACE FUNCTION holdfast.take_stream_v1(p_stream text, p_expected bigint, p_count integer, OUT base bigint, OUT partition smallint)
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
AS $function$
BEGIN
    -- Each of these locks the row and judges its newest version in one: after a wait PostgreSQL looks at the row again.
    IF p_expected > 0 THEN
        UPDATE holdfast.stream s SET version = s.version + p_count WHERE s.name = p_stream AND s.version = p_expected
        RETURNING s.version - p_count, s.partition INTO base, partition;
    ELSIF p_expected = 0 THEN
        INSERT INTO holdfast.stream AS s (name, version, partition) VALUES (p_stream, p_count, holdfast.partition_of(p_stream))
        ON CONFLICT DO NOTHING RETURNING 0, s.partition INTO base, partition;
    ELSE
        UPDATE holdfast.stream s SET version = s.version + p_count WHERE s.name = p_stream
        RETURNING s.version - p_count, s.partition INTO base, partition;
        IF NOT FOUND THEN
            INSERT INTO holdfast.stream AS s (name, version, partition) VALUES (p_stream, p_count, holdfast.partition_of(p_stream))
            ON CONFLICT (name) DO UPDATE SET version = s.version + p_count
            RETURNING s.version - p_count, s.partition INTO base, partition;
        END IF;
    END IF;
END $function$;
comment on function holdfast.take_stream_v1(text,bigint,integer) is 'Makes room for p_count events in a stream that stands at the expected version (0: does not exist, NULL: any). No base: it does not, and nothing was changed.';

-- [function] holdfast.take_streams_v1(text[],bigint[],integer[])
CREATE OR REPLACE FUNCTION holdfast.take_streams_v1(p_streams text[], p_expected bigint[], p_counts integer[], OUT verdicts text[], OUT bases bigint[], OUT partitions smallint[])
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET lock_timeout TO '20ms'
AS $function$
DECLARE
    v_new text[];
BEGIN
    -- Of strangers nobody waits for the others' rows: what somebody holds is left to a call of its own.
    SELECT array_agg(CASE WHEN h.version IS NULL THEN CASE WHEN NOT h.exists AND coalesce(h.expected, 0) = 0 THEN 'new'
                                                           WHEN NOT h.exists THEN 'conflict' ELSE 'busy' END
                          WHEN h.expected <> h.version THEN 'conflict' ELSE 'appended' END ORDER BY h.at),
           array_agg(h.version ORDER BY h.at), array_agg(h.partition ORDER BY h.at)
    INTO verdicts, bases, partitions
    FROM (
        WITH held AS MATERIALIZED (
            SELECT s.name, s.version, s.partition FROM holdfast.stream s WHERE s.name = ANY (p_streams) ORDER BY s.name FOR NO KEY UPDATE SKIP LOCKED
        )
        SELECT i.at, i.expected, l.version, l.partition,
               l.version IS NOT NULL OR EXISTS (SELECT FROM holdfast.stream x WHERE x.name = i.stream) AS exists
        FROM unnest(p_streams, p_expected) WITH ORDINALITY AS i(stream, expected, at) LEFT JOIN held l ON l.name = i.stream) AS h;
    UPDATE holdfast.stream s SET version = s.version + i.count
    FROM unnest(p_streams, p_counts, verdicts) AS i(stream, count, verdict) WHERE i.verdict = 'appended' AND s.name = i.stream;
    IF 'new' = ANY (verdicts) THEN
        BEGIN
            WITH added AS (
                INSERT INTO holdfast.stream (name, version, partition)
                SELECT i.stream, i.count, holdfast.partition_of(i.stream)
                FROM unnest(p_streams, p_counts, verdicts) AS i(stream, count, verdict) WHERE i.verdict = 'new' ORDER BY i.stream
                ON CONFLICT DO NOTHING RETURNING name
            )
            SELECT array_agg(a.name) INTO v_new FROM added a;
        EXCEPTION WHEN lock_not_available THEN
            v_new := NULL;                                  -- somebody is just beginning one of them, and has not committed
        END;
        SELECT array_agg(CASE WHEN i.verdict <> 'new' THEN i.verdict WHEN i.stream = ANY (v_new) THEN 'appended' ELSE 'busy' END ORDER BY i.at),
               array_agg(CASE WHEN i.verdict = 'new' THEN 0 ELSE i.base END ORDER BY i.at),
               array_agg(CASE WHEN i.verdict = 'new' THEN holdfast.partition_of(i.stream) ELSE i.partition END ORDER BY i.at)
        INTO verdicts, bases, partitions
        FROM unnest(p_streams, verdicts, bases, partitions) WITH ORDINALITY AS i(stream, verdict, base, partition, at);
    END IF;
END $function$;
comment on function holdfast.take_streams_v1(text[],bigint[],integer[]) is 'As take_stream_v1 for streams of strangers: appended (there is room now), conflict, or busy, where it would have had to wait. None of them twice.';

-- [function] holdfast.tell_batches_v1(bigint[],smallint[])
CREATE OR REPLACE FUNCTION holdfast.tell_batches_v1(p_jobs bigint[], p_moves smallint[])
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_low  bigint;
    v_high bigint;
BEGIN
    -- Most of those that others wait for stand before gates and are in no batch: one descent says so for all of them.
    SELECT min(j), max(j) INTO v_low, v_high FROM unnest(p_jobs) AS j;
    IF NOT EXISTS (SELECT FROM holdfast.batch_member m WHERE m.job_id BETWEEN v_low AND v_high) THEN
        RETURN;
    END IF;
    INSERT INTO holdfast.batch_delta (batch_id, completed, failed, cancelled, reopened)
    SELECT m.batch_id, count(*) FILTER (WHERE i.move = 1), count(*) FILTER (WHERE i.move = 2),
           count(*) FILTER (WHERE i.move = 3), count(*) FILTER (WHERE i.move = 21)
    FROM unnest(p_jobs, p_moves) AS i(job_id, move) JOIN holdfast.batch_member m ON m.job_id = i.job_id
    WHERE i.move IN (1, 2, 3, 21) GROUP BY m.batch_id;
END $function$;
comment on function holdfast.tell_batches_v1(bigint[],smallint[]) is 'The endings of members, a row a batch and transaction. Retries, snoozes and rescues leave a member open.';

-- [function] holdfast.tell_company_v1(bigint[],bigint[],smallint[])
CREATE OR REPLACE FUNCTION holdfast.tell_company_v1(p_jobs bigint[], p_leases bigint[], p_moves smallint[])
 RETURNS text[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_left text[];
    v_more text[];
BEGIN
    PERFORM holdfast.tell_batches_v1(p_jobs, p_moves);
    v_left := holdfast.leave_lease_slots_v1(p_jobs, p_leases);
    -- What a job holds of lanes it holds to its end, what it holds of limits only while it is leased.
    IF 10 > ALL (p_moves) THEN
        WITH gone AS (DELETE FROM holdfast.slot s WHERE s.job_id = ANY (p_jobs) RETURNING s.gate)
        SELECT array_agg(x.gate) INTO v_more FROM (SELECT g.gate FROM gone g GROUP BY g.gate) AS x;
    ELSE
        WITH gone AS (
            DELETE FROM holdfast.slot s USING unnest(p_jobs, p_moves) AS m(job_id, move)
            WHERE s.job_id = m.job_id AND (m.move < 10 OR NOT starts_with(s.gate, 'lane:')) RETURNING s.gate)
        SELECT array_agg(x.gate) INTO v_more FROM (SELECT g.gate FROM gone g GROUP BY g.gate) AS x;
    END IF;
    RETURN v_left || v_more;
END $function$;
comment on function holdfast.tell_company_v1(bigint[],bigint[],smallint[]) is 'Told of every move of a job with company, after its new place is written, with the leases they leave; never of plain jobs. Lease 0: it moved without one. Returns the gates they have left.';

-- [function] holdfast.term_holds_v1(text,text[],double precision,text,double precision)
CREATE OR REPLACE FUNCTION holdfast.term_holds_v1(p_op text, p_texts text[], p_number double precision, p_text text, p_value double precision)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT coalesce(CASE p_op
        WHEN '=' THEN p_text = ANY (p_texts) OR p_value = p_number
        WHEN '~' THEN EXISTS (SELECT FROM unnest(p_texts) AS t WHERE strpos(lower(p_text), lower(t)) > 0)
        WHEN '<' THEN p_value < p_number
        WHEN '<=' THEN p_value <= p_number
        WHEN '>' THEN p_value > p_number
        WHEN '>=' THEN p_value >= p_number
    END, false)
$function$;
comment on function holdfast.term_holds_v1(text,text[],double precision,text,double precision) is 'One comparison of a filter; what a job does not have compares with nothing.';

-- [function] holdfast.thin_ticks_v1()
CREATE OR REPLACE FUNCTION holdfast.thin_ticks_v1()
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_rows integer;
BEGIN
    DELETE FROM holdfast.tick t USING (
        SELECT x.position, x.at, lead(x.at) OVER (ORDER BY x.position) AS next_at FROM holdfast.tick x
    ) AS n
    WHERE n.position = t.position AND n.next_at IS NOT NULL AND (
        (n.at < holdfast.now() - interval '1 day' AND date_trunc('minute', n.at) = date_trunc('minute', n.next_at))
        OR (n.at < holdfast.now() - interval '1 hour' AND date_trunc('second', n.at) = date_trunc('second', n.next_at)));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END $function$;
comment on function holdfast.thin_ticks_v1() is 'Ticks tell time to the second after an hour and to the minute after a day; the newest always stays.';

-- [function] holdfast.tick_v1(bigint,bigint,text[])
CREATE OR REPLACE FUNCTION holdfast.tick_v1(p_ticker bigint, p_pending bigint, p_fence text[], OUT settled bigint, OUT pending bigint, OUT fence text[], OUT moved boolean, OUT last_ticker bigint, OUT last_age_seconds double precision)
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_last    bigint;
    v_writers text[];
    v_new     bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'a tick needs READ COMMITTED' USING ERRCODE = 'HF105';
    END IF;
    moved := false;
    SELECT t.position, t.ticker, extract(epoch FROM holdfast.now() - t.at) INTO settled, last_ticker, last_age_seconds
    FROM holdfast.tick t ORDER BY t.position DESC LIMIT 1;
    settled := coalesce(settled, 0);
    -- First the sequence, then the writers: whoever drew a number up to this one is among them or has ended.
    v_last := holdfast.last_position_v1();
    IF v_last <= settled THEN
        RETURN;
    END IF;
    v_writers := holdfast.event_writers_v1();
    IF v_writers = '{}' THEN
        v_new := v_last;
    ELSIF p_pending > settled AND p_pending <= v_last THEN
        IF p_fence && v_writers THEN
            -- Somebody of then still writes: wait for these, not for newer ones.
            pending := p_pending;
            fence := ARRAY(SELECT w FROM unnest(p_fence) AS w WHERE w = ANY (v_writers));
        ELSE
            v_new := p_pending;
        END IF;
    END IF;
    IF v_new IS NOT NULL THEN
        INSERT INTO holdfast.tick (position, at, ticker) VALUES (v_new, holdfast.now(), p_ticker) ON CONFLICT DO NOTHING;
        PERFORM pg_notify('holdfast_tick', v_new::text);
        settled := v_new;
        moved := true;
    END IF;
    IF pending IS NULL AND v_last > settled THEN
        pending := v_last;
        fence := v_writers;
    END IF;
END $function$;
comment on function holdfast.tick_v1(bigint,bigint,text[]) is 'Publishes how far the log may be read. Hand in what the last call of this process gave as pending and fence, or NULL: any number of callers do no harm to each other.';

-- [function] holdfast.trigger_schedule_v1(text,boolean,text)
CREATE OR REPLACE FUNCTION holdfast.trigger_schedule_v1(p_name text, p_force boolean, p_detail text)
 RETURNS SETOF holdfast.occurrence
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_schedule holdfast.schedule;
    v_made     holdfast.occurrence;
BEGIN
    SELECT * INTO v_schedule FROM holdfast.schedule s WHERE s.name = p_name FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- The source is not asked: somebody wants it to run.
    v_made := holdfast.decide_occurrence_v1(
        p_name, v_schedule.plan, holdfast.now(), 'trigger', CASE WHEN p_force THEN 'allow' ELSE v_schedule.plan ->> 'overlap' END, NULL, p_detail);
    INSERT INTO holdfast.occurrence SELECT (v_made).*;
    RETURN NEXT v_made;
END $function$;
comment on function holdfast.trigger_schedule_v1(text,boolean,text) is 'One occurrence now, whatever the timetable and the probe say; the overlap policy counts unless forced. Nothing comes back when there is no such schedule.';

-- [function] holdfast.unchanged_since_v1(text,text)
CREATE OR REPLACE FUNCTION holdfast.unchanged_since_v1(p_schedule text, p_fingerprint text)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
AS $function$
    SELECT o.at FROM (
        SELECT x.job_id, x.at, x.fingerprint FROM holdfast.occurrence x WHERE x.schedule = p_schedule AND x.job_id IS NOT NULL
          AND x.fingerprint IS NOT NULL
        ORDER BY x.at DESC LIMIT 1) AS o
    WHERE o.fingerprint = p_fingerprint
      AND NOT EXISTS (SELECT FROM holdfast.every_outcome e WHERE e.job_id = o.job_id AND e.state <> 1)
$function$;
comment on function holdfast.unchanged_since_v1(text,text) is 'The occurrence whose job saw this very source and did not fail; null: the source changed, or its job failed.';

-- [function] holdfast.unfinished_job_of_v1(text)
CREATE OR REPLACE FUNCTION holdfast.unfinished_job_of_v1(p_schedule text, OUT job_id bigint, OUT at timestamp with time zone)
 RETURNS record
 LANGUAGE sql
 STABLE
AS $function$
    SELECT o.job_id, o.at FROM (
        SELECT x.job_id, x.at FROM holdfast.occurrence x WHERE x.schedule = p_schedule AND x.job_id IS NOT NULL
        ORDER BY x.at DESC LIMIT 100) AS o
    WHERE NOT holdfast.is_finished_v1(o.job_id) AND EXISTS (SELECT FROM holdfast.every_job j WHERE j.id = o.job_id)
    ORDER BY o.at DESC LIMIT 1
$function$;
comment on function holdfast.unfinished_job_of_v1(text) is 'The newest job of the schedule that has not ended. A job that retention dropped has ended.';

-- [function] holdfast.unknown_leases_v1(bigint,bigint,bigint[])
CREATE OR REPLACE FUNCTION holdfast.unknown_leases_v1(p_worker bigint, p_from bigint, p_known bigint[])
 RETURNS SETOF bigint
 LANGUAGE sql
 STABLE
AS $function$
    SELECT l.id FROM holdfast.lease l
    WHERE l.id >= greatest(p_from, p_worker << 36) AND l.id < (p_worker + 1) << 36 AND l.id <> ALL (p_known)
$function$;
comment on function holdfast.unknown_leases_v1(bigint,bigint,bigint[]) is 'Leases of a live worker that it does not know of: the answer of a claim was lost.';

-- [function] holdfast.unpark_v1(text,text)
CREATE OR REPLACE FUNCTION holdfast.unpark_v1(p_projection text, p_stream text)
 RETURNS bigint
 LANGUAGE sql
AS $function$
    WITH due AS (
        UPDATE holdfast.projection_parked p SET retry_at = holdfast.now(), attempts = 0
        FROM holdfast.projection_model m
        WHERE m.projection = p.projection AND m.model = p.model AND m.state = 'live'
          AND p.projection = p_projection AND (p_stream IS NULL OR p.stream = p_stream)
        RETURNING 1)
    SELECT count(*) FROM due
$function$;
comment on function holdfast.unpark_v1(text,text) is 'Their owner handles these streams from where they stopped, now. Returns how many.';

-- [function] holdfast.upsert_rows_v1(text,text[],text[],jsonb)
CREATE OR REPLACE FUNCTION holdfast.upsert_rows_v1(p_table text, p_columns text[], p_key text[], p_rows jsonb)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_count   bigint;
    v_columns text := (SELECT string_agg(quote_ident(c), ', ') FROM unnest(p_columns) AS c);
    v_values  text := (SELECT string_agg('r.' || quote_ident(c), ', ') FROM unnest(p_columns) AS c);
    v_key     text := (SELECT string_agg(quote_ident(c), ', ') FROM unnest(p_key) AS c);
    v_set     text := (SELECT string_agg(format('%1$I = excluded.%1$I', c), ', ') FROM unnest(p_columns) AS c WHERE c <> ALL (p_key));
BEGIN
    EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_recordset(NULL::%s, $1) AS r ON CONFLICT (%s) DO %s',
                   p_table::regclass, v_columns, v_values, p_table::regclass, v_key,
                   coalesce('UPDATE SET ' || v_set, 'NOTHING')) USING p_rows;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $function$;
comment on function holdfast.upsert_rows_v1(text,text[],text[],jsonb) is 'The rows that a batch handler returned, in one statement; the columns of the key decide what is new.';

-- [function] holdfast.window_end_v1(text[],text[],bigint,bigint,integer)
CREATE OR REPLACE FUNCTION holdfast.window_end_v1(p_places text[], p_failures text[], p_from bigint, p_before bigint, p_window integer)
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_end bigint;
BEGIN
    CASE
        WHEN p_failures IS NOT NULL THEN
            SELECT m.job_id INTO v_end FROM unnest(p_failures) AS f(fingerprint)
            CROSS JOIN LATERAL (SELECT y.job_id FROM holdfast.failure_member y WHERE y.fingerprint = f.fingerprint
                                AND y.job_id >= p_from AND y.job_id < p_before ORDER BY y.job_id DESC LIMIT p_window) AS m
            ORDER BY m.job_id DESC OFFSET p_window - 1 LIMIT 1;
        WHEN p_places <@ ARRAY['failed', 'cancelled'] THEN
            SELECT o.job_id INTO v_end FROM holdfast.every_outcome o
            WHERE o.state <> 1 AND o.job_id >= p_from AND o.job_id < p_before ORDER BY o.job_id DESC OFFSET p_window - 1 LIMIT 1;
        WHEN p_places <@ ARRAY['completed', 'failed', 'cancelled'] THEN
            SELECT o.job_id INTO v_end FROM holdfast.every_outcome o
            WHERE o.job_id >= p_from AND o.job_id < p_before ORDER BY o.job_id DESC OFFSET p_window - 1 LIMIT 1;
        WHEN p_places = ARRAY['scheduled'] THEN
            SELECT s.job_id INTO v_end FROM holdfast.scheduled s
            WHERE s.job_id >= p_from AND s.job_id < p_before ORDER BY s.job_id DESC OFFSET p_window - 1 LIMIT 1;
        WHEN p_places = ARRAY['blocked'] THEN
            SELECT b.job_id INTO v_end FROM holdfast.blocked b
            WHERE b.job_id >= p_from AND b.job_id < p_before ORDER BY b.job_id DESC OFFSET p_window - 1 LIMIT 1;
        WHEN p_places = ARRAY['running'] THEN
            SELECT h.job_id INTO v_end FROM holdfast.lease l CROSS JOIN LATERAL unnest(l.job_ids) AS h(job_id)
            WHERE h.job_id >= p_from AND h.job_id < p_before ORDER BY h.job_id DESC OFFSET p_window - 1 LIMIT 1;
        ELSE
            SELECT j.id INTO v_end FROM holdfast.every_job j
            WHERE j.id >= p_from AND j.id < p_before ORDER BY j.id DESC OFFSET p_window - 1 LIMIT 1;
    END CASE;
    RETURN v_end;
END $function$;
comment on function holdfast.window_end_v1(text[],text[],bigint,bigint,integer) is 'The oldest candidate of a window; NULL: there were fewer, the search is at its end.';

-- [function] holdfast.winners_v1(text,bigint)
CREATE OR REPLACE FUNCTION holdfast.winners_v1(p_stream text, p_expected bigint)
 RETURNS jsonb
 LANGUAGE sql
AS $function$
    SELECT jsonb_build_object(
        'stream', p_stream, 'expected', p_expected,
        'actual', coalesce((SELECT s.version FROM holdfast.stream s WHERE s.name = p_stream), 0),
        'events', coalesce((
            SELECT jsonb_agg(jsonb_build_object('stream', e.stream, 'version', e.version, 'position', e.position, 'type', e.type,
                                                'id', e.id, 'recorded_at', e.recorded_at) ORDER BY e.version)
            FROM (SELECT x.* FROM holdfast.event x WHERE x.stream = p_stream AND x.version > p_expected
                  ORDER BY x.version LIMIT 20) AS e), '[]'))
$function$;
comment on function holdfast.winners_v1(text,bigint) is 'Why an expected version does not hold: the actual one, and the first events that came in between.';

-- [function] holdfast.withdraw_schedules_v1(text[],text[])
CREATE OR REPLACE FUNCTION holdfast.withdraw_schedules_v1(p_sources text[], p_declared text[])
 RETURNS SETOF text
 LANGUAGE sql
AS $function$
    UPDATE holdfast.schedule s SET withdrawn_at = holdfast.now(), version = s.version + 1
    WHERE s.source = ANY (p_sources) AND s.name <> ALL (p_declared) AND s.withdrawn_at IS NULL
    RETURNING s.name
$function$;
comment on function holdfast.withdraw_schedules_v1(text[],text[]) is 'Schedules whose module is still there but no longer declares them are due no more.';

-- [function] holdfast.withdraw_v1(bigint,bigint)
CREATE OR REPLACE FUNCTION holdfast.withdraw_v1(p_job bigint, p_for bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
    v_queue   text;
    v_attempt smallint;
BEGIN
    DELETE FROM holdfast.scheduled s WHERE s.ctid IN (
        SELECT x.ctid FROM holdfast.scheduled x WHERE x.job_id = p_job FOR UPDATE SKIP LOCKED) RETURNING s.queue, s.attempt INTO v_queue, v_attempt;
    IF NOT FOUND THEN
        DELETE FROM holdfast.blocked b WHERE b.ctid IN (
            SELECT x.ctid FROM holdfast.blocked x WHERE x.job_id = p_job FOR UPDATE SKIP LOCKED) RETURNING b.queue, b.attempt INTO v_queue, v_attempt;
    END IF;
    IF NOT FOUND THEN
        DELETE FROM holdfast.ready r WHERE r.ctid IN (
            SELECT x.ctid FROM holdfast.ready x WHERE x.job_id = p_job AND x.flags & 2 <> 0 FOR UPDATE SKIP LOCKED)
        RETURNING r.queue, r.attempt INTO v_queue, v_attempt;
    END IF;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO holdfast.cancel_request (job_id, requested_at, reason)
    VALUES (p_job, holdfast.now(), 'replaced by job ' || p_for) ON CONFLICT DO NOTHING;
    PERFORM holdfast.end_cancelled_v1(0, ARRAY[p_job], ARRAY[v_queue], ARRAY[v_attempt]);
    RETURN true;
END $function$;
comment on function holdfast.withdraw_v1(bigint,bigint) is 'Ends a waiting job as cancelled, because another one replaces it. False: it does not wait, or somebody is just moving it.';

-- [function] holdfast.work_v1(bigint[],bigint[],smallint[],smallint[],bigint[],bigint[],jsonb[],jsonb[],text[],smallint[],bigint[],boolean,bigint,bigint,integer,text[],smallint[],bigint[],bigint[],text[])
CREATE OR REPLACE FUNCTION holdfast.work_v1(p_leases bigint[], p_jobs bigint[], p_states smallint[], p_attempts smallint[], p_ago_us bigint[], p_took_us bigint[], p_results jsonb[], p_errors jsonb[], p_finish_queues text[], p_queue_at smallint[], p_done bigint[], p_again boolean, p_worker bigint, p_lease bigint, p_limit integer, p_queues text[], p_priorities smallint[], p_marks bigint[], p_company bigint[] DEFAULT NULL::bigint[], p_kept text[] DEFAULT NULL::text[])
 RETURNS TABLE(kind smallint, job_id bigint, lease bigint, queue text, priority smallint, seq bigint, attempt smallint, flags smallint, task text, args text, max_attempts smallint, timeout_seconds real, trace jsonb)
 LANGUAGE plpgsql
AS $function$
DECLARE
    v_done record;
BEGIN
    IF cardinality(p_jobs) = 0 THEN
        -- A claim alone need not wait for the disk. A crash of the server that loses it puts the jobs back into ready and
        -- takes the lease away, so nothing of that attempt is accepted; nothing later can be durable without it.
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    SELECT * INTO v_done FROM holdfast.finish_v1(p_leases, p_jobs, p_states, p_attempts, p_ago_us, p_took_us, p_results, p_errors,
                                    p_finish_queues, p_queue_at, p_done, p_again, p_company);
    IF cardinality(v_done.refused) > 0 THEN
        RETURN QUERY SELECT 1::smallint, r, NULL::bigint, NULL::text, NULL::smallint, NULL::bigint, NULL::smallint,
            NULL::smallint, NULL::text, NULL::text, NULL::smallint, NULL::real, NULL::jsonb FROM unnest(v_done.refused) AS r;
    END IF;
    RETURN QUERY SELECT * FROM holdfast.claim_v1(p_worker, p_lease, p_limit, p_queues, p_priorities, p_marks, p_kept, v_done.gates);
END $function$;
comment on function holdfast.work_v1(bigint[],bigint[],smallint[],smallint[],bigint[],bigint[],jsonb[],jsonb[],text[],smallint[],bigint[],boolean,bigint,bigint,integer,text[],smallint[],bigint[],bigint[],text[]) is 'finish_v1 and claim_v1 in one round trip and one commit. p_kept: gates its jobs left in an earlier call. kind 1: a completion that was refused, its lease is lost.';

-- [function] holdfast.workers_to_rescue_v1()
CREATE OR REPLACE FUNCTION holdfast.workers_to_rescue_v1()
 RETURNS SETOF bigint
 LANGUAGE sql
 STABLE
AS $function$
    SELECT DISTINCT l.id >> 36 FROM holdfast.lease l
    WHERE NOT EXISTS (SELECT FROM holdfast.worker w WHERE w.id = l.id >> 36 AND w.state = 'live')
$function$;
comment on function holdfast.workers_to_rescue_v1() is 'Everybody who is not live and whom a lease still names. Asked again and again, because a claim may commit after the first look.';

-- [function] holdfast.write_audit_v1(text,text,text,text,text,text,text,jsonb,jsonb,text,text,text,text)
CREATE OR REPLACE FUNCTION holdfast.write_audit_v1(p_actor text, p_actor_kind text, p_action text, p_result text, p_target_kind text, p_target text, p_reason text, p_before jsonb, p_after jsonb, p_code text, p_detail text, p_request_id text, p_client text)
 RETURNS bigint
 LANGUAGE sql
AS $function$
    INSERT INTO holdfast.audit (actor, actor_kind, action, result, target_kind, target, reason, before, after, code, detail, request_id, client)
    VALUES (p_actor, p_actor_kind, p_action, p_result, p_target_kind, p_target, p_reason, p_before, p_after, p_code, p_detail, p_request_id, p_client)
    RETURNING id
$function$;
comment on function holdfast.write_audit_v1(text,text,text,text,text,text,text,jsonb,jsonb,text,text,text,text) is 'One row of the audit, in the transaction of its caller.';

-- [function] holdfast.write_events_v1(text[],bigint[],integer[],integer[],integer[],uuid[],text[],smallint[],jsonb[],text[],jsonb[],text[],text[],jsonb[])
CREATE OR REPLACE FUNCTION holdfast.write_events_v1(p_streams text[], p_expected bigint[], p_counts integer[], p_of integer[], p_nth integer[], p_ids uuid[], p_types text[], p_schema_versions smallint[], p_data jsonb[], p_tags text[], p_metadata jsonb[], p_correlations text[], p_causations text[], p_traces jsonb[], OUT positions bigint[], OUT versions bigint[], OUT recorded_at timestamp with time zone, OUT refused_by integer)
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
    v_bases      bigint[];
    v_partitions smallint[];
    v_at         integer;
    v_taken      record;
BEGIN
    recorded_at := holdfast.now();
    FOR v_at IN 1 .. cardinality(p_streams) LOOP
        v_taken := holdfast.take_stream_v1(p_streams[v_at], p_expected[v_at], p_counts[v_at]);
        IF v_taken.base IS NULL THEN
            refused_by := v_at;
            RETURN;
        END IF;
        v_bases[v_at] := v_taken.base;
        v_partitions[v_at] := v_taken.partition;
    END LOOP;
    WITH added AS (
        INSERT INTO holdfast.event AS e (version, recorded_at, id, partition, schema_version, stream, type, data, tags, metadata,
                                    correlation_id, causation_id, trace)
        SELECT v_bases[i.of] + i.nth, write_events_v1.recorded_at, i.id, v_partitions[i.of], i.schema_version, p_streams[i.of], i.type,
               i.data, i.tags::text[], i.metadata, i.correlation_id, i.causation_id, i.trace
        FROM unnest(p_of, p_nth, p_ids, p_types, p_schema_versions, p_data, p_tags, p_metadata, p_correlations, p_causations, p_traces)
             WITH ORDINALITY AS i(of, nth, id, type, schema_version, data, tags, metadata, correlation_id, causation_id, trace, at)
        ORDER BY i.at
        RETURNING e.position, e.version
    )
    SELECT array_agg(a.position ORDER BY a.position), array_agg(a.version ORDER BY a.position) INTO positions, versions FROM added a;
    PERFORM holdfast.judge_position_v1(positions[1]);
    IF p_tags IS NOT NULL THEN
        INSERT INTO holdfast.event_tag (tag, position)
        SELECT DISTINCT t.tag, positions[i.at] FROM unnest(p_tags) WITH ORDINALITY AS i(words, at), unnest(i.words::text[]) AS t(tag);
    END IF;
END $function$;
comment on function holdfast.write_events_v1(text[],bigint[],integer[],integer[],integer[],uuid[],text[],smallint[],jsonb[],text[],jsonb[],text[],text[],jsonb[]) is 'Locks the streams in the order given (callers sort them by name), then inserts in the order of the events. refused_by: the stream whose expected version does not hold; the caller must undo the others.';

-- [function] holdfast.write_log_v1(bigint[],bigint[],smallint[],integer[],bigint[],smallint[],text[],text[])
CREATE OR REPLACE FUNCTION holdfast.write_log_v1(p_jobs bigint[], p_leases bigint[], p_attempts smallint[], p_numbers integer[], p_ago_us bigint[], p_levels smallint[], p_loggers text[], p_messages text[])
 RETURNS void
 LANGUAGE plpgsql
 SET jit TO 'off'
AS $function$
DECLARE
    v_now   timestamptz := holdfast.now();
    v_today timestamptz := date_trunc('day', v_now, 'UTC');
BEGIN
    IF to_regclass('holdfast.log_' || to_char(v_today AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NULL THEN
        PERFORM holdfast.make_log_partitions_v1();
    END IF;
    -- Lines that waited over midnight for the server are told to the new day: the old one's partition may be gone.
    INSERT INTO holdfast.job_log (job_id, lease, attempt, number, at, level, logger, message)
    SELECT i.job_id, i.lease, i.attempt, i.number, greatest(v_now - i.ago_us * interval '1 microsecond', v_today), i.level, i.logger, i.message
    FROM unnest(p_jobs, p_leases, p_attempts, p_numbers, p_ago_us, p_levels, p_loggers, p_messages)
         AS i(job_id, lease, attempt, number, ago_us, level, logger, message);
END $function$;
comment on function holdfast.write_log_v1(bigint[],bigint[],smallint[],integer[],bigint[],smallint[],text[],text[]) is 'Many log lines of many jobs in one statement.';

-- [function] holdfast.write_outcome_v1(bigint,bigint,smallint,smallint,timestamp with time zone,jsonb)
CREATE OR REPLACE FUNCTION holdfast.write_outcome_v1(p_job bigint, p_lease bigint, p_state smallint, p_attempt smallint, p_at timestamp with time zone, p_error jsonb)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF p_job >= (SELECT s.lowest_id FROM holdfast.storage s) THEN
        INSERT INTO holdfast.outcome (job_id, lease, state, attempt, finished_at, error)
        VALUES (p_job, p_lease, p_state, p_attempt, p_at, p_error);
    ELSE
        INSERT INTO holdfast.outcome_kept (job_id, lease, state, attempt, finished_at, error)
        VALUES (p_job, p_lease, p_state, p_attempt, p_at, p_error);
    END IF;
END $function$;
comment on function holdfast.write_outcome_v1(bigint,bigint,smallint,smallint,timestamp with time zone,jsonb) is 'One outcome off the hot path: cancelled while waiting, or lost too often.';

-- [trigger] holdfast.audit.audit_is_final
CREATE TRIGGER audit_is_final BEFORE UPDATE ON holdfast.audit FOR EACH ROW EXECUTE FUNCTION holdfast.refuse_change_v1();

-- [trigger] holdfast.event.event_is_append_only
CREATE TRIGGER event_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON holdfast.event FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change_of_events();

-- [trigger] holdfast.outcome.failure_noted
CREATE TRIGGER failure_noted AFTER INSERT ON holdfast.outcome FOR EACH ROW WHEN ((new.state = 2)) EXECUTE FUNCTION holdfast.note_failure_v1();

-- [trigger] holdfast.outcome_kept.failure_noted
CREATE TRIGGER failure_noted AFTER INSERT ON holdfast.outcome_kept FOR EACH ROW WHEN ((new.state = 2)) EXECUTE FUNCTION holdfast.note_failure_v1();
