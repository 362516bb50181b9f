-- From the moment in which retention copies an unfinished job aside until its partition is detached, the job has two rows, in
-- job and in job_kept: for milliseconds as a rule, for good behind a pooler that no detach can pass. They say the same, and
-- whoever reads both must take them for the one job they are.

-- The view every_job stays what it is: with a condition on its second half PostgreSQL 15 no longer looks into it by id, and reads
-- every job instead. What counts jobs through it counts ids, not rows.

-- As before, but UNION for UNION ALL.

CREATE OR REPLACE FUNCTION holdfast.line_up_v1(
    p_jobs bigint[], p_queues text[], p_priorities smallint[], p_attempts smallint[], p_flags smallint[]
) RETURNS void
LANGUAGE sql VOLATILE SET enable_seqscan = off AS $$
    WITH lined_up AS (
        INSERT INTO holdfast.blocked (gate, rank, job_id, queue, priority, attempt, flags, gates)
        SELECT holdfast.first_gate_v1(j.gates), holdfast.rank_v1(j.gates, i.priority, holdfast.now()),
               i.job_id, i.queue, i.priority, i.attempt, i.flags, j.gates
        FROM unnest(p_jobs, p_queues, p_priorities, p_attempts, p_flags) WITH ORDINALITY AS i(job_id, queue, priority, attempt, flags, at)
        JOIN (SELECT x.id, x.gates FROM holdfast.job x WHERE x.id = ANY (p_jobs)
              UNION SELECT x.id, x.gates FROM holdfast.job_kept x WHERE x.id = ANY (p_jobs)) AS j ON j.id = i.job_id
        WHERE i.flags & 8 <> 0 ORDER BY i.at
        RETURNING gate, rank, seq
    )
    INSERT INTO holdfast.gate_call (gate, rank, seq) SELECT l.gate, min(l.rank), min(l.seq) FROM lined_up l GROUP BY l.gate
$$;

CREATE OR REPLACE FUNCTION holdfast.company_among_v1(p_jobs bigint[]) RETURNS bigint[]
LANGUAGE sql STABLE AS $$
    SELECT array_agg(j.id) FROM (
        SELECT x.id FROM holdfast.job x WHERE x.id = ANY (p_jobs) AND x.flags & 24 <> 0
        UNION SELECT x.id FROM holdfast.job_kept x WHERE x.id = ANY (p_jobs) AND x.flags & 24 <> 0) AS j
$$;

CREATE OR REPLACE FUNCTION holdfast.rescue_lease_v1(p_lease bigint, p_max_losses integer) RETURNS integer
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
    -- A loss with a reason is that of a child process or an engine: it says nothing about who ended the worker.
    INSERT INTO holdfast.loss (job_id, lease, lost_at, counted)
    SELECT j, p_lease, v_now,
           EXISTS (SELECT FROM holdfast.loss o WHERE o.job_id = j AND o.reason IS NULL)
           AND NOT EXISTS (SELECT FROM holdfast.loss o WHERE o.counted AND o.reason IS NULL AND o.lease >> 36 = p_lease >> 36)
    FROM unnest(v_jobs) AS j ON CONFLICT DO NOTHING;
    FOR v_job IN
        SELECT j.id, j.queue, j.priority, j.flags, c.job_id IS NOT NULL AS cancelled,
               (1 + (SELECT count(*) FROM holdfast.failed_attempt f WHERE f.job_id = j.id))::smallint AS attempt,
               (SELECT count(*) FROM holdfast.loss o WHERE o.job_id = j.id AND o.counted) AS losses
        FROM (SELECT id, queue, priority, flags FROM holdfast.job WHERE id = ANY (v_jobs)
              UNION SELECT id, queue, priority, flags FROM holdfast.job_kept WHERE id = ANY (v_jobs)) AS j
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
    PERFORM holdfast.ring_v1(ARRAY(SELECT DISTINCT j.queue::text FROM holdfast.every_job j WHERE j.id = ANY (v_jobs)));
    RETURN cardinality(v_jobs);
END $$;

CREATE OR REPLACE FUNCTION holdfast.release_lease_v1(p_lease bigint) RETURNS integer
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
              UNION SELECT id, queue, priority, flags FROM holdfast.job_kept WHERE id = ANY (v_jobs)) AS j
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

-- As before, but of a job's two rows it takes one.

CREATE OR REPLACE FUNCTION holdfast.fold_failures_v1(p_most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_jobs bigint[];
BEGIN
    IF NOT EXISTS (SELECT FROM holdfast.failure_noted) OR NOT pg_try_advisory_xact_lock(1212575, 0) THEN
        RETURN 0;
    END IF;
    WITH taken AS (
        DELETE FROM holdfast.failure_noted n WHERE n.id = ANY (ARRAY(SELECT x.id FROM holdfast.failure_noted x ORDER BY x.id LIMIT p_most))
        RETURNING n.job_id
    )
    SELECT array_agg(DISTINCT t.job_id) INTO v_jobs FROM taken t;
    -- Whoever was retried since, or moved to another partition with the failure it had, is counted once all the same:
    -- a failure is a job and the moment it failed.
    WITH failed AS MATERIALIZED (
        SELECT j.id AS job_id, j.queue, j.task, o.finished_at, coalesce(o.error ->> 'type', '') AS error_type,
               holdfast.error_frame_v1(o.error) AS frame,
               left(split_part(coalesce(o.error ->> 'message', ''), E'\n', 1), 300) AS message
        FROM unnest(v_jobs) AS n(job_id)
        CROSS JOIN LATERAL (SELECT x.finished_at, x.error FROM holdfast.every_outcome x WHERE x.job_id = n.job_id AND x.state = 2 LIMIT 1) AS o
        CROSS JOIN LATERAL (SELECT x.id, x.queue, x.task FROM holdfast.every_job x WHERE x.id = n.job_id LIMIT 1) AS j
    ), named AS MATERIALIZED (
        SELECT f.*, holdfast.failure_fingerprint_v1(f.task, f.error_type, f.frame) AS fingerprint FROM failed f
    ), told AS (
        INSERT INTO holdfast.failure_member AS m (job_id, fingerprint, failed_at)
        SELECT n.job_id, n.fingerprint, n.finished_at FROM named n ORDER BY n.job_id
        ON CONFLICT (job_id) DO UPDATE SET fingerprint = excluded.fingerprint, failed_at = excluded.failed_at
        WHERE m.failed_at <> excluded.failed_at
        RETURNING m.job_id
    ), counted AS MATERIALIZED (SELECT n.* FROM named n WHERE n.job_id IN (SELECT t.job_id FROM told t)
    ), by_hour AS (
        INSERT INTO holdfast.failure_bucket AS b (fingerprint, queue, hour, failures)
        SELECT c.fingerprint, c.queue, date_trunc('hour', c.finished_at, 'UTC'), count(*) FROM counted c GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (fingerprint, queue, hour) DO UPDATE SET failures = b.failures + excluded.failures
    )
    INSERT INTO holdfast.failure_group AS g (fingerprint, queue, task, error_type, frame, message, failures, first_at, last_at, sample_job)
    SELECT c.fingerprint, c.queue, min(c.task), min(c.error_type), min(c.frame), (array_agg(c.message ORDER BY c.finished_at DESC))[1],
           count(*), min(c.finished_at), max(c.finished_at), (array_agg(c.job_id ORDER BY c.finished_at DESC))[1]
    FROM counted c GROUP BY c.fingerprint, c.queue ORDER BY c.fingerprint, c.queue
    ON CONFLICT (fingerprint, queue) DO UPDATE SET
        failures = g.failures + excluded.failures, first_at = least(g.first_at, excluded.first_at), last_at = greatest(g.last_at, excluded.last_at),
        message = CASE WHEN excluded.last_at >= g.last_at THEN excluded.message ELSE g.message END,
        sample_job = CASE WHEN excluded.last_at >= g.last_at THEN excluded.sample_job ELSE g.sample_job END;
    RETURN cardinality(v_jobs);
END $$;
