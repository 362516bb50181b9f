-- The circumstances that must not slow a drain down. All on the engine's own tables; run after the backlog is filled.

-- name: keep_finished
-- $1 jobs that have ended stand in the tables already, with ids below every id drawn from now on.
WITH numbered AS MATERIALIZED (
    SELECT s.lowest_id + n AS id FROM holdfast.storage s, generate_series(1, $1::bigint) AS n
), stored AS (
    INSERT INTO holdfast.job (id, queue, task, args, priority, flags)
    SELECT id, 'bench', 'noop', jsonb_build_object('number', id, 'padding', repeat('x', 60)), 5, 0 FROM numbered
)
INSERT INTO holdfast.outcome (job_id, lease, state, attempt, started_at, finished_at)
SELECT id, 0, 1, 1, holdfast.now(), holdfast.now() FROM numbered

-- name: schedule_for_next_year
-- $1 jobs wait for a time that does not come during the measure.
WITH numbered AS MATERIALIZED (
    SELECT s.lowest_id + 1000000000 + n AS id FROM holdfast.storage s, generate_series(1, $1::bigint) AS n
), stored AS (
    INSERT INTO holdfast.job (id, queue, task, args, priority, flags)
    SELECT id, 'bench', 'noop', jsonb_build_object('number', id, 'padding', repeat('x', 60)), 5, 0 FROM numbered
)
INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
SELECT holdfast.now() + interval '1 year' + id % 1000000 * interval '1 second', id, 'bench', 5, 1, 0 FROM numbered

-- name: other_queues
-- $1 other queues hold one waiting job each; the worker does not listen to them.
WITH numbered AS MATERIALIZED (
    SELECT s.lowest_id + 2000000000 + n AS id, n FROM holdfast.storage s, generate_series(1, $1::bigint) AS n
), stored AS (
    INSERT INTO holdfast.job (id, queue, task, args, priority, flags)
    SELECT id, 'other_' || n, 'noop', '{}', 5, 0 FROM numbered
)
INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
SELECT 'other_' || n, 5, id, 1, 0 FROM numbered

-- name: year_of_partitions
-- As if the engine had run for $1 weeks: partitions back to then, empty, and the storage knows of them.
SELECT bench_year_of_partitions($1::integer)

-- name: year_of_partitions_function
-- What the section above calls.
CREATE FUNCTION bench_year_of_partitions(p_weeks integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    v_span   bigint;
    v_lowest bigint;
    v_parent text;
BEGIN
    SELECT partition_days * (86400000::bigint << 22), lowest_id INTO v_span, v_lowest FROM holdfast.storage;
    FOR n IN 1 .. p_weeks LOOP
        FOREACH v_parent IN ARRAY ARRAY['job', 'outcome'] LOOP
            EXECUTE format('CREATE TABLE holdfast.%I PARTITION OF holdfast.%I FOR VALUES FROM (%s) TO (%s)',
                           v_parent || '_bench_' || n, v_parent, v_lowest - v_span, v_lowest);
        END LOOP;
        v_lowest := v_lowest - v_span;
    END LOOP;
    UPDATE holdfast.storage SET lowest_id = v_lowest;
    RETURN p_weeks;
END $$

-- name: hold_snapshot
-- First statement of a REPEATABLE READ transaction: from here on nothing that dies can be removed.
SELECT count(*) FROM holdfast.ready

-- name: hold_locks_enqueue
-- An application transaction that enqueues and does not commit: rows, unique keys, a key that somebody waits for.
SELECT holdfast.enqueue('noop', jsonb_build_object('number', n), queue => 'bench', unique_key => 'held-' || n)
FROM generate_series(1, 200) AS n

-- name: hold_locks_again
-- The same keys again: holds the jobs that were committed with them in their place.
SELECT holdfast.enqueue('noop', jsonb_build_object('number', n), queue => 'bench_held', unique_key => 'waiting-' || n)
FROM generate_series(1, 200) AS n

-- name: hold_locks_tables
-- And the strongest table locks that inserting and reading applications can get.
LOCK TABLE holdfast.job, holdfast.ready, holdfast.scheduled, holdfast.unique_key IN ROW EXCLUSIVE MODE

-- name: multixact_members
-- Where the next member of a multixact goes, as of the last checkpoint.
SELECT next_multi_offset::text::bigint FROM pg_control_checkpoint()
