-- Into the queue. Applications only insert; only workers lock.

CREATE FUNCTION holdfast.idle_key_v1(p_queue text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashtext(p_queue COLLATE "C") $$;
COMMENT ON FUNCTION holdfast.idle_key_v1 IS
    'Idle workers hold (1212567, this) shared on their LISTEN session; a collision of hashes costs one needless wake-up.';

CREATE FUNCTION holdfast.ring_v1(p_queues text[], p_about text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_queue text;
    v_key   integer;
    v_pid   integer;
BEGIN
    FOREACH v_queue IN ARRAY p_queues LOOP
        v_key := holdfast.idle_key_v1(v_queue);
        IF pg_try_advisory_lock(1212567, v_key) THEN
            PERFORM pg_advisory_unlock(1212567, v_key);     -- nobody holds it: nobody is idle, nobody needs waking
        ELSE
            SELECT l.pid INTO v_pid FROM pg_catalog.pg_locks l
            WHERE l.locktype = 'advisory' AND l.classid = 1212567 AND l.objid = (v_key::bigint & 4294967295)::oid
              AND l.objsubid = 2 AND l.mode = 'ShareLock' AND l.granted
              AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
            ORDER BY random() LIMIT 1;
            IF v_pid IS NOT NULL THEN
                PERFORM pg_notify('holdfast_' || v_pid, coalesce(p_about, v_queue));
            END IF;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.ring_v1 IS 'Wakes one idle worker per queue, if there is one. A hint: losing it costs latency, never work. p_about gates: look at the gates.';

CREATE FUNCTION holdfast.enqueue_v1(
    p_ids bigint[], p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[], p_flags smallint[],
    p_delays_us bigint[], p_due_at timestamptz[], p_max_attempts smallint[], p_timeouts real[], p_keys text[], p_traces jsonb[],
    p_gates text[] DEFAULT NULL
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_now   timestamptz := holdfast.now();
    v_base  bigint;
    v_ids   bigint[] := p_ids;
    v_flags smallint[] := p_flags;
    v_limit bigint;
    v_soon  text[];
BEGIN
    SELECT s.ceiling_id INTO v_limit FROM holdfast.storage s;
    v_base := holdfast.id_floor(v_now);
    IF v_base + (60000::bigint << 22) >= v_limit THEN
        PERFORM holdfast.make_partitions_v1();              -- last resort: workers make them days ahead
    END IF;
    IF v_ids IS NULL THEN
        SELECT array_agg(v_base | (nextval('holdfast.job_number') & 2097151)) INTO v_ids
        FROM generate_series(1, cardinality(p_tasks));
    ELSIF v_ids[1] < v_base - (60000::bigint << 22) THEN
        RAISE EXCEPTION 'these ids were drawn more than a minute ago' USING ERRCODE = 'HF002';
    END IF;
    IF p_gates IS NOT NULL THEN
        SELECT array_agg((i.flags | CASE WHEN i.gates IS NULL THEN 0 ELSE 8 END)::smallint ORDER BY i.at) INTO v_flags
        FROM unnest(p_flags, p_gates) WITH ORDINALITY AS i(flags, gates, at);
    END IF;
    INSERT INTO holdfast.job (id, queue, task, args, priority, flags, max_attempts, timeout_seconds, unique_key, trace, gates)
    SELECT i.id, i.queue, i.task, i.args, i.priority, i.flags, i.max_attempts, i.timeout, i.key, i.trace, i.gates
    FROM unnest(v_ids, p_queues, p_tasks, p_args, p_priorities, v_flags, p_max_attempts, p_timeouts, p_keys, p_traces, p_gates)
         AS i(id, queue, task, args, priority, flags, max_attempts, timeout, key, trace, gates);
    IF p_delays_us IS NULL AND p_due_at IS NULL AND p_gates IS NULL THEN
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT i.queue, i.priority, i.id, 1, i.flags
        FROM unnest(v_ids, p_queues, p_priorities, p_flags) AS i(id, queue, priority, flags);
        v_soon := p_queues;
    ELSE
        v_soon := holdfast.place_v1(v_ids, p_queues, p_priorities, v_flags, p_delays_us, p_due_at, v_now, p_gates);
    END IF;
    IF cardinality(v_soon) > 1 THEN
        v_soon := ARRAY(SELECT DISTINCT q FROM unnest(v_soon) AS q);
    END IF;
    IF cardinality(v_soon) > 0 THEN
        PERFORM holdfast.ring_v1(v_soon);
    END IF;
    RETURN v_ids;
END $$;
COMMENT ON FUNCTION holdfast.enqueue_v1 IS
    'One statement for one job or ten thousand: all are stored and placed, or none. Repeating it with the same ids fails on the primary key.';

CREATE FUNCTION holdfast.enqueue_one_v1(
    p_id bigint, p_queue text, p_task text, p_args jsonb, p_priority smallint, p_flags smallint,
    p_delay_us bigint, p_due_at timestamptz, p_max_attempts smallint, p_timeout real, p_trace jsonb, p_key text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_now timestamptz := holdfast.now();
    v_due timestamptz := coalesce(p_due_at, v_now + p_delay_us * interval '1 microsecond');
BEGIN
    IF p_id < holdfast.id_floor(v_now) - (60000::bigint << 22) THEN
        RAISE EXCEPTION 'this id was drawn more than a minute ago' USING ERRCODE = 'HF002';
    END IF;
    IF p_id + (60000::bigint << 22) >= (SELECT s.ceiling_id FROM holdfast.storage s) THEN
        PERFORM holdfast.make_partitions_v1();
    END IF;
    INSERT INTO holdfast.job (id, queue, task, args, priority, flags, max_attempts, timeout_seconds, trace, unique_key)
    VALUES (p_id, p_queue, p_task, p_args, p_priority, p_flags, p_max_attempts, p_timeout, p_trace, p_key);
    IF v_due IS NULL OR v_due <= v_now THEN
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags) VALUES (p_queue, p_priority, p_id, 1, p_flags);
    ELSE
        INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
        VALUES (v_due, p_id, p_queue, p_priority, 1, p_flags);
        IF v_due > v_now + interval '2 seconds' THEN
            RETURN p_id;
        END IF;
    END IF;
    IF pg_try_advisory_lock(1212567, holdfast.idle_key_v1(p_queue)) THEN
        PERFORM pg_advisory_unlock(1212567, holdfast.idle_key_v1(p_queue));
    ELSE
        PERFORM holdfast.ring_v1(ARRAY[p_queue]);
    END IF;
    RETURN p_id;
END $$;
COMMENT ON FUNCTION holdfast.enqueue_one_v1 IS
    'enqueue_v1 for one job without gates: without arrays it costs half as much. A unique key (p_key) must have been taken before.';

CREATE FUNCTION holdfast.first_gate_v1(p_gates text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN position(E'\t' IN split_part(p_gates, E'\n', 1)) > 0 THEN '' ELSE split_part(p_gates, E'\n', 1) END
$$;
COMMENT ON FUNCTION holdfast.first_gate_v1 IS 'The gate in whose line a job stands first; empty where only a worker can say its place, in a fairly shared line.';

CREATE FUNCTION holdfast.rank_v1(p_gates text, p_priority smallint, p_at timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN starts_with(p_gates, 'lane:') OR holdfast.first_gate_v1(p_gates) = '' THEN 0
                ELSE (extract(epoch FROM p_at) * 1000)::bigint + p_priority * 10000 END
$$;
COMMENT ON FUNCTION holdfast.rank_v1 IS
    'A lane keeps the order of arrival. In the line of a limit a level of priority is worth ten seconds, so nobody starves.';

CREATE FUNCTION holdfast.place_v1(
    p_ids bigint[], p_queues text[], p_priorities smallint[], p_flags smallint[],
    p_delays_us bigint[], p_due_at timestamptz[], p_now timestamptz, p_gates text[]
) RETURNS text[]
LANGUAGE sql VOLATILE AS $$
    WITH input AS (
        SELECT i.id, i.queue, i.priority, i.flags, i.gates,
               coalesce(i.due_at, p_now + i.delay_us * interval '1 microsecond', p_now) AS due_at
        FROM unnest(p_ids, p_queues, p_priorities, p_flags, p_delays_us, p_due_at, p_gates)
             AS i(id, queue, priority, flags, delay_us, due_at, gates)
    ), later AS (
        INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
        SELECT due_at, id, queue, priority, 1, flags FROM input WHERE due_at > p_now
    ), at_once AS (
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT queue, priority, id, 1, flags FROM input WHERE due_at <= p_now AND gates IS NULL
    ), before_gates AS (
        INSERT INTO holdfast.blocked (gate, rank, job_id, queue, priority, attempt, flags, gates)
        SELECT holdfast.first_gate_v1(gates), holdfast.rank_v1(gates, priority, p_now), id, queue, priority, 1, flags, gates
        FROM input WHERE due_at <= p_now AND gates IS NOT NULL
        RETURNING gate, rank, seq
    ), called AS (
        INSERT INTO holdfast.gate_call (gate, rank, seq) SELECT gate, min(rank), min(seq) FROM before_gates GROUP BY gate
    ), told AS (
        SELECT holdfast.ring_v1(array_agg(DISTINCT queue), 'gates') FROM input WHERE due_at <= p_now AND gates IS NOT NULL HAVING count(*) > 0
    )
    SELECT coalesce(array_agg(queue) FILTER (WHERE gates IS NULL OR due_at > p_now), '{}') FROM input
    WHERE due_at <= p_now + interval '2 seconds' AND (SELECT count(*) FROM told) >= 0
$$;
COMMENT ON FUNCTION holdfast.place_v1 IS
    'Puts new jobs into ready, scheduled or before their gates; returns the queues worth waking somebody for (due now, or sooner than workers look again).';

CREATE FUNCTION holdfast.key_hash_v1(p_key text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT md5(p_key)::uuid $$;

CREATE FUNCTION holdfast.is_finished_v1(p_job bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM holdfast.outcome o WHERE o.job_id = p_job)
        OR EXISTS (SELECT FROM holdfast.outcome_kept o WHERE o.job_id = p_job)
$$;

-- A duplicate holds the waiting job back until its own transaction ends, so that the job will see its data.
-- Duplicates that overlap for ever would hold it back for ever: a job older than 5 s that is being held gets a successor.
CREATE FUNCTION holdfast.hold_waiting_v1(p_job bigint) RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_old boolean := holdfast.id_time(p_job) < holdfast.now() - interval '5 seconds';
BEGIN
    IF v_old THEN
        BEGIN
            PERFORM FROM holdfast.ready r WHERE r.job_id = p_job AND r.flags & 2 <> 0 FOR UPDATE NOWAIT;
            PERFORM FROM holdfast.blocked b WHERE b.job_id = p_job FOR UPDATE NOWAIT;
            RAISE EXCEPTION 'only looking' USING ERRCODE = 'HF003';
        EXCEPTION
            WHEN lock_not_available THEN RETURN 'held';
            WHEN SQLSTATE 'HF003' THEN NULL;                -- rolls the exclusive lock back
        END;
    END IF;
    PERFORM FROM holdfast.ready r WHERE r.job_id = p_job AND r.flags & 2 <> 0 FOR KEY SHARE;
    IF FOUND THEN RETURN 'ready'; END IF;
    -- In the direction in which jobs move, so that one that moves meanwhile is met at the next look.
    PERFORM FROM holdfast.scheduled s WHERE s.job_id = p_job FOR KEY SHARE;
    IF FOUND THEN RETURN 'scheduled'; END IF;
    FOR look IN 1..3 LOOP                                   -- it may move from line to line
        PERFORM FROM holdfast.blocked b WHERE b.job_id = p_job FOR KEY SHARE;
        IF FOUND THEN RETURN 'blocked'; END IF;
    END LOOP;
    PERFORM FROM holdfast.ready r WHERE r.job_id = p_job AND r.flags & 2 <> 0 FOR KEY SHARE;  -- promoted meanwhile
    IF FOUND THEN RETURN 'ready'; END IF;
    IF holdfast.is_finished_v1(p_job) THEN
        RETURN (SELECT (ARRAY['completed', 'failed', 'cancelled'])[o.state] FROM (
            SELECT x.state FROM holdfast.outcome x WHERE x.job_id = p_job
            UNION ALL SELECT x.state FROM holdfast.outcome_kept x WHERE x.job_id = p_job) AS o LIMIT 1);
    END IF;
    -- Finished so long ago that retention has dropped it, with its outcome: a key must not be taken for ever.
    IF NOT EXISTS (SELECT FROM holdfast.job j WHERE j.id = p_job) AND NOT EXISTS (SELECT FROM holdfast.job_kept j WHERE j.id = p_job) THEN
        RETURN 'dropped';
    END IF;
    RETURN 'running';
END $$;
COMMENT ON FUNCTION holdfast.hold_waiting_v1 IS
    'The place of a job, held there until this transaction ends where it waits; dropped: retention has let go of it; held: by others for too long.';

CREATE FUNCTION holdfast.take_key_v1(
    p_key text, p_job bigint, p_covered smallint DEFAULT 15, p_period_us bigint DEFAULT NULL, p_conflict smallint DEFAULT 0
) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_hash       uuid := holdfast.key_hash_v1(p_key);
    v_generation bigint;
    v_holder     bigint;
    v_until      timestamptz;
    v_place      text;
    v_bit        integer;
BEGIN
    LOOP
        v_generation := 0;
        SELECT k.generation, k.job_id, k.until INTO v_generation, v_holder, v_until
        FROM holdfast.unique_key k WHERE k.hash = v_hash ORDER BY k.generation DESC LIMIT 1;
        IF v_holder <> p_job THEN
            IF p_conflict = 1 THEN
                v_place := coalesce((SELECT p.place FROM holdfast.places_v1(ARRAY[v_holder]) AS p), 'dropped');
            ELSIF p_conflict <> 2 THEN
                v_place := holdfast.hold_waiting_v1(v_holder);
            ELSIF holdfast.withdraw_v1(v_holder, p_job) THEN
                v_place := 'replaced';
            ELSE
                v_place := holdfast.hold_waiting_v1(v_holder);
            END IF;
            -- 1 scheduled, 2 blocked, 4 ready, 8 running; after its end a key counts only for its period, in places 16, 32, 64.
            v_bit := coalesce(array_position(ARRAY['scheduled', 'blocked', 'ready', 'running', 'completed', 'failed', 'cancelled'], v_place), 0);
            IF (v_bit BETWEEN 1 AND 4 AND p_covered & (1 << (v_bit - 1)) <> 0)
               OR (v_bit > 4 AND v_until > holdfast.now() AND p_covered & (1 << (v_bit - 1)) <> 0) THEN
                IF v_place = 'blocked' THEN
                    -- Whoever looks meanwhile passes it by: the gate is called again when it is let go, with this commit.
                    INSERT INTO holdfast.gate_call (gate, rank, seq) SELECT b.gate, b.rank, b.seq FROM holdfast.blocked b WHERE b.job_id = v_holder;
                END IF;
                RETURN v_holder;
            END IF;
        END IF;
        IF v_holder IS NOT NULL THEN
            -- Generations go on counting only while the newest one is there: nobody may sweep it now. Gone: look again.
            PERFORM FROM holdfast.unique_key k WHERE k.hash = v_hash AND k.generation = v_generation FOR KEY SHARE;
            CONTINUE WHEN NOT FOUND;
        END IF;
        IF v_holder = p_job THEN RETURN p_job; END IF;
        INSERT INTO holdfast.unique_key (hash, generation, job_id, until)
        VALUES (v_hash, coalesce(v_generation, 0) + 1, p_job, holdfast.now() + p_period_us * interval '1 microsecond') ON CONFLICT DO NOTHING;
        IF FOUND THEN RETURN p_job; END IF;
        -- Somebody else took that generation while we waited: look again, in a new statement.
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.take_key_v1 IS
    'The job that holds the key now: the given one, or the one that held it before and stands in a covered place. Conflict 2: one that waits is withdrawn for the new one.';

CREATE FUNCTION holdfast.withdraw_v1(p_job bigint, p_for bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_queue   text;
    v_attempt smallint;
BEGIN
    DELETE FROM holdfast.scheduled s WHERE s.ctid IN (
        SELECT x.ctid FROM holdfast.scheduled x WHERE x.job_id = p_job FOR UPDATE SKIP LOCKED) RETURNING s.queue, s.attempt INTO v_queue, v_attempt;
    IF NOT FOUND THEN
        DELETE FROM holdfast.blocked b WHERE b.ctid IN (
            SELECT x.ctid FROM holdfast.blocked x WHERE x.job_id = p_job FOR UPDATE SKIP LOCKED) RETURNING b.queue, b.attempt INTO v_queue, v_attempt;
    END IF;
    IF NOT FOUND THEN
        DELETE FROM holdfast.ready r WHERE r.ctid IN (
            SELECT x.ctid FROM holdfast.ready x WHERE x.job_id = p_job AND x.flags & 2 <> 0 FOR UPDATE SKIP LOCKED)
        RETURNING r.queue, r.attempt INTO v_queue, v_attempt;
    END IF;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO holdfast.cancel_request (job_id, requested_at, reason)
    VALUES (p_job, holdfast.now(), 'replaced by job ' || p_for) ON CONFLICT DO NOTHING;
    PERFORM holdfast.end_cancelled_v1(0, ARRAY[p_job], ARRAY[v_queue], ARRAY[v_attempt]);
    RETURN true;
END $$;
COMMENT ON FUNCTION holdfast.withdraw_v1 IS 'Ends a waiting job as cancelled, because another one replaces it. False: it does not wait, or somebody is just moving it.';

CREATE FUNCTION holdfast.enqueue_keyed_v1(
    p_ids bigint[], p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[], p_flags smallint[],
    p_delays_us bigint[], p_due_at timestamptz[], p_max_attempts smallint[], p_timeouts real[], p_keys text[], p_traces jsonb[],
    p_gates text[] DEFAULT NULL, p_covered smallint[] DEFAULT NULL, p_periods_us bigint[] DEFAULT NULL, p_conflicts smallint[] DEFAULT NULL
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_ids    bigint[] := p_ids;
    v_answer bigint[];
    v_base   bigint := holdfast.id_floor(holdfast.now());
    v_row    record;
    v_owner  bigint;
    v_at     integer;
    v_there  bigint[] := '{}';
BEGIN
    IF v_ids IS NULL THEN
        SELECT array_agg(v_base | (nextval('holdfast.job_number') & 2097151)) INTO v_ids
        FROM generate_series(1, cardinality(p_tasks));
    ELSE
        v_there := ARRAY(SELECT j.id FROM holdfast.job j WHERE j.id = ANY (v_ids));     -- repeated after a lost answer
    END IF;
    IF cardinality(p_keys) = 1 AND p_keys[1] IS NOT NULL THEN
        v_owner := holdfast.take_key_v1(p_keys[1], v_ids[1], coalesce(p_covered[1], 15::smallint), p_periods_us[1], coalesce(p_conflicts[1], 0::smallint));
        IF v_owner = v_ids[1] AND cardinality(v_there) = 0 THEN
            PERFORM holdfast.enqueue_v1(v_ids, p_queues, p_tasks, p_args, p_priorities, ARRAY[(p_flags[1] | 2)::smallint], p_delays_us, p_due_at,
                                        p_max_attempts, p_timeouts, p_keys, p_traces, p_gates);
        END IF;
        RETURN ARRAY[v_owner];
    END IF;
    v_answer := v_ids;
    -- Sorted by hash, so that two callers with overlapping keys never deadlock; a key repeated in the input is taken once.
    FOR v_row IN
        SELECT k.key, array_agg(k.at ORDER BY k.at) AS positions
        FROM unnest(p_keys) WITH ORDINALITY AS k(key, at) WHERE k.key IS NOT NULL
        GROUP BY k.key ORDER BY holdfast.key_hash_v1(k.key)
    LOOP
        v_at := v_row.positions[1];
        v_owner := holdfast.take_key_v1(v_row.key, v_ids[v_at], coalesce(p_covered[v_at], 15::smallint), p_periods_us[v_at],
                                        coalesce(p_conflicts[v_at], 0::smallint));
        FOREACH v_at IN ARRAY v_row.positions LOOP
            v_answer[v_at] := v_owner;
        END LOOP;
    END LOOP;
    PERFORM holdfast.enqueue_v1(
        array_agg(v_ids[n]), array_agg(p_queues[n]), array_agg(p_tasks[n]), array_agg(p_args[n]), array_agg(p_priorities[n]),
        array_agg((p_flags[n] | CASE WHEN p_keys[n] IS NULL THEN 0 ELSE 2 END)::smallint),
        CASE WHEN p_delays_us IS NOT NULL THEN array_agg(p_delays_us[n]) END,
        CASE WHEN p_due_at IS NOT NULL THEN array_agg(p_due_at[n]) END,
        array_agg(p_max_attempts[n]), array_agg(p_timeouts[n]), array_agg(p_keys[n]), array_agg(p_traces[n]),
        CASE WHEN p_gates IS NOT NULL THEN array_agg(p_gates[n]) END)
    FROM generate_subscripts(p_tasks, 1) AS n
    WHERE v_answer[n] = v_ids[n] AND v_ids[n] <> ALL (v_there)
    HAVING count(*) > 0;
    RETURN v_answer;
END $$;
COMMENT ON FUNCTION holdfast.enqueue_keyed_v1 IS
    'As enqueue_v1, for jobs with unique keys: where a job in a covered place holds the key, its id is returned and nothing is inserted.';

CREATE FUNCTION holdfast.enqueue_one_keyed_v1(
    p_id bigint, p_queue text, p_task text, p_args jsonb, p_priority smallint, p_flags smallint,
    p_delay_us bigint, p_due_at timestamptz, p_max_attempts smallint, p_timeout real, p_trace jsonb,
    p_key text, p_covered smallint, p_period_us bigint, p_conflict smallint
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
    v_hash  uuid := holdfast.key_hash_v1(p_key);
    v_owner bigint;
BEGIN
    SELECT k.job_id INTO v_owner FROM holdfast.unique_key k WHERE k.hash = v_hash ORDER BY k.generation DESC LIMIT 1;
    IF v_owner = p_id THEN
        RETURN p_id;                                        -- repeated after a lost answer: key and job came in one commit
    END IF;
    IF v_owner IS NULL THEN
        -- Most keys are new: nobody to look up, nobody to hold.
        INSERT INTO holdfast.unique_key (hash, generation, job_id, until)
        VALUES (v_hash, 1, p_id, holdfast.now() + p_period_us * interval '1 microsecond') ON CONFLICT DO NOTHING;
        IF FOUND THEN
            v_owner := p_id;
        END IF;
    END IF;
    IF v_owner IS DISTINCT FROM p_id THEN
        v_owner := holdfast.take_key_v1(p_key, p_id, p_covered, p_period_us, p_conflict);
        IF v_owner <> p_id THEN
            RETURN v_owner;
        END IF;
    END IF;
    RETURN holdfast.enqueue_one_v1(p_id, p_queue, p_task, p_args, p_priority, (p_flags | 2)::smallint, p_delay_us, p_due_at,
                                   p_max_attempts, p_timeout, p_trace, p_key);
END $$;
COMMENT ON FUNCTION holdfast.enqueue_one_keyed_v1 IS
    'enqueue_keyed_v1 for one job without gates: where a job in a covered place holds the key, its id is returned and nothing is inserted.';

CREATE FUNCTION holdfast.enqueue_keyed_told_v1(
    p_ids bigint[], p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[], p_flags smallint[],
    p_delays_us bigint[], p_due_at timestamptz[], p_max_attempts smallint[], p_timeouts real[], p_keys text[], p_traces jsonb[],
    p_gates text[] DEFAULT NULL, p_covered smallint[] DEFAULT NULL, p_periods_us bigint[] DEFAULT NULL, p_conflicts smallint[] DEFAULT NULL
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_ids    bigint[] := ARRAY(
        SELECT holdfast.id_floor(holdfast.now()) | (nextval('holdfast.job_number') & 2097151)
        FROM generate_series(1, cardinality(p_tasks)));
    v_stored bigint[] := holdfast.enqueue_keyed_v1(
        coalesce(p_ids, v_ids), p_queues, p_tasks, p_args, p_priorities, p_flags,
        p_delays_us, p_due_at, p_max_attempts, p_timeouts, p_keys, p_traces, p_gates, p_covered, p_periods_us, p_conflicts);
BEGIN
    RETURN ARRAY(SELECT CASE WHEN s.id = d.id THEN s.id ELSE -s.id END
                 FROM unnest(v_stored) WITH ORDINALITY AS s(id, at) JOIN unnest(coalesce(p_ids, v_ids)) WITH ORDINALITY AS d(id, at) USING (at)
                 ORDER BY at);
END $$;
COMMENT ON FUNCTION holdfast.enqueue_keyed_told_v1 IS
    'As enqueue_keyed_v1 for callers that draw no ids of their own: the id of a job that existed before comes back negative.';

CREATE FUNCTION holdfast.gate_key_v1(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN length(p_text) > 200 THEN md5(p_text) ELSE translate(p_text, E'\n\t', '  ') END
$$;
COMMENT ON FUNCTION holdfast.gate_key_v1 IS 'A key as it stands in the name of a gate: on one line, and no longer than an index likes.';

CREATE FUNCTION holdfast.argument_key_v1(p_args jsonb, p_by jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT holdfast.gate_key_v1(coalesce(string_agg(coalesce(p_args ->> (b.part ->> 0), b.part ->> 1, ''), ',' ORDER BY b.at), ''))
    FROM jsonb_array_elements(p_by) WITH ORDINALITY AS b(part, at)
$$;
COMMENT ON FUNCTION holdfast.argument_key_v1 IS 'The key that these arguments have by [[name, default], …], as the application makes it too.';

CREATE FUNCTION holdfast.gates_of_v1(p_task text, p_declared jsonb, p_args jsonb, p_lane text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (SELECT FROM jsonb_array_elements(p_declared) AS d WHERE d ? 'code') THEN
        RAISE EXCEPTION 'a limit of the task "%" has a key that only the application can work out', p_task
            USING ERRCODE = 'HF007', HINT = 'Enqueue it from the application, or declare the limit with by="argument".';
    END IF;
    RETURN (
        SELECT string_agg(g.gate, E'\n' ORDER BY g.at) FROM (
            SELECT 0 AS at, 'lane:' || holdfast.gate_key_v1(p_lane) AS gate WHERE p_lane IS NOT NULL
            UNION ALL
            SELECT d.at, (d.rule ->> 'rule') || ':' || holdfast.argument_key_v1(p_args, d.rule -> 'by')
                         || CASE WHEN d.rule ? 'fair' THEN E'\t' || holdfast.argument_key_v1(p_args, d.rule -> 'fair') ELSE '' END
            FROM jsonb_array_elements(p_declared) WITH ORDINALITY AS d(rule, at)) AS g);
END $$;
COMMENT ON FUNCTION holdfast.gates_of_v1 IS 'The gates before which a job with these arguments stands; NULL for none.';

CREATE FUNCTION holdfast.enqueue(
    p_task text, p_args jsonb DEFAULT '{}', queue text DEFAULT NULL, priority integer DEFAULT NULL,
    run_at timestamptz DEFAULT NULL, unique_key text DEFAULT NULL, max_attempts integer DEFAULT NULL,
    timeout_seconds real DEFAULT NULL, lane text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_task  holdfast.task;
    v_queue text;
    v_gates text;
BEGIN
    IF jsonb_typeof(p_args) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'the arguments of % must be a JSON object that names them, not %', p_task, coalesce(jsonb_typeof(p_args), 'null')
            USING ERRCODE = 'HF004', HINT = 'Write {"user_id": 42}.';
    END IF;
    SELECT * INTO v_task FROM holdfast.task t WHERE t.name = p_task;
    v_queue := coalesce(queue, v_task.queue);
    IF v_queue IS NULL THEN
        RAISE EXCEPTION 'no worker has declared a task named "%" yet', p_task
            USING ERRCODE = 'HF005', HINT = 'Start a worker of the application once, or say queue => ''…''.';
    END IF;
    IF lane IS NOT NULL OR v_task.gates IS NOT NULL THEN
        v_gates := holdfast.gates_of_v1(p_task, coalesce(v_task.gates, '[]'), p_args, lane);
    END IF;
    RETURN (holdfast.enqueue_keyed_v1(
        NULL, ARRAY[v_queue], ARRAY[p_task], ARRAY[p_args],
        ARRAY[coalesce(priority, v_task.priority, 5)::smallint], ARRAY[coalesce(v_task.flags, 0)::smallint],
        NULL, CASE WHEN run_at IS NOT NULL THEN ARRAY[run_at] END,
        ARRAY[max_attempts::smallint], ARRAY[coalesce(timeout_seconds, v_task.timeout_seconds)],
        ARRAY[p_task || ':' || unique_key], NULL, CASE WHEN v_gates IS NOT NULL THEN ARRAY[v_gates] END))[1];
END $$;
COMMENT ON FUNCTION holdfast.enqueue IS
    'SELECT holdfast.enqueue(''send_welcome'', ''{"user_id": 42}''): enqueue from psql, a trigger or any language, in your own transaction.';
