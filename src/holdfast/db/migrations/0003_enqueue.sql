-- Into the queue. Applications only insert; only workers lock.

CREATE FUNCTION holdfast.idle_key_v1(p_queue text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashtext(p_queue COLLATE "C") $$;
COMMENT ON FUNCTION holdfast.idle_key_v1 IS
    'Idle workers hold (1212567, this) shared on their LISTEN session; a collision of hashes costs one needless wake-up.';

CREATE FUNCTION holdfast.ring_v1(p_queues text[]) RETURNS void
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
                PERFORM pg_notify('holdfast_' || v_pid, v_queue);
            END IF;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.ring_v1 IS 'Wakes one idle worker per queue, if there is one. A hint: losing it costs latency, never work.';

CREATE FUNCTION holdfast.enqueue_v1(
    p_ids bigint[], p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[], p_flags smallint[],
    p_delays_us bigint[], p_due_at timestamptz[], p_max_attempts smallint[], p_timeouts real[], p_keys text[], p_traces jsonb[]
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_now   timestamptz := holdfast.now();
    v_base  bigint;
    v_ids   bigint[] := p_ids;
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
    INSERT INTO holdfast.job (id, queue, task, args, priority, flags, max_attempts, timeout_seconds, unique_key, trace)
    SELECT i.id, i.queue, i.task, i.args, i.priority, i.flags, i.max_attempts, i.timeout, i.key, i.trace
    FROM unnest(v_ids, p_queues, p_tasks, p_args, p_priorities, p_flags, p_max_attempts, p_timeouts, p_keys, p_traces)
         AS i(id, queue, task, args, priority, flags, max_attempts, timeout, key, trace);
    IF p_delays_us IS NULL AND p_due_at IS NULL THEN
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT i.queue, i.priority, i.id, 1, i.flags
        FROM unnest(v_ids, p_queues, p_priorities, p_flags) AS i(id, queue, priority, flags);
        v_soon := p_queues;
    ELSE
        v_soon := holdfast.place_v1(v_ids, p_queues, p_priorities, p_flags, p_delays_us, p_due_at, v_now);
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
    p_delay_us bigint, p_due_at timestamptz, p_max_attempts smallint, p_timeout real, p_trace jsonb
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
    INSERT INTO holdfast.job (id, queue, task, args, priority, flags, max_attempts, timeout_seconds, trace)
    VALUES (p_id, p_queue, p_task, p_args, p_priority, p_flags, p_max_attempts, p_timeout, p_trace);
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
    'enqueue_v1 for one plain job: without arrays it costs half as much.';

CREATE FUNCTION holdfast.place_v1(
    p_ids bigint[], p_queues text[], p_priorities smallint[], p_flags smallint[],
    p_delays_us bigint[], p_due_at timestamptz[], p_now timestamptz
) RETURNS text[]
LANGUAGE sql VOLATILE AS $$
    WITH input AS (
        SELECT i.id, i.queue, i.priority, i.flags,
               coalesce(i.due_at, p_now + i.delay_us * interval '1 microsecond', p_now) AS due_at
        FROM unnest(p_ids, p_queues, p_priorities, p_flags, p_delays_us, p_due_at)
             AS i(id, queue, priority, flags, delay_us, due_at)
    ), later AS (
        INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
        SELECT due_at, id, queue, priority, 1, flags FROM input WHERE due_at > p_now
    ), at_once AS (
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT queue, priority, id, 1, flags FROM input WHERE due_at <= p_now
    )
    SELECT coalesce(array_agg(queue), '{}') FROM input WHERE due_at <= p_now + interval '2 seconds'
$$;
COMMENT ON FUNCTION holdfast.place_v1 IS
    'Puts new jobs into ready or scheduled; returns the queues worth waking somebody for (due now, or sooner than workers look again).';

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
            RAISE EXCEPTION 'only looking' USING ERRCODE = 'HF003';
        EXCEPTION
            WHEN lock_not_available THEN RETURN 'held';
            WHEN SQLSTATE 'HF003' THEN NULL;                -- rolls the exclusive lock back
        END;
    END IF;
    PERFORM FROM holdfast.ready r WHERE r.job_id = p_job AND r.flags & 2 <> 0 FOR KEY SHARE;
    IF FOUND THEN RETURN 'waiting'; END IF;
    PERFORM FROM holdfast.scheduled s WHERE s.job_id = p_job FOR KEY SHARE;
    IF FOUND THEN RETURN 'waiting'; END IF;
    PERFORM FROM holdfast.ready r WHERE r.job_id = p_job AND r.flags & 2 <> 0 FOR KEY SHARE;  -- promoted meanwhile
    IF FOUND THEN RETURN 'waiting'; END IF;
    IF holdfast.is_finished_v1(p_job) THEN RETURN 'finished'; END IF;
    -- Finished so long ago that retention has dropped it, with its outcome: a key must not be taken for ever.
    IF NOT EXISTS (SELECT FROM holdfast.job j WHERE j.id = p_job) AND NOT EXISTS (SELECT FROM holdfast.job_kept j WHERE j.id = p_job) THEN
        RETURN 'finished';
    END IF;
    RETURN 'running';
END $$;
COMMENT ON FUNCTION holdfast.hold_waiting_v1 IS 'waiting (and held until this transaction ends), running, finished, or held by others for too long.';

CREATE FUNCTION holdfast.take_key_v1(p_key text, p_job bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_hash       uuid := holdfast.key_hash_v1(p_key);
    v_generation bigint;
    v_holder     bigint;
BEGIN
    LOOP
        v_generation := 0;
        SELECT k.generation, k.job_id INTO v_generation, v_holder
        FROM holdfast.unique_key k WHERE k.hash = v_hash ORDER BY k.generation DESC LIMIT 1;
        IF v_holder <> p_job AND holdfast.hold_waiting_v1(v_holder) IN ('waiting', 'running') THEN
            RETURN v_holder;
        END IF;
        IF v_holder IS NOT NULL THEN
            -- Generations go on counting only while the newest one is there: nobody may sweep it now. Gone: look again.
            PERFORM FROM holdfast.unique_key k WHERE k.hash = v_hash AND k.generation = v_generation FOR KEY SHARE;
            CONTINUE WHEN NOT FOUND;
        END IF;
        IF v_holder = p_job THEN RETURN p_job; END IF;
        INSERT INTO holdfast.unique_key (hash, generation, job_id)
        VALUES (v_hash, coalesce(v_generation, 0) + 1, p_job) ON CONFLICT DO NOTHING;
        IF FOUND THEN RETURN p_job; END IF;
        -- Somebody else took that generation while we waited: look again, in a new statement.
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.take_key_v1 IS 'The job that holds the key now: the given one, or the unfinished one that held it before.';

CREATE FUNCTION holdfast.enqueue_keyed_v1(
    p_ids bigint[], p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[], p_flags smallint[],
    p_delays_us bigint[], p_due_at timestamptz[], p_max_attempts smallint[], p_timeouts real[], p_keys text[], p_traces jsonb[]
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
    v_answer := v_ids;
    -- Sorted by hash, so that two callers with overlapping keys never deadlock; a key repeated in the input is taken once.
    FOR v_row IN
        SELECT k.key, array_agg(k.at ORDER BY k.at) AS positions
        FROM unnest(p_keys) WITH ORDINALITY AS k(key, at) WHERE k.key IS NOT NULL
        GROUP BY k.key ORDER BY holdfast.key_hash_v1(k.key)
    LOOP
        v_owner := holdfast.take_key_v1(v_row.key, v_ids[v_row.positions[1]]);
        FOREACH v_at IN ARRAY v_row.positions LOOP
            v_answer[v_at] := v_owner;
        END LOOP;
    END LOOP;
    PERFORM holdfast.enqueue_v1(
        array_agg(v_ids[n]), array_agg(p_queues[n]), array_agg(p_tasks[n]), array_agg(p_args[n]), array_agg(p_priorities[n]),
        array_agg((p_flags[n] | CASE WHEN p_keys[n] IS NULL THEN 0 ELSE 2 END)::smallint),
        CASE WHEN p_delays_us IS NOT NULL THEN array_agg(p_delays_us[n]) END,
        CASE WHEN p_due_at IS NOT NULL THEN array_agg(p_due_at[n]) END,
        array_agg(p_max_attempts[n]), array_agg(p_timeouts[n]), array_agg(p_keys[n]), array_agg(p_traces[n]))
    FROM generate_subscripts(p_tasks, 1) AS n
    WHERE v_answer[n] = v_ids[n] AND v_ids[n] <> ALL (v_there)
    HAVING count(*) > 0;
    RETURN v_answer;
END $$;
COMMENT ON FUNCTION holdfast.enqueue_keyed_v1 IS
    'As enqueue_v1, for jobs with unique keys: where an unfinished job holds the key, its id is returned and nothing is inserted.';

CREATE FUNCTION holdfast.enqueue_keyed_told_v1(
    p_ids bigint[], p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[], p_flags smallint[],
    p_delays_us bigint[], p_due_at timestamptz[], p_max_attempts smallint[], p_timeouts real[], p_keys text[], p_traces jsonb[]
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_ids    bigint[] := ARRAY(
        SELECT holdfast.id_floor(holdfast.now()) | (nextval('holdfast.job_number') & 2097151)
        FROM generate_series(1, cardinality(p_tasks)));
    v_stored bigint[] := holdfast.enqueue_keyed_v1(
        coalesce(p_ids, v_ids), p_queues, p_tasks, p_args, p_priorities, p_flags,
        p_delays_us, p_due_at, p_max_attempts, p_timeouts, p_keys, p_traces);
BEGIN
    RETURN ARRAY(SELECT CASE WHEN s.id = d.id THEN s.id ELSE -s.id END
                 FROM unnest(v_stored) WITH ORDINALITY AS s(id, at) JOIN unnest(coalesce(p_ids, v_ids)) WITH ORDINALITY AS d(id, at) USING (at)
                 ORDER BY at);
END $$;
COMMENT ON FUNCTION holdfast.enqueue_keyed_told_v1 IS
    'As enqueue_keyed_v1 for callers that draw no ids of their own: the id of a job that existed before comes back negative.';

CREATE FUNCTION holdfast.enqueue(
    p_task text, p_args jsonb DEFAULT '{}', queue text DEFAULT NULL, priority integer DEFAULT NULL,
    run_at timestamptz DEFAULT NULL, unique_key text DEFAULT NULL, max_attempts integer DEFAULT NULL,
    timeout_seconds real DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_task  holdfast.task;
    v_queue text;
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
    RETURN (holdfast.enqueue_keyed_v1(
        NULL, ARRAY[v_queue], ARRAY[p_task], ARRAY[p_args],
        ARRAY[coalesce(priority, v_task.priority, 5)::smallint], ARRAY[coalesce(v_task.flags, 0)::smallint],
        NULL, CASE WHEN run_at IS NOT NULL THEN ARRAY[run_at] END,
        ARRAY[max_attempts::smallint], ARRAY[coalesce(timeout_seconds, v_task.timeout_seconds)],
        ARRAY[p_task || ':' || unique_key], NULL))[1];
END $$;
COMMENT ON FUNCTION holdfast.enqueue IS
    'SELECT holdfast.enqueue(''send_welcome'', ''{"user_id": 42}''): enqueue from psql, a trigger or any language, in your own transaction.';
