-- A database that has been busy for four weeks: what the API and the dashboard have to show in time.

-- name: four_weeks_of_partitions
-- As if the engine had run for four weeks: partitions back to then, and the storage knows of them.
SELECT bench_weeks(4)

-- name: four_weeks_of_partitions_function
-- What the section above calls.
CREATE FUNCTION bench_weeks(p_weeks integer) RETURNS integer
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

-- name: keep_finished
-- Finished jobs $1 to $2 of $3, spread over four weeks: 1 in 100 failed, 1 in 200 was cancelled, in 9 queues and 25 tasks.
-- The queue `rare` has one in 100 000, all of them old.
WITH numbered AS MATERIALIZED (
    SELECT n, holdfast.id_floor(holdfast.now() - ($3::bigint - n + 1) * (interval '28 days' / $3::bigint)) | (n & 1023) AS id,
           CASE WHEN n % 100000 = 7 AND n < $3::bigint / 2 THEN 'rare'
                ELSE (ARRAY['mail', 'mail', 'mail', 'mail', 'exports', 'exports', 'images', 'reports', 'sync'])[1 + n % 9] END AS queue,
           'task_' || (n * 7 % 25) AS task,
           CASE WHEN n % 100 = 3 THEN 2 WHEN n % 200 = 4 THEN 3 ELSE 1 END AS state
    FROM generate_series($1::bigint, $2::bigint) AS n
), stored AS (
    INSERT INTO holdfast.job (id, queue, task, args, priority, flags, max_attempts)
    SELECT id, queue, task, jsonb_build_object('user_id', n, 'language', 'en', 'padding', repeat('x', 40)), 5, 0, 5 FROM numbered
)
INSERT INTO holdfast.outcome (job_id, lease, state, attempt, started_at, finished_at, result, error)
SELECT id, 68719476737, state, 1, holdfast.id_time(id) + interval '1 second', holdfast.id_time(id) + interval '1300 milliseconds',
       CASE WHEN state = 1 THEN jsonb_build_object('ok', true, 'rows', n % 1000) END,
       CASE WHEN state = 2 THEN jsonb_build_object(
                'type', (ARRAY['ConnectionError', 'KeyError', 'TimeoutError', 'ValueError'])[1 + n / 100 % 4],
                'message', 'it did not work for user ' || n, 'frame', 'shop.module_' || n / 100 % 10 || ':work',
                'traceback', (SELECT string_agg('  File "/srv/shop/module_' || g || '.py", line ' || (n + g) % 997 || ', in function_' || g || E'\n    call(' || md5((n + g)::text) || ')', E'\n')
                              FROM generate_series(1, 12) AS g))
            WHEN state = 3 THEN '{"type": "Cancelled", "message": "cancelled on request"}' END
FROM numbered

-- name: keep_waiting
-- Waiting jobs $1 to $2, newer than the finished ones: of 100 are 90 ready, 8 due later, 2 before a gate that lets nobody pass.
WITH numbered AS MATERIALIZED (
    SELECT n, holdfast.id_floor(holdfast.now() - ($2::bigint - n) * interval '2 milliseconds') | (4096 + (n & 4095)) AS id,
           CASE WHEN n % 5000 = 0 THEN 'small_' || n / 5000
                ELSE (ARRAY['mail', 'mail', 'mail', 'mail', 'exports', 'exports', 'images', 'reports', 'sync'])[1 + n % 9] END AS queue,
           'task_' || (n * 7 % 25) AS task, (1 + n % 3 * 4)::smallint AS priority, n % 100 AS part
    FROM generate_series($1::bigint, $2::bigint) AS n
), stored AS (
    INSERT INTO holdfast.job (id, queue, task, args, priority, flags, max_attempts, gates)
    SELECT id, queue, task, jsonb_build_object('user_id', n, 'language', 'en', 'padding', repeat('x', 40)), priority,
           CASE WHEN part >= 98 THEN 8 ELSE 0 END, 5, CASE WHEN part >= 98 THEN 'limit:closed:' END FROM numbered
), later AS (
    INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
    SELECT holdfast.now() + interval '1 day' + n * interval '1 second', id, queue, priority, 1, 0 FROM numbered WHERE part BETWEEN 90 AND 97
), before_a_gate AS (
    INSERT INTO holdfast.blocked (gate, job_id, queue, priority, attempt, flags, gates)
    SELECT 'limit:closed:', id, queue, priority, 1, 8, 'limit:closed:' FROM numbered WHERE part >= 98
)
INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
SELECT queue, priority, id, 1, 0 FROM numbered WHERE part < 90 ORDER BY n

-- name: count_them
-- What workers would have counted meanwhile.
SELECT bench_count()

-- name: count_them_function
-- What the section above calls. Arrivals by the minute of the last day would be counted anew by nobody: the mark stands at the newest.
CREATE FUNCTION bench_count() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO holdfast.limit_rule (name, declared, declared_at) VALUES ('limit:closed', 0, holdfast.now()) ON CONFLICT DO NOTHING;
    INSERT INTO holdfast.tally (queue, minute, enqueued, completed, failed, cancelled, took_us)
    SELECT j.queue, m.minute, count(*), count(*) FILTER (WHERE o.state = 1), count(*) FILTER (WHERE o.state = 2),
           count(*) FILTER (WHERE o.state = 3), count(o.job_id) * 300000
    FROM holdfast.job j LEFT JOIN holdfast.outcome o ON o.job_id = j.id,
         (VALUES ('-infinity'::timestamptz), (date_trunc('minute', holdfast.now()))) AS m(minute)
    WHERE m.minute = '-infinity' OR j.id > holdfast.id_floor(holdfast.now() - interval '1 minute')
    GROUP BY j.queue, m.minute
    ON CONFLICT (queue, minute) DO UPDATE SET enqueued = excluded.enqueued, completed = excluded.completed, failed = excluded.failed, cancelled = excluded.cancelled;
    INSERT INTO holdfast.tally (queue, minute, enqueued, completed, failed, took_us)
    SELECT q, date_trunc('minute', holdfast.now()) - n * interval '1 minute', 100, 90, 3, 27000000
    FROM unnest(ARRAY['mail', 'exports', 'images', 'reports', 'sync']) AS q, generate_series(1, 10080) AS n
    ON CONFLICT DO NOTHING;
    UPDATE holdfast.tally_mark SET folded_id = (SELECT max(id) FROM holdfast.job);
    INSERT INTO holdfast.task (name, queue, priority, flags, max_attempts, declared_at)
    SELECT 'task_' || n, 'mail', 5, 0, 5, holdfast.now() FROM generate_series(0, 24) AS n ON CONFLICT DO NOTHING;
END $$

-- name: fold_failures
-- Failures counted into their groups, so many at once; says how many.
SELECT holdfast.fold_failures_v1(20000)

-- name: some_job
-- A job in the state $1: 1 completed, 2 failed.
SELECT job_id FROM holdfast.outcome WHERE state = $1::smallint AND state <> 3 ORDER BY job_id DESC LIMIT 1

-- name: waiting_job
-- A job that is ready.
SELECT job_id FROM holdfast.ready WHERE queue = 'mail' AND priority = 5 ORDER BY seq DESC LIMIT 1

-- name: vacuum
-- As autovacuum would have left it.
VACUUM ANALYZE

-- name: filled
-- Whether this database was filled before.
SELECT to_regprocedure('bench_count()') IS NOT NULL
