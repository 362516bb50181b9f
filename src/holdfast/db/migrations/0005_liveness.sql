-- Who is alive, and what becomes of the work of who is not.
-- Death is judged by the observer on its own clock (beats that do not change, a session that is gone), never by
-- comparing timestamps: after a server outage or the sleep of a laptop nobody was observed, so nobody is dead.

CREATE FUNCTION holdfast.register_worker_v1(
    p_name text, p_host text, p_pid integer, p_incarnation text, p_version text, p_queues text[], p_concurrency integer, p_has_session boolean
) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    WITH born AS (
        INSERT INTO holdfast.worker (name, state, host, pid, incarnation, version, queues, concurrency, has_session, started_at)
        VALUES (p_name, 'live', p_host, p_pid, p_incarnation, p_version, p_queues, p_concurrency, p_has_session, holdfast.now())
        RETURNING id
    ), beating AS (
        INSERT INTO holdfast.worker_beat (worker, beat, beaten_at) SELECT id, 0, holdfast.now() FROM born
    )
    SELECT id FROM born
$$;
COMMENT ON FUNCTION holdfast.register_worker_v1 IS 'A number never used before and never used again.';

CREATE FUNCTION holdfast.beat_v1(p_worker bigint) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    UPDATE holdfast.worker_beat SET beat = beat + 1, beaten_at = holdfast.now() WHERE worker = p_worker;
    SELECT EXISTS (SELECT FROM holdfast.worker w WHERE w.id = p_worker AND w.state = 'live')
$$;
COMMENT ON FUNCTION holdfast.beat_v1 IS 'One more beat; false: this worker was declared dead and must stop at once.';

CREATE FUNCTION holdfast.report_running_v1(p_worker bigint, p_running bigint[]) RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE holdfast.worker_beat SET running = p_running WHERE worker = p_worker
$$;
COMMENT ON FUNCTION holdfast.report_running_v1 IS 'What is really executing, told at most once a second, for people who look.';

CREATE FUNCTION holdfast.observe_v1() RETURNS TABLE (
    worker bigint, beat bigint, has_session boolean, session_held boolean, host text, incarnation text, server_age_seconds double precision)
LANGUAGE sql VOLATILE AS $$
    SELECT w.id, b.beat, w.has_session,
           EXISTS (SELECT FROM pg_catalog.pg_locks l
                   WHERE l.locktype = 'advisory' AND l.classid = 1212568 AND l.objid = w.id::oid AND l.objsubid = 2 AND l.granted
                     AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())),
           w.host, w.incarnation,
           extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::double precision
    FROM holdfast.worker w JOIN holdfast.worker_beat b ON b.worker = w.id WHERE w.state = 'live'
$$;
COMMENT ON FUNCTION holdfast.observe_v1 IS 'One look at everybody who is said to live: the beat, and whether the session of each still stands.';

CREATE FUNCTION holdfast.declare_dead_v1(p_worker bigint, p_reason text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    -- A claim in flight holds KEY SHARE on this row: it must end before, so that no lease appears after.
    PERFORM FROM holdfast.worker w WHERE w.id = p_worker AND w.state = 'live' FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NOT EXISTS (SELECT FROM holdfast.worker w WHERE w.id = p_worker AND w.state = 'live');
    END IF;
    UPDATE holdfast.worker SET state = 'dead', ended_at = holdfast.now(), end_reason = p_reason WHERE id = p_worker;
    RETURN true;
END $$;
COMMENT ON FUNCTION holdfast.declare_dead_v1 IS 'True: the worker is dead from now on, it claims nothing more. False: a claim of it is in flight, ask again.';

CREATE FUNCTION holdfast.workers_to_rescue_v1() RETURNS SETOF bigint
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT l.id >> 36 FROM holdfast.lease l
    WHERE NOT EXISTS (SELECT FROM holdfast.worker w WHERE w.id = l.id >> 36 AND w.state = 'live')
$$;
COMMENT ON FUNCTION holdfast.workers_to_rescue_v1 IS 'Everybody who is not live and whom a lease still names. Asked again and again, because a claim may commit after the first look.';

CREATE FUNCTION holdfast.rescue_v1(p_worker bigint, p_max_losses integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_lease bigint;
    v_count integer := 0;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'rescue decides after waiting and needs READ COMMITTED' USING ERRCODE = 'HF006';
    END IF;
    IF EXISTS (SELECT FROM holdfast.worker w WHERE w.id = p_worker AND w.state = 'live') THEN
        RETURN 0;
    END IF;
    LOOP
        -- Lock in one statement, decide in the next: a completion that commits while we wait is seen below.
        SELECT l.id INTO v_lease FROM holdfast.lease l
        WHERE l.id >= p_worker << 36 AND l.id < (p_worker + 1) << 36
        ORDER BY l.id LIMIT 1 FOR UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        v_count := v_count + holdfast.rescue_lease_v1(v_lease, p_max_losses);
    END LOOP;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION holdfast.rescue_v1 IS 'Puts back what a dead worker held and had not finished; returns how many jobs. Leases locked by others are left for the next round.';

CREATE FUNCTION holdfast.rescue_lease_v1(p_lease bigint, p_max_losses integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_now  timestamptz := holdfast.now();
    v_jobs bigint[];
    v_job  record;
BEGIN
    SELECT array_agg(h.job_id) INTO v_jobs
    FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id)
    WHERE l.id = p_lease AND NOT holdfast.is_finished_v1(h.job_id)
      AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = p_lease AND e.job_id = h.job_id);
    PERFORM holdfast.end_leases_v1(ARRAY[p_lease]);
    IF v_jobs IS NULL THEN
        RETURN 0;
    END IF;
    -- The first loss only makes a suspect: it shared its worker with others. A worker runs one suspect at a time, in the
    -- order of their leases, which is the order of rescue: only the first of them can have been the cause, and counts.
    INSERT INTO holdfast.loss (job_id, lease, lost_at, counted)
    SELECT j, p_lease, v_now,
           EXISTS (SELECT FROM holdfast.loss o WHERE o.job_id = j)
           AND NOT EXISTS (SELECT FROM holdfast.loss o WHERE o.counted AND o.lease >> 36 = p_lease >> 36)
    FROM unnest(v_jobs) AS j;
    FOR v_job IN
        SELECT j.id, j.queue, j.priority, j.flags, c.job_id IS NOT NULL AS cancelled,
               (1 + (SELECT count(*) FROM holdfast.failed_attempt f WHERE f.job_id = j.id))::smallint AS attempt,
               (SELECT count(*) FROM holdfast.loss o WHERE o.job_id = j.id AND o.counted) AS losses
        FROM (SELECT id, queue, priority, flags FROM holdfast.job WHERE id = ANY (v_jobs)
              UNION ALL SELECT id, queue, priority, flags FROM holdfast.job_kept WHERE id = ANY (v_jobs)) AS j
        LEFT JOIN holdfast.cancel_request c ON c.job_id = j.id
        ORDER BY j.id
    LOOP
        INSERT INTO holdfast.tally_delta (queue, lost) VALUES (v_job.queue, 1);
        IF v_job.cancelled THEN
            PERFORM holdfast.end_cancelled_v1(p_lease, ARRAY[v_job.id], ARRAY[v_job.queue::text], ARRAY[v_job.attempt]);
        ELSIF v_job.losses >= p_max_losses THEN
            PERFORM holdfast.write_outcome_v1(v_job.id, p_lease, 2::smallint, v_job.attempt, v_now, jsonb_build_object(
                'type', 'LostTooOften', 'message', format('its worker died %s times while this job ran alone under suspicion', v_job.losses)));
            INSERT INTO holdfast.tally_delta (queue, failed) VALUES (v_job.queue, 1);
            IF v_job.flags & 24 <> 0 THEN
                PERFORM holdfast.tell_company_v1(ARRAY[v_job.id], ARRAY[p_lease], ARRAY[2::smallint]);
                PERFORM pg_notify('holdfast_gates', '');
            END IF;
        ELSE
            IF v_job.flags & 8 = 0 THEN
                INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
                VALUES (v_job.queue, v_job.priority, v_job.id, v_job.attempt, v_job.flags | 4);
            ELSE
                PERFORM holdfast.line_up_v1(ARRAY[v_job.id], ARRAY[v_job.queue::text], ARRAY[v_job.priority], ARRAY[v_job.attempt],
                                            ARRAY[(v_job.flags | 4)::smallint]);
            END IF;
            IF v_job.flags & 24 <> 0 THEN
                PERFORM holdfast.tell_company_v1(ARRAY[v_job.id], ARRAY[p_lease], ARRAY[14::smallint]);
            END IF;
        END IF;
    END LOOP;
    PERFORM holdfast.ring_v1(ARRAY(SELECT DISTINCT j.queue::text FROM holdfast.job j WHERE j.id = ANY (v_jobs)));
    RETURN cardinality(v_jobs);
END $$;
COMMENT ON FUNCTION holdfast.rescue_lease_v1 IS 'Ends one lease, already locked by the caller: what is outstanding goes back, or ends as cancelled or lost too often.';

CREATE FUNCTION holdfast.unknown_leases_v1(p_worker bigint, p_from bigint, p_known bigint[]) RETURNS SETOF bigint
LANGUAGE sql STABLE AS $$
    SELECT l.id FROM holdfast.lease l
    WHERE l.id >= greatest(p_from, p_worker << 36) AND l.id < (p_worker + 1) << 36 AND l.id <> ALL (p_known)
$$;
COMMENT ON FUNCTION holdfast.unknown_leases_v1 IS 'Leases of a live worker that it does not know of: the answer of a claim was lost.';

CREATE FUNCTION holdfast.release_lease_v1(p_lease bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_jobs    bigint[];
    v_company bigint[];
BEGIN
    PERFORM FROM holdfast.lease l WHERE l.id = p_lease FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT array_agg(h.job_id) INTO v_jobs
    FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id)
    WHERE l.id = p_lease AND NOT holdfast.is_finished_v1(h.job_id)
      AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = p_lease AND e.job_id = h.job_id);
    PERFORM holdfast.end_leases_v1(ARRAY[p_lease]);
    WITH back AS MATERIALIZED (
        SELECT j.queue, j.priority, j.id, (1 + (SELECT count(*) FROM holdfast.failed_attempt f WHERE f.job_id = j.id))::smallint AS attempt,
               (j.flags | CASE WHEN EXISTS (SELECT FROM holdfast.loss o WHERE o.job_id = j.id) THEN 4 ELSE 0 END)::smallint AS flags
        FROM (SELECT id, queue, priority, flags FROM holdfast.job WHERE id = ANY (v_jobs)
              UNION ALL SELECT id, queue, priority, flags FROM holdfast.job_kept WHERE id = ANY (v_jobs)) AS j
    ), before_gates AS (
        SELECT count(holdfast.line_up_v1(ARRAY[b.id], ARRAY[b.queue::text], ARRAY[b.priority], ARRAY[b.attempt], ARRAY[b.flags])) AS n
        FROM back b WHERE b.flags & 8 <> 0
    )
    INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
    SELECT b.queue, b.priority, b.id, b.attempt, b.flags FROM back b WHERE b.flags & 8 = 0 AND (SELECT g.n FROM before_gates g) = 0
    UNION ALL
    SELECT b.queue, b.priority, b.id, b.attempt, b.flags FROM back b WHERE b.flags & 8 = 0 AND (SELECT g.n FROM before_gates g) > 0;
    v_company := holdfast.company_among_v1(v_jobs);
    IF v_company IS NOT NULL THEN
        PERFORM holdfast.tell_company_v1(v_company, array_fill(p_lease, ARRAY[cardinality(v_company)]),
                                         array_fill(14::smallint, ARRAY[cardinality(v_company)]));
    END IF;
    RETURN coalesce(cardinality(v_jobs), 0);
END $$;
COMMENT ON FUNCTION holdfast.release_lease_v1 IS 'A live worker gives back a lease that nobody executes; nothing ran, so nothing is counted.';

CREATE FUNCTION holdfast.anyone_idle_v1(p_queues text[], p_except integer) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = 1212567 AND l.objsubid = 2 AND l.mode = 'ShareLock' AND l.granted
          AND l.pid <> p_except
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
          AND l.objid = ANY (SELECT (holdfast.idle_key_v1(q)::bigint & 4294967295)::oid FROM unnest(p_queues) AS q))
$$;
COMMENT ON FUNCTION holdfast.anyone_idle_v1 IS 'Is another worker idle on one of these queues? Then prefetched jobs that wait are better given back.';

CREATE FUNCTION holdfast.ring_another_v1(p_queues text[], p_except integer) RETURNS void
LANGUAGE sql VOLATILE AS $$
    SELECT pg_notify('holdfast_' || i.pid, '') FROM (
        SELECT l.pid FROM pg_catalog.pg_locks l
        WHERE l.locktype = 'advisory' AND l.classid = 1212567 AND l.objsubid = 2 AND l.mode = 'ShareLock' AND l.granted
          AND l.pid <> p_except
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
          AND l.objid = ANY (SELECT (holdfast.idle_key_v1(q)::bigint & 4294967295)::oid FROM unnest(p_queues) AS q)
        ORDER BY random() LIMIT 1) AS i
$$;
COMMENT ON FUNCTION holdfast.ring_another_v1 IS
    'Wakes one idle worker other than the session p_except, which may say that it is idle and be held up by a handler.';

CREATE FUNCTION holdfast.forget_workers_v1(p_after interval) RETURNS integer
LANGUAGE sql VOLATILE AS $$
    WITH gone AS (
        DELETE FROM holdfast.worker w
        WHERE w.state = 'dead' AND w.ended_at < holdfast.now() - p_after
          AND NOT EXISTS (SELECT FROM holdfast.lease l WHERE l.id >= w.id << 36 AND l.id < (w.id + 1) << 36)
        RETURNING w.id
    ), silent AS (DELETE FROM holdfast.worker_beat b USING gone WHERE b.worker = gone.id)
    SELECT count(*)::integer FROM gone
$$;
COMMENT ON FUNCTION holdfast.forget_workers_v1 IS 'Deletes workers dead for longer than any statement can last and named by no lease.';
