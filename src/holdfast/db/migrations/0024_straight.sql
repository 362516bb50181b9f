-- A drain under a limit wrote every job's place twice, once before the gate and once in ready, and a slot besides: it was a
-- third slower for it. A worker that asks for many and finds few ready takes whoever is first before a limit with room
-- straight into its lease, and one row per lease and gate counts them all. As long as it comes back for more, looks leave that
-- line to it. Jobs that need more than one limit, and all jobs while workers ask for few at a time, go by way of ready as before.

CREATE SEQUENCE holdfast.lease_slot_number;      -- drawn under the lock of the gates: later rows have higher numbers
CREATE TABLE holdfast.lease_slot (
    lease   bigint   NOT NULL,
    gate    text     NOT NULL COLLATE "C",
    seq     bigint   NOT NULL DEFAULT nextval('holdfast.lease_slot_number'),
    job_ids bigint[] NOT NULL,
    PRIMARY KEY (lease, gate)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
ALTER TABLE holdfast.lease_slot ALTER COLUMN job_ids SET STORAGE PLAIN;
CREATE INDEX lease_slot_gate ON holdfast.lease_slot (gate, seq);
COMMENT ON TABLE holdfast.lease_slot IS
    'Slots of a limit that a claim took straight from its line, those of one lease together. Whoever leaves the lease is taken out; an empty row goes.';

CREATE VIEW holdfast.every_slot AS
    SELECT s.job_id, s.gate FROM holdfast.slot s
    UNION ALL SELECT j.job_id, l.gate FROM holdfast.lease_slot l, unnest(l.job_ids) AS j(job_id);
COMMENT ON VIEW holdfast.every_slot IS 'Who holds a place under which gate, however it was taken.';

ALTER TABLE holdfast.gate ADD COLUMN low_lease_slot bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN holdfast.gate.low_lease_slot IS 'No row of lease_slot before this number holds a slot of this gate.';
COMMENT ON COLUMN holdfast.gate.opens_at IS
    'Of a rate: when its next tokens come back. Of a limit: until then a worker takes straight from this line, and looks leave it alone.';

CREATE FUNCTION holdfast.find_straight_v1(p_queues text[], p_limit integer) RETURNS tid[]
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    v_open   text[];
    v_line   record;
    v_places tid[];
    v_ours   integer;
    v_found  tid[];
BEGIN
    IF NOT EXISTS (SELECT FROM holdfast.gate g WHERE g.name > 'limit:' AND g.name < 'limit;')
       OR NOT pg_try_advisory_xact_lock(1212574, 0) THEN
        RETURN NULL;
    END IF;
    v_open := ARRAY(SELECT DISTINCT q FROM unnest(p_queues) AS q WHERE NOT EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = q));
    FOR v_line IN
        SELECT g.name, g.mark_rank, g.mark_seq FROM holdfast.gate g WHERE g.name > 'limit:' AND g.name < 'limit;' ORDER BY g.name LIMIT 16
    LOOP
        -- Of each line its beginning, as far as it is ours: who needs more, or waits for a queue of others, is let in by a look.
        SELECT array_agg(w.place), array_position(array_agg(w.is_ours), false) - 1 INTO v_places, v_ours FROM (
            SELECT b.ctid AS place, b.gates = v_line.name AND b.queue = ANY (v_open) AS is_ours
            FROM holdfast.blocked b WHERE b.gate = v_line.name AND (b.rank, b.seq) >= (v_line.mark_rank, v_line.mark_seq)
            ORDER BY b.rank, b.seq
            LIMIT least(greatest(holdfast.room_v1(v_line.name), 0), p_limit - coalesce(cardinality(v_found), 0))) AS w;
        v_found := v_found || v_places[1:coalesce(v_ours, cardinality(v_places))];
        EXIT WHEN cardinality(v_found) >= p_limit;
    END LOOP;
    RETURN nullif(v_found, '{}');
END $$;
COMMENT ON FUNCTION holdfast.find_straight_v1 IS
    'Where up to p_limit jobs stand that may pass their only limit now; from here to the end of the transaction nobody else lets in. NULL: none, or another worker is at it.';

CREATE FUNCTION holdfast.take_straight_v1(p_lease bigint, p_places tid[], p_limit integer,
    OUT jobs bigint[], OUT queues text[], OUT priorities smallint[], OUT seqs bigint[], OUT attempts smallint[], OUT flags smallint[],
    OUT alone boolean)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan SET jit = off AS $$
DECLARE
    v_now   timestamptz := holdfast.now();
    v_gates text[];
BEGIN
    -- Their numbers are below all that ready gives out: they are no marks for the next claim.
    WITH gone AS (
        DELETE FROM holdfast.blocked b WHERE b.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.blocked x WHERE x.ctid = ANY (p_places) FOR UPDATE SKIP LOCKED))
        RETURNING b.gate, b.rank, b.seq, b.job_id, b.queue, b.priority, b.attempt, b.flags
    ), held AS (
        INSERT INTO holdfast.lease_slot (lease, gate, job_ids) SELECT p_lease, g.gate, array_agg(g.job_id) FROM gone g GROUP BY g.gate
        RETURNING gate
    )
    SELECT array_agg(g.job_id), array_agg(g.queue), array_agg(g.priority), array_agg(g.attempt), array_agg(g.flags),
           bool_or(g.flags & 5 <> 0), (SELECT array_agg(h.gate) FROM held h)
    INTO jobs, queues, priorities, attempts, flags, alone, v_gates FROM (SELECT * FROM gone ORDER BY gone.rank, gone.seq) AS g;
    seqs := ARRAY(SELECT generate_series(1, cardinality(jobs)) - 1000000);
    UPDATE holdfast.gate g
    SET (mark_rank, mark_seq) = (
            SELECT coalesce(max(h.rank), g.mark_rank), coalesce(max(h.seq), g.mark_seq) FROM (
                SELECT b.rank, b.seq FROM holdfast.blocked b WHERE b.gate = g.name AND (b.rank, b.seq) >= (g.mark_rank, g.mark_seq)
                ORDER BY b.rank, b.seq LIMIT 1) AS h),
        low_lease_slot = coalesce((
            SELECT l.seq FROM holdfast.lease_slot l WHERE l.gate = g.name AND l.seq >= g.low_lease_slot ORDER BY l.seq LIMIT 1), g.low_lease_slot),
        opens_at = CASE WHEN cardinality(jobs) = p_limit AND coalesce(g.opens_at < v_now + interval '25 milliseconds', true)
                        THEN v_now + interval '50 milliseconds' ELSE g.opens_at END
    WHERE g.name = ANY (v_gates);
END $$;
COMMENT ON FUNCTION holdfast.take_straight_v1 IS
    'Takes those of them that nobody holds out of the line, with their slots. Where that is all the worker asked for, the line is its own for a moment.';

CREATE FUNCTION holdfast.leave_lease_slots_v1(p_jobs bigint[], p_leases bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_leases bigint[] := ARRAY(SELECT DISTINCT l FROM unnest(p_leases) AS l);
BEGIN
    -- In the order of the leases, so that two that leave together never wait for each other crosswise.
    PERFORM FROM holdfast.lease_slot s WHERE s.lease = ANY (v_leases) ORDER BY s.lease FOR NO KEY UPDATE;
    IF FOUND THEN
        UPDATE holdfast.lease_slot s SET job_ids = ARRAY(SELECT unnest(s.job_ids) EXCEPT SELECT unnest(p_jobs)) WHERE s.lease = ANY (v_leases);
        DELETE FROM holdfast.lease_slot s WHERE s.lease = ANY (v_leases) AND s.job_ids = '{}';
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.leave_lease_slots_v1 IS 'Gives back what these jobs hold together with others of their leases.';

CREATE OR REPLACE FUNCTION holdfast.tell_company_v1(p_jobs bigint[], p_leases bigint[], p_moves smallint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
BEGIN
    PERFORM holdfast.tell_batches_v1(p_jobs, p_moves);
    PERFORM holdfast.leave_lease_slots_v1(p_jobs, p_leases);
    -- What a job holds of lanes it holds to its end, what it holds of limits only while it is leased.
    IF 10 > ALL (p_moves) THEN
        DELETE FROM holdfast.slot s WHERE s.job_id = ANY (p_jobs);
        RETURN;
    END IF;
    DELETE FROM holdfast.slot s USING unnest(p_jobs, p_moves) AS m(job_id, move)
    WHERE s.job_id = m.job_id AND (m.move < 10 OR NOT starts_with(s.gate, 'lane:'));
END $$;

CREATE OR REPLACE FUNCTION holdfast.claim_v1(
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
    v_line       tid[];
    v_straight   bigint[];
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
    IF p_limit - coalesce(cardinality(v_places), 0) >= 25 THEN
        v_line := holdfast.find_straight_v1(p_queues, p_limit - coalesce(cardinality(v_places), 0));
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
        FROM holdfast.take_straight_v1(p_lease, v_line, p_limit - coalesce(cardinality(v_places), 0)) AS s;
        IF v_jobs IS NULL THEN
            RETURN;
        END IF;
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

CREATE OR REPLACE FUNCTION holdfast.finish_v1(
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
        IF cardinality(p_company) = cardinality(p_jobs) THEN
            PERFORM holdfast.tell_company_v1(p_jobs, p_leases, p_states);
        ELSIF p_company IS NOT NULL THEN
            PERFORM holdfast.tell_company_v1(array_agg(i.job_id), array_agg(i.lease), array_agg(i.state))
            FROM unnest(p_leases, p_jobs, p_states) AS i(lease, job_id, state) JOIN unnest(p_company) AS c(job_id) ON c.job_id = i.job_id;
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

CREATE OR REPLACE FUNCTION holdfast.room_v1(p_gate text) RETURNS bigint
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_low       bigint;
    v_low_lease bigint;
BEGIN
    IF starts_with(p_gate, 'lane:') THEN
        RETURN 1 - (SELECT count(*) FROM holdfast.slot s WHERE s.gate = p_gate);
    ELSIF starts_with(p_gate, 'rate:') THEN
        RETURN (SELECT r.capacity FROM holdfast.limit_rule r WHERE r.name = 'rate:' || split_part(p_gate, ':', 2))
            - coalesce((SELECT sum(b.taken) FROM holdfast.rate_block b WHERE b.gate = p_gate AND b.ends_at > holdfast.now()), 0);
    END IF;
    SELECT g.low_slot, g.low_lease_slot INTO v_low, v_low_lease FROM holdfast.gate g WHERE g.name = p_gate;
    RETURN (SELECT r.capacity FROM holdfast.limit_rule r WHERE r.name = 'limit:' || split_part(p_gate, ':', 2))
        - (SELECT count(*) FROM holdfast.slot s WHERE s.gate = p_gate AND s.job_id >= coalesce(v_low, 0))
        - coalesce((SELECT sum(cardinality(l.job_ids)) FROM holdfast.lease_slot l WHERE l.gate = p_gate AND l.seq >= coalesce(v_low_lease, 0)), 0);
END $$;

CREATE OR REPLACE FUNCTION holdfast.heads_v1(p_gates text[], OUT jobs bigint[], OUT is_simple boolean)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    v_served text[];
    v_more   bigint[];
    v_plain  boolean;
BEGIN
    -- Of a lane its head, should it be on its way back; else the first, and only the first: where somebody holds its row, the lane waits.
    SELECT array_agg(h.job_id), coalesce(bool_and(h.gates = l.gate), true) INTO jobs, is_simple
    FROM (SELECT DISTINCT x AS gate FROM unnest(p_gates) AS x WHERE starts_with(x, 'lane:')) AS l
    LEFT JOIN holdfast.gate g ON g.name = l.gate
    CROSS JOIN LATERAL (
        SELECT b.job_id, b.gates FROM holdfast.slot s JOIN holdfast.blocked b ON b.job_id = s.job_id AND b.gate = s.gate 
        WHERE s.gate = l.gate AND s.job_id >= coalesce(g.low_slot, 0)
        UNION ALL
        (SELECT b.job_id, b.gates FROM holdfast.blocked b
         WHERE b.gate = l.gate AND (b.rank, b.seq) >= (coalesce(g.mark_rank, -1), coalesce(g.mark_seq, 0))
           AND NOT EXISTS (SELECT FROM holdfast.slot s WHERE s.gate = l.gate AND s.job_id >= coalesce(g.low_slot, 0))
         ORDER BY b.rank, b.seq LIMIT 1)) AS h;
    IF NOT EXISTS (SELECT FROM unnest(p_gates) AS x WHERE NOT starts_with(x, 'lane:')) THEN
        RETURN;
    END IF;
    -- Of a limit a hundred at a time: a worker that wants more takes them straight from the line.
    -- Who waits for a queue that nobody serves must not take the slots of a limit that others share; look a little past them.
    SELECT array_agg(DISTINCT q.name) INTO v_served FROM holdfast.worker w, unnest(w.queues) AS q(name)
    WHERE w.state = 'live' AND NOT EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = q.name);
    SELECT array_agg(h.job_id), coalesce(bool_and(position(E'\n' IN h.gates) = 0 AND NOT starts_with(g.gate, 'rate:')), true) INTO v_more, v_plain
    FROM (SELECT d.gate, least(holdfast.room_v1(d.gate), CASE WHEN starts_with(d.gate, 'rate:') THEN 1000 ELSE 100 END) AS room, coalesce(m.mark_rank, -1) AS rank, coalesce(m.mark_seq, 0) AS seq
          FROM (SELECT DISTINCT x AS gate FROM unnest(p_gates) AS x WHERE NOT starts_with(x, 'lane:')) AS d
          LEFT JOIN holdfast.gate m ON m.name = d.gate
          WHERE starts_with(d.gate, 'rate:') OR m.opens_at IS NULL OR m.opens_at <= holdfast.now()) AS g
    CROSS JOIN LATERAL (
        SELECT l.job_id, l.gates FROM (
            SELECT b.job_id, b.queue, b.gates FROM holdfast.blocked b WHERE b.gate = g.gate AND (b.rank, b.seq) >= (g.rank, g.seq)
            ORDER BY b.rank, b.seq LIMIT g.room + 1000) AS l
        WHERE l.queue = ANY (v_served) LIMIT greatest(0, g.room)) AS h;
    jobs := jobs || v_more;
    is_simple := is_simple AND v_plain;
END $$;

CREATE OR REPLACE FUNCTION holdfast.move_marks_v1(p_gates text[]) RETURNS void
LANGUAGE sql VOLATILE SET enable_seqscan = off AS $$
    -- Now and then: a few dead entries cost less than a row written each time.
    INSERT INTO holdfast.gate AS g (name, mark_rank, mark_seq, virtual, low_slot)
    SELECT d.gate, h.rank, h.seq, h.rank,
           coalesce((SELECT s.job_id FROM holdfast.slot s WHERE s.gate = d.gate AND s.job_id >= coalesce(m.low_slot, 0) ORDER BY s.job_id LIMIT 1),
                    m.low_slot, 0)
    FROM (SELECT DISTINCT x AS gate FROM unnest(p_gates) AS x WHERE NOT starts_with(x, 'lane:') OR random() < 0.03) AS d
    LEFT JOIN holdfast.gate m ON m.name = d.gate
    CROSS JOIN LATERAL (
        SELECT b.rank, b.seq FROM holdfast.blocked b
        WHERE b.gate = d.gate AND (b.rank, b.seq) >= (coalesce(m.mark_rank, -1), coalesce(m.mark_seq, 0))
        ORDER BY b.rank, b.seq LIMIT 1) AS h
    ON CONFLICT (name) DO UPDATE SET mark_rank = excluded.mark_rank, mark_seq = excluded.mark_seq,
        virtual = greatest(g.virtual, excluded.virtual), low_slot = excluded.low_slot
    WHERE (g.mark_rank, g.mark_seq) <> (excluded.mark_rank, excluded.mark_seq);
    UPDATE holdfast.gate g SET opens_at = CASE WHEN EXISTS (SELECT FROM holdfast.blocked b WHERE b.gate = g.name) THEN
        (SELECT min(k.ends_at) FROM holdfast.rate_block k WHERE k.gate = g.name AND k.ends_at > holdfast.now()) END
    WHERE g.name = ANY (p_gates) AND starts_with(g.name, 'rate:');
    UPDATE holdfast.gate g SET opens_at = NULL
    WHERE g.name = ANY (p_gates) AND starts_with(g.name, 'limit:') AND g.opens_at <= holdfast.now();
$$;

CREATE OR REPLACE FUNCTION holdfast.sweep_gates_v1(p_after text, OUT gates text[], OUT swept text)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_sort = off SET jit = off AS $$
BEGIN
    WITH RECURSIVE line(gate, n) AS (       -- the distinct gates by one index descent each
        (SELECT b.gate, 1 FROM holdfast.blocked b WHERE b.gate > p_after ORDER BY b.gate LIMIT 1)
        UNION ALL
        SELECT (SELECT b.gate FROM holdfast.blocked b WHERE b.gate > l.gate ORDER BY b.gate LIMIT 1), l.n + 1
        FROM line l WHERE l.gate IS NOT NULL AND l.n < 500
    )
    SELECT array_agg(l.gate), CASE WHEN count(*) = 500 THEN max(l.gate) ELSE '' END INTO gates, swept FROM line l WHERE l.gate IS NOT NULL;
    IF p_after = '' THEN
        DELETE FROM holdfast.gate g WHERE NOT EXISTS (SELECT FROM holdfast.blocked b WHERE b.gate = g.name);
        DELETE FROM holdfast.gate_share f WHERE NOT EXISTS (SELECT FROM holdfast.gate g WHERE g.name = f.gate);
        -- No path leaves such a slot behind; should one ever, it must not close its gate for good.
        DELETE FROM holdfast.lease_slot s WHERE NOT EXISTS (SELECT FROM holdfast.lease l WHERE l.id = s.lease);
        DELETE FROM holdfast.rate_block k WHERE k.ends_at < holdfast.now() - interval '1 second';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION holdfast.limits_v1(p_most integer) RETURNS TABLE (
    name text, capacity integer, declared integer, per_us bigint, gate text, taken bigint, waiting bigint)
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE held(gate) AS (          -- the distinct gates by one index descent each
        (SELECT s.gate FROM holdfast.slot s WHERE s.gate > 'limit:' AND s.gate < 'limit;' ORDER BY s.gate LIMIT 1)
        UNION ALL
        SELECT (SELECT s.gate FROM holdfast.slot s WHERE s.gate > h.gate AND s.gate < 'limit;' ORDER BY s.gate LIMIT 1)
        FROM held h WHERE h.gate IS NOT NULL
    ), gates AS (
        SELECT x.gate FROM (
            SELECT h.gate FROM held h WHERE h.gate IS NOT NULL
            UNION SELECT l.gate FROM holdfast.lease_slot l
            UNION SELECT g.name FROM holdfast.gate g WHERE NOT starts_with(g.name, 'lane:')
            UNION SELECT b.gate FROM holdfast.rate_block b WHERE b.ends_at > holdfast.now()) AS x
        ORDER BY x.gate LIMIT p_most
    )
    SELECT r.name, r.capacity, r.declared, r.per_us, g.gate,
           CASE WHEN r.per_us IS NULL THEN (SELECT count(*) FROM holdfast.every_slot s WHERE s.gate = g.gate)
                ELSE coalesce((SELECT sum(b.taken) FROM holdfast.rate_block b WHERE b.gate = g.gate AND b.ends_at > holdfast.now()), 0) END,
           (SELECT count(*) FROM (SELECT FROM holdfast.blocked b WHERE b.gate = g.gate LIMIT 10000) AS w)
    FROM holdfast.limit_rule r
    LEFT JOIN gates g ON split_part(g.gate, ':', 1) || ':' || split_part(g.gate, ':', 2) = r.name
    ORDER BY r.name, g.gate
$$;

CREATE OR REPLACE FUNCTION holdfast.audit_gates_v1() RETURNS TABLE (gate text, job_id bigint, trouble text)
LANGUAGE sql STABLE AS $$
    SELECT s.gate, NULL::bigint, format('%s slots are taken of %s', count(*), coalesce(r.capacity, 1))
    FROM holdfast.every_slot s LEFT JOIN holdfast.limit_rule r ON r.name = split_part(s.gate, ':', 1) || ':' || split_part(s.gate, ':', 2)
    WHERE starts_with(s.gate, 'lane:') OR r.name IS NOT NULL
    GROUP BY s.gate, r.capacity HAVING count(*) > coalesce(r.capacity, 1)
    UNION ALL
    SELECT s.gate, s.job_id, 'a slot of a job that has ended' FROM holdfast.every_slot s
    WHERE holdfast.is_finished_v1(s.job_id) OR NOT EXISTS (SELECT FROM holdfast.every_job j WHERE j.id = s.job_id)
    UNION ALL
    SELECT s.gate, s.job_id, 'a slot of a limit, and the job waits elsewhere' FROM holdfast.every_slot s
    WHERE NOT starts_with(s.gate, 'lane:')
      AND (EXISTS (SELECT FROM holdfast.scheduled d WHERE d.job_id = s.job_id) OR EXISTS (SELECT FROM holdfast.blocked b WHERE b.job_id = s.job_id))
    UNION ALL
    SELECT l.gate, NULL, format('slots of lease %s, which has ended', l.lease) FROM holdfast.lease_slot l
    WHERE NOT EXISTS (SELECT FROM holdfast.lease x WHERE x.id = l.lease)
    UNION ALL
    SELECT split_part(e.gate, E'\t', 1), a.job_id, 'admitted without a slot'
    FROM (SELECT r.job_id FROM holdfast.ready r WHERE r.flags & 8 <> 0
          UNION ALL SELECT h.job_id FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id)
          WHERE NOT EXISTS (SELECT FROM holdfast.lease_exit x WHERE x.lease = l.id AND x.job_id = h.job_id)
            AND NOT holdfast.is_finished_v1(h.job_id)) AS a
    JOIN holdfast.every_job j ON j.id = a.job_id, unnest(string_to_array(j.gates, E'\n')) AS e(gate)
    WHERE NOT starts_with(e.gate, 'rate:')
      AND NOT EXISTS (SELECT FROM holdfast.every_slot s WHERE s.job_id = a.job_id AND s.gate = split_part(e.gate, E'\t', 1))
$$;
