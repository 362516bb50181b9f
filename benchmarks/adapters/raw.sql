-- The raw limit: the least SQL that does the same work.
-- STAND-IN: until the jobs schema has landed these tables copy its shape (immutable job, narrow ready, one lease a
-- batch, append-only outcome). Then `install` becomes the real migrations and the statements the real functions.

-- name: install
-- The places a job passes through, and one plain table for the one-row insert.
CREATE SCHEMA raw;
CREATE SEQUENCE raw.job_id;
CREATE SEQUENCE raw.ready_seq;
CREATE TABLE raw.job (
    id bigint PRIMARY KEY,
    queue text NOT NULL,
    task text NOT NULL,
    args jsonb NOT NULL,
    priority smallint NOT NULL,
    max_attempts smallint NOT NULL,
    enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE raw.ready (
    queue text NOT NULL,
    priority smallint NOT NULL,
    seq bigint NOT NULL DEFAULT nextval('raw.ready_seq'),
    job_id bigint NOT NULL,
    attempt smallint NOT NULL,
    flags smallint NOT NULL
);
CREATE UNIQUE INDEX ready_order ON raw.ready (queue, priority, seq);
CREATE TABLE raw.lease (id bigint PRIMARY KEY, worker bigint NOT NULL, job_ids bigint[] NOT NULL);
CREATE SEQUENCE raw.lease_id;
CREATE TABLE raw.outcome (
    job_id bigint PRIMARY KEY,
    lease bigint NOT NULL,
    state smallint NOT NULL,
    attempt smallint NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL
);
CREATE TABLE raw.single (LIKE raw.job INCLUDING ALL);

-- name: insert_one
-- One prepared insert of one row into one table: the floor of every enqueue.
INSERT INTO raw.single (id, queue, task, args, priority, max_attempts)
VALUES (nextval('raw.job_id'), $1, 'noop', $2::jsonb, 0, 25)

-- name: enqueue_many
-- A batch into the same two tables and indexes that an enqueue has to fill.
WITH incoming AS MATERIALIZED (
    SELECT nextval('raw.job_id') AS id, args FROM unnest($2::jsonb[]) AS args
), stored AS (
    INSERT INTO raw.job (id, queue, task, args, priority, max_attempts)
    SELECT id, $1, 'noop', args, 0, 25 FROM incoming
)
INSERT INTO raw.ready (queue, priority, job_id, attempt, flags)
SELECT $1, 0, id, 1, 0 FROM incoming

-- name: complete_and_claim
-- The last batch's outcomes, the end of its lease, the next claim and its lease: one round trip, one commit.
WITH finished AS (
    INSERT INTO raw.outcome (job_id, lease, state, attempt, started_at, finished_at)
    SELECT done, $2, 1, 1, $4::timestamptz, clock_timestamp() FROM unnest($3::bigint[]) AS done
), released AS (
    DELETE FROM raw.lease WHERE id = $2
), taken AS (
    DELETE FROM raw.ready
    WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM raw.ready
        WHERE queue = $1 AND priority = 0 AND seq > $5
        ORDER BY seq LIMIT $6
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING job_id, seq
), leased AS (
    INSERT INTO raw.lease (id, worker, job_ids)
    SELECT $7, 1, array_agg(job_id) FROM taken HAVING count(*) > 0
)
SELECT job_id, seq FROM taken

-- name: payloads
-- The arguments of a claimed batch.
SELECT id, args FROM raw.job WHERE id BETWEEN $2 AND $3 AND id = ANY ($1::bigint[])

-- name: lease_id
-- Drawn before asking, as the engine does.
SELECT nextval('raw.lease_id')

-- name: notify
-- Half of the round trip: what wakes an idle worker.
SELECT pg_notify('raw_wake', $1)
