-- The depths of queues for whoever lists them: those of sight_queues_v1, which reads in index order what queue_depths_v1 counted by
-- collecting every ready row of a queue first, and tells how long something has been ready, not how long ago it was enqueued.

CREATE FUNCTION holdfast.queue_depths_v2(p_most integer) RETURNS TABLE (
    queue text, ready bigint, ready_is_exact boolean, oldest_seconds double precision, scheduled bigint, blocked bigint, running bigint,
    paused_at timestamptz, pause_reason text, completed bigint, failed bigint, cancelled bigint, retried bigint, lost bigint,
    unfinished_about bigint)
LANGUAGE sql STABLE SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
    SELECT s.name, s.ready, s.ready_is_exact, s.oldest_seconds, s.scheduled, s.blocked, s.running, s.paused_at, s.pause_reason,
           coalesce(t.completed, 0), coalesce(t.failed, 0), coalesce(t.cancelled, 0), coalesce(t.retried, 0), coalesce(t.lost, 0),
           greatest(0, coalesce(t.enqueued + t.reopened - t.completed - t.failed - t.cancelled, 0))
    FROM holdfast.sight_queues_v1(p_most) s
    LEFT JOIN holdfast.tally t ON t.queue = s.name AND t.minute = '-infinity'
    ORDER BY s.name
$$;
COMMENT ON FUNCTION holdfast.queue_depths_v2 IS
    'One line per queue. Depths are counted up to p_most rows and said to be inexact beyond; totals come from the folded counters. No unbounded count.';
