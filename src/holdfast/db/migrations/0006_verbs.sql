-- What people and programs do to jobs and queues, and how they see them.

CREATE VIEW holdfast.every_job AS
    SELECT * FROM holdfast.job UNION ALL SELECT * FROM holdfast.job_kept;
CREATE VIEW holdfast.every_outcome AS
    SELECT * FROM holdfast.outcome UNION ALL SELECT * FROM holdfast.outcome_kept;
COMMENT ON VIEW holdfast.every_job IS 'Partitioned jobs and kept stragglers.';
COMMENT ON VIEW holdfast.every_outcome IS 'Partitioned outcomes and those of kept stragglers.';

CREATE FUNCTION holdfast.places_v1(p_jobs bigint[]) RETURNS TABLE (
    job_id bigint, place text, attempt smallint, lease bigint, worker bigint, due_at timestamptz,
    started_at timestamptz, finished_at timestamptz, result jsonb, error jsonb, cancel_requested boolean)
LANGUAGE sql STABLE AS $$
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
$$;
COMMENT ON FUNCTION holdfast.places_v1 IS
    'Where each job stands, for people. One snapshot: what is neither finished, scheduled, blocked nor leased is ready, so ready needs no index by id.';

CREATE FUNCTION holdfast.left_behind_v1(p_queues text[]) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
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
$$;
COMMENT ON FUNCTION holdfast.left_behind_v1 IS
    'Is a job of these queues held by somebody who looks dead? Then it is about to run again: worth waiting for, and not more; who is dead the observer decides.';

CREATE FUNCTION holdfast.cancel_v1(p_jobs bigint[], p_reason text) RETURNS TABLE (job_id bigint, answer text)
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
DECLARE
    v_open bigint[];
    v_ended bigint[];
BEGIN
    SELECT array_agg(j.id) INTO v_open FROM holdfast.every_job j
    WHERE j.id = ANY (p_jobs) AND NOT holdfast.is_finished_v1(j.id);
    INSERT INTO holdfast.cancel_request (job_id, requested_at, reason)
    SELECT j, holdfast.now(), p_reason FROM unnest(v_open) AS j ORDER BY j ON CONFLICT DO NOTHING;
    WITH later AS (
        DELETE FROM holdfast.scheduled s WHERE s.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.scheduled x WHERE x.job_id = ANY (v_open) FOR UPDATE SKIP LOCKED))
        RETURNING s.job_id, s.queue, s.attempt
    ), in_line AS (
        DELETE FROM holdfast.blocked b WHERE b.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.blocked x WHERE x.job_id = ANY (v_open) FOR UPDATE SKIP LOCKED))
        RETURNING b.job_id, b.queue, b.attempt
    ), now_ready AS (
        DELETE FROM holdfast.ready r WHERE r.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.ready x
            WHERE (x.queue, x.priority) IN (SELECT DISTINCT j.queue, j.priority FROM holdfast.every_job j WHERE j.id = ANY (v_open))
              AND x.job_id = ANY (v_open) FOR UPDATE SKIP LOCKED))
        RETURNING r.job_id, r.queue, r.attempt
    ), waiting AS (SELECT * FROM later UNION ALL SELECT * FROM in_line UNION ALL SELECT * FROM now_ready),
    ended AS (
        SELECT array_agg(w.job_id) AS jobs, array_agg(w.queue::text) AS queues, array_agg(w.attempt) AS attempts FROM waiting w
    )
    SELECT e.jobs INTO v_ended FROM ended e, LATERAL (
        SELECT holdfast.end_cancelled_v1(0, e.jobs, e.queues, e.attempts) WHERE e.jobs IS NOT NULL) AS done;
    IF cardinality(v_open) > coalesce(cardinality(v_ended), 0) THEN
        PERFORM pg_notify('holdfast_cancel', '');
    END IF;
    PERFORM holdfast.cancel_children_v1(p_jobs, p_reason);
    RETURN QUERY SELECT i.id, CASE WHEN i.id = ANY (v_ended) THEN 'cancelled' WHEN i.id = ANY (v_open) THEN 'requested'
                                   WHEN EXISTS (SELECT FROM holdfast.every_job j WHERE j.id = i.id) THEN 'finished' ELSE 'unknown' END
    FROM unnest(p_jobs) AS i(id);
END $$;
COMMENT ON FUNCTION holdfast.cancel_v1 IS
    'Waiting jobs end as cancelled at once; running ones are asked to stop (requested); finished and unknown ones are told apart. What they opened is cancelled with them.';

CREATE FUNCTION holdfast.stand_again_v1(p_job bigint, p_queue text, p_priority smallint, p_attempt smallint, p_flags smallint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_flags & 8 <> 0 THEN
        PERFORM holdfast.line_up_v1(ARRAY[p_job], ARRAY[p_queue], ARRAY[p_priority], ARRAY[p_attempt], ARRAY[p_flags]);
        PERFORM holdfast.ring_v1(ARRAY[p_queue], 'gates');
    ELSE
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags) VALUES (p_queue, p_priority, p_job, p_attempt, p_flags);
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.stand_again_v1 IS 'One job is to run as soon as it may: into ready, or before its gates.';

CREATE FUNCTION holdfast.retry_v1(p_job bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
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
END $$;
COMMENT ON FUNCTION holdfast.retry_v1 IS
    'moved: a failed or cancelled job gets one more attempt, a scheduled one runs now. Otherwise nothing changes and the answer is the place it stands in, or unknown.';

CREATE FUNCTION holdfast.pause_queue_v1(p_queue text, p_reason text, p_by text DEFAULT NULL) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    WITH done AS (
        INSERT INTO holdfast.queue_pause (queue, paused_at, reason, paused_by) VALUES (p_queue, holdfast.now(), p_reason, p_by)
        ON CONFLICT DO NOTHING RETURNING queue
    ) SELECT EXISTS (SELECT FROM done)
$$;
COMMENT ON FUNCTION holdfast.pause_queue_v1 IS 'No claim looks into the queue from now on; what runs, runs on. False: it was paused already.';

CREATE FUNCTION holdfast.resume_queue_v1(p_queue text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    DELETE FROM holdfast.queue_pause q WHERE q.queue = p_queue;
    IF FOUND THEN
        PERFORM holdfast.ring_v1(ARRAY[p_queue]);
        RETURN true;
    END IF;
    RETURN false;
END $$;
COMMENT ON FUNCTION holdfast.resume_queue_v1 IS 'Claims look into the queue again. False: it was not paused.';
