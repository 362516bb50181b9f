-- The queues as the verdict and the live figures see them: looked at every few seconds, so in index order and bounded.
-- A function, because its plans must not depend on what the tables held when statistics were last taken.

CREATE FUNCTION holdfast.sight_queues_v1(p_most integer) RETURNS TABLE (
    name text, ready bigint, ready_is_exact boolean, oldest_seconds double precision, scheduled bigint, blocked bigint, running bigint,
    paused_at timestamptz, pause_reason text, paused_by text, completed bigint, failed bigint, retried bigint)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
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
END $$;
COMMENT ON FUNCTION holdfast.sight_queues_v1 IS
    'One line per queue: depths counted up to p_most rows, how long the first has been ready, and what ended in the last five minutes. No unbounded count.';
