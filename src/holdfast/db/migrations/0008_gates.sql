-- Gates: lanes (one at a time, in order), limits (N at a time), rates (N within a time). One mechanism.
-- An application only inserts: its job into the line, and a call. A worker lets in whoever may pass: one worker at a time, in a
-- short transaction of its own, under an advisory lock that no application ever takes. Whoever finds it taken looks again soon.
-- Each step locks in one statement and looks in the next; rows that an application holds (a duplicate of a unique job) are
-- passed by, and in a lane whoever stands behind such a row waits with it.

CREATE FUNCTION holdfast.declare_limits_v1(p_names text[], p_capacities integer[], p_pers_us bigint[], p_weights jsonb[]) RETURNS void
LANGUAGE sql VOLATILE AS $$
    INSERT INTO holdfast.limit_rule AS r (name, declared, per_us, weights, declared_at)
    SELECT i.name, i.capacity, i.per_us, i.weights, holdfast.now()
    FROM unnest(p_names, p_capacities, p_pers_us, p_weights) AS i(name, capacity, per_us, weights) ORDER BY i.name
    ON CONFLICT (name) DO UPDATE SET declared = excluded.declared, per_us = excluded.per_us, weights = excluded.weights,
        declared_at = excluded.declared_at
    WHERE (r.declared, r.per_us, r.weights) IS DISTINCT FROM (excluded.declared, excluded.per_us, excluded.weights)
$$;
COMMENT ON FUNCTION holdfast.declare_limits_v1 IS 'What the application says about its limits; unchanged ones are not written, and what an operator has chosen stays.';

CREATE FUNCTION holdfast.set_limit_v1(p_name text, p_capacity integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE holdfast.limit_rule r SET chosen = p_capacity WHERE r.name = p_name;
    IF FOUND THEN
        PERFORM pg_notify('holdfast_gates', '');
    END IF;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION holdfast.set_limit_v1 IS 'An operator''s capacity for a limit or rate; NULL: as declared. Who has passed already is left alone. False: no such limit.';

CREATE FUNCTION holdfast.limits_v1(p_most integer) RETURNS TABLE (
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
            UNION SELECT g.name FROM holdfast.gate g WHERE NOT starts_with(g.name, 'lane:')
            UNION SELECT b.gate FROM holdfast.rate_block b WHERE b.ends_at > holdfast.now()) AS x
        ORDER BY x.gate LIMIT p_most
    )
    SELECT r.name, r.capacity, r.declared, r.per_us, g.gate,
           CASE WHEN r.per_us IS NULL THEN (SELECT count(*) FROM holdfast.slot s WHERE s.gate = g.gate)
                ELSE coalesce((SELECT sum(b.taken) FROM holdfast.rate_block b WHERE b.gate = g.gate AND b.ends_at > holdfast.now()), 0) END,
           (SELECT count(*) FROM (SELECT FROM holdfast.blocked b WHERE b.gate = g.gate LIMIT 10000) AS w)
    FROM holdfast.limit_rule r
    LEFT JOIN gates g ON split_part(g.gate, ':', 1) || ':' || split_part(g.gate, ':', 2) = r.name
    ORDER BY r.name, g.gate
$$;
COMMENT ON FUNCTION holdfast.limits_v1 IS 'Every limit and rate, and for each key of it that is in use how many have passed and how many wait (counted up to 10 000).';

CREATE FUNCTION holdfast.call_mark_v1(p_pending bigint, p_fence text[], OUT settled bigint, OUT pending bigint, OUT fence text[])
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
DECLARE
    v_writers text[];
BEGIN
    -- As marks_v1: first the sequence, then the writers; once the writers of then have ended, no call appears below it any more.
    SELECT o.last_value - CASE WHEN o.is_called THEN 0 ELSE 1 END INTO pending FROM holdfast.gate_call_number o;
    SELECT coalesce(array_agg(l.virtualtransaction), '{}') INTO v_writers FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'relation' AND l.relation = 'holdfast.gate_call'::regclass AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
      AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database());
    fence := v_writers;
    IF p_pending IS NULL THEN
        RETURN;
    END IF;
    IF p_fence && v_writers THEN
        pending := p_pending;
        fence := ARRAY(SELECT w FROM unnest(p_fence) AS w WHERE w = ANY (v_writers));
        RETURN;
    END IF;
    settled := coalesce((SELECT least(c.id - 1, p_pending) FROM holdfast.gate_call c ORDER BY c.id LIMIT 1), p_pending);
END $$;
COMMENT ON FUNCTION holdfast.call_mark_v1 IS 'No call with a number up to settled is there or can ever appear; pending and fence are for the next call.';

CREATE FUNCTION holdfast.arrivals_v1(p_limit integer) RETURNS holdfast.blocked[]
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_sort = off SET jit = off AS $$
DECLARE
    v_seen bigint[];
    v_rows holdfast.blocked[];
BEGIN
    SELECT array_agg(x.job_id) INTO v_seen FROM (
        SELECT b.job_id FROM holdfast.blocked b WHERE b.gate = '' ORDER BY b.rank, b.seq LIMIT p_limit) AS x;
    IF v_seen IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(x ORDER BY x.seq) INTO v_rows FROM (
        SELECT b.* FROM holdfast.blocked b WHERE b.job_id = ANY (v_seen) AND b.gate = '' FOR UPDATE SKIP LOCKED) AS x;
    RETURN v_rows;
END $$;
COMMENT ON FUNCTION holdfast.arrivals_v1 IS 'The oldest of those that no line has taken up yet and nobody holds, locked.';

CREATE FUNCTION holdfast.heads_v1(p_gates text[], OUT jobs bigint[], OUT is_simple boolean)
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
    -- Who waits for a queue that nobody serves must not take the slots of a limit that others share; look a little past them.
    SELECT array_agg(DISTINCT q.name) INTO v_served FROM holdfast.worker w, unnest(w.queues) AS q(name)
    WHERE w.state = 'live' AND NOT EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = q.name);
    SELECT array_agg(h.job_id), coalesce(bool_and(position(E'\n' IN h.gates) = 0 AND NOT starts_with(g.gate, 'rate:')), true) INTO v_more, v_plain
    FROM (SELECT d.gate, least(coalesce(holdfast.room_v1(d.gate), 1000), 1000) AS room, coalesce(m.mark_rank, -1) AS rank, coalesce(m.mark_seq, 0) AS seq
          FROM (SELECT DISTINCT x AS gate FROM unnest(p_gates) AS x WHERE NOT starts_with(x, 'lane:')) AS d
          LEFT JOIN holdfast.gate m ON m.name = d.gate) AS g
    CROSS JOIN LATERAL (
        SELECT l.job_id, l.gates FROM (
            SELECT b.job_id, b.queue, b.gates FROM holdfast.blocked b WHERE b.gate = g.gate AND (b.rank, b.seq) >= (g.rank, g.seq)
            ORDER BY b.rank, b.seq LIMIT g.room + 1000) AS l
        WHERE l.queue = ANY (v_served) LIMIT greatest(0, g.room)) AS h;
    jobs := jobs || v_more;
    is_simple := is_simple AND v_plain;
END $$;
COMMENT ON FUNCTION holdfast.heads_v1 IS
    'Who stands first before these gates, as many as each has room for; is_simple: none of them needs anything but this one gate''s slot.';

CREATE FUNCTION holdfast.seat_simply_v1(p_jobs bigint[], OUT queues text[], OUT seated bigint)
LANGUAGE sql VOLATILE SET enable_seqscan = off AS $$
    WITH gone AS (
        DELETE FROM holdfast.blocked b WHERE b.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.blocked x WHERE x.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED))
        RETURNING b.gate, b.rank, b.seq, b.job_id, b.queue, b.priority, b.attempt, b.flags
    ), held AS (
        INSERT INTO holdfast.slot (job_id, gate) SELECT g.job_id, g.gate FROM gone g ON CONFLICT DO NOTHING
    ), lowered AS (
        UPDATE holdfast.gate w SET low_slot = n.low FROM (SELECT g.gate, min(g.job_id) AS low FROM gone g GROUP BY g.gate) AS n
        WHERE w.name = n.gate AND w.low_slot > n.low
    ), placed AS (
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT g.queue, g.priority, g.job_id, g.attempt, g.flags FROM gone g ORDER BY g.rank, g.seq
    )
    SELECT array_agg(DISTINCT g.queue::text), count(*) FROM gone g
$$;
COMMENT ON FUNCTION holdfast.seat_simply_v1 IS 'Into ready with the one slot they need: those of the jobs that nobody holds.';

CREATE FUNCTION holdfast.stops_v1(p_rows holdfast.blocked[], p_arrivals boolean) RETURNS text[]
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_stops text[];
    v_other text[];
BEGIN
    -- First the lanes: whoever is or becomes the head of its lane passes on to its limits, with the lane in hand.
    SELECT array_agg(CASE WHEN l.lane IS NULL OR l.is_head OR (l.turn = 1 AND NOT l.is_taken) THEN NULL ELSE l.lane END ORDER BY l.at)
    INTO v_stops
    FROM (SELECT r.at, r.lane,
                 r.lane IS NOT NULL AND EXISTS (SELECT FROM holdfast.slot s WHERE s.job_id = r.job_id AND s.gate = r.lane) AS is_head,
                 r.lane IS NOT NULL AND (EXISTS (SELECT FROM holdfast.slot s WHERE s.gate = r.lane)
                     OR p_arrivals AND EXISTS (SELECT FROM holdfast.blocked b WHERE b.gate = r.lane)) AS is_taken,
                 row_number() OVER (PARTITION BY r.lane ORDER BY r.at) AS turn
          FROM (SELECT i.at, i.job_id, CASE WHEN starts_with(i.gates, 'lane:') THEN split_part(i.gates, E'\n', 1) END AS lane
                FROM unnest(p_rows) WITH ORDINALITY AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, at)) AS r) AS l;
    -- Then limits and rates: all that a job needs have room for everybody up to it, or it waits before the first that is full.
    WITH need AS MATERIALIZED (
        SELECT i.at, e.n, split_part(e.gate, E'\t', 1) AS gate, i.queue
        FROM unnest(p_rows, v_stops) WITH ORDINALITY
             AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop, at),
             unnest(string_to_array(i.gates, E'\n')) WITH ORDINALITY AS e(gate, n)
        WHERE i.stop IS NULL AND NOT starts_with(e.gate, 'lane:')
    ), room AS MATERIALIZED (
        SELECT g.gate, CASE WHEN p_arrivals AND EXISTS (SELECT FROM holdfast.blocked b WHERE b.gate = g.gate) THEN 0
                            ELSE holdfast.room_v1(g.gate) END AS room
        FROM (SELECT DISTINCT n.gate FROM need n) AS g
    ), unserved AS (
        SELECT q.queue FROM (SELECT DISTINCT n.queue FROM need n) AS q
        WHERE NOT EXISTS (SELECT FROM holdfast.worker w WHERE w.state = 'live' AND q.queue = ANY (w.queues))
           OR EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = q.queue)
    ), turn AS (
        SELECT n.at, n.n, n.gate, r.room < row_number() OVER (PARTITION BY n.gate ORDER BY n.at)
               OR EXISTS (SELECT FROM unserved u WHERE u.queue = n.queue) AS is_full
        FROM need n JOIN room r ON r.gate = n.gate
    )
    SELECT array_agg(coalesce(v_stops[i.at], t.gate) ORDER BY i.at) INTO v_other
    FROM generate_series(1, cardinality(p_rows)) AS i(at)
    LEFT JOIN (SELECT DISTINCT ON (x.at) x.at, x.gate FROM turn x WHERE x.is_full ORDER BY x.at, x.n) AS t ON t.at = i.at;
    RETURN v_other;
END $$;
COMMENT ON FUNCTION holdfast.stops_v1 IS
    'For each of these jobs, in order, the gate before which it must wait; NULL: it may pass them all. Arrivals wait behind those that wait already.';

CREATE FUNCTION holdfast.seat_v1(p_rows holdfast.blocked[], p_stops text[]) RETURNS text[]
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_now    timestamptz := holdfast.now();
    v_queues text[];
BEGIN
    DELETE FROM holdfast.blocked b WHERE b.job_id = ANY (ARRAY(
        SELECT i.job_id FROM unnest(p_rows, p_stops) AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop)
        WHERE i.stop IS DISTINCT FROM i.gate));
    -- Slots: of the lane for everybody who has come past it, of all limits for who passes them all.
    INSERT INTO holdfast.slot (job_id, gate)
    SELECT i.job_id, split_part(e.gate, E'\t', 1)
    FROM unnest(p_rows, p_stops) AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop),
         unnest(string_to_array(i.gates, E'\n')) AS e(gate)
    WHERE CASE WHEN starts_with(e.gate, 'lane:') THEN i.stop IS NULL OR NOT starts_with(i.stop, 'lane:')
               ELSE i.stop IS NULL AND starts_with(e.gate, 'limit:') END
    ON CONFLICT DO NOTHING;
    UPDATE holdfast.gate w SET low_slot = n.low
    FROM (SELECT split_part(e.gate, E'\t', 1) AS gate, min(r.job_id) AS low
          FROM unnest(p_rows) AS r, unnest(string_to_array(r.gates, E'\n')) AS e(gate) GROUP BY 1) AS n
    WHERE w.name = n.gate AND w.low_slot > n.low;
    INSERT INTO holdfast.rate_block AS k (gate, ends_at, taken)
    SELECT x.gate, to_timestamp(ceil(extract(epoch FROM v_now) * 1e6 / x.grain + 1) * x.grain / 1e6) + x.per_us * interval '1 microsecond', x.n
    FROM (SELECT t.gate, r.per_us, greatest(r.per_us / 100, 1) AS grain, t.n
          FROM (SELECT split_part(e.gate, E'\t', 1) AS gate, count(*) AS n
                FROM unnest(p_rows, p_stops) AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop),
                     unnest(string_to_array(i.gates, E'\n')) AS e(gate)
                WHERE i.stop IS NULL AND starts_with(e.gate, 'rate:') GROUP BY 1) AS t
          JOIN holdfast.limit_rule r ON r.name = 'rate:' || split_part(t.gate, ':', 2)) AS x
    ON CONFLICT (gate, ends_at) DO UPDATE SET taken = k.taken + excluded.taken;
    INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
    SELECT i.queue, i.priority, i.job_id, i.attempt, i.flags
    FROM unnest(p_rows, p_stops) WITH ORDINALITY AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop, at)
    WHERE i.stop IS NULL ORDER BY i.at;
    SELECT array_agg(DISTINCT i.queue::text) INTO v_queues
    FROM unnest(p_rows, p_stops) AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop) WHERE i.stop IS NULL;
    PERFORM holdfast.stand_in_line_v1(p_rows, p_stops);
    RETURN v_queues;
END $$;
COMMENT ON FUNCTION holdfast.seat_v1 IS 'Does what stops_v1 has decided: into ready with their slots, or into the line where they stop. Returns the queues that got something.';

CREATE FUNCTION holdfast.stand_in_line_v1(p_rows holdfast.blocked[], p_stops text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_moves integer := (
        SELECT count(*) FROM unnest(p_rows, p_stops) AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop)
        WHERE i.stop IS DISTINCT FROM i.gate AND i.stop IS NOT NULL);
BEGIN
    IF v_moves = 0 THEN
        RETURN;
    END IF;
    INSERT INTO holdfast.gate (name) SELECT DISTINCT s FROM unnest(p_stops) AS s WHERE s IS NOT NULL ON CONFLICT DO NOTHING;
    -- A fairly shared line: each key's jobs stand a step (one over its weight) behind each other, from where the line is now.
    WITH comer AS MATERIALIZED (
        SELECT i.*, nullif(split_part(e.gate, E'\t', 2), '') AS share
        FROM unnest(p_rows, p_stops) WITH ORDINALITY AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop, at)
        LEFT JOIN LATERAL (SELECT g.gate FROM unnest(string_to_array(i.gates, E'\n')) AS g(gate)
                           WHERE split_part(g.gate, E'\t', 1) = i.stop AND position(E'\t' IN g.gate) > 0) AS e ON true
        WHERE i.stop IS DISTINCT FROM i.gate AND i.stop IS NOT NULL
    ), fair AS MATERIALIZED (
        SELECT c.stop, c.share, greatest(g.virtual, coalesce(f.finish, 0)) AS start,
               (1000000 / greatest(coalesce((r.weights ->> c.share)::numeric, 1), 0.001))::bigint AS step, count(*) AS n
        FROM comer c JOIN holdfast.gate g ON g.name = c.stop
        LEFT JOIN holdfast.gate_share f ON f.gate = c.stop AND f.share = c.share
        LEFT JOIN holdfast.limit_rule r ON r.name = split_part(c.stop, ':', 1) || ':' || split_part(c.stop, ':', 2)
        WHERE c.share IS NOT NULL GROUP BY c.stop, c.share, g.virtual, f.finish, r.weights
    ), shared AS (
        INSERT INTO holdfast.gate_share (gate, share, finish) SELECT f.stop, f.share, f.start + f.n * f.step FROM fair f
        ON CONFLICT (gate, share) DO UPDATE SET finish = excluded.finish
    )
    INSERT INTO holdfast.blocked (gate, rank, seq, job_id, queue, priority, attempt, flags, gates)
    SELECT c.stop,
           CASE WHEN f.share IS NOT NULL THEN f.start + f.step * (row_number() OVER (PARTITION BY c.stop, c.share ORDER BY c.at) - 1)
                ELSE holdfast.rank_v1(c.stop, c.priority, holdfast.now()) END,
           c.seq, c.job_id, c.queue, c.priority, c.attempt, c.flags, c.gates
    FROM comer c LEFT JOIN fair f ON f.stop = c.stop AND f.share = c.share;
    UPDATE holdfast.gate g SET mark_rank = h.rank, mark_seq = h.seq
    FROM (SELECT DISTINCT ON (b.gate) b.gate, b.rank, b.seq FROM holdfast.blocked b
          WHERE b.job_id = ANY (ARRAY(SELECT r.job_id FROM unnest(p_rows) AS r)) ORDER BY b.gate, b.rank, b.seq) AS h
    WHERE g.name = h.gate AND (h.rank, h.seq) < (g.mark_rank, g.mark_seq);
    UPDATE holdfast.gate g SET opens_at = (SELECT min(b.ends_at) FROM holdfast.rate_block b WHERE b.gate = g.name AND b.ends_at > holdfast.now())
    WHERE g.name = ANY (p_stops) AND starts_with(g.name, 'rate:');
END $$;
COMMENT ON FUNCTION holdfast.stand_in_line_v1 IS 'Lines up who may not pass before the gate that stops it.';

CREATE FUNCTION holdfast.serve_v1(p_gates text[], OUT queues text[], OUT again text[], OUT seated bigint)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_heads record;
    v_rows  holdfast.blocked[];
    v_stops text[];
BEGIN
    seated := 0;
    SELECT * INTO v_heads FROM holdfast.heads_v1(p_gates);
    IF v_heads.jobs IS NOT NULL AND v_heads.is_simple THEN
        SELECT s.queues, s.seated INTO queues, seated FROM holdfast.seat_simply_v1(v_heads.jobs) AS s;
    ELSIF v_heads.jobs IS NOT NULL THEN
        SELECT array_agg(x ORDER BY x.gate, x.rank, x.seq) INTO v_rows FROM (
            SELECT b.* FROM holdfast.blocked b WHERE b.job_id = ANY (v_heads.jobs) FOR UPDATE SKIP LOCKED) AS x;
        IF v_rows IS NOT NULL THEN
            v_stops := holdfast.stops_v1(v_rows, false);
            queues := holdfast.seat_v1(v_rows, v_stops);
            seated := (SELECT count(*) FROM unnest(v_stops) AS s WHERE s IS NULL);
            again := holdfast.left_room_v1(v_rows, v_stops);
        END IF;
    END IF;
    PERFORM holdfast.move_marks_v1(p_gates);
END $$;
COMMENT ON FUNCTION holdfast.serve_v1 IS 'Lets in who stands first before these gates, as far as there is room. again: gates that deserve another look.';

CREATE FUNCTION holdfast.left_room_v1(p_rows holdfast.blocked[], p_stops text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(DISTINCT split_part(e.gate, E'\t', 1))
    FROM unnest(p_rows, p_stops) AS i(gate, rank, seq, job_id, queue, priority, attempt, flags, gates, stop),
         unnest(string_to_array(i.gates, E'\n')) AS e(gate)
    WHERE i.stop IS NOT NULL AND position(E'\n' IN i.gates) > 0 AND (split_part(e.gate, E'\t', 1) <> i.stop OR i.stop <> i.gate)
$$;
COMMENT ON FUNCTION holdfast.left_room_v1 IS
    'Who needs several gates and stopped at one had a turn at the others, too: whoever stands next before those may pass instead.';

CREATE FUNCTION holdfast.move_marks_v1(p_gates text[]) RETURNS void
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
$$;
COMMENT ON FUNCTION holdfast.move_marks_v1 IS
    'Nobody stands before the mark of a gate, a call lowers it again; no slot is held before low_slot, whoever takes one lowers it. Rates say when they open next.';

CREATE FUNCTION holdfast.calls_v1(p_settled bigint, p_limit integer, OUT gates text[], OUT heard bigint)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_sort = off SET jit = off AS $$
BEGIN
    WITH heard AS (
        DELETE FROM holdfast.gate_call c WHERE c.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.gate_call x WHERE x.id > p_settled ORDER BY x.id LIMIT p_limit FOR UPDATE SKIP LOCKED))
        RETURNING c.gate, c.rank, c.seq
    ), of_gates AS (
        SELECT h.gate, min(h.rank) AS rank, min(h.seq) AS seq, count(*) AS n FROM heard h GROUP BY h.gate
    ), lowered AS (
        UPDATE holdfast.gate g SET mark_rank = least(o.rank, g.mark_rank), mark_seq = 0
        FROM of_gates o WHERE g.name = o.gate AND (o.rank, o.seq) < (g.mark_rank, g.mark_seq)
    )
    SELECT array_agg(o.gate) FILTER (WHERE o.gate <> ''), coalesce(sum(o.n), 0) INTO gates, heard FROM of_gates o;
END $$;
COMMENT ON FUNCTION holdfast.calls_v1 IS 'Takes calls, the oldest first: the gates to look at. A newcomer before the mark of its gate lowers the mark.';

CREATE FUNCTION holdfast.admit_v1(p_freed bigint[], p_settled bigint, p_sweep text, p_limit integer,
    OUT is_mine boolean, OUT seated bigint, OUT heard bigint, OUT opens_us bigint, OUT swept text, OUT queues text[])
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_now   timestamptz := holdfast.now();
    v_gates text[];
    v_rows  holdfast.blocked[];
    v_stops text[];
    v_turn  record;
BEGIN
    is_mine := pg_try_advisory_xact_lock(1212574, 0);
    IF NOT is_mine THEN
        RETURN;
    END IF;
    seated := 0;
    queues := '{}';
    -- Gates to look at: those of jobs that have ended, those somebody has come to, rates whose time has come, a part of all as a safety net.
    SELECT c.gates, c.heard INTO v_gates, heard FROM holdfast.calls_v1(p_settled, p_limit) AS c;
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
    -- No row, no answer: greatest() over no row at all would be 0, and everybody would look without a pause.
    SELECT greatest(0, extract(epoch FROM g.opens_at - v_now) * 1000000)::bigint INTO opens_us
    FROM holdfast.gate g WHERE g.opens_at IS NOT NULL ORDER BY g.opens_at LIMIT 1;
END $$;
COMMENT ON FUNCTION holdfast.admit_v1 IS
    'Lets into ready whoever may pass its gates: behind jobs that have ended (p_freed), after calls (above p_settled), at rates whose time has come. is_mine false: another worker is at it, look again soon.';

CREATE FUNCTION holdfast.gates_among_v1(p_jobs bigint[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_low  bigint;
    v_high bigint;
BEGIN
    SELECT min(j), max(j) INTO v_low, v_high FROM unnest(p_jobs) AS j;
    RETURN ARRAY(
        SELECT DISTINCT split_part(e.gate, E'\t', 1)
        FROM (SELECT j.gates FROM holdfast.job j WHERE j.id = ANY (p_jobs) AND j.id >= v_low AND j.id <= v_high AND j.gates IS NOT NULL
              UNION ALL SELECT k.gates FROM holdfast.job_kept k WHERE k.id = ANY (p_jobs) AND k.gates IS NOT NULL) AS j,
             unnest(string_to_array(j.gates, E'\n')) AS e(gate));
END $$;
COMMENT ON FUNCTION holdfast.gates_among_v1 IS 'The gates of these jobs, each once.';

CREATE FUNCTION holdfast.sweep_gates_v1(p_after text, OUT gates text[], OUT swept text)
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
        DELETE FROM holdfast.rate_block k WHERE k.ends_at < holdfast.now() - interval '1 second';
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.sweep_gates_v1 IS 'The safety net, five hundred lines at a time from p_after on; swept: where to go on, empty at the end. Empty lines are forgotten.';

CREATE FUNCTION holdfast.audit_gates_v1() RETURNS TABLE (gate text, job_id bigint, trouble text)
LANGUAGE sql STABLE AS $$
    SELECT s.gate, NULL::bigint, format('%s slots are taken of %s', count(*), coalesce(r.capacity, 1))
    FROM holdfast.slot s LEFT JOIN holdfast.limit_rule r ON r.name = split_part(s.gate, ':', 1) || ':' || split_part(s.gate, ':', 2)
    WHERE starts_with(s.gate, 'lane:') OR r.name IS NOT NULL
    GROUP BY s.gate, r.capacity HAVING count(*) > coalesce(r.capacity, 1)
    UNION ALL
    SELECT s.gate, s.job_id, 'a slot of a job that has ended' FROM holdfast.slot s
    WHERE holdfast.is_finished_v1(s.job_id) OR NOT EXISTS (SELECT FROM holdfast.every_job j WHERE j.id = s.job_id)
    UNION ALL
    SELECT s.gate, s.job_id, 'a slot of a limit, and the job waits elsewhere' FROM holdfast.slot s
    WHERE NOT starts_with(s.gate, 'lane:')
      AND (EXISTS (SELECT FROM holdfast.scheduled d WHERE d.job_id = s.job_id) OR EXISTS (SELECT FROM holdfast.blocked b WHERE b.job_id = s.job_id))
    UNION ALL
    SELECT split_part(e.gate, E'\t', 1), a.job_id, 'admitted without a slot'
    FROM (SELECT r.job_id FROM holdfast.ready r WHERE r.flags & 8 <> 0
          UNION ALL SELECT h.job_id FROM holdfast.lease l, unnest(l.job_ids) AS h(job_id)
          WHERE NOT EXISTS (SELECT FROM holdfast.lease_exit x WHERE x.lease = l.id AND x.job_id = h.job_id)
            AND NOT holdfast.is_finished_v1(h.job_id)) AS a
    JOIN holdfast.every_job j ON j.id = a.job_id, unnest(string_to_array(j.gates, E'\n')) AS e(gate)
    WHERE NOT starts_with(e.gate, 'rate:')
      AND NOT EXISTS (SELECT FROM holdfast.slot s WHERE s.job_id = a.job_id AND s.gate = split_part(e.gate, E'\t', 1))
$$;
COMMENT ON FUNCTION holdfast.audit_gates_v1 IS 'The law of gates: never more slots than a gate has, each held by a job that may run, and nobody runs without. Empty is well.';
