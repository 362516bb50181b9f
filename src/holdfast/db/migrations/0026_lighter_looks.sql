-- Looks cost more than they let in. Now they pass by the lines of limits that a worker takes straight from before they read
-- anything of them; a lane's slot is looked for once; what concerns rates and limits is not asked where only lanes are looked at;
-- members of batches are looked for only where there are any.

DROP FUNCTION holdfast.heads_v1(text[]);
CREATE FUNCTION holdfast.heads_v1(p_lanes text[], p_others text[], OUT jobs bigint[], OUT is_simple boolean)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    v_served text[];
    v_more   bigint[];
    v_plain  boolean;
BEGIN
    -- Of a lane its head, should it be on its way back; else the first, and only the first: where somebody holds its row, the lane waits.
    SELECT array_agg(h.job_id), coalesce(bool_and(h.gates = l.gate), true) INTO jobs, is_simple
    FROM unnest(p_lanes) AS l(gate)
    LEFT JOIN holdfast.gate g ON g.name = l.gate
    LEFT JOIN LATERAL (
        SELECT s.job_id FROM holdfast.slot s WHERE s.gate = l.gate AND s.job_id >= coalesce(g.low_slot, 0) LIMIT 1) AS head ON true
    CROSS JOIN LATERAL (
        SELECT b.job_id, b.gates FROM holdfast.blocked b WHERE b.job_id = head.job_id AND b.gate = l.gate
        UNION ALL
        (SELECT b.job_id, b.gates FROM holdfast.blocked b
         WHERE head.job_id IS NULL AND b.gate = l.gate AND (b.rank, b.seq) >= (coalesce(g.mark_rank, -1), coalesce(g.mark_seq, 0))
         ORDER BY b.rank, b.seq LIMIT 1)) AS h;
    IF cardinality(p_others) = 0 THEN
        RETURN;
    END IF;
    -- Of a limit a hundred at a time: a worker that wants more takes them straight from the line.
    -- Who waits for a queue that nobody serves must not take the slots of a limit that others share; look a little past them.
    SELECT array_agg(DISTINCT q.name) INTO v_served FROM holdfast.worker w, unnest(w.queues) AS q(name)
    WHERE w.state = 'live' AND NOT EXISTS (SELECT FROM holdfast.queue_pause p WHERE p.queue = q.name);
    SELECT array_agg(h.job_id), coalesce(bool_and(position(E'\n' IN h.gates) = 0 AND NOT starts_with(g.gate, 'rate:')), true) INTO v_more, v_plain
    FROM (SELECT d.gate, least(holdfast.room_v1(d.gate), CASE WHEN starts_with(d.gate, 'rate:') THEN 1000 ELSE 100 END) AS room,
                 coalesce(m.mark_rank, -1) AS rank, coalesce(m.mark_seq, 0) AS seq
          FROM unnest(p_others) AS d(gate) LEFT JOIN holdfast.gate m ON m.name = d.gate) AS g
    CROSS JOIN LATERAL (
        SELECT l.job_id, l.gates FROM (
            SELECT b.job_id, b.queue, b.gates FROM holdfast.blocked b WHERE b.gate = g.gate AND (b.rank, b.seq) >= (g.rank, g.seq)
            ORDER BY b.rank, b.seq LIMIT g.room + 1000) AS l
        WHERE l.queue = ANY (v_served) LIMIT greatest(0, g.room)) AS h;
    jobs := jobs || v_more;
    is_simple := is_simple AND v_plain;
END $$;
COMMENT ON FUNCTION holdfast.heads_v1 IS
    'Who stands first before these gates and may be let in, as far as there is room; simple: each needs nothing but the one gate it stands before.';

DROP FUNCTION holdfast.move_marks_v1(text[]);
CREATE FUNCTION holdfast.move_marks_v1(p_lanes text[], p_others text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
BEGIN
    -- Of lanes now and then: a few dead entries cost less than a row written each time.
    INSERT INTO holdfast.gate AS g (name, mark_rank, mark_seq, virtual, low_slot)
    SELECT d.gate, h.rank, h.seq, h.rank,
           coalesce((SELECT s.job_id FROM holdfast.slot s WHERE s.gate = d.gate AND s.job_id >= coalesce(m.low_slot, 0) ORDER BY s.job_id LIMIT 1),
                    m.low_slot, 0)
    FROM (SELECT x AS gate FROM unnest(p_others) AS x
          UNION ALL SELECT x FROM unnest(p_lanes) AS x WHERE random() < 0.03) AS d
    LEFT JOIN holdfast.gate m ON m.name = d.gate
    CROSS JOIN LATERAL (
        SELECT b.rank, b.seq FROM holdfast.blocked b
        WHERE b.gate = d.gate AND (b.rank, b.seq) >= (coalesce(m.mark_rank, -1), coalesce(m.mark_seq, 0))
        ORDER BY b.rank, b.seq LIMIT 1) AS h
    ON CONFLICT (name) DO UPDATE SET mark_rank = excluded.mark_rank, mark_seq = excluded.mark_seq,
        virtual = greatest(g.virtual, excluded.virtual), low_slot = excluded.low_slot
    WHERE (g.mark_rank, g.mark_seq) <> (excluded.mark_rank, excluded.mark_seq);
    IF cardinality(p_others) > 0 THEN
        UPDATE holdfast.gate g SET opens_at = CASE WHEN EXISTS (SELECT FROM holdfast.blocked b WHERE b.gate = g.name) THEN
            (SELECT min(k.ends_at) FROM holdfast.rate_block k WHERE k.gate = g.name AND k.ends_at > holdfast.now()) END
        WHERE g.name = ANY (p_others) AND starts_with(g.name, 'rate:');
        UPDATE holdfast.gate g SET opens_at = NULL
        WHERE g.name = ANY (p_others) AND starts_with(g.name, 'limit:') AND g.opens_at <= holdfast.now();
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.move_marks_v1 IS
    'Nobody stands before the mark of a gate, a call lowers it again; no slot is held before low_slot, whoever takes one lowers it. Rates say when they open next.';

CREATE OR REPLACE FUNCTION holdfast.serve_v1(p_gates text[], OUT queues text[], OUT again text[], OUT seated bigint)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_lanes  text[] := ARRAY(SELECT DISTINCT x FROM unnest(p_gates) AS x WHERE starts_with(x, 'lane:'));
    v_others text[];
    v_heads  record;
    v_rows   holdfast.blocked[];
    v_stops  text[];
BEGIN
    seated := 0;
    -- A line that is left to whoever takes straight from it is passed by: when its time has come it is looked at again.
    v_others := ARRAY(
        SELECT DISTINCT x FROM unnest(p_gates) AS x
        WHERE NOT starts_with(x, 'lane:') AND NOT (starts_with(x, 'limit:') AND EXISTS (
            SELECT FROM holdfast.gate g WHERE g.name = x AND g.opens_at > holdfast.now())));
    IF cardinality(v_lanes) + cardinality(v_others) = 0 THEN
        RETURN;
    END IF;
    SELECT * INTO v_heads FROM holdfast.heads_v1(v_lanes, v_others);
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
    PERFORM holdfast.move_marks_v1(v_lanes, v_others);
END $$;

CREATE OR REPLACE FUNCTION holdfast.tell_batches_v1(p_jobs bigint[], p_moves smallint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_low  bigint;
    v_high bigint;
BEGIN
    -- Most of those that others wait for stand before gates and are in no batch: one descent says so for all of them.
    SELECT min(j), max(j) INTO v_low, v_high FROM unnest(p_jobs) AS j;
    IF NOT EXISTS (SELECT FROM holdfast.batch_member m WHERE m.job_id BETWEEN v_low AND v_high) THEN
        RETURN;
    END IF;
    INSERT INTO holdfast.batch_delta (batch_id, completed, failed, cancelled, reopened)
    SELECT m.batch_id, count(*) FILTER (WHERE i.move = 1), count(*) FILTER (WHERE i.move = 2),
           count(*) FILTER (WHERE i.move = 3), count(*) FILTER (WHERE i.move = 21)
    FROM unnest(p_jobs, p_moves) AS i(job_id, move) JOIN holdfast.batch_member m ON m.job_id = i.job_id
    WHERE i.move IN (1, 2, 3, 21) GROUP BY m.batch_id;
END $$;
