-- What the workers do beside the jobs: promotion, watermarks, counters, partitions, retention, the audit.

CREATE FUNCTION holdfast.promote_v1(p_mark timestamptz, p_limit integer) RETURNS TABLE (promoted integer, last_due timestamptz, next_due_us bigint)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
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
    FROM holdfast.scheduled s WHERE s.due_at > p_mark ORDER BY s.due_at LIMIT 1;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION holdfast.promote_v1 IS 'Moves due jobs into ready, or before their gates, in the order they were due, and says how long until the next one.';

CREATE FUNCTION holdfast.marks_v1(
    p_queues text[], p_priorities smallint[], p_marks bigint[], p_pending bigint, p_fence text[],
    OUT settled bigint, OUT pending bigint, OUT fence text[], OUT marks bigint[]
)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
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
END $$;
COMMENT ON FUNCTION holdfast.marks_v1 IS
    'The settled watermark: below a mark no row of (queue, priority) exists or can ever appear, so that claims need not wade through dead index entries.';

CREATE FUNCTION holdfast.fold_v1() RETURNS boolean
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
DECLARE
    v_minute  timestamptz := date_trunc('minute', holdfast.now());
    v_mark    holdfast.tally_mark;
    v_writers text[];
    v_next    bigint;
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
        EXECUTE 'WITH arrived AS (
                     SELECT j.queue, m.minute, count(*) AS enqueued
                     FROM holdfast.job j, (VALUES ($3), (''-infinity''::timestamptz)) AS m(minute)
                     WHERE j.id > $1 AND j.id <= $2 GROUP BY j.queue, m.minute)
                 INSERT INTO holdfast.tally AS t (queue, minute, enqueued) SELECT a.queue, a.minute, a.enqueued FROM arrived a
                 ON CONFLICT (queue, minute) DO UPDATE SET enqueued = t.enqueued + excluded.enqueued'
        USING v_mark.folded_id, v_mark.pending_id, v_minute;
        UPDATE holdfast.tally_mark SET folded_id = v_mark.pending_id, pending_id = v_next, pending_fence = v_writers;
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION holdfast.fold_v1 IS 'Folds the deltas of flushes and the arrivals of settled ranges into the counters; false: another worker is at it.';

CREATE FUNCTION holdfast.queue_depths_v1(p_most integer) RETURNS TABLE (
    queue text, ready bigint, ready_is_exact boolean, oldest_seconds double precision, scheduled bigint, blocked bigint, running bigint,
    paused_at timestamptz, pause_reason text, completed bigint, failed bigint, cancelled bigint, retried bigint, lost bigint,
    unfinished_about bigint)
LANGUAGE sql STABLE AS $$
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
$$;
COMMENT ON FUNCTION holdfast.queue_depths_v1 IS
    'One line per queue. Depths are counted up to p_most rows and said to be inexact beyond; totals come from the folded counters. No unbounded count.';

CREATE FUNCTION holdfast.make_partitions_v1() RETURNS integer
LANGUAGE plpgsql VOLATILE SET lock_timeout = '2s' AS $$
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
END $$;
COMMENT ON FUNCTION holdfast.make_partitions_v1 IS 'Partitions of job and outcome for at least eight days ahead. Any worker does it; an enqueue does as a last resort.';

CREATE FUNCTION holdfast.expired_partitions_v1(p_keep interval) RETURNS TABLE (name text, until_id bigint)
LANGUAGE sql STABLE AS $$
    SELECT substr(c.relname, 5), (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''?(\d+)''?\)'))[1]::bigint AS until_id
    FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'holdfast.job'::regclass
      AND (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''?(\d+)''?\)'))[1]::bigint <= holdfast.id_floor(holdfast.now() - p_keep)
    ORDER BY 2
$$;
COMMENT ON FUNCTION holdfast.expired_partitions_v1 IS 'Partitions all of whose jobs are older than what is kept, oldest first.';

CREATE FUNCTION holdfast.keep_stragglers_v1(p_name text, p_until bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE SET lock_timeout = '2s' AS $$
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
END $$;
COMMENT ON FUNCTION holdfast.keep_stragglers_v1 IS 'Copies the unfinished jobs of a partition aside, before the partition is detached.';

CREATE FUNCTION holdfast.detach_statements_v1(p_name text) RETURNS SETOF text
LANGUAGE sql STABLE AS $$
    SELECT format('ALTER TABLE holdfast.%I DETACH PARTITION holdfast.%I %s', parent.relname, child.relname,
                  CASE WHEN i.inhdetachpending THEN 'FINALIZE' ELSE 'CONCURRENTLY' END)
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class parent ON parent.oid = i.inhparent
    JOIN pg_catalog.pg_class child ON child.oid = i.inhrelid
    WHERE i.inhparent IN ('holdfast.job'::regclass, 'holdfast.outcome'::regclass)
      AND child.relname IN ('job_' || p_name, 'outcome_' || p_name)
    ORDER BY i.inhdetachpending DESC, parent.relname
$$;
COMMENT ON FUNCTION holdfast.detach_statements_v1 IS 'What is left to do to detach a partition, outside of a transaction; an interrupted detach is finalized first.';

CREATE FUNCTION holdfast.forget_company_v1(p_outcomes text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['failed_attempt', 'loss', 'progress', 'checkpoint', 'batch_member', 'batch_callback'] LOOP
        EXECUTE format('DELETE FROM holdfast.%I f USING holdfast.%I o WHERE o.job_id = f.job_id
                        AND NOT EXISTS (SELECT FROM holdfast.job_kept k WHERE k.id = f.job_id)', v_table, p_outcomes);
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.forget_company_v1 IS 'Side rows go when their jobs go: those of a partition that is about to be dropped, stragglers excepted.';

CREATE FUNCTION holdfast.drop_detached_v1(p_name text) RETURNS integer
LANGUAGE plpgsql VOLATILE SET lock_timeout = '2s' AS $$
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
END $$;
COMMENT ON FUNCTION holdfast.drop_detached_v1 IS 'Drops a detached partition, after a last look for anybody unfinished.';

CREATE FUNCTION holdfast.detached_partitions_v1() RETURNS SETOF text
LANGUAGE sql STABLE AS $$
    SELECT substr(j.relname, 5) FROM pg_catalog.pg_class j
    WHERE j.relnamespace = 'holdfast'::regnamespace AND j.relkind = 'r' AND j.relname ~ '^job_\d{8}$' AND NOT j.relispartition
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_class o WHERE o.relnamespace = j.relnamespace
                      AND o.relname = 'outcome_' || substr(j.relname, 5) AND o.relispartition)
$$;
COMMENT ON FUNCTION holdfast.detached_partitions_v1 IS 'Partitions detached but not dropped, because somebody was still reading or retention was interrupted.';

CREATE FUNCTION holdfast.sweep_v1(p_most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
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
END $$;
COMMENT ON FUNCTION holdfast.sweep_v1 IS 'Housekeeping that no promise rests on: keys and cancel requests of finished jobs, batches whose members are gone, old minutes of counters.';

CREATE FUNCTION holdfast.room_v1(p_gate text) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT CASE split_part(p_gate, ':', 1)
        WHEN 'lane' THEN 1 - (SELECT count(*) FROM holdfast.slot s WHERE s.gate = p_gate)
        WHEN 'limit' THEN
            (SELECT r.capacity FROM holdfast.limit_rule r WHERE r.name = 'limit:' || split_part(p_gate, ':', 2))
            - (SELECT count(*) FROM holdfast.slot s WHERE s.gate = p_gate
               AND s.job_id >= coalesce((SELECT g.low_slot FROM holdfast.gate g WHERE g.name = p_gate), 0))
        WHEN 'rate' THEN
            (SELECT r.capacity FROM holdfast.limit_rule r WHERE r.name = 'rate:' || split_part(p_gate, ':', 2))
            - coalesce((SELECT sum(b.taken) FROM holdfast.rate_block b WHERE b.gate = p_gate AND b.ends_at > holdfast.now()), 0)
    END
$$;
COMMENT ON FUNCTION holdfast.room_v1 IS 'How many more a gate lets through now; NULL: nobody has said, so any number.';

CREATE FUNCTION holdfast.audit_v1() RETURNS TABLE (job_id bigint, places text[])
LANGUAGE sql STABLE AS $$
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
$$;
COMMENT ON FUNCTION holdfast.audit_v1 IS 'The conservation law: every job that stands in no place or in more than one. Empty is well.';

CREATE FUNCTION holdfast.audit_movers_v1() RETURNS TABLE (job_id bigint, place text, trouble text)
LANGUAGE sql STABLE AS $$
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
$$;
COMMENT ON FUNCTION holdfast.audit_movers_v1 IS 'The next-mover law: unfinished jobs that nobody is going to move. Empty is well.';

-- The first partitions begin with the period of today.
INSERT INTO holdfast.storage (lowest_id, ceiling_id, partition_days)
SELECT p.start, p.start, 7 FROM (
    SELECT holdfast.id_floor(holdfast.now()) / (7 * (86400000::bigint << 22)) * (7 * (86400000::bigint << 22)) AS start) AS p;
SELECT holdfast.make_partitions_v1();
