-- The places a job can stand in, and their company.
--
-- A job is an immutable row; its state is the one place it stands in:
--     scheduled   due later                      ready     may be claimed now
--     blocked     waits for a gate to open       lease     claimed by a worker
--     outcome     finished, for good
-- Conservation law: every job stands in exactly one of them. Places and leases are inserted and deleted,
-- never updated, because a claim deletes by row address what it locked a moment before.
-- Lock order: worker, lease, unique_key, place rows, cancel_request. Workers skip what is locked, they do not wait.

CREATE SEQUENCE holdfast.job_number;            -- low bits of an id drawn on the server
CREATE SEQUENCE holdfast.job_block;             -- numbers of blocks of 1024 ids drawn in advance
CREATE SEQUENCE holdfast.ready_number;          -- place in the claim order; drawn inside the insert, CACHE 1

-- Ids: 41 bits of milliseconds since 2024-01-01 UTC, 22 low bits from a sequence. They order storage
-- (partitions, pages), never a promise. Bit 21 tells blocks drawn in advance from single draws.
CREATE FUNCTION holdfast.id_floor(p_at timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT ((date_part('epoch', p_at) * 1000)::bigint - 1704067200000) << 22
$$;
COMMENT ON FUNCTION holdfast.id_floor IS 'The lowest id that could have been drawn at that moment.';

CREATE FUNCTION holdfast.id_time(p_id bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_timestamp(((p_id >> 22) + 1704067200000) / 1000.0)
$$;
COMMENT ON FUNCTION holdfast.id_time IS 'The moment (milliseconds) at which an id was drawn.';

CREATE FUNCTION holdfast.draw_ids_v1(p_blocks integer) RETURNS SETOF bigint
LANGUAGE sql VOLATILE AS $$
    SELECT holdfast.id_floor(holdfast.now()) | (1 << 21) | ((nextval('holdfast.job_block') & 2047) << 10)
    FROM generate_series(1, p_blocks)
$$;
COMMENT ON FUNCTION holdfast.draw_ids_v1 IS
    'First ids of blocks of 1024, drawn before sending so that a repeated enqueue is recognised. Stale after a minute.';

CREATE TABLE holdfast.job (
    id              bigint   NOT NULL,
    queue           text     NOT NULL COLLATE "C",
    task            text     NOT NULL COLLATE "C",
    args            jsonb    NOT NULL,
    priority        smallint NOT NULL CHECK (priority BETWEEN 0 AND 9),
    flags           smallint NOT NULL,
    max_attempts    smallint CHECK (max_attempts > 0),
    timeout_seconds real     CHECK (timeout_seconds > 0),
    unique_key      text,
    trace           jsonb,
    gates           text COLLATE "C",
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
COMMENT ON TABLE holdfast.job IS 'One request for a task, written once. No default partition: retention detaches concurrently.';
COMMENT ON COLUMN holdfast.job.flags IS '1 = claimed into a lease of its own (transactional task), 2 = holds a unique key, 8 = stands behind gates, 16 = belongs to a batch';
COMMENT ON COLUMN holdfast.job.gates IS
    'One gate a line, its lane first: lane:KEY, limit:NAME:KEY, rate:NAME:KEY; after a tab the key among which a limit is shared fairly.';
COMMENT ON COLUMN holdfast.job.priority IS '0 runs first, 9 last; every level is probed in every claim';

CREATE TABLE holdfast.outcome (
    job_id      bigint      NOT NULL,
    lease       bigint      NOT NULL,
    state       smallint    NOT NULL CHECK (state IN (1, 2, 3)),
    attempt     smallint    NOT NULL,
    started_at  timestamptz,
    finished_at timestamptz NOT NULL,
    result      jsonb,
    error       jsonb,
    PRIMARY KEY (job_id)
) PARTITION BY RANGE (job_id);
CREATE INDEX outcome_unwell ON holdfast.outcome (job_id) WHERE state <> 1;
COMMENT ON TABLE holdfast.outcome IS 'How a job ended, for good: state 1 completed, 2 failed, 3 cancelled. Lease 0: it ended without running.';

-- Stragglers: jobs older than the oldest partition that are not finished, and what they end as.
CREATE TABLE holdfast.job_kept (LIKE holdfast.job INCLUDING ALL);
CREATE TABLE holdfast.outcome_kept (LIKE holdfast.outcome INCLUDING ALL);

CREATE TABLE holdfast.storage (
    one            boolean PRIMARY KEY DEFAULT true CHECK (one),
    lowest_id      bigint  NOT NULL,
    ceiling_id     bigint  NOT NULL,
    partition_days integer NOT NULL CHECK (partition_days BETWEEN 1 AND 366)
);
COMMENT ON TABLE holdfast.storage IS 'Ids in [lowest_id, ceiling_id) have a partition; below, job_kept and outcome_kept take over.';

CREATE TABLE holdfast.ready (
    queue    text     NOT NULL COLLATE "C",
    priority smallint NOT NULL,
    seq      bigint   NOT NULL DEFAULT nextval('holdfast.ready_number'),
    job_id   bigint   NOT NULL,
    attempt  smallint NOT NULL,
    flags    smallint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE UNIQUE INDEX ready_order ON holdfast.ready (queue, priority, seq);
CREATE UNIQUE INDEX ready_keyed ON holdfast.ready (job_id) WHERE flags & 2 <> 0;
COMMENT ON TABLE holdfast.ready IS 'May be claimed now, in the order (queue, priority, seq). flags as in job, and 4 = suspected of killing its worker.';

CREATE TABLE holdfast.scheduled (
    due_at   timestamptz NOT NULL,
    job_id   bigint      NOT NULL,
    queue    text        NOT NULL COLLATE "C",
    priority smallint    NOT NULL,
    attempt  smallint    NOT NULL,
    flags    smallint    NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE INDEX scheduled_due ON holdfast.scheduled (due_at);
CREATE UNIQUE INDEX scheduled_job ON holdfast.scheduled (job_id);
COMMENT ON TABLE holdfast.scheduled IS 'Due later: run_at of the caller, or the next attempt of a retry or snooze.';

-- Gates. A lane lets one job in at a time, a limit N, a rate N within a time; all three are one mechanism. Applications only
-- insert: the job into the line of its first gate, and a call. Workers, one at a time, let jobs into ready with their slots
-- already taken, or line them up before the gate that is full.
CREATE SEQUENCE holdfast.blocked_number;        -- place in line; drawn inside the insert, CACHE 1
CREATE TABLE holdfast.blocked (
    gate     text     NOT NULL COLLATE "C" DEFAULT '',
    rank     bigint   NOT NULL DEFAULT 0,
    seq      bigint   NOT NULL DEFAULT nextval('holdfast.blocked_number'),
    job_id   bigint   NOT NULL,
    queue    text     NOT NULL COLLATE "C",
    priority smallint NOT NULL,
    attempt  smallint NOT NULL,
    flags    smallint NOT NULL,
    gates    text     NOT NULL COLLATE "C"
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE UNIQUE INDEX blocked_line ON holdfast.blocked (gate, rank, seq);
CREATE UNIQUE INDEX blocked_job ON holdfast.blocked (job_id);
COMMENT ON TABLE holdfast.blocked IS
    'Waits before a gate, in the order (rank, seq); without a gate it is to be lined up by a worker, because its line is shared fairly.';

CREATE SEQUENCE holdfast.gate_call_number;
CREATE TABLE holdfast.gate_call (
    id   bigint NOT NULL DEFAULT nextval('holdfast.gate_call_number'),
    gate text   NOT NULL COLLATE "C",
    rank bigint NOT NULL,
    seq  bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE INDEX gate_call_order ON holdfast.gate_call (id);
COMMENT ON TABLE holdfast.gate_call IS
    'Somebody new stands before this gate, nowhere before (rank, seq): whoever sees it looks at the gate. Commits with the job, so none is missed.';

CREATE TABLE holdfast.slot (
    job_id bigint NOT NULL,
    gate   text   NOT NULL COLLATE "C",
    PRIMARY KEY (job_id, gate)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE INDEX slot_gate ON holdfast.slot (gate, job_id);
COMMENT ON TABLE holdfast.slot IS
    'A place under a gate, taken before its job becomes ready. That of a limit goes with the lease, that of a lane with the end of the job.';

CREATE TABLE holdfast.gate (
    name      text   PRIMARY KEY COLLATE "C",
    mark_rank bigint NOT NULL DEFAULT -9223372036854775808,
    mark_seq  bigint NOT NULL DEFAULT 0,
    virtual   bigint NOT NULL DEFAULT 0,
    low_slot  bigint NOT NULL DEFAULT 0,
    opens_at  timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE INDEX gate_opening ON holdfast.gate (opens_at) WHERE opens_at IS NOT NULL;
COMMENT ON TABLE holdfast.gate IS 'A gate before which a line has formed. Nobody stands in it before the mark, no slot of it is held by a job before low_slot; virtual: how far a fairly shared line has come.';

CREATE TABLE holdfast.gate_share (
    gate   text   NOT NULL COLLATE "C",
    share  text   NOT NULL COLLATE "C",
    finish bigint NOT NULL,
    PRIMARY KEY (gate, share)
);
COMMENT ON TABLE holdfast.gate_share IS 'Where in a fairly shared line the last job of each key stands: its next one goes a step behind.';

CREATE TABLE holdfast.rate_block (
    gate    text        NOT NULL COLLATE "C",
    ends_at timestamptz NOT NULL,
    taken   integer     NOT NULL,
    PRIMARY KEY (gate, ends_at)
) WITH (fillfactor = 50, vacuum_truncate = off);
COMMENT ON TABLE holdfast.rate_block IS 'Tokens of a rate taken together, and when they come back: a window later.';

CREATE TABLE holdfast.limit_rule (
    name        text    PRIMARY KEY COLLATE "C",
    declared    integer NOT NULL CHECK (declared >= 0),
    chosen      integer CHECK (chosen >= 0),
    capacity    integer GENERATED ALWAYS AS (coalesce(chosen, declared)) STORED,
    per_us      bigint  CHECK (per_us > 0),
    weights     jsonb   NOT NULL DEFAULT '{}',
    declared_at timestamptz NOT NULL
);
COMMENT ON TABLE holdfast.limit_rule IS 'limit:NAME and rate:NAME as the application declares them; chosen is what an operator prefers. Per key of each.';

CREATE TABLE holdfast.lease (
    id         bigint      PRIMARY KEY,
    job_ids    bigint[]    NOT NULL,
    claimed_at timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
ALTER TABLE holdfast.lease ALTER COLUMN job_ids SET STORAGE PLAIN;
COMMENT ON TABLE holdfast.lease IS
    'One row per claimed batch: the right to write the results of these jobs. id = worker << 36 | number that the worker drew before it asked.';

CREATE TABLE holdfast.lease_exit (
    lease  bigint NOT NULL,
    job_id bigint NOT NULL,
    PRIMARY KEY (lease, job_id)
) WITH (vacuum_truncate = off);
COMMENT ON TABLE holdfast.lease_exit IS
    'Every way out of a lease that is no outcome: retry, snooze, return. Outstanding = job_ids - outcomes - exits.';

CREATE TABLE holdfast.failed_attempt (
    job_id      bigint      NOT NULL,
    attempt     smallint    NOT NULL,
    lease       bigint      NOT NULL,
    started_at  timestamptz,
    finished_at timestamptz NOT NULL,
    error       jsonb       NOT NULL,
    PRIMARY KEY (job_id, attempt, lease)
);
COMMENT ON TABLE holdfast.failed_attempt IS 'The error of an attempt that was not the last; the last one stands in outcome.';

CREATE TABLE holdfast.loss (
    job_id  bigint      NOT NULL,
    lease   bigint      NOT NULL,
    lost_at timestamptz NOT NULL,
    counted boolean     NOT NULL,
    PRIMARY KEY (job_id, lease)
);
COMMENT ON TABLE holdfast.loss IS 'A job lost with its worker. Counted only when it alone can have been the cause.';

CREATE TABLE holdfast.unique_key (
    hash       uuid   NOT NULL,
    generation bigint NOT NULL,
    job_id     bigint NOT NULL,
    until      timestamptz,
    PRIMARY KEY (hash, generation)
) WITH (vacuum_truncate = off);
COMMENT ON TABLE holdfast.unique_key IS 'The newest generation of a key names its holder; the key of a finished job is stale and may be taken over, at the earliest at until.';

CREATE TABLE holdfast.cancel_request (
    job_id       bigint      PRIMARY KEY,
    requested_at timestamptz NOT NULL,
    reason       text
);
COMMENT ON TABLE holdfast.cancel_request IS 'Somebody wants this job not to run; claims drop it, workers stop it, its outcome removes the request.';

CREATE TABLE holdfast.queue_pause (
    queue     text        PRIMARY KEY COLLATE "C",
    paused_at timestamptz NOT NULL,
    reason    text,
    paused_by text
);
COMMENT ON TABLE holdfast.queue_pause IS 'Queues that no claim looks into.';

CREATE TABLE holdfast.task (
    name            text     PRIMARY KEY COLLATE "C",
    queue           text     NOT NULL,
    priority        smallint NOT NULL,
    flags           smallint NOT NULL,
    max_attempts    smallint NOT NULL,
    timeout_seconds real,
    gates           jsonb,
    declared_at     timestamptz NOT NULL
);
COMMENT ON TABLE holdfast.task IS 'What workers declared about their tasks, so that SQL callers need to name only the task.';

-- Counters: a row per flush of a worker, folded into minutes by whoever comes first. Nothing counts rows.
CREATE TABLE holdfast.tally_delta (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue     text     NOT NULL COLLATE "C",
    completed integer  NOT NULL DEFAULT 0,
    failed    integer  NOT NULL DEFAULT 0,
    cancelled integer  NOT NULL DEFAULT 0,
    retried   integer  NOT NULL DEFAULT 0,
    lost      integer  NOT NULL DEFAULT 0,
    reopened  integer  NOT NULL DEFAULT 0,
    took_us   bigint   NOT NULL DEFAULT 0
) WITH (vacuum_truncate = off);

CREATE TABLE holdfast.tally (
    queue     text        NOT NULL COLLATE "C",
    minute    timestamptz NOT NULL,
    enqueued  bigint NOT NULL DEFAULT 0,
    completed bigint NOT NULL DEFAULT 0,
    failed    bigint NOT NULL DEFAULT 0,
    cancelled bigint NOT NULL DEFAULT 0,
    retried   bigint NOT NULL DEFAULT 0,
    lost      bigint NOT NULL DEFAULT 0,
    reopened  bigint NOT NULL DEFAULT 0,
    took_us   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, minute)
);
COMMENT ON TABLE holdfast.tally IS 'Moves per queue and minute. Unfinished = enqueued + reopened - completed - failed - cancelled, over all minutes.';

CREATE TABLE holdfast.tally_mark (
    one           boolean PRIMARY KEY DEFAULT true CHECK (one),
    folded_id     bigint NOT NULL,
    pending_id    bigint,
    pending_fence text[]
);
INSERT INTO holdfast.tally_mark (folded_id) VALUES (0);
COMMENT ON TABLE holdfast.tally_mark IS 'Jobs with ids up to folded_id are counted as enqueued; pending_id follows once the writers of then have ended.';

-- The processes. The id is never used twice; an old process can never be taken for a new one.
CREATE TABLE holdfast.worker (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text        NOT NULL,
    state         text        NOT NULL CHECK (state IN ('live', 'dead')),
    host          text        NOT NULL,
    pid           integer     NOT NULL,
    incarnation   text        NOT NULL,
    version       text        NOT NULL,
    queues        text[]      NOT NULL,
    concurrency   integer     NOT NULL,
    has_session   boolean     NOT NULL,
    started_at    timestamptz NOT NULL,
    ended_at      timestamptz,
    end_reason    text
);
COMMENT ON COLUMN holdfast.worker.incarnation IS
    'boot id, pid namespace, pid and start time: on the same machine it proves whether that very process still exists';
COMMENT ON COLUMN holdfast.worker.has_session IS 'a session of its own holds the advisory lock (1212568, id) for as long as it lives';

CREATE TABLE holdfast.worker_beat (
    worker     bigint      PRIMARY KEY,
    beat       bigint      NOT NULL,
    beaten_at  timestamptz NOT NULL,
    running    bigint[]    NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200, vacuum_truncate = off);
COMMENT ON TABLE holdfast.worker_beat IS 'Apart from worker, so that the row locks of claims never meet the updates of beats.';
