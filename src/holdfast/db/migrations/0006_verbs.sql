-- What people and programs do to jobs and queues, and how they see them.

CREATE VIEW holdfast.every_job AS
    SELECT * FROM holdfast.job UNION ALL SELECT * FROM holdfast.job_kept;
CREATE VIEW holdfast.every_outcome AS
    SELECT * FROM holdfast.outcome UNION ALL SELECT * FROM holdfast.outcome_kept;
COMMENT ON VIEW holdfast.every_job IS 'Partitioned jobs and kept stragglers.';
COMMENT ON VIEW holdfast.every_outcome IS 'Partitioned outcomes and those of kept stragglers.';

CREATE TABLE holdfast.job_edit (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id    bigint      NOT NULL,
    edited_at timestamptz NOT NULL,
    reason    text,
    args      jsonb,
    priority  smallint
);
CREATE INDEX job_edit_job ON holdfast.job_edit (job_id);
COMMENT ON TABLE holdfast.job_edit IS 'What a job row said before a person changed it: the old arguments, or the old priority.';

CREATE TABLE holdfast.attempt_link (
    job_id      bigint      NOT NULL,
    lease       bigint      NOT NULL,
    attempt     smallint    NOT NULL,
    engine      text        NOT NULL,
    external_id text        NOT NULL,
    log_url     text,
    linked_at   timestamptz NOT NULL,
    PRIMARY KEY (job_id, lease)
);
COMMENT ON TABLE holdfast.attempt_link IS 'Under which name an outside engine ran an attempt, and where it logged.';

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

CREATE FUNCTION holdfast.take_out_v1(p_jobs bigint[]) RETURNS TABLE (
    job_id bigint, queue text, priority smallint, attempt smallint, flags smallint, due_at timestamptz, line holdfast.blocked)
LANGUAGE sql VOLATILE SET jit = off AS $$
    WITH later AS (
        DELETE FROM holdfast.scheduled s WHERE s.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.scheduled x WHERE x.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED))
        RETURNING s.job_id, s.queue, s.priority, s.attempt, s.flags, s.due_at, NULL::holdfast.blocked
    ), in_line AS (
        DELETE FROM holdfast.blocked b WHERE b.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.blocked x WHERE x.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED))
        RETURNING b.job_id, b.queue, b.priority, b.attempt, b.flags, NULL::timestamptz, b
    ), soon AS (
        DELETE FROM holdfast.ready r WHERE r.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.ready x
            WHERE (x.queue, x.priority) IN (SELECT DISTINCT j.queue, j.priority FROM holdfast.every_job j WHERE j.id = ANY (p_jobs))
              AND x.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED))
        RETURNING r.job_id, r.queue, r.priority, r.attempt, r.flags, NULL::timestamptz, NULL::holdfast.blocked
    )
    SELECT * FROM later UNION ALL SELECT * FROM in_line UNION ALL SELECT * FROM soon
$$;
COMMENT ON FUNCTION holdfast.take_out_v1 IS
    'Takes waiting jobs out of their place; what others hold locked stays there. The caller puts each into a place in the same transaction. due_at: it was scheduled; line: it was blocked, there.';

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
    v_open     bigint[];
    v_ended    bigint[];
    v_queues   text[];
    v_attempts smallint[];
BEGIN
    SELECT array_agg(j.id) INTO v_open FROM holdfast.every_job j
    WHERE j.id = ANY (p_jobs) AND NOT holdfast.is_finished_v1(j.id);
    INSERT INTO holdfast.cancel_request (job_id, requested_at, reason)
    SELECT j, holdfast.now(), p_reason FROM unnest(v_open) AS j ORDER BY j ON CONFLICT DO NOTHING;
    SELECT array_agg(w.job_id), array_agg(w.queue), array_agg(w.attempt) INTO v_ended, v_queues, v_attempts
    FROM holdfast.take_out_v1(v_open) w;
    IF v_ended IS NOT NULL THEN
        PERFORM holdfast.end_cancelled_v1(0, v_ended, v_queues, v_attempts);
    END IF;
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

CREATE FUNCTION holdfast.call_gates_v1(p_jobs bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_gates text[] := holdfast.gates_among_v1(p_jobs);
BEGIN
    IF cardinality(v_gates) > 0 THEN
        INSERT INTO holdfast.gate_call (gate, rank, seq) SELECT g, 9223372036854775807, 9223372036854775807 FROM unnest(v_gates) AS g;
        PERFORM holdfast.ring_v1(ARRAY(SELECT DISTINCT j.queue::text FROM holdfast.every_job j WHERE j.id = ANY (p_jobs)), 'gates');
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.call_gates_v1 IS
    'With this commit somebody looks at the gates of these jobs again: they have freed slots, or were held while others looked. Nobody new stands there, so no mark moves.';

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

CREATE FUNCTION holdfast.redrive_v1(p_jobs bigint[]) RETURNS TABLE (job_id bigint, answer text)
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
BEGIN
    -- In the order in which enqueues take keys: two that need the same ones wait for each other, never in a circle.
    FOR job_id IN
        SELECT j.id FROM holdfast.every_job j JOIN holdfast.every_outcome o ON o.job_id = j.id AND o.state <> 1
        WHERE j.id = ANY (p_jobs) ORDER BY holdfast.key_hash_v1(j.unique_key) NULLS FIRST, j.id
    LOOP
        answer := holdfast.retry_v1(job_id);
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.redrive_v1 IS 'retry_v1 for those of the given jobs that have failed or were cancelled; the others are left out of the answer.';

-- A job row is written once, and these two are the exception: while its place is locked nobody can claim the job, so
-- nobody reads the row that is being replaced. What it said before stays in job_edit.

CREATE FUNCTION holdfast.edit_v1(p_job bigint, p_from jsonb, p_args jsonb, p_reason text) RETURNS text
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
DECLARE
    v_args jsonb;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1212570, 0);
    IF NOT holdfast.lock_place_v1(p_job) THEN
        RETURN holdfast.standing_v1(p_job);
    END IF;
    SELECT j.args INTO v_args FROM holdfast.every_job j WHERE j.id = p_job;
    IF v_args <> p_from THEN
        RETURN 'changed';
    END IF;
    INSERT INTO holdfast.job_edit (job_id, edited_at, reason, args) VALUES (p_job, holdfast.now(), p_reason, v_args);
    UPDATE holdfast.job SET args = p_args WHERE id = p_job;
    UPDATE holdfast.job_kept SET args = p_args WHERE id = p_job;
    PERFORM holdfast.call_gates_v1(ARRAY[p_job]);           -- whoever looked meanwhile has passed it by
    RETURN 'moved';
END $$;
COMMENT ON FUNCTION holdfast.edit_v1 IS
    'moved: a job that does not run has other arguments from now on, and the gates and key it had. changed: its arguments are not p_from any more. Otherwise nothing changes and the answer is where it stands.';

CREATE FUNCTION holdfast.prioritize_v1(p_jobs bigint[], p_priority smallint) RETURNS TABLE (job_id bigint, answer text)
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
DECLARE
    v_moved bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1212570, 0);
    WITH taken AS (SELECT * FROM holdfast.take_out_v1(p_jobs)),
    later AS (
        INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
        SELECT t.due_at, t.job_id, t.queue, p_priority, t.attempt, t.flags FROM taken t WHERE t.due_at IS NOT NULL
    ), soon AS (
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT t.queue, p_priority, t.job_id, t.attempt, t.flags FROM taken t
        WHERE t.due_at IS NULL AND (t.line).gate IS NULL ORDER BY t.job_id
    ), in_line AS (
        -- As if it had come with that priority: where the line of a limit counts it (rank_v1) the place in it moves.
        INSERT INTO holdfast.blocked (gate, rank, seq, job_id, queue, priority, attempt, flags, gates)
        SELECT (t.line).gate, (t.line).rank + CASE
                   WHEN (t.line).gate = '' OR starts_with((t.line).gate, 'lane:')
                        OR position(E'\n' || (t.line).gate || E'\t' IN E'\n' || (t.line).gates) > 0 THEN 0
                   ELSE (p_priority - t.priority) * 10000 END,
               (t.line).seq, t.job_id, t.queue, p_priority, t.attempt, t.flags, (t.line).gates
        FROM taken t WHERE (t.line).gate IS NOT NULL
        RETURNING gate, rank, seq
    ), called AS (
        INSERT INTO holdfast.gate_call (gate, rank, seq) SELECT l.gate, min(l.rank), min(l.seq) FROM in_line l GROUP BY l.gate
    )
    SELECT array_agg(t.job_id) INTO v_moved FROM taken t;
    INSERT INTO holdfast.job_edit (job_id, edited_at, priority)
    SELECT j.id, holdfast.now(), j.priority FROM holdfast.every_job j WHERE j.id = ANY (v_moved);
    UPDATE holdfast.job j SET priority = p_priority WHERE j.id = ANY (v_moved);
    UPDATE holdfast.job_kept j SET priority = p_priority WHERE j.id = ANY (v_moved);
    RETURN QUERY SELECT i.id, CASE WHEN i.id = ANY (v_moved) THEN 'moved' ELSE holdfast.standing_v1(i.id) END FROM unnest(p_jobs) AS i(id);
END $$;
COMMENT ON FUNCTION holdfast.prioritize_v1 IS
    'Waiting jobs have another priority from now on, and stand at the end of it; before a gate they keep the time they came. What one in ready holds of gates it keeps. For the others nothing changes and the answer is where they stand.';

CREATE FUNCTION holdfast.reschedule_v1(p_jobs bigint[], p_due_at timestamptz) RETURNS TABLE (job_id bigint, answer text)
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
DECLARE
    v_now    timestamptz := holdfast.now();
    v_later  boolean := p_due_at > v_now;
    v_moved  bigint[];
    v_gated  bigint[];
    v_queues text[];
BEGIN
    WITH taken AS (SELECT * FROM holdfast.take_out_v1(p_jobs)),
    later AS (
        INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
        SELECT p_due_at, t.job_id, t.queue, t.priority, t.attempt, t.flags FROM taken t WHERE v_later
    ), soon AS (                                            -- with the slots it has, if it was ready
        INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
        SELECT t.queue, t.priority, t.job_id, t.attempt, t.flags FROM taken t
        WHERE NOT v_later AND (t.line).gate IS NULL AND (t.flags & 8 = 0 OR t.due_at IS NULL) ORDER BY t.job_id
    ), in_line AS (                                         -- it is as soon as it may be: the place in line stays
        INSERT INTO holdfast.blocked SELECT (t.line).* FROM taken t WHERE NOT v_later AND (t.line).gate IS NOT NULL
    ), lined_up AS (
        SELECT holdfast.line_up_v1(array_agg(t.job_id ORDER BY t.job_id), array_agg(t.queue ORDER BY t.job_id), array_agg(t.priority ORDER BY t.job_id),
                                   array_agg(t.attempt ORDER BY t.job_id), array_agg(t.flags ORDER BY t.job_id))
        FROM taken t WHERE NOT v_later AND t.flags & 8 <> 0 AND t.due_at IS NOT NULL HAVING count(*) > 0
    )
    SELECT array_agg(t.job_id), array_agg(t.job_id) FILTER (WHERE t.flags & 8 <> 0), array_agg(DISTINCT t.queue)
    INTO v_moved, v_gated, v_queues FROM taken t WHERE (SELECT count(*) FROM lined_up) >= 0;
    IF v_gated IS NOT NULL THEN
        IF v_later THEN                                     -- it gives up its turn, also in its lane, and comes anew when it is due
            DELETE FROM holdfast.slot s WHERE s.job_id = ANY (v_gated);
        END IF;
        PERFORM holdfast.call_gates_v1(v_gated);
    END IF;
    IF v_moved IS NOT NULL AND p_due_at <= v_now + interval '2 seconds' THEN
        PERFORM holdfast.ring_v1(v_queues);
    END IF;
    RETURN QUERY SELECT i.id, CASE WHEN i.id = ANY (v_moved) THEN 'moved' ELSE holdfast.standing_v1(i.id) END FROM unnest(p_jobs) AS i(id);
END $$;
COMMENT ON FUNCTION holdfast.reschedule_v1 IS
    'Waiting jobs are due at that moment, and ready or before their gates if it is past. Later: they give up what they hold of gates. For the others nothing changes and the answer is where they stand.';

CREATE FUNCTION holdfast.purge_v1(p_jobs bigint[]) RETURNS TABLE (job_id bigint, answer text)
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
DECLARE
    v_minute  timestamptz := date_trunc('minute', holdfast.now());
    v_waited  bigint[];
    v_ended   bigint[];
    v_gone    bigint[];
    v_company bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1212570, 0);
    PERFORM pg_advisory_xact_lock(1212572, 0);              -- arrivals are counted from job rows: not while these vanish
    WITH taken AS (SELECT * FROM holdfast.take_out_v1(p_jobs)),
    counted AS (
        INSERT INTO holdfast.tally_delta (queue, cancelled) SELECT t.queue, count(*) FROM taken t GROUP BY t.queue
    )
    SELECT array_agg(t.job_id) INTO v_waited FROM taken t;
    WITH old AS (
        DELETE FROM holdfast.outcome o WHERE o.job_id = ANY (ARRAY(
            SELECT x.job_id FROM holdfast.outcome x WHERE x.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED)) RETURNING o.job_id, o.lease
    ), kept AS (
        DELETE FROM holdfast.outcome_kept o WHERE o.job_id = ANY (ARRAY(
            SELECT x.job_id FROM holdfast.outcome_kept x WHERE x.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED)) RETURNING o.job_id, o.lease
    ), ended AS (SELECT * FROM old UNION ALL SELECT * FROM kept),
    left_behind AS (                                        -- its lease may still be there for other jobs: this one has left it
        INSERT INTO holdfast.lease_exit (lease, job_id) SELECT e.lease, e.job_id FROM ended e
        WHERE EXISTS (SELECT FROM holdfast.lease l WHERE l.id = e.lease) ON CONFLICT DO NOTHING
    )
    SELECT array_agg(e.job_id) INTO v_ended FROM ended e;
    v_gone := v_waited || v_ended;
    INSERT INTO holdfast.tally AS t (queue, minute, enqueued)
    SELECT j.queue, m.minute, count(*) FROM holdfast.every_job j, (VALUES (v_minute), ('-infinity')) AS m(minute)
    WHERE j.id = ANY (v_gone) AND j.id > (SELECT k.folded_id FROM holdfast.tally_mark k) GROUP BY j.queue, m.minute
    ON CONFLICT (queue, minute) DO UPDATE SET enqueued = t.enqueued + excluded.enqueued;
    v_company := holdfast.company_among_v1(v_waited);
    IF v_company IS NOT NULL THEN                           -- whoever waits for them need not wait any more
        PERFORM holdfast.tell_company_v1(v_company, array_fill(0::bigint, ARRAY[cardinality(v_company)]),
                                         array_fill(3::smallint, ARRAY[cardinality(v_company)]));
        PERFORM holdfast.call_gates_v1(v_company);
    END IF;
    PERFORM holdfast.forget_jobs_v1(v_gone);
    RETURN QUERY SELECT i.id, CASE WHEN i.id = ANY (v_gone) THEN 'purged' ELSE holdfast.standing_v1(i.id) END FROM unnest(p_jobs) AS i(id);
END $$;
COMMENT ON FUNCTION holdfast.purge_v1 IS
    'Jobs that do not run are gone, with everything about them; the counters keep them. For the others nothing changes and the answer is where they stand.';

CREATE FUNCTION holdfast.forget_jobs_v1(p_jobs bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    DELETE FROM holdfast.failed_attempt x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.loss x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.attempt_link x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.progress x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.checkpoint x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.job_log x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.batch_member x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.batch_callback x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.job_edit x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.cancel_request x WHERE x.job_id = ANY (p_jobs);
    DELETE FROM holdfast.unique_key x WHERE x.ctid = ANY (ARRAY(
        SELECT k.ctid FROM holdfast.unique_key k WHERE k.hash = ANY (ARRAY(
            SELECT holdfast.key_hash_v1(j.unique_key) FROM holdfast.every_job j WHERE j.id = ANY (p_jobs) AND j.unique_key IS NOT NULL))
          AND k.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED));
    DELETE FROM holdfast.job x WHERE x.id = ANY (p_jobs);
    DELETE FROM holdfast.job_kept x WHERE x.id = ANY (p_jobs);
END $$;
COMMENT ON FUNCTION holdfast.forget_jobs_v1 IS 'Deletes job rows and every side row of jobs that the caller has taken out of their places.';

CREATE FUNCTION holdfast.lock_place_v1(p_job bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
BEGIN
    PERFORM FROM holdfast.scheduled s WHERE s.job_id = p_job FOR UPDATE SKIP LOCKED;
    IF FOUND THEN RETURN true; END IF;
    PERFORM FROM holdfast.blocked b WHERE b.job_id = p_job FOR UPDATE SKIP LOCKED;
    IF FOUND THEN RETURN true; END IF;
    PERFORM FROM holdfast.ready r WHERE r.job_id = p_job
        AND (r.queue, r.priority) IN (SELECT j.queue, j.priority FROM holdfast.every_job j WHERE j.id = p_job) FOR UPDATE SKIP LOCKED;
    IF FOUND THEN RETURN true; END IF;
    PERFORM FROM holdfast.outcome o WHERE o.job_id = p_job AND o.state <> 1 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN RETURN true; END IF;
    PERFORM FROM holdfast.outcome_kept o WHERE o.job_id = p_job AND o.state <> 1 FOR UPDATE SKIP LOCKED;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION holdfast.lock_place_v1 IS
    'Locks the place of a job that does not run and has not completed: until the end of the transaction nobody claims or retries it. False: it runs, has completed, or somebody else holds it.';

CREATE FUNCTION holdfast.standing_v1(p_job bigint) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT p.place FROM holdfast.places_v1(ARRAY[p_job]) p), 'unknown')
$$;
COMMENT ON FUNCTION holdfast.standing_v1 IS 'The place one job stands in, or unknown: what a verb answers that changed nothing.';

CREATE FUNCTION holdfast.count_loss_v1(p_lease bigint, p_job bigint, p_queue text, p_counted boolean, p_reason text)
RETURNS TABLE (losses bigint, counted bigint)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM FROM holdfast.lease l WHERE l.id = p_lease AND p_job = ANY (l.job_ids) FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN;                                             -- lost as well: whoever rescued it has counted
    END IF;
    INSERT INTO holdfast.loss (job_id, lease, lost_at, counted, reason)
    VALUES (p_job, p_lease, holdfast.now(), p_counted, p_reason) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        INSERT INTO holdfast.tally_delta (queue, lost) VALUES (p_queue, 1);
    END IF;
    RETURN QUERY SELECT count(*), count(*) FILTER (WHERE l.counted) FROM holdfast.loss l WHERE l.job_id = p_job;
END $$;
COMMENT ON FUNCTION holdfast.count_loss_v1 IS
    'Remembers that the process or engine that ran this attempt died, and says how often that happened; no row: the lease is lost.';

CREATE FUNCTION holdfast.link_attempt_v1(p_lease bigint, p_job bigint, p_attempt smallint, p_engine text, p_external_id text, p_log_url text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM FROM holdfast.lease l WHERE l.id = p_lease AND p_job = ANY (l.job_ids) FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO holdfast.attempt_link AS k (job_id, lease, attempt, engine, external_id, log_url, linked_at)
    VALUES (p_job, p_lease, p_attempt, p_engine, p_external_id, p_log_url, holdfast.now())
    ON CONFLICT (job_id, lease) DO UPDATE SET engine = excluded.engine, external_id = excluded.external_id,
        log_url = coalesce(excluded.log_url, k.log_url);
    RETURN true;
END $$;
COMMENT ON FUNCTION holdfast.link_attempt_v1 IS 'Keeps under which name an engine runs this attempt, and where it logs; false: the lease is lost.';

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

-- The filter language: its terms are made by jobs/filter.py, and judged here, one job at a time.

CREATE FUNCTION holdfast.term_holds_v1(p_op text, p_texts text[], p_number double precision, p_text text, p_value double precision) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(CASE p_op
        WHEN '=' THEN p_text = ANY (p_texts) OR p_value = p_number
        WHEN '~' THEN EXISTS (SELECT FROM unnest(p_texts) AS t WHERE strpos(lower(p_text), lower(t)) > 0)
        WHEN '<' THEN p_value < p_number
        WHEN '<=' THEN p_value <= p_number
        WHEN '>' THEN p_value > p_number
        WHEN '>=' THEN p_value >= p_number
    END, false)
$$;
COMMENT ON FUNCTION holdfast.term_holds_v1 IS 'One comparison of a filter; what a job does not have compares with nothing.';

CREATE FUNCTION holdfast.job_matches_v1(
    p_terms jsonb, p_id bigint, p_queue text, p_task text, p_priority smallint, p_attempt smallint, p_key text, p_args jsonb,
    p_error jsonb, p_ended_at timestamptz, p_due_at timestamptz
) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT NOT EXISTS (
        SELECT FROM jsonb_to_recordset(p_terms) AS t(field text, path text[], op text, negated boolean, texts text[], number double precision)
        WHERE t.negated = holdfast.term_holds_v1(t.op, t.texts, t.number,
            CASE t.field
                WHEN 'queue' THEN p_queue
                WHEN 'task' THEN p_task
                WHEN 'key' THEN p_key
                WHEN 'id' THEN p_id::text
                WHEN 'args' THEN p_args #>> t.path
                WHEN 'error' THEN CASE t.op WHEN '=' THEN p_error ->> 'type' ELSE concat_ws(': ', p_error ->> 'type', p_error ->> 'message') END
            END,
            CASE t.field
                WHEN 'priority' THEN p_priority::double precision
                WHEN 'attempt' THEN p_attempt::double precision
                WHEN 'ended' THEN extract(epoch FROM holdfast.now() - p_ended_at)::double precision
                WHEN 'due' THEN extract(epoch FROM p_due_at - holdfast.now())::double precision
            END))
$$;
COMMENT ON FUNCTION holdfast.job_matches_v1 IS 'Whether every term of a filter holds for a job. Ages are seconds.';

CREATE FUNCTION holdfast.find_jobs_v1(
    p_places text[], p_terms jsonb, p_older_seconds double precision, p_younger_seconds double precision, p_before bigint, p_limit integer
) RETURNS TABLE (job_id bigint, place text, task text, error_type text)
LANGUAGE plpgsql STABLE SET jit = off AS $$
DECLARE
    v_from   bigint := coalesce(holdfast.id_floor(holdfast.now() - make_interval(secs => p_younger_seconds)), 0);
    v_until  bigint := least(p_before, holdfast.id_floor(holdfast.now() - make_interval(secs => p_older_seconds)));
    v_states smallint[] := array_remove(ARRAY[
        CASE WHEN 'completed' = ANY (p_places) THEN 1 END, CASE WHEN 'failed' = ANY (p_places) THEN 2 END,
        CASE WHEN 'cancelled' = ANY (p_places) THEN 3 END], NULL)::smallint[];
BEGIN
    -- Each branch ends by itself after p_limit jobs, in the order of an index where there is one.
    RETURN QUERY
    SELECT f.id, f.place, f.task::text, f.error ->> 'type' FROM (
        (SELECT j.id, (ARRAY['completed', 'failed', 'cancelled'])[o.state] AS place, j.task, o.error
         FROM holdfast.every_outcome o JOIN holdfast.every_job j ON j.id = o.job_id
         WHERE cardinality(v_states) > 0 AND o.state = ANY (v_states) AND o.job_id >= v_from AND o.job_id < v_until
           AND holdfast.job_matches_v1(p_terms, j.id, j.queue, j.task, j.priority, o.attempt, j.unique_key, j.args, o.error, o.finished_at, NULL)
         ORDER BY o.job_id DESC LIMIT p_limit)
        UNION ALL
        (SELECT j.id, 'scheduled', j.task, NULL FROM holdfast.scheduled s JOIN holdfast.every_job j ON j.id = s.job_id
         WHERE 'scheduled' = ANY (p_places) AND s.job_id >= v_from AND s.job_id < v_until
           AND holdfast.job_matches_v1(p_terms, j.id, j.queue, j.task, j.priority, s.attempt, j.unique_key, j.args, NULL, NULL, s.due_at)
         ORDER BY s.job_id DESC LIMIT p_limit)
        UNION ALL
        (SELECT j.id, 'blocked', j.task, NULL FROM holdfast.blocked b JOIN holdfast.every_job j ON j.id = b.job_id
         WHERE 'blocked' = ANY (p_places) AND b.job_id >= v_from AND b.job_id < v_until
           AND holdfast.job_matches_v1(p_terms, j.id, j.queue, j.task, j.priority, b.attempt, j.unique_key, j.args, NULL, NULL, NULL)
         ORDER BY b.job_id DESC LIMIT p_limit)
        UNION ALL
        (SELECT j.id, 'ready', j.task, NULL FROM holdfast.ready r JOIN holdfast.every_job j ON j.id = r.job_id
         WHERE 'ready' = ANY (p_places) AND r.job_id >= v_from AND r.job_id < v_until
           AND holdfast.job_matches_v1(p_terms, j.id, j.queue, j.task, j.priority, r.attempt, j.unique_key, j.args, NULL, NULL, NULL)
         ORDER BY r.job_id DESC LIMIT p_limit)
        UNION ALL
        (SELECT j.id, 'running', j.task, NULL
         FROM holdfast.lease l CROSS JOIN LATERAL unnest(l.job_ids) AS h(job_id) JOIN holdfast.every_job j ON j.id = h.job_id
         WHERE 'running' = ANY (p_places) AND j.id >= v_from AND j.id < v_until
           AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = l.id AND e.job_id = j.id)
           AND NOT EXISTS (SELECT FROM holdfast.every_outcome o WHERE o.job_id = j.id)
           AND holdfast.job_matches_v1(p_terms, j.id, j.queue, j.task, j.priority, NULL, j.unique_key, j.args, NULL, NULL, NULL)
         ORDER BY j.id DESC LIMIT p_limit)
    ) AS f ORDER BY f.id DESC LIMIT p_limit;
END $$;
COMMENT ON FUNCTION holdfast.find_jobs_v1 IS 'The newest jobs in these places for which every term of a filter holds, older than p_before.';
