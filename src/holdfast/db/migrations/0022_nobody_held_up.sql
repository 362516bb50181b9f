-- One job, batch or schedule that something is wrong with holds up no other.

-- A job that is due at infinity, and nothing after it, had the look for the next due job fail, and with it every promotion.
WITH gone AS (DELETE FROM holdfast.scheduled s WHERE s.due_at = 'infinity' RETURNING s.*)
INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
SELECT '9999-12-31 00:00+00', g.job_id, g.queue, g.priority, g.attempt, g.flags FROM gone g;
ALTER TABLE holdfast.scheduled ADD CONSTRAINT scheduled_due_at_is_a_moment CHECK (due_at < 'infinity');

CREATE OR REPLACE FUNCTION holdfast.promote_v1(p_mark timestamptz, p_limit integer) RETURNS TABLE (promoted integer, last_due timestamptz, next_due_us bigint)
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
    FROM holdfast.scheduled s WHERE s.due_at > p_mark AND s.due_at < 'infinity' ORDER BY s.due_at LIMIT 1;
    RETURN NEXT;
END $$;

-- Batches by their ids, not by the oldest deltas: one that an open transaction holds may have all of those.
CREATE OR REPLACE FUNCTION holdfast.settle_batches_v1(p_most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
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
END $$;
COMMENT ON FUNCTION holdfast.settle_batches_v1 IS
    'Folds the deltas of at most p_most batches, one batch at a time, and ends those of which nothing is open; returns how many ended.';

CREATE OR REPLACE FUNCTION holdfast.start_waiting_v1() RETURNS SETOF holdfast.occurrence
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
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
END $$;

CREATE OR REPLACE FUNCTION holdfast.fold_v1() RETURNS boolean
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
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
END $$;
