-- The raw limit: the least SQL that does the same work, on the engine's own tables.

-- name: create_single
-- A plain table with the columns and the key of a job: the target of the one-row insert.
CREATE TABLE raw_single (LIKE holdfast.job INCLUDING ALL)

-- name: insert_one
-- One prepared insert of one row into one table: the floor of every enqueue.
INSERT INTO raw_single (id, queue, task, args, priority, flags)
VALUES (nextval('holdfast.job_number'), $1, 'noop', $2::jsonb, 5, 0)

-- name: enqueue_many
-- A batch into the same two tables and indexes that an enqueue has to fill.
WITH incoming AS MATERIALIZED (
    SELECT holdfast.id_floor(holdfast.now()) | (nextval('holdfast.job_number') & 2097151) AS id, args
    FROM unnest($2::jsonb[]) AS args
), stored AS (
    INSERT INTO holdfast.job (id, queue, task, args, priority, flags)
    SELECT id, $1, 'noop', args, 5, $3 FROM incoming
)
INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
SELECT $1, 5, id, 1, $3 FROM incoming

-- name: register
-- A worker's number, which is the upper half of its lease ids.
SELECT holdfast.register_worker_v1('raw', 'localhost', 0, 'raw', 'raw', ARRAY[$1::text], 1, false)

-- name: work
-- The hot path of the engine: the last batch's outcomes, the next claim with its payloads, one commit.
SELECT kind, job_id, lease, seq, args
FROM holdfast.work_v1(
    $1::bigint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::jsonb[], $7::jsonb[],
    ARRAY[$8::text], $4::smallint[], $9::bigint[], false,
    $10, $11, $12, ARRAY[$8::text], ARRAY[5::smallint], ARRAY[$13::bigint])

-- name: finish_alone
-- The last statement of a job's own transaction: its outcome and the end of its lease.
SELECT holdfast.finish_solo_v1($1, $2, 1::smallint, 0, NULL, $3)

-- name: listening
-- Whether the other end of the round trip is there yet.
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%')

-- name: notify
-- Half of the round trip: what wakes an idle worker.
SELECT pg_notify('raw_wake', $1)
