-- A lane's next job stood before its gate twice over: a look moved it to ready, and a claim from there into a lease. Now the claim
-- that goes with the end of a job takes the next of its lane straight into its lease, as it does from the lines of limits: under the
-- same lock, tried and never waited for. Whoever ends a job is told which gates it has left that nobody went on at. The line of a
-- limit is left to whoever takes all it asked for, for 100 ms, and one that a claim empties keeps its mark at its end: while an
-- old snapshot is held, the next claim would wade through all that has passed. Calls for the same gates are heard together.

DROP FUNCTION holdfast.leave_lease_slots_v1(bigint[], bigint[]);
CREATE FUNCTION holdfast.leave_lease_slots_v1(p_jobs bigint[], p_leases bigint[]) RETURNS text[]
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_left text[];
BEGIN
    -- In the order of the leases, so that two that leave together never wait for each other crosswise.
    PERFORM FROM holdfast.lease_slot s WHERE s.lease = ANY (p_leases) ORDER BY s.lease FOR NO KEY UPDATE;
    IF FOUND THEN
        WITH smaller AS (
            UPDATE holdfast.lease_slot s SET job_ids = ARRAY(SELECT unnest(s.job_ids) EXCEPT SELECT unnest(p_jobs)) WHERE s.lease = ANY (p_leases)
            RETURNING s.gate)
        SELECT array_agg(DISTINCT x.gate) INTO v_left FROM smaller x;
        DELETE FROM holdfast.lease_slot s WHERE s.lease = ANY (p_leases) AND s.job_ids = '{}';
    END IF;
    RETURN v_left;
END $$;
COMMENT ON FUNCTION holdfast.leave_lease_slots_v1 IS
    'Gives back what these jobs hold together with others of their leases. Returns the gates; of another job of these leases perhaps one more.';

DROP FUNCTION holdfast.tell_company_v1(bigint[], bigint[], smallint[]);
CREATE FUNCTION holdfast.tell_company_v1(p_jobs bigint[], p_leases bigint[], p_moves smallint[]) RETURNS text[]
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_left text[];
    v_more text[];
BEGIN
    PERFORM holdfast.tell_batches_v1(p_jobs, p_moves);
    v_left := holdfast.leave_lease_slots_v1(p_jobs, p_leases);
    -- What a job holds of lanes it holds to its end, what it holds of limits only while it is leased.
    IF 10 > ALL (p_moves) THEN
        WITH gone AS (DELETE FROM holdfast.slot s WHERE s.job_id = ANY (p_jobs) RETURNING s.gate)
        SELECT array_agg(x.gate) INTO v_more FROM (SELECT g.gate FROM gone g GROUP BY g.gate) AS x;
    ELSE
        WITH gone AS (
            DELETE FROM holdfast.slot s USING unnest(p_jobs, p_moves) AS m(job_id, move)
            WHERE s.job_id = m.job_id AND (m.move < 10 OR NOT starts_with(s.gate, 'lane:')) RETURNING s.gate)
        SELECT array_agg(x.gate) INTO v_more FROM (SELECT g.gate FROM gone g GROUP BY g.gate) AS x;
    END IF;
    RETURN v_left || v_more;
END $$;
COMMENT ON FUNCTION holdfast.tell_company_v1 IS
    'Told of every move of a job with company, after its new place is written, with the leases they leave; never of plain jobs. Lease 0: it moved without one. Returns the gates they have left.';

DROP FUNCTION holdfast.finish_v1(bigint[], bigint[], smallint[], smallint[], bigint[], bigint[], jsonb[], jsonb[], text[], smallint[], bigint[], boolean, bigint[]);
CREATE FUNCTION holdfast.finish_v1(
    p_leases bigint[], p_jobs bigint[], p_states smallint[], p_attempts smallint[], p_ago_us bigint[], p_took_us bigint[],
    p_results jsonb[], p_errors jsonb[], p_queues text[], p_queue_at smallint[], p_done bigint[], p_again boolean,
    p_company bigint[] DEFAULT NULL, OUT refused bigint[], OUT gates text[]
)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_sort = off SET jit = off AS $$
DECLARE
    v_now  timestamptz := holdfast.now();
    v_live bigint[];
    v_low  bigint;
    v_high bigint;
BEGIN
    refused := '{}';
    IF cardinality(p_jobs) = 0 THEN
        PERFORM holdfast.end_leases_v1(p_done);
        RETURN;
    END IF;
    SELECT min(j), max(j) INTO v_low, v_high FROM unnest(p_jobs) AS j;
    -- The fence. Locked in one statement; what the leases still hold is read in the next.
    SELECT array_agg(l.id) INTO v_live FROM (
        SELECT id FROM holdfast.lease WHERE id = ANY (p_leases) ORDER BY id FOR KEY SHARE) AS l;
    IF NOT p_again
       AND holdfast.count_held_v1(v_live, p_leases, p_jobs) = cardinality(p_jobs)
       AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = ANY (v_live))
       AND v_low >= (SELECT s.lowest_id FROM holdfast.storage s) THEN
        INSERT INTO holdfast.outcome (job_id, lease, state, attempt, started_at, finished_at, result, error)
        SELECT i.job_id, i.lease, i.state, i.attempt, v_now - i.ago_us * interval '1 microsecond',
               v_now - (i.ago_us - i.took_us) * interval '1 microsecond', i.result, i.error
        FROM unnest(p_leases, p_jobs, p_states, p_attempts, p_ago_us, p_took_us, p_results, p_errors)
             AS i(lease, job_id, state, attempt, ago_us, took_us, result, error);
        INSERT INTO holdfast.tally_delta (queue, completed, failed, cancelled, took_us)
        SELECT p_queues[i.queue_at], count(*) FILTER (WHERE i.state = 1), count(*) FILTER (WHERE i.state = 2),
               count(*) FILTER (WHERE i.state = 3), sum(i.took_us)
        FROM unnest(p_queue_at, p_states, p_took_us) AS i(queue_at, state, took_us) GROUP BY i.queue_at;
        IF cardinality(p_company) = cardinality(p_jobs) THEN
            gates := holdfast.tell_company_v1(p_jobs, v_live, p_states);
        ELSIF p_company IS NOT NULL THEN
            SELECT holdfast.tell_company_v1(array_agg(i.job_id), v_live, array_agg(i.state)) INTO gates
            FROM unnest(p_jobs, p_states) AS i(job_id, state) JOIN unnest(p_company) AS c(job_id) ON c.job_id = i.job_id;
        END IF;
    ELSE
        refused := coalesce(holdfast.finish_carefully_v1(v_live, v_now, p_leases, p_jobs, p_states, p_attempts, p_ago_us, p_took_us,
                                                         p_results, p_errors, p_queues, p_queue_at, p_company), '{}');
        gates := holdfast.gates_among_v1(p_company);
    END IF;
    -- Only between the lowest and the highest of these ids: requests that are long dead are not waded through.
    IF EXISTS (SELECT FROM holdfast.cancel_request c WHERE c.job_id BETWEEN v_low AND v_high) THEN
        DELETE FROM holdfast.cancel_request c WHERE c.job_id = ANY (p_jobs) AND holdfast.is_finished_v1(c.job_id);
    END IF;
    PERFORM holdfast.end_leases_v1(p_done);
END $$;
COMMENT ON FUNCTION holdfast.finish_v1 IS
    'Writes outcomes under the fence of their leases. p_again: part of it may have been committed before, what is mine already counts as accepted. p_company: those with company, NULL for none. refused: jobs whose lease is lost; gates: those that the others have left.';

DROP FUNCTION holdfast.find_straight_v1(text[], integer);
CREATE FUNCTION holdfast.find_straight_v1(
    p_queues text[], p_limit integer, p_kept text[], p_freed text[], OUT places tid[], OUT marks text[], OUT wanting text[], OUT later text[])
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    v_left   text[] COLLATE "C" := p_kept || p_freed;       -- lane: < limit: < rate:, whatever the database sorts by
    v_kept   integer := coalesce(cardinality(p_kept), 0);
    v_open   text[];
    v_line   record;
    v_places tid[];
    v_ours   integer;
    v_limits text[];
BEGIN
    IF NOT coalesce('lane;' > ANY (v_left), false)
       AND (p_limit < 25 OR NOT EXISTS (SELECT FROM holdfast.gate g WHERE g.name > 'limit:' AND g.name < 'limit;')) THEN
        wanting := v_left;
        RETURN;
    ELSIF NOT pg_try_advisory_xact_lock(1212574, 0) THEN
        later := v_left;
        RETURN;
    END IF;
    v_open := ARRAY(SELECT DISTINCT q FROM unnest(p_queues) AS q WHERE NOT EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = q));
    IF 'lane;' > ANY (v_left) THEN
        -- Of each lane its first, if it is ours. One that was kept may be taken by now; of those freed here nobody else knows yet.
        -- The mark of a lane moves now and then, its lowest slot whenever it must.
        WITH g AS MATERIALIZED (SELECT x.name, x.mark_rank, x.mark_seq, x.low_slot FROM holdfast.gate x WHERE x.name = ANY (v_left[:p_limit]))
        SELECT array_agg(h.place) FILTER (WHERE h.is_ours), array_agg(l.gate) FILTER (WHERE h.is_ours AND (random() < 0.03 OR g.low_slot > h.job_id)),
               array_agg(l.gate) FILTER (WHERE NOT h.is_ours)
        INTO places, marks, wanting
        FROM unnest(v_left[:p_limit]) WITH ORDINALITY AS l(gate, at)
        LEFT JOIN g ON g.name = l.gate
        CROSS JOIN LATERAL (
            SELECT b.ctid AS place, b.job_id, b.gates = l.gate AND b.queue = ANY (v_open) AS is_ours
            FROM holdfast.blocked b WHERE b.gate = l.gate AND (b.rank, b.seq) >= (coalesce(g.mark_rank, -1), coalesce(g.mark_seq, 0))
            ORDER BY b.rank, b.seq LIMIT 1) AS h
        WHERE l.gate < 'lane;' AND (l.at > v_kept OR NOT EXISTS (
            SELECT FROM holdfast.slot s WHERE s.gate = l.gate AND s.job_id >= coalesce(g.low_slot, 0)));
        v_places := ARRAY(SELECT b.ctid FROM holdfast.blocked b WHERE b.ctid = ANY (places) FOR UPDATE SKIP LOCKED);
        IF cardinality(v_places) < cardinality(places) THEN
            wanting := v_left;                                  -- of some somebody holds the row
        ELSE
            later := v_left[p_limit + 1:];
        END IF;
        places := v_places;
    END IF;
    v_limits := CASE WHEN 'lane;' < ANY (v_left) THEN ARRAY(SELECT x FROM unnest(v_left) AS x WHERE x > 'lane;') END;
    FOR v_line IN
        SELECT g.name, g.mark_rank, g.mark_seq FROM holdfast.gate g WHERE g.name > 'limit:' AND g.name < 'limit;' ORDER BY g.name LIMIT 16
    LOOP
        EXIT WHEN p_limit - coalesce(cardinality(places), 0) < 25;
        -- Of each line its beginning, as far as it is ours: who needs more, or waits for a queue of others, is let in by a look.
        SELECT array_agg(w.place), array_position(array_agg(w.is_ours), false) - 1 INTO v_places, v_ours FROM (
            SELECT b.ctid AS place, b.gates = v_line.name AND b.queue = ANY (v_open) AS is_ours
            FROM holdfast.blocked b WHERE b.gate = v_line.name AND (b.rank, b.seq) >= (v_line.mark_rank, v_line.mark_seq)
            ORDER BY b.rank, b.seq
            LIMIT least(greatest(holdfast.room_v1(v_line.name), 0), p_limit - coalesce(cardinality(places), 0)) FOR UPDATE SKIP LOCKED) AS w;
        places := places || v_places[1:coalesce(v_ours, cardinality(v_places))];
        IF v_ours IS NULL THEN
            v_limits := array_remove(v_limits, v_line.name);    -- full, or empty, or this worker comes back for more
        END IF;
    END LOOP;
    places := nullif(places, '{}');
    wanting := wanting || v_limits;
END $$;
COMMENT ON FUNCTION holdfast.find_straight_v1 IS
    'Where up to p_limit jobs stand that may pass their only gate now, their rows locked: the next in lanes that have been left (p_kept: by an earlier call, p_freed: by this transaction), and from 25 on the first under limits. From here to the end of the transaction nobody else lets in. wanting: gates left that want a look; later: those for which there was no room, or another worker was at it.';

DROP FUNCTION holdfast.take_straight_v1(bigint, tid[], integer);
CREATE FUNCTION holdfast.take_straight_v1(p_lease bigint, p_places tid[], p_marks text[], p_limit integer,
    OUT jobs bigint[], OUT queues text[], OUT priorities smallint[], OUT seqs bigint[], OUT attempts smallint[], OUT flags smallint[],
    OUT alone boolean)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    v_now     timestamptz := holdfast.now();
    v_gates   text[] COLLATE "C";
    v_ranks   bigint[];
    v_numbers bigint[];
    v_last    text   COLLATE "C";
    v_line    record;
BEGIN
    WITH gone AS (
        DELETE FROM holdfast.blocked b WHERE b.ctid = ANY (p_places)
        RETURNING b.gate, b.rank, b.seq, b.job_id, b.queue, b.priority, b.attempt, b.flags
    )
    SELECT array_agg(g.job_id), array_agg(g.queue), array_agg(g.priority), array_agg(g.attempt), array_agg(g.flags), bool_or(g.flags & 5 <> 0),
           array_agg(g.gate), array_agg(g.rank), array_agg(g.seq), max(g.gate)
    INTO jobs, queues, priorities, attempts, flags, alone, v_gates, v_ranks, v_numbers, v_last
    FROM (SELECT * FROM gone ORDER BY gone.rank, gone.seq) AS g;
    -- Their numbers are below all that ready gives out: they are no marks for the next claim.
    seqs := ARRAY(SELECT generate_series(1, cardinality(jobs)) - 1000000);
    IF 'limit:' > ANY (v_gates) THEN
        INSERT INTO holdfast.slot (job_id, gate) SELECT i.job_id, i.gate FROM unnest(jobs, v_gates) AS i(job_id, gate) WHERE i.gate < 'limit:';
    END IF;
    IF p_marks IS NOT NULL THEN
        INSERT INTO holdfast.gate AS g (name, mark_rank, mark_seq, virtual, low_slot)
        SELECT i.gate, i.rank, i.seq, i.rank, i.job_id FROM unnest(v_gates, v_ranks, v_numbers, jobs) AS i(gate, rank, seq, job_id)
        JOIN unnest(p_marks) AS m(gate) ON m.gate = i.gate
        ON CONFLICT (name) DO UPDATE SET mark_rank = excluded.mark_rank, mark_seq = excluded.mark_seq,
            virtual = greatest(g.virtual, excluded.virtual), low_slot = excluded.low_slot;
    END IF;
    FOR v_line IN
        SELECT v_last AS gate, jobs AS holders, v_ranks[cardinality(jobs)] AS rank WHERE v_last = ALL (v_gates) AND v_last > 'limit:'
        UNION ALL SELECT i.gate, array_agg(i.job_id), max(i.rank) FROM unnest(v_gates, jobs, v_ranks) AS i(gate, job_id, rank)
        WHERE v_last > 'limit:' AND v_last <> ANY (v_gates) AND i.gate > 'limit:' GROUP BY i.gate ORDER BY 1
    LOOP
        INSERT INTO holdfast.lease_slot (lease, gate, job_ids) VALUES (p_lease, v_line.gate, v_line.holders);
        -- Who is left first, or else the last that was taken: a line that is emptied again and again must not be waded through anew.
        UPDATE holdfast.gate g
        SET (mark_rank, mark_seq) = (
                SELECT coalesce(max(h.rank), v_line.rank), coalesce(max(h.seq), 0) FROM (
                    SELECT b.rank, b.seq FROM holdfast.blocked b WHERE b.gate = g.name AND (b.rank, b.seq) >= (g.mark_rank, g.mark_seq)
                    ORDER BY b.rank, b.seq LIMIT 1) AS h),
            low_lease_slot = coalesce((
                SELECT s.seq FROM holdfast.lease_slot s WHERE s.gate = g.name AND s.seq >= g.low_lease_slot ORDER BY s.seq LIMIT 1), g.low_lease_slot),
            opens_at = CASE WHEN cardinality(jobs) = p_limit AND coalesce(g.opens_at < v_now + interval '50 milliseconds', true)
                            THEN v_now + interval '100 milliseconds' ELSE g.opens_at END
        WHERE g.name = v_line.gate;
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.take_straight_v1 IS
    'Takes jobs out of their lines, with their slots. Where that is all the worker asked for, the line of a limit is its own for a moment.';

DROP FUNCTION holdfast.claim_v1(bigint, bigint, integer, text[], smallint[], bigint[]);
CREATE FUNCTION holdfast.claim_v1(
    p_worker bigint, p_lease bigint, p_limit integer, p_queues text[], p_priorities smallint[], p_marks bigint[],
    p_kept text[] DEFAULT NULL, p_freed text[] DEFAULT NULL
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
    v_line       tid[];
    v_lanes      text[];
    v_wanting    text[];
    v_later      text[] := p_kept || p_freed;
    v_straight   bigint[];
    v_room       integer;
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
    v_room := p_limit - coalesce(cardinality(v_places), 0);
    IF v_room >= 25 OR v_room > 0 AND cardinality(v_later) > 0 THEN
        SELECT f.places, f.marks, f.wanting, f.later INTO v_line, v_lanes, v_wanting, v_later
        FROM holdfast.find_straight_v1(p_queues, v_room, p_kept, p_freed) AS f;
    END IF;
    IF cardinality(v_wanting) > 0 THEN
        kind := 3; args := array_to_string(v_wanting, E'\n');
        RETURN NEXT;
    END IF;
    IF cardinality(v_later) > 0 THEN
        kind := 4; args := array_to_string(v_later, E'\n');
        RETURN NEXT;
    END IF;
    IF v_places IS NULL AND v_line IS NULL THEN
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
    IF v_line IS NOT NULL THEN
        SELECT s.jobs, v_jobs || s.jobs, v_queues || s.queues, v_priorities || s.priorities, v_seqs || s.seqs, v_attempts || s.attempts,
               v_flags || s.flags, coalesce(v_alone, false) OR coalesce(s.alone, false)
        INTO v_straight, v_jobs, v_queues, v_priorities, v_seqs, v_attempts, v_flags, v_alone
        FROM holdfast.take_straight_v1(p_lease, v_line, v_lanes, v_room) AS s;
    END IF;
    IF v_jobs IS NULL THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM holdfast.cancel_request c WHERE c.job_id = ANY (v_jobs)) THEN
        SELECT s.jobs, s.queues, s.priorities, s.seqs, s.attempts, s.flags
        INTO v_jobs, v_queues, v_priorities, v_seqs, v_attempts, v_flags
        FROM holdfast.drop_cancelled_v1(v_jobs, v_queues, v_priorities, v_seqs, v_attempts, v_flags) AS s;
        PERFORM holdfast.leave_lease_slots_v1(ARRAY(SELECT unnest(v_straight) EXCEPT SELECT unnest(v_jobs)), ARRAY[p_lease]);
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
        INSERT INTO holdfast.lease_slot (lease, gate, job_ids)
        SELECT i.lease, s.gate, ARRAY[i.job_id] FROM holdfast.lease_slot s, unnest(s.job_ids) AS h(job_id)
        JOIN unnest(v_leases, v_jobs) AS i(lease, job_id) ON i.job_id = h.job_id WHERE s.lease = p_lease AND i.lease <> p_lease;
        PERFORM holdfast.leave_lease_slots_v1(array_agg(i.job_id), ARRAY[p_lease])
        FROM unnest(v_leases, v_jobs) AS i(lease, job_id) WHERE i.lease <> p_lease HAVING count(*) > 0;
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
    'Takes up to p_limit jobs into leases of this worker: ready ones, in the order of the given (queue, priority, mark) triples, then straight from lines: of lanes its jobs have left (p_kept by an earlier call, p_freed by this transaction), of limits. kind 0: a job; 2: this worker was declared dead; 3: those of these gates that want a look, 4: those that the next claim may go on at, in args.';

DROP FUNCTION holdfast.work_v1(bigint[], bigint[], smallint[], smallint[], bigint[], bigint[], jsonb[], jsonb[], text[], smallint[], bigint[], boolean, bigint, bigint, integer,
    text[], smallint[], bigint[], bigint[]);
CREATE FUNCTION holdfast.work_v1(
    p_leases bigint[], p_jobs bigint[], p_states smallint[], p_attempts smallint[], p_ago_us bigint[], p_took_us bigint[],
    p_results jsonb[], p_errors jsonb[], p_finish_queues text[], p_queue_at smallint[], p_done bigint[], p_again boolean,
    p_worker bigint, p_lease bigint, p_limit integer, p_queues text[], p_priorities smallint[], p_marks bigint[],
    p_company bigint[] DEFAULT NULL, p_kept text[] DEFAULT NULL
) RETURNS TABLE (kind smallint, job_id bigint, lease bigint, queue text, priority smallint, seq bigint, attempt smallint,
                 flags smallint, task text, args text, max_attempts smallint, timeout_seconds real, trace jsonb)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_done record;
BEGIN
    IF cardinality(p_jobs) = 0 THEN
        -- A claim alone need not wait for the disk. A crash of the server that loses it puts the jobs back into ready and
        -- takes the lease away, so nothing of that attempt is accepted; nothing later can be durable without it.
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    SELECT * INTO v_done FROM holdfast.finish_v1(p_leases, p_jobs, p_states, p_attempts, p_ago_us, p_took_us, p_results, p_errors,
                                    p_finish_queues, p_queue_at, p_done, p_again, p_company);
    IF cardinality(v_done.refused) > 0 THEN
        RETURN QUERY SELECT 1::smallint, r, NULL::bigint, NULL::text, NULL::smallint, NULL::bigint, NULL::smallint,
            NULL::smallint, NULL::text, NULL::text, NULL::smallint, NULL::real, NULL::jsonb FROM unnest(v_done.refused) AS r;
    END IF;
    RETURN QUERY SELECT * FROM holdfast.claim_v1(p_worker, p_lease, p_limit, p_queues, p_priorities, p_marks, p_kept, v_done.gates);
END $$;
COMMENT ON FUNCTION holdfast.work_v1 IS 'finish_v1 and claim_v1 in one round trip and one commit. p_kept: gates its jobs left in an earlier call. kind 1: a completion that was refused, its lease is lost.';

DROP FUNCTION holdfast.calls_v1(bigint, integer);
CREATE FUNCTION holdfast.calls_v1(p_settled bigint, p_limit integer, OUT gates text[], OUT heard bigint, OUT last bigint)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_sort = off SET jit = off AS $$
BEGIN
    WITH heard AS (
        DELETE FROM holdfast.gate_call c WHERE c.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.gate_call x WHERE x.id > p_settled ORDER BY x.id LIMIT p_limit FOR UPDATE SKIP LOCKED))
        RETURNING c.id, c.gate, c.rank, c.seq
    ), of_gates AS (
        SELECT h.gate, min(h.rank) AS rank, min(h.seq) AS seq, count(*) AS n, max(h.id) AS last FROM heard h GROUP BY h.gate
    ), lowered AS (
        UPDATE holdfast.gate g SET mark_rank = least(o.rank, g.mark_rank), mark_seq = 0
        FROM of_gates o WHERE g.name = o.gate AND (o.rank, o.seq) < (g.mark_rank, g.mark_seq)
    )
    SELECT array_agg(o.gate) FILTER (WHERE o.gate <> ''), coalesce(sum(o.n), 0), max(o.last) INTO gates, heard, last FROM of_gates o;
END $$;
COMMENT ON FUNCTION holdfast.calls_v1 IS 'Takes calls, the oldest first: the gates to look at, and the number of the last. A newcomer before the mark of its gate lowers the mark.';

DROP FUNCTION holdfast.admit_v1(bigint[], bigint, text, integer);
CREATE FUNCTION holdfast.admit_v1(p_freed bigint[], p_left text[], p_settled bigint, p_sweep text, p_limit integer,
    OUT is_mine boolean, OUT seated bigint, OUT heard bigint, OUT opens_us bigint, OUT swept text, OUT queues text[])
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_now   timestamptz := holdfast.now();
    v_gates text[];
    v_rows  holdfast.blocked[];
    v_stops text[];
    v_turn  record;
    v_calls record;
BEGIN
    is_mine := pg_try_advisory_xact_lock(1212574, 0);
    IF NOT is_mine THEN
        RETURN;
    END IF;
    seated := 0;
    queues := '{}';
    -- Gates to look at: those that jobs have left, by name (p_left) or of jobs that have ended (p_freed), those somebody has come to, rates whose time has come, a part of all as a safety net.
    -- Calls for the same gates are heard together: many who enqueue into the same lanes would otherwise have them looked at each time.
    heard := 0;
    SELECT NULL::text[] AS gates, 0::bigint AS heard, p_settled AS last INTO v_calls;
    WHILE coalesce(cardinality(v_gates), 0) <= p_limit AND EXISTS (SELECT FROM holdfast.gate_call c WHERE c.id > v_calls.last) LOOP
        SELECT c.gates, c.heard, c.last INTO v_calls FROM holdfast.calls_v1(v_calls.last, p_limit / 2 + 1) AS c;
        EXIT WHEN v_calls.heard = 0;
        heard := heard + v_calls.heard;
        v_gates := ARRAY(SELECT g FROM unnest(v_gates || v_calls.gates) AS g GROUP BY g);
        EXIT WHEN heard >= 5 * p_limit;
    END LOOP;
    v_gates := v_gates || p_left;
    IF cardinality(p_freed) > 0 THEN
        v_gates := v_gates || holdfast.gates_among_v1(p_freed);
    END IF;
    v_gates := v_gates || ARRAY(SELECT g.name FROM holdfast.gate g WHERE g.opens_at <= v_now ORDER BY g.opens_at LIMIT 1000);
    IF p_sweep IS NOT NULL THEN
        SELECT v_gates || w.gates, w.swept INTO v_gates, swept FROM holdfast.sweep_gates_v1(p_sweep) AS w;
    END IF;
    -- Who has come to a fairly shared line gets its place in it; who finds it empty passes.
    v_rows := holdfast.arrivals_v1(p_limit);
    IF v_rows IS NOT NULL THEN
        v_stops := holdfast.stops_v1(v_rows, true);
        queues := coalesce(holdfast.seat_v1(v_rows, v_stops), '{}');
        seated := (SELECT count(*) FROM unnest(v_stops) AS s WHERE s IS NULL);
        v_gates := v_gates || ARRAY(SELECT DISTINCT s FROM unnest(v_stops) AS s WHERE s IS NOT NULL) || holdfast.left_room_v1(v_rows, v_stops);
    END IF;
    FOR turn IN 1..5 LOOP
        EXIT WHEN coalesce(cardinality(v_gates), 0) = 0;
        SELECT * INTO v_turn FROM holdfast.serve_v1(v_gates);
        seated := seated + v_turn.seated;
        queues := queues || coalesce(v_turn.queues, '{}');
        v_gates := v_turn.again;
    END LOOP;
    IF cardinality(queues) > 0 THEN
        queues := ARRAY(SELECT DISTINCT q FROM unnest(queues) AS q);
        PERFORM holdfast.ring_v1(queues);
    END IF;
    -- No row, no answer: greatest() over no row at all would be 0, and everybody would look without a pause. Not the line of a limit:
    -- it opens when the worker it was left to stays away, and looks made to see that would keep that worker from its claims.
    SELECT greatest(0, extract(epoch FROM g.opens_at - v_now) * 1000000)::bigint INTO opens_us
    FROM holdfast.gate g WHERE g.opens_at IS NOT NULL AND starts_with(g.name, 'rate:') ORDER BY g.opens_at LIMIT 1;
END $$;
COMMENT ON FUNCTION holdfast.admit_v1 IS
    'Lets into ready whoever may pass its gates: behind jobs that have ended (p_freed) or have left gates (p_left), after calls (above p_settled), at rates whose time has come. is_mine false: another worker is at it, look again soon.';
