-- Batches: jobs whose end somebody waits for, without holding a worker.
-- A member that ends, and whoever joins, appends a delta in its own transaction; nobody updates a counter that others want.
-- A worker's step folds the deltas of one batch at a time and, when nothing is open, calls back. So of two last members
-- that end at once each leaves its delta, and whoever folds the later one sees both: the callback comes once.

CREATE TABLE holdfast.batch (
    id            bigint      PRIMARY KEY,
    name          text,
    parent_job    bigint,
    parent_batch  bigint,
    on_success    jsonb,
    on_failure    jsonb,
    on_finish     jsonb,
    members       bigint      NOT NULL DEFAULT 0,
    completed     bigint      NOT NULL DEFAULT 0,
    failed        bigint      NOT NULL DEFAULT 0,
    cancelled     bigint      NOT NULL DEFAULT 0,
    reopened      bigint      NOT NULL DEFAULT 0,
    inner_open    bigint      NOT NULL DEFAULT 0,
    inner_unwell  bigint      NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL,
    cancelled_at  timestamptz,
    cancel_reason text,
    finished_at   timestamptz
) WITH (fillfactor = 60, vacuum_truncate = off);
CREATE UNIQUE INDEX batch_of_parent ON holdfast.batch (parent_job, name) WHERE parent_job IS NOT NULL;
CREATE INDEX batch_inner ON holdfast.batch (parent_batch) WHERE parent_batch IS NOT NULL AND finished_at IS NULL;
CREATE INDEX batch_open ON holdfast.batch (id) WHERE finished_at IS NULL;
COMMENT ON TABLE holdfast.batch IS
    'Counters are those of the deltas folded so far. Open = members - completed - failed - cancelled + reopened + inner_open.';
COMMENT ON COLUMN holdfast.batch.parent_job IS 'The job that opened it; a name is used once a parent, so that a second attempt finds the batch of the first.';
COMMENT ON COLUMN holdfast.batch.parent_batch IS 'The batch of the parent job: it does not end before this one, and joins its callbacks.';

CREATE TABLE holdfast.batch_member (
    batch_id bigint NOT NULL,
    job_id   bigint NOT NULL,
    PRIMARY KEY (batch_id, job_id)
);
CREATE UNIQUE INDEX batch_member_job ON holdfast.batch_member (job_id);
COMMENT ON TABLE holdfast.batch_member IS 'A job belongs to one batch at most (flag 16).';

CREATE TABLE holdfast.batch_callback (
    job_id   bigint PRIMARY KEY,
    batch_id bigint NOT NULL
);
COMMENT ON TABLE holdfast.batch_callback IS 'Which batch a callback was called for.';

CREATE TABLE holdfast.batch_delta (
    id           bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id     bigint  NOT NULL,
    joined       integer NOT NULL DEFAULT 0,
    completed    integer NOT NULL DEFAULT 0,
    failed       integer NOT NULL DEFAULT 0,
    cancelled    integer NOT NULL DEFAULT 0,
    reopened     integer NOT NULL DEFAULT 0,
    inner_open   integer NOT NULL DEFAULT 0,
    inner_unwell integer NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE INDEX batch_delta_batch ON holdfast.batch_delta (batch_id);
COMMENT ON TABLE holdfast.batch_delta IS 'Appended by whoever moves a member, in that transaction; folded and deleted by settle_batches_v1.';

CREATE FUNCTION holdfast.tell_batches_v1(p_jobs bigint[], p_moves smallint[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO holdfast.batch_delta (batch_id, completed, failed, cancelled, reopened)
    SELECT m.batch_id, count(*) FILTER (WHERE i.move = 1), count(*) FILTER (WHERE i.move = 2),
           count(*) FILTER (WHERE i.move = 3), count(*) FILTER (WHERE i.move = 21)
    FROM unnest(p_jobs, p_moves) AS i(job_id, move) JOIN holdfast.batch_member m ON m.job_id = i.job_id
    WHERE i.move IN (1, 2, 3, 21) GROUP BY m.batch_id;
END $$;
COMMENT ON FUNCTION holdfast.tell_batches_v1 IS 'The endings of members, a row a batch and transaction. Retries, snoozes and rescues leave a member open.';

CREATE FUNCTION holdfast.open_batch_v1(
    p_id bigint, p_name text, p_parent bigint, p_on_success jsonb, p_on_failure jsonb, p_on_finish jsonb
) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_id    bigint := coalesce(p_id, holdfast.id_floor(holdfast.now()) | (nextval('holdfast.job_number') & 2097151));
    v_outer bigint;
BEGIN
    IF p_parent IS NOT NULL THEN
        SELECT b.id INTO v_outer FROM holdfast.batch_member m JOIN holdfast.batch b ON b.id = m.batch_id
        WHERE m.job_id = p_parent AND b.finished_at IS NULL FOR KEY SHARE OF b;
    END IF;
    INSERT INTO holdfast.batch (id, name, parent_job, parent_batch, on_success, on_failure, on_finish, created_at)
    VALUES (v_id, p_name, p_parent, v_outer, p_on_success, p_on_failure, p_on_finish, holdfast.now())
    ON CONFLICT (parent_job, name) WHERE parent_job IS NOT NULL DO NOTHING;
    IF NOT FOUND THEN
        -- A new statement: the one above may have waited for the transaction that opened it.
        RETURN (SELECT -b.id FROM holdfast.batch b WHERE b.parent_job = p_parent AND b.name = p_name);
    END IF;
    INSERT INTO holdfast.batch_delta (batch_id) VALUES (v_id);              -- a batch without members ends as well
    IF v_outer IS NOT NULL THEN
        INSERT INTO holdfast.batch_delta (batch_id, inner_open) VALUES (v_outer, 1);
    END IF;
    RETURN v_id;
END $$;
COMMENT ON FUNCTION holdfast.open_batch_v1 IS
    'The id of the new batch; negative: an earlier attempt of the parent has opened it, with its members. Members join in the same transaction.';

CREATE FUNCTION holdfast.enqueue_into_v1(
    p_batch bigint, p_beside bigint,
    p_ids bigint[], p_queues text[], p_tasks text[], p_args jsonb[], p_priorities smallint[], p_flags smallint[],
    p_delays_us bigint[], p_due_at timestamptz[], p_max_attempts smallint[], p_timeouts real[], p_keys text[], p_traces jsonb[],
    p_gates text[] DEFAULT NULL, p_covered smallint[] DEFAULT NULL, p_periods_us bigint[] DEFAULT NULL, p_conflicts smallint[] DEFAULT NULL
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_batch bigint := coalesce(p_batch, (SELECT m.batch_id FROM holdfast.batch_member m WHERE m.job_id = p_beside));
    v_flags smallint[] := ARRAY(SELECT (i.flags | 16)::smallint FROM unnest(p_flags) WITH ORDINALITY AS i(flags, at) ORDER BY i.at);
    v_ids   bigint[];
BEGIN
    IF v_batch IS NULL THEN
        RAISE EXCEPTION 'job % belongs to no batch', p_beside USING ERRCODE = 'HF012';
    END IF;
    -- Until this transaction ends nobody decides that the batch is over; who decides at this moment is waited for.
    PERFORM FROM holdfast.batch b WHERE b.id = v_batch AND b.finished_at IS NULL AND b.cancelled_at IS NULL FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'batch % is over: nobody can join it', v_batch USING ERRCODE = 'HF012';
    END IF;
    IF p_keys IS NOT NULL THEN
        v_ids := holdfast.enqueue_keyed_told_v1(p_ids, p_queues, p_tasks, p_args, p_priorities, v_flags,
                                                p_delays_us, p_due_at, p_max_attempts, p_timeouts, p_keys, p_traces,
                                                p_gates, p_covered, p_periods_us, p_conflicts);
    ELSIF p_ids IS NOT NULL AND EXISTS (SELECT FROM holdfast.job j WHERE j.id = p_ids[1]) THEN
        v_ids := p_ids;                                     -- repeated after a lost answer
    ELSE
        v_ids := holdfast.enqueue_v1(p_ids, p_queues, p_tasks, p_args, p_priorities, v_flags,
                                     p_delays_us, p_due_at, p_max_attempts, p_timeouts, p_keys, p_traces, p_gates);
    END IF;
    WITH joined AS (
        INSERT INTO holdfast.batch_member (batch_id, job_id) SELECT v_batch, i FROM unnest(v_ids) AS i WHERE i > 0
        ON CONFLICT DO NOTHING RETURNING 1
    )
    INSERT INTO holdfast.batch_delta (batch_id, joined) SELECT v_batch, count(*) FROM joined HAVING count(*) > 0;
    RETURN v_ids;
END $$;
COMMENT ON FUNCTION holdfast.enqueue_into_v1 IS
    'As enqueue, into a batch that is not over: p_batch, or the batch of the job p_beside. A job that existed before comes back negative and does not join.';

CREATE FUNCTION holdfast.call_back_v1(p_batch holdfast.batch, p_call jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_outer boolean := p_call IS NOT NULL AND p_batch.parent_batch IS NOT NULL;
    v_job   bigint;
BEGIN
    IF p_call IS NULL THEN
        RETURN false;
    END IF;
    v_job := (holdfast.enqueue_v1(
        NULL, ARRAY[p_call->>'queue'], ARRAY[p_call->>'task'], ARRAY[p_call->'args'], ARRAY[(p_call->>'priority')::smallint],
        ARRAY[((p_call->>'flags')::smallint | CASE WHEN v_outer THEN 16 ELSE 0 END)::smallint], NULL, NULL,
        ARRAY[(p_call->>'max_attempts')::smallint], ARRAY[(p_call->>'timeout_seconds')::real], NULL, NULL,
        CASE WHEN p_call->>'gates' IS NOT NULL THEN ARRAY[p_call->>'gates'] END))[1];
    INSERT INTO holdfast.batch_callback (job_id, batch_id) VALUES (v_job, p_batch.id);
    IF v_outer THEN
        INSERT INTO holdfast.batch_member (batch_id, job_id) VALUES (p_batch.parent_batch, v_job);
    END IF;
    RETURN v_outer;
END $$;
COMMENT ON FUNCTION holdfast.call_back_v1 IS 'Enqueues one callback of a batch that ends. True: it has joined the batch of the parent job.';

CREATE FUNCTION holdfast.end_batch_v1(p_batch holdfast.batch) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_well   boolean := p_batch.completed = p_batch.members AND p_batch.inner_unwell = 0 AND p_batch.cancelled_at IS NULL;
    v_joined integer := 0;
BEGIN
    UPDATE holdfast.batch b SET finished_at = holdfast.now() WHERE b.id = p_batch.id;
    IF p_batch.cancelled_at IS NULL THEN
        v_joined := holdfast.call_back_v1(p_batch, CASE WHEN v_well THEN p_batch.on_success ELSE p_batch.on_failure END)::integer
                  + holdfast.call_back_v1(p_batch, p_batch.on_finish)::integer;
    END IF;
    IF p_batch.parent_batch IS NOT NULL THEN
        INSERT INTO holdfast.batch_delta (batch_id, joined, inner_open, inner_unwell)
        VALUES (p_batch.parent_batch, v_joined, -1, (NOT v_well)::integer);
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.end_batch_v1 IS
    'Ends a batch, locked by the caller, of which nothing is open: callbacks, and the word to the batch around it. A cancelled one calls nobody.';

CREATE FUNCTION holdfast.settle_batch_v1(p_id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
DECLARE
    v_batch holdfast.batch;
BEGIN
    -- Locked in one statement, folded in the next. Who joins in an open transaction holds it: then it is not over.
    PERFORM FROM holdfast.batch b WHERE b.id = p_id FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    WITH gone AS (
        DELETE FROM holdfast.batch_delta d WHERE d.batch_id = p_id RETURNING d.*
    ), summed AS (
        SELECT sum(g.joined) AS joined, sum(g.completed) AS completed, sum(g.failed) AS failed, sum(g.cancelled) AS cancelled,
               sum(g.reopened) AS reopened, sum(g.inner_open) AS inner_open, sum(g.inner_unwell) AS inner_unwell FROM gone g HAVING count(*) > 0
    )
    UPDATE holdfast.batch b SET
        members = b.members + s.joined, completed = b.completed + s.completed, failed = b.failed + s.failed,
        cancelled = b.cancelled + s.cancelled, reopened = b.reopened + s.reopened,
        inner_open = b.inner_open + s.inner_open, inner_unwell = b.inner_unwell + s.inner_unwell
    FROM summed s WHERE b.id = p_id RETURNING b.* INTO v_batch;
    IF NOT FOUND OR v_batch.finished_at IS NOT NULL THEN
        RETURN false;
    END IF;
    IF v_batch.members - v_batch.completed - v_batch.failed - v_batch.cancelled + v_batch.reopened + v_batch.inner_open = 0 THEN
        PERFORM holdfast.end_batch_v1(v_batch);
        RETURN true;
    END IF;
    IF v_batch.cancelled_at IS NOT NULL THEN
        PERFORM holdfast.cancel_members_v1(p_id, v_batch.cancel_reason);            -- who joined while it was being cancelled
    END IF;
    RETURN false;
END $$;
COMMENT ON FUNCTION holdfast.settle_batch_v1 IS 'Folds the deltas of one batch, unless somebody holds it, and ends it if nothing is open; true: it has ended.';

CREATE FUNCTION holdfast.settle_batches_v1(p_most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
DECLARE
    v_id    bigint;
    v_ended integer := 0;
BEGIN
    FOR v_id IN
        SELECT DISTINCT d.batch_id FROM (SELECT x.batch_id FROM holdfast.batch_delta x ORDER BY x.id LIMIT p_most) AS d ORDER BY d.batch_id
    LOOP
        BEGIN
            v_ended := v_ended + holdfast.settle_batch_v1(v_id)::integer;
        EXCEPTION
            WHEN OTHERS THEN                                -- one batch at fault must not hold up the others
                RAISE WARNING 'batch % could not be settled: %', v_id, SQLERRM;
        END;
    END LOOP;
    RETURN v_ended;
END $$;
COMMENT ON FUNCTION holdfast.settle_batches_v1 IS 'Folds the deltas of batches, one batch at a time, and ends those of which nothing is open; returns how many ended.';

CREATE FUNCTION holdfast.cancel_members_v1(p_batch bigint, p_reason text) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_open bigint[] := ARRAY(
        SELECT m.job_id FROM holdfast.batch_member m
        WHERE m.batch_id = p_batch AND NOT holdfast.is_finished_v1(m.job_id)
          AND NOT EXISTS (SELECT FROM holdfast.cancel_request c WHERE c.job_id = m.job_id) ORDER BY m.job_id);
BEGIN
    IF cardinality(v_open) > 0 THEN
        PERFORM FROM holdfast.cancel_v1(v_open, p_reason);
    END IF;
    RETURN cardinality(v_open);
END $$;
COMMENT ON FUNCTION holdfast.cancel_members_v1 IS 'Cancels the members of a batch that are not finished and were not asked before; returns how many.';

CREATE FUNCTION holdfast.cancel_batch_v1(p_batch bigint, p_reason text) RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_inner bigint;
BEGIN
    UPDATE holdfast.batch b SET cancelled_at = holdfast.now(), cancel_reason = p_reason
    WHERE b.id = p_batch AND b.finished_at IS NULL AND b.cancelled_at IS NULL;
    IF NOT FOUND THEN
        RETURN (SELECT CASE WHEN b.finished_at IS NULL THEN 'cancelled already' ELSE 'finished' END FROM holdfast.batch b WHERE b.id = p_batch);
    END IF;
    PERFORM holdfast.cancel_members_v1(p_batch, p_reason);
    -- Also those whose parent job has ended: it lives on in its children.
    FOR v_inner IN SELECT b.id FROM holdfast.batch b WHERE b.parent_batch = p_batch AND b.finished_at IS NULL ORDER BY b.id LOOP
        PERFORM holdfast.cancel_batch_v1(v_inner, p_reason);
    END LOOP;
    INSERT INTO holdfast.batch_delta (batch_id) VALUES (p_batch);           -- the last member may have ended already
    RETURN 'cancelled';
END $$;
COMMENT ON FUNCTION holdfast.cancel_batch_v1 IS
    'Cancels a batch with its members, and the batches that these opened. cancelled, cancelled already, finished, or NULL: there is none.';

CREATE FUNCTION holdfast.cancel_children_v1(p_jobs bigint[], p_reason text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_batch bigint;
BEGIN
    FOR v_batch IN
        SELECT b.id FROM holdfast.batch b WHERE b.parent_job = ANY (p_jobs) AND b.finished_at IS NULL AND b.cancelled_at IS NULL ORDER BY b.id
    LOOP
        PERFORM holdfast.cancel_batch_v1(v_batch, p_reason);
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.cancel_children_v1 IS 'The cascade of a cancel: the batches that these jobs have opened, whether the jobs are finished or not.';

CREATE FUNCTION holdfast.audit_batches_v1() RETURNS TABLE (batch_id bigint, trouble text)
LANGUAGE sql STABLE AS $$
    WITH deltas AS (
        SELECT d.batch_id, sum(d.joined - d.completed - d.failed - d.cancelled + d.reopened) AS open_jobs, sum(d.inner_open) AS inner_open
        FROM holdfast.batch_delta d GROUP BY d.batch_id
    ), said AS (
        SELECT b.id, b.finished_at, d.batch_id IS NOT NULL AS unsettled,
               b.members - b.completed - b.failed - b.cancelled + b.reopened + coalesce(d.open_jobs, 0) AS open_jobs,
               b.inner_open + coalesce(d.inner_open, 0) AS inner_open
        FROM holdfast.batch b LEFT JOIN deltas d ON d.batch_id = b.id
    ), truth AS (
        SELECT s.*, (SELECT count(*) FROM holdfast.batch_member m WHERE m.batch_id = s.id AND NOT holdfast.is_finished_v1(m.job_id)) AS open_truly,
               (SELECT count(*) FROM holdfast.batch i WHERE i.parent_batch = s.id AND i.finished_at IS NULL) AS inner_truly
        FROM said s
    )
    SELECT t.id, format('counts %s open jobs and %s open batches, there are %s and %s', t.open_jobs, t.inner_open, t.open_truly, t.inner_truly)
    FROM truth t WHERE t.open_jobs <> t.open_truly OR t.inner_open <> t.inner_truly
    UNION ALL
    SELECT t.id, 'nothing of it is open, and nobody is going to end it' FROM truth t
    WHERE t.finished_at IS NULL AND t.open_truly = 0 AND t.inner_truly = 0 AND NOT t.unsettled
$$;
COMMENT ON FUNCTION holdfast.audit_batches_v1 IS 'Both laws for batches: what they count is what there is, and every open one has somebody who ends it. Empty is well.';
