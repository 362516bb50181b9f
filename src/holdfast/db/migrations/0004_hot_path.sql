-- The hot path: finish, leave, claim, and the three of them in one round trip and one commit.
-- Functions, so that their plans cannot go wrong: made on empty tables a plan with a sequential scan or a sort
-- would be kept while the tables fill (seconds per claim). jit off, because forbidding scans inflates costs.

-- Jobs with company: those that others wait for, or that wait for others. Flags say so (24 = behind gates, or in a batch),
-- and every path by which such a job ends or leaves its lease tells here, once, in the transaction that moves it.
-- Moves: 1 completed, 2 failed, 3 cancelled; 11 retried, 12 snoozed, 13 returned, 14 rescued or released; 21 reopened.
CREATE FUNCTION holdfast.tell_company_v1(p_jobs bigint[], p_leases bigint[], p_moves smallint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
BEGIN
    PERFORM holdfast.tell_batches_v1(p_jobs, p_moves);
    -- What a job holds of lanes it holds to its end, what it holds of limits only while it is leased.
    IF 10 > ALL (p_moves) THEN
        DELETE FROM holdfast.slot s WHERE s.job_id = ANY (p_jobs);
        RETURN;
    END IF;
    DELETE FROM holdfast.slot s USING unnest(p_jobs, p_moves) AS m(job_id, move)
    WHERE s.job_id = m.job_id AND (m.move < 10 OR NOT starts_with(s.gate, 'lane:'));
END $$;
COMMENT ON FUNCTION holdfast.tell_company_v1 IS
    'Told of every move of a job with company, after its new place is written; never of plain jobs. Lease 0: it moved without one.';

CREATE FUNCTION holdfast.line_up_v1(
    p_jobs bigint[], p_queues text[], p_priorities smallint[], p_attempts smallint[], p_flags smallint[]
) RETURNS void
LANGUAGE sql VOLATILE SET enable_seqscan = off AS $$
    WITH lined_up AS (
        INSERT INTO holdfast.blocked (gate, rank, job_id, queue, priority, attempt, flags, gates)
        SELECT holdfast.first_gate_v1(j.gates), holdfast.rank_v1(j.gates, i.priority, holdfast.now()),
               i.job_id, i.queue, i.priority, i.attempt, i.flags, j.gates
        FROM unnest(p_jobs, p_queues, p_priorities, p_attempts, p_flags) WITH ORDINALITY AS i(job_id, queue, priority, attempt, flags, at)
        JOIN (SELECT x.id, x.gates FROM holdfast.job x WHERE x.id = ANY (p_jobs)
              UNION ALL SELECT x.id, x.gates FROM holdfast.job_kept x WHERE x.id = ANY (p_jobs)) AS j ON j.id = i.job_id
        WHERE i.flags & 8 <> 0 ORDER BY i.at
        RETURNING gate, rank, seq
    )
    INSERT INTO holdfast.gate_call (gate, rank, seq) SELECT l.gate, min(l.rank), min(l.seq) FROM lined_up l GROUP BY l.gate
$$;
COMMENT ON FUNCTION holdfast.line_up_v1 IS 'Puts those of the jobs that have gates before them (again); whoever is the head of its lane passes at once.';

CREATE FUNCTION holdfast.company_among_v1(p_jobs bigint[]) RETURNS bigint[]
LANGUAGE sql STABLE AS $$
    SELECT array_agg(j.id) FROM (
        SELECT x.id FROM holdfast.job x WHERE x.id = ANY (p_jobs) AND x.flags & 24 <> 0
        UNION ALL SELECT x.id FROM holdfast.job_kept x WHERE x.id = ANY (p_jobs) AND x.flags & 24 <> 0) AS j
$$;
COMMENT ON FUNCTION holdfast.company_among_v1 IS 'Those of the jobs that have company, or NULL. Off the hot path, where flags are not at hand.';

CREATE FUNCTION holdfast.finish_v1(
    p_leases bigint[], p_jobs bigint[], p_states smallint[], p_attempts smallint[], p_ago_us bigint[], p_took_us bigint[],
    p_results jsonb[], p_errors jsonb[], p_queues text[], p_queue_at smallint[], p_done bigint[], p_again boolean,
    p_company bigint[] DEFAULT NULL
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_sort = off SET jit = off AS $$
DECLARE
    v_now     timestamptz := holdfast.now();
    v_live    bigint[];
    v_refused bigint[];
BEGIN
    IF cardinality(p_jobs) = 0 THEN
        PERFORM holdfast.end_leases_v1(p_done);
        RETURN '{}';
    END IF;
    -- The fence. Locked in one statement; what the leases still hold is read in the next.
    SELECT array_agg(l.id) INTO v_live FROM (
        SELECT id FROM holdfast.lease WHERE id = ANY (p_leases) ORDER BY id FOR KEY SHARE) AS l;
    IF NOT p_again
       AND holdfast.count_held_v1(v_live, p_leases, p_jobs) = cardinality(p_jobs)
       AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = ANY (v_live))
       AND NOT EXISTS (SELECT FROM unnest(p_jobs) AS j WHERE j < (SELECT s.lowest_id FROM holdfast.storage s)) THEN
        INSERT INTO holdfast.outcome (job_id, lease, state, attempt, started_at, finished_at, result, error)
        SELECT i.job_id, i.lease, i.state, i.attempt, v_now - i.ago_us * interval '1 microsecond',
               v_now - (i.ago_us - i.took_us) * interval '1 microsecond', i.result, i.error
        FROM unnest(p_leases, p_jobs, p_states, p_attempts, p_ago_us, p_took_us, p_results, p_errors)
             AS i(lease, job_id, state, attempt, ago_us, took_us, result, error);
        INSERT INTO holdfast.tally_delta (queue, completed, failed, cancelled, took_us)
        SELECT p_queues[i.queue_at], count(*) FILTER (WHERE i.state = 1), count(*) FILTER (WHERE i.state = 2),
               count(*) FILTER (WHERE i.state = 3), sum(i.took_us)
        FROM unnest(p_queue_at, p_states, p_took_us) AS i(queue_at, state, took_us) GROUP BY i.queue_at;
        IF p_company IS NOT NULL THEN
            PERFORM holdfast.tell_company_v1(array_agg(i.job_id), array_agg(i.lease), array_agg(i.state))
            FROM unnest(p_leases, p_jobs, p_states) AS i(lease, job_id, state) WHERE i.job_id = ANY (p_company);
        END IF;
    ELSE
        v_refused := holdfast.finish_carefully_v1(v_live, v_now, p_leases, p_jobs, p_states, p_attempts, p_ago_us, p_took_us,
                                                  p_results, p_errors, p_queues, p_queue_at, p_company);
    END IF;
    -- Only between the lowest and the highest of these ids: requests that are long dead are not waded through.
    IF EXISTS (SELECT FROM holdfast.cancel_request c WHERE c.job_id BETWEEN (SELECT min(j) FROM unnest(p_jobs) AS j)
                                                                        AND (SELECT max(j) FROM unnest(p_jobs) AS j)) THEN
        DELETE FROM holdfast.cancel_request c WHERE c.job_id = ANY (p_jobs) AND holdfast.is_finished_v1(c.job_id);
    END IF;
    PERFORM holdfast.end_leases_v1(p_done);
    RETURN coalesce(v_refused, '{}');
END $$;
COMMENT ON FUNCTION holdfast.finish_v1 IS
    'Writes outcomes under the fence of their leases; returns the jobs refused. p_again: part of it may have been committed before, what is mine already counts as accepted. p_company: those with company, NULL for none.';

CREATE FUNCTION holdfast.count_held_v1(p_live bigint[], p_leases bigint[], p_jobs bigint[]) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT count(*) FROM (
        SELECT i.lease, i.job_id FROM unnest(p_leases, p_jobs) AS i(lease, job_id)
        INTERSECT
        SELECT l.id, h.job_id FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id) WHERE l.id = ANY (p_live)) AS both_say
$$;
COMMENT ON FUNCTION holdfast.count_held_v1 IS 'How many of these jobs are named by these locked leases: by hashing, since comparing every pair costs 60 ms for 500.';

CREATE FUNCTION holdfast.finish_carefully_v1(
    p_live bigint[], p_now timestamptz, p_leases bigint[], p_jobs bigint[], p_states smallint[], p_attempts smallint[],
    p_ago_us bigint[], p_took_us bigint[], p_results jsonb[], p_errors jsonb[], p_queues text[], p_queue_at smallint[],
    p_company bigint[]
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_lowest bigint := (SELECT s.lowest_id FROM holdfast.storage s);
    v_job    record;
    v_refused bigint[] := '{}';
BEGIN
    FOR v_job IN
        SELECT * FROM unnest(p_leases, p_jobs, p_states, p_attempts, p_ago_us, p_took_us, p_results, p_errors, p_queue_at)
            AS i(lease, job_id, state, attempt, ago_us, took_us, result, error, queue_at)
    LOOP
        IF EXISTS (SELECT FROM holdfast.every_outcome o WHERE o.job_id = v_job.job_id AND o.lease = v_job.lease) THEN
            CONTINUE;                                       -- mine already: the answer to the first try was lost
        ELSIF holdfast.is_finished_v1(v_job.job_id)
           OR NOT EXISTS (SELECT FROM holdfast.lease l WHERE l.id = v_job.lease AND l.id = ANY (p_live) AND v_job.job_id = ANY (l.job_ids))
           OR EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = v_job.lease AND e.job_id = v_job.job_id) THEN
            v_refused := v_refused || v_job.job_id;
            CONTINUE;
        ELSIF v_job.job_id >= v_lowest THEN
            INSERT INTO holdfast.outcome (job_id, lease, state, attempt, started_at, finished_at, result, error)
            VALUES (v_job.job_id, v_job.lease, v_job.state, v_job.attempt, p_now - v_job.ago_us * interval '1 microsecond',
                    p_now - (v_job.ago_us - v_job.took_us) * interval '1 microsecond', v_job.result, v_job.error);
        ELSE
            INSERT INTO holdfast.outcome_kept (job_id, lease, state, attempt, started_at, finished_at, result, error)
            VALUES (v_job.job_id, v_job.lease, v_job.state, v_job.attempt, p_now - v_job.ago_us * interval '1 microsecond',
                    p_now - (v_job.ago_us - v_job.took_us) * interval '1 microsecond', v_job.result, v_job.error);
        END IF;
        INSERT INTO holdfast.tally_delta (queue, completed, failed, cancelled, took_us)
        VALUES (p_queues[v_job.queue_at], (v_job.state = 1)::integer, (v_job.state = 2)::integer, (v_job.state = 3)::integer, v_job.took_us);
        IF v_job.job_id = ANY (p_company) THEN
            PERFORM holdfast.tell_company_v1(ARRAY[v_job.job_id], ARRAY[v_job.lease], ARRAY[v_job.state]);
        END IF;
    END LOOP;
    RETURN v_refused;
END $$;
COMMENT ON FUNCTION holdfast.finish_carefully_v1 IS
    'As finish_v1, job by job, for batches of which some may be finished already, lost, or older than the oldest partition.';

CREATE FUNCTION holdfast.end_leases_v1(p_done bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF cardinality(p_done) > 0 THEN
        DELETE FROM holdfast.lease l WHERE l.id = ANY (p_done);
        DELETE FROM holdfast.lease_exit e WHERE e.lease = ANY (p_done);
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.end_leases_v1 IS 'Ends leases of which the worker knows that every job has left.';

CREATE FUNCTION holdfast.leave_v1(
    p_leases bigint[], p_jobs bigint[], p_moves smallint[], p_delays_us bigint[], p_attempts smallint[],
    p_queues text[], p_priorities smallint[], p_flags smallint[], p_errors jsonb[], p_ago_us bigint[], p_took_us bigint[],
    p_done bigint[]
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_sort = off SET jit = off AS $$
DECLARE
    v_now     timestamptz := holdfast.now();
    v_live    bigint[];
    v_left    bigint[];
    v_cancel  bigint[];
    v_refused bigint[];
BEGIN
    SELECT array_agg(l.id) INTO v_live FROM (
        SELECT id FROM holdfast.lease WHERE id = ANY (p_leases) ORDER BY id FOR KEY SHARE) AS l;
    WITH held AS (
        SELECT l.id AS lease, h.job_id FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id) WHERE l.id = ANY (v_live)
    ), gone AS (
        INSERT INTO holdfast.lease_exit (lease, job_id)
        SELECT i.lease, i.job_id FROM unnest(p_leases, p_jobs) AS i(lease, job_id)
        JOIN held h ON h.lease = i.lease AND h.job_id = i.job_id
        WHERE NOT holdfast.is_finished_v1(i.job_id)
        ON CONFLICT DO NOTHING RETURNING job_id
    )
    SELECT array_agg(job_id) INTO v_left FROM gone;
    IF cardinality(v_left) > 0 THEN
        SELECT array_agg(c.job_id) INTO v_cancel FROM holdfast.cancel_request c WHERE c.job_id = ANY (v_left);
        INSERT INTO holdfast.failed_attempt (job_id, attempt, lease, started_at, finished_at, error)
        SELECT i.job_id, i.attempt - 1, i.lease, v_now - i.ago_us * interval '1 microsecond',
               v_now - (i.ago_us - i.took_us) * interval '1 microsecond', i.error
        FROM unnest(p_leases, p_jobs, p_attempts, p_errors, p_ago_us, p_took_us) AS i(lease, job_id, attempt, error, ago_us, took_us)
        WHERE i.error IS NOT NULL AND i.job_id = ANY (v_left);
        INSERT INTO holdfast.tally_delta (queue, retried)
        SELECT i.queue, count(*) FROM unnest(p_jobs, p_queues, p_moves) AS i(job_id, queue, move)
        WHERE i.move = 1 AND i.job_id = ANY (v_left) AND i.job_id <> ALL (coalesce(v_cancel, '{}')) GROUP BY i.queue;
        INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
        SELECT v_now + i.delay_us * interval '1 microsecond', i.job_id, i.queue, i.priority, i.attempt, i.flags
        FROM unnest(p_jobs, p_delays_us, p_queues, p_priorities, p_attempts, p_flags)
             AS i(job_id, delay_us, queue, priority, attempt, flags)
        WHERE i.delay_us > 0 AND i.job_id = ANY (v_left) AND i.job_id <> ALL (coalesce(v_cancel, '{}'));
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT i.queue, i.priority, i.job_id, i.attempt, i.flags
        FROM unnest(p_jobs, p_delays_us, p_queues, p_priorities, p_attempts, p_flags)
             AS i(job_id, delay_us, queue, priority, attempt, flags)
        WHERE i.delay_us <= 0 AND i.flags & 8 = 0 AND i.job_id = ANY (v_left) AND i.job_id <> ALL (coalesce(v_cancel, '{}'));
        IF EXISTS (SELECT FROM unnest(p_flags) AS f WHERE f & 24 <> 0) THEN
            PERFORM holdfast.tell_company_v1(array_agg(i.job_id), array_agg(i.lease), array_agg((10 + i.move)::smallint))
            FROM unnest(p_leases, p_jobs, p_moves, p_flags) AS i(lease, job_id, move, flags)
            WHERE i.flags & 24 <> 0 AND i.job_id = ANY (v_left) AND i.job_id <> ALL (coalesce(v_cancel, '{}'))
            HAVING count(*) > 0;
            PERFORM holdfast.line_up_v1(array_agg(i.job_id), array_agg(i.queue), array_agg(i.priority), array_agg(i.attempt), array_agg(i.flags))
            FROM unnest(p_jobs, p_delays_us, p_queues, p_priorities, p_attempts, p_flags)
                 AS i(job_id, delay_us, queue, priority, attempt, flags)
            WHERE i.delay_us <= 0 AND i.flags & 8 <> 0 AND i.job_id = ANY (v_left) AND i.job_id <> ALL (coalesce(v_cancel, '{}'))
            HAVING count(*) > 0;
        END IF;
        IF cardinality(v_cancel) > 0 THEN
            PERFORM holdfast.end_cancelled_v1(i.lease, array_agg(i.job_id), array_agg(i.queue), array_agg(i.attempt))
            FROM unnest(p_leases, p_jobs, p_queues, p_attempts) AS i(lease, job_id, queue, attempt)
            WHERE i.job_id = ANY (v_cancel) GROUP BY i.lease;
        END IF;
        PERFORM holdfast.ring_v1(ARRAY(
            SELECT DISTINCT i.queue FROM unnest(p_jobs, p_queues, p_delays_us) AS i(job_id, queue, delay_us)
            WHERE i.delay_us <= 0 AND i.job_id = ANY (v_left)));
    END IF;
    SELECT array_agg(i.job_id) INTO v_refused FROM unnest(p_leases, p_jobs) AS i(lease, job_id)
    WHERE i.job_id <> ALL (coalesce(v_left, '{}'))
      AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = i.lease AND e.job_id = i.job_id);
    PERFORM holdfast.end_leases_v1(p_done);
    RETURN coalesce(v_refused, '{}');
END $$;
COMMENT ON FUNCTION holdfast.leave_v1 IS
    'Ways out of a lease that are no outcome: move 1 retry, 2 snooze, 3 return. The exit and the new place are one commit; a job asked to be cancelled ends as cancelled instead.';

CREATE FUNCTION holdfast.end_cancelled_v1(p_lease bigint, p_jobs bigint[], p_queues text[], p_attempts smallint[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_now     timestamptz := holdfast.now();
    v_company bigint[] := holdfast.company_among_v1(p_jobs);
BEGIN
    PERFORM holdfast.write_outcome_v1(i.job_id, p_lease, 3::smallint, i.attempt, v_now,
        jsonb_build_object('type', 'Cancelled', 'message', coalesce(c.reason, 'cancelled on request')))
    FROM unnest(p_jobs, p_attempts) AS i(job_id, attempt)
    LEFT JOIN holdfast.cancel_request c ON c.job_id = i.job_id;
    INSERT INTO holdfast.tally_delta (queue, cancelled) SELECT q, count(*) FROM unnest(p_queues) AS q GROUP BY q;
    DELETE FROM holdfast.cancel_request c WHERE c.job_id = ANY (p_jobs);
    IF v_company IS NOT NULL THEN
        PERFORM holdfast.tell_company_v1(v_company, array_fill(p_lease, ARRAY[cardinality(v_company)]),
                                         array_fill(3::smallint, ARRAY[cardinality(v_company)]));
        PERFORM pg_notify('holdfast_gates', '');
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.end_cancelled_v1 IS 'Ends jobs that nobody runs any more as cancelled. The caller has taken them out of their place.';

CREATE FUNCTION holdfast.write_outcome_v1(
    p_job bigint, p_lease bigint, p_state smallint, p_attempt smallint, p_at timestamptz, p_error jsonb
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_job >= (SELECT s.lowest_id FROM holdfast.storage s) THEN
        INSERT INTO holdfast.outcome (job_id, lease, state, attempt, finished_at, error)
        VALUES (p_job, p_lease, p_state, p_attempt, p_at, p_error);
    ELSE
        INSERT INTO holdfast.outcome_kept (job_id, lease, state, attempt, finished_at, error)
        VALUES (p_job, p_lease, p_state, p_attempt, p_at, p_error);
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.write_outcome_v1 IS 'One outcome off the hot path: cancelled while waiting, or lost too often.';

CREATE FUNCTION holdfast.claim_v1(
    p_worker bigint, p_lease bigint, p_limit integer, p_queues text[], p_priorities smallint[], p_marks bigint[]
) RETURNS TABLE (kind smallint, job_id bigint, lease bigint, queue text, priority smallint, seq bigint, attempt smallint,
                 flags smallint, task text, args text, max_attempts smallint, timeout_seconds real, trace jsonb)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_sort = off SET jit = off AS $$
DECLARE
    v_jobs       bigint[];
    v_leases     bigint[];
    v_queues     text[];
    v_priorities smallint[];
    v_seqs       bigint[];
    v_attempts   smallint[];
    v_flags      smallint[];
    v_alone      boolean;
    v_places     tid[];
BEGIN
    SELECT array_agg(r.place) INTO v_places FROM (
        SELECT f.place
        FROM unnest(p_queues, p_priorities, p_marks) AS m(queue, priority, mark)
        CROSS JOIN LATERAL (
            SELECT x.ctid AS place FROM holdfast.ready x
            WHERE x.queue = m.queue AND x.priority = m.priority AND x.seq >= m.mark
              AND NOT EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = m.queue)
            ORDER BY x.seq LIMIT p_limit FOR UPDATE OF x SKIP LOCKED
        ) AS f
        LIMIT p_limit) AS r;
    IF v_places IS NULL THEN
        -- A look that finds nothing must not write: a row lock is a write, and every write is a flush of the log.
        IF NOT EXISTS (SELECT FROM holdfast.worker w WHERE w.id = p_worker AND w.state = 'live') THEN
            kind := 2;
            RETURN NEXT;
        END IF;
        RETURN;
    END IF;
    PERFORM FROM holdfast.worker w WHERE w.id = p_worker AND w.state = 'live' FOR KEY SHARE;
    IF NOT FOUND THEN
        kind := 2;
        RETURN NEXT;
        RETURN;
    END IF;
    WITH taken AS (
        DELETE FROM holdfast.ready x WHERE x.ctid = ANY (v_places)
        RETURNING x.queue, x.priority, x.seq, x.job_id, x.attempt, x.flags
    )
    SELECT array_agg(t.job_id), array_agg(t.queue), array_agg(t.priority), array_agg(t.seq), array_agg(t.attempt), array_agg(t.flags),
           bool_or(t.flags & 5 <> 0)
    INTO v_jobs, v_queues, v_priorities, v_seqs, v_attempts, v_flags, v_alone
    FROM (SELECT * FROM taken ORDER BY taken.priority, taken.seq) AS t;
    IF EXISTS (SELECT FROM holdfast.cancel_request c WHERE c.job_id = ANY (v_jobs)) THEN
        SELECT s.jobs, s.queues, s.priorities, s.seqs, s.attempts, s.flags
        INTO v_jobs, v_queues, v_priorities, v_seqs, v_attempts, v_flags
        FROM holdfast.drop_cancelled_v1(v_jobs, v_queues, v_priorities, v_seqs, v_attempts, v_flags) AS s;
        IF v_jobs IS NULL THEN
            RETURN;
        END IF;
    END IF;
    IF v_alone THEN
        -- Transactional tasks and suspects get a lease of their own (p_lease + 1 …); all others share p_lease.
        SELECT array_agg(n.lease ORDER BY n.at) INTO v_leases FROM (
            SELECT i.at, CASE WHEN i.flags & 5 <> 0
                              THEN p_lease + count(*) FILTER (WHERE i.flags & 5 <> 0) OVER (ROWS UNBOUNDED PRECEDING)
                              ELSE p_lease END AS lease
            FROM unnest(v_flags) WITH ORDINALITY AS i(flags, at)) AS n;
        INSERT INTO holdfast.lease (id, job_ids, claimed_at)
        SELECT i.lease, array_agg(i.job_id), holdfast.now()
        FROM unnest(v_leases, v_jobs) AS i(lease, job_id) GROUP BY i.lease;
    ELSE
        v_leases := array_fill(p_lease, ARRAY[cardinality(v_jobs)]);
        INSERT INTO holdfast.lease (id, job_ids, claimed_at) VALUES (p_lease, v_jobs, holdfast.now());
    END IF;
    IF cardinality(v_jobs) > 1 THEN
        RETURN QUERY SELECT * FROM holdfast.payload_v1(v_jobs, v_leases, v_queues, v_priorities, v_seqs, v_attempts, v_flags);
        RETURN;
    END IF;
    -- One job: a kept plan that prunes when it starts. Planning a statement for it would take longer than all the rest.
    kind := 0; job_id := v_jobs[1]; lease := v_leases[1]; queue := v_queues[1]; priority := v_priorities[1]; seq := v_seqs[1];
    attempt := v_attempts[1]; flags := v_flags[1];
    SELECT j.task, j.args, j.max_attempts, j.timeout_seconds, j.trace INTO task, args, max_attempts, timeout_seconds, trace
    FROM (SELECT * FROM holdfast.job x WHERE x.id = claim_v1.job_id
          UNION ALL SELECT * FROM holdfast.job_kept x WHERE x.id = claim_v1.job_id LIMIT 1) AS j;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION holdfast.claim_v1 IS
    'Takes up to p_limit ready jobs, in the order of the given (queue, priority, mark) triples, into leases of this worker. kind 0: a job; kind 2: this worker was declared dead.';

CREATE FUNCTION holdfast.drop_cancelled_v1(
    p_jobs bigint[], p_queues text[], p_priorities smallint[], p_seqs bigint[], p_attempts smallint[], p_flags smallint[],
    OUT jobs bigint[], OUT queues text[], OUT priorities smallint[], OUT seqs bigint[], OUT attempts smallint[], OUT flags smallint[]
)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM holdfast.end_cancelled_v1(0, array_agg(i.job_id), array_agg(i.queue), array_agg(i.attempt))
    FROM unnest(p_jobs, p_queues, p_attempts) AS i(job_id, queue, attempt)
    JOIN holdfast.cancel_request c ON c.job_id = i.job_id;
    SELECT array_agg(i.job_id ORDER BY i.at), array_agg(i.queue ORDER BY i.at), array_agg(i.priority ORDER BY i.at),
           array_agg(i.seq ORDER BY i.at), array_agg(i.attempt ORDER BY i.at), array_agg(i.flags ORDER BY i.at)
    INTO jobs, queues, priorities, seqs, attempts, flags
    FROM unnest(p_jobs, p_queues, p_priorities, p_seqs, p_attempts, p_flags) WITH ORDINALITY
         AS i(job_id, queue, priority, seq, attempt, flags, at)
    WHERE NOT EXISTS (SELECT FROM holdfast.outcome o WHERE o.job_id = i.job_id)
      AND NOT EXISTS (SELECT FROM holdfast.outcome_kept o WHERE o.job_id = i.job_id);
END $$;
COMMENT ON FUNCTION holdfast.drop_cancelled_v1 IS 'Ends those of the just claimed jobs that somebody cancelled while they waited; returns the others.';

CREATE FUNCTION holdfast.payload_v1(
    p_jobs bigint[], p_leases bigint[], p_queues text[], p_priorities smallint[], p_seqs bigint[], p_attempts smallint[], p_flags smallint[]
) RETURNS TABLE (kind smallint, job_id bigint, lease bigint, queue text, priority smallint, seq bigint, attempt smallint,
                 flags smallint, task text, args text, max_attempts smallint, timeout_seconds real, trace jsonb)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_nestloop = off SET jit = off AS $$
DECLARE
    v_span bigint;
    v_low  bigint;
    v_from bigint;
    v_to   bigint;
BEGIN
    -- Joining 400 partitions costs 20 ms, one partition 0.1: so the bounds are given as values, a partition's worth at a time.
    SELECT s.partition_days * (86400000::bigint << 22), s.lowest_id INTO v_span, v_low FROM holdfast.storage s;
    SELECT min(j), max(j) INTO v_from, v_to FROM unnest(p_jobs) AS j;
    IF v_from < v_low THEN
        RETURN QUERY
        SELECT 0::smallint, i.job_id, i.lease, i.queue, i.priority, i.seq, i.attempt, i.flags,
               j.task, j.args::text, j.max_attempts, j.timeout_seconds, j.trace
        FROM unnest(p_jobs, p_leases, p_queues, p_priorities, p_seqs, p_attempts, p_flags)
             AS i(job_id, lease, queue, priority, seq, attempt, flags)
        LEFT JOIN holdfast.job_kept j ON j.id = i.job_id WHERE i.job_id < v_low;
        SELECT min(j) INTO v_from FROM unnest(p_jobs) AS j WHERE j >= v_low;
    END IF;
    WHILE v_from IS NOT NULL LOOP
        v_to := (v_from / v_span + 1) * v_span;             -- where the partition of v_from ends
        RETURN QUERY EXECUTE
            'SELECT 0::smallint, i.job_id, i.lease, i.queue, i.priority, i.seq, i.attempt, i.flags,
                    j.task, j.args::text, j.max_attempts, j.timeout_seconds, j.trace
             FROM unnest($1, $2, $3, $4, $5, $6, $7) AS i(job_id, lease, queue, priority, seq, attempt, flags)
             LEFT JOIN (SELECT * FROM holdfast.job x WHERE x.id = ANY (ARRAY(SELECT unnest($1))) AND x.id >= $8 AND x.id < $9) AS j ON j.id = i.job_id
             WHERE i.job_id >= $8 AND i.job_id < $9'
            USING p_jobs, p_leases, p_queues, p_priorities, p_seqs, p_attempts, p_flags, v_from, v_to;
        SELECT min(j) INTO v_from FROM unnest(p_jobs) AS j WHERE j >= v_to;
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.payload_v1 IS 'What to run for each claimed job; task is NULL where the payload is missing, so that it can be failed instead of vanishing.';

CREATE FUNCTION holdfast.work_v1(
    p_leases bigint[], p_jobs bigint[], p_states smallint[], p_attempts smallint[], p_ago_us bigint[], p_took_us bigint[],
    p_results jsonb[], p_errors jsonb[], p_finish_queues text[], p_queue_at smallint[], p_done bigint[], p_again boolean,
    p_worker bigint, p_lease bigint, p_limit integer, p_queues text[], p_priorities smallint[], p_marks bigint[],
    p_company bigint[] DEFAULT NULL
) RETURNS TABLE (kind smallint, job_id bigint, lease bigint, queue text, priority smallint, seq bigint, attempt smallint,
                 flags smallint, task text, args text, max_attempts smallint, timeout_seconds real, trace jsonb)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_refused bigint[];
BEGIN
    IF cardinality(p_jobs) = 0 THEN
        -- A claim alone need not wait for the disk. A crash of the server that loses it puts the jobs back into ready and
        -- takes the lease away, so nothing of that attempt is accepted; nothing later can be durable without it.
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    v_refused := holdfast.finish_v1(p_leases, p_jobs, p_states, p_attempts, p_ago_us, p_took_us, p_results, p_errors,
                                    p_finish_queues, p_queue_at, p_done, p_again, p_company);
    IF cardinality(v_refused) > 0 THEN
        RETURN QUERY SELECT 1::smallint, r, NULL::bigint, NULL::text, NULL::smallint, NULL::bigint, NULL::smallint,
            NULL::smallint, NULL::text, NULL::text, NULL::smallint, NULL::real, NULL::jsonb FROM unnest(v_refused) AS r;
    END IF;
    RETURN QUERY SELECT * FROM holdfast.claim_v1(p_worker, p_lease, p_limit, p_queues, p_priorities, p_marks);
END $$;
COMMENT ON FUNCTION holdfast.work_v1 IS 'finish_v1 and claim_v1 in one round trip and one commit. kind 1: a completion that was refused, its lease is lost.';

CREATE FUNCTION holdfast.finish_solo_v1(
    p_lease bigint, p_job bigint, p_attempt smallint, p_took_us bigint, p_result jsonb, p_queue text, p_flags smallint DEFAULT 0
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_now timestamptz := holdfast.now();
BEGIN
    DELETE FROM holdfast.lease l WHERE l.id = p_lease AND p_job = ANY (l.job_ids);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF p_job >= (SELECT s.lowest_id FROM holdfast.storage s) THEN
        INSERT INTO holdfast.outcome (job_id, lease, state, attempt, started_at, finished_at, result)
        VALUES (p_job, p_lease, 1, p_attempt, v_now - p_took_us * interval '1 microsecond', v_now, p_result);
    ELSE
        INSERT INTO holdfast.outcome_kept (job_id, lease, state, attempt, started_at, finished_at, result)
        VALUES (p_job, p_lease, 1, p_attempt, v_now - p_took_us * interval '1 microsecond', v_now, p_result);
    END IF;
    INSERT INTO holdfast.tally_delta (queue, completed, took_us) VALUES (p_queue, 1, p_took_us);
    IF p_flags & 24 <> 0 THEN
        PERFORM holdfast.tell_company_v1(ARRAY[p_job], ARRAY[p_lease], ARRAY[1::smallint]);
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION holdfast.finish_solo_v1 IS
    'Last statement of a job''s own transaction: fence, outcome and end of the solo lease are one with the effects. False: the lease is lost, roll back.';
