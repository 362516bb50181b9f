-- Projections: ordered readers of the log, their 64 partitions, and who holds which.
--
-- A projection has one live model, and may have another that is being built or kept beside it. Each model has 64
-- partitions of its own, each with an owner, an epoch and a checkpoint. The epoch is the fence: whoever takes a
-- partition, or changes what its owner believes, raises it; the owner's next checkpoint then moves no row, and the
-- transaction that holds its read model rolls back. Leases only say when somebody else may take over.
-- Lock order: projection, projection_partition (ascending), projection_parked. Owners skip what is locked, except in
-- the checkpoint itself, which waits and then finds the epoch it may not pass.

CREATE TABLE holdfast.projection (
    name         text        PRIMARY KEY COLLATE "C",
    kind         text        NOT NULL CHECK (kind IN ('model', 'trigger', 'outbox', 'feed')),
    on_failure   text        NOT NULL CHECK (on_failure IN ('park', 'stop')),
    code_version integer     NOT NULL CHECK (code_version > 0),
    types        text[],
    categories   text[],
    tags         text[],
    tables       text[]      NOT NULL,
    declared_at  timestamptz NOT NULL,
    paused_at    timestamptz,
    pause_reason text,
    retired_at   timestamptz,
    still_until  timestamptz
);
COMMENT ON TABLE holdfast.projection IS 'What the application declared, and what an operator decided. types, categories, tags NULL: every event.';
COMMENT ON COLUMN holdfast.projection.still_until IS 'Until then the live model stands still, so that another can reach it; see switch_model_v1.';

CREATE TABLE holdfast.projection_model (
    projection   text        NOT NULL COLLATE "C" REFERENCES holdfast.projection ON DELETE CASCADE,
    model        integer     NOT NULL,
    code_version integer     NOT NULL,
    state        text        NOT NULL CHECK (state IN ('live', 'building', 'kept')),
    schema_name  text,
    made_at      timestamptz NOT NULL,
    live_at      timestamptz,
    PRIMARY KEY (projection, model)
);
CREATE UNIQUE INDEX projection_model_live ON holdfast.projection_model (projection) WHERE state = 'live';
COMMENT ON TABLE holdfast.projection_model IS
    'One copy of a read model. live: what the application reads; building: on its way; kept: the former one, still fed, for a way back.';
COMMENT ON COLUMN holdfast.projection_model.schema_name IS 'The schema its tables stand in; NULL: where the application has them.';

CREATE TABLE holdfast.projector (
    id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection       text        NOT NULL COLLATE "C" REFERENCES holdfast.projection ON DELETE CASCADE,
    code_version     integer     NOT NULL,
    worker           bigint,
    partition_key    smallint,
    total_partitions smallint,
    host             text        NOT NULL,
    pid              integer     NOT NULL,
    started_at       timestamptz NOT NULL,
    lives_until      timestamptz NOT NULL,
    refused          text,
    CHECK (partition_key >= 0 AND partition_key < total_partitions AND total_partitions <= 64)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 200, vacuum_truncate = off);
CREATE INDEX projector_projection ON holdfast.projector (projection);
COMMENT ON TABLE holdfast.projector IS 'A process that serves a projection. refused: it asked for a partition key that another one holds, and does nothing.';
COMMENT ON COLUMN holdfast.projector.worker IS 'The worker it is part of: when that one is declared dead, its partitions are free at once.';

CREATE TABLE holdfast.projection_partition (
    projection    text        NOT NULL COLLATE "C",
    model         integer     NOT NULL,
    partition     smallint    NOT NULL CHECK (partition BETWEEN 0 AND 63),
    owner         bigint,
    epoch         bigint      NOT NULL DEFAULT 0,
    lease_until   timestamptz,
    checkpoint    bigint      NOT NULL,
    effects_after bigint      NOT NULL,
    moved_at      timestamptz,
    failing       jsonb,
    PRIMARY KEY (projection, model, partition),
    FOREIGN KEY (projection, model) REFERENCES holdfast.projection_model ON DELETE CASCADE
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
COMMENT ON COLUMN holdfast.projection_partition.checkpoint IS 'Every event of the partition up to this position is in the read model, or parked.';
COMMENT ON COLUMN holdfast.projection_partition.effects_after IS 'Events up to this position had their effects before: handling them again makes none.';
COMMENT ON COLUMN holdfast.projection_partition.failing IS
    'Policy stop: the event that keeps failing {position, stream, attempts, error}, with retry_at, or without one when it has stopped for good.';

CREATE TABLE holdfast.projection_parked (
    projection    text        NOT NULL COLLATE "C",
    model         integer     NOT NULL,
    stream        text        NOT NULL COLLATE "C",
    partition     smallint    NOT NULL,
    next_position bigint      NOT NULL,
    attempts      integer     NOT NULL,
    parked_at     timestamptz NOT NULL,
    retry_at      timestamptz,
    error         jsonb,
    reason        text,
    PRIMARY KEY (projection, model, stream),
    FOREIGN KEY (projection, model) REFERENCES holdfast.projection_model ON DELETE CASCADE
);
CREATE INDEX projection_parked_due ON holdfast.projection_parked (projection, model, retry_at);
COMMENT ON TABLE holdfast.projection_parked IS
    'Streams that one model waits with: its events from next_position up to the checkpoint of the partition are still to be handled, in order. retry_at NULL: a person must decide.';

CREATE TABLE holdfast.projection_skip (
    projection text        NOT NULL COLLATE "C" REFERENCES holdfast.projection ON DELETE CASCADE,
    model      integer     NOT NULL,
    stream     text        NOT NULL,
    position   bigint      NOT NULL,
    skipped_at timestamptz NOT NULL,
    reason     text        NOT NULL CHECK (reason <> ''),
    error      jsonb,
    PRIMARY KEY (projection, model, position)
);
COMMENT ON TABLE holdfast.projection_skip IS 'Events that a person decided not to handle, and why. Never deleted while the projection exists.';

-- Who is there -------------------------------------------------------------------------------------------------------

CREATE FUNCTION holdfast.live_projectors_v1(p_projection text, p_code_version integer) RETURNS SETOF holdfast.projector
LANGUAGE sql STABLE AS $$
    SELECT p.* FROM holdfast.projector p
    WHERE p.projection = p_projection AND (p_code_version IS NULL OR p.code_version = p_code_version)
      AND p.refused IS NULL AND p.lives_until > holdfast.now()
      AND (p.worker IS NULL OR EXISTS (SELECT FROM holdfast.worker w WHERE w.id = p.worker AND w.state = 'live'))
$$;
COMMENT ON FUNCTION holdfast.live_projectors_v1 IS 'Projectors whose lease runs and whose worker, if they have one, is not declared dead. NULL: of any code version.';

CREATE FUNCTION holdfast.declare_projection_v1(
    p_name text, p_kind text, p_on_failure text, p_code_version integer, p_types text[], p_categories text[],
    p_tags text[], p_tables text[], p_from_now boolean
) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_live  integer;
    v_start bigint := 0;
BEGIN
    INSERT INTO holdfast.projection AS p (name, kind, on_failure, code_version, types, categories, tags, tables, declared_at)
    VALUES (p_name, p_kind, p_on_failure, p_code_version, p_types, p_categories, p_tags, p_tables, holdfast.now())
    ON CONFLICT (name) DO UPDATE SET
        kind = excluded.kind, on_failure = excluded.on_failure, types = excluded.types, categories = excluded.categories,
        tags = excluded.tags, tables = excluded.tables, code_version = excluded.code_version, declared_at = excluded.declared_at
        WHERE p.code_version <= excluded.code_version;      -- older code in a rolling deploy changes nothing
    SELECT m.model INTO v_live FROM holdfast.projection_model m WHERE m.projection = p_name AND m.state = 'live';
    IF FOUND THEN
        RETURN EXISTS (SELECT FROM holdfast.projection_model m WHERE m.projection = p_name AND m.code_version = p_code_version);
    END IF;
    IF p_from_now THEN
        v_start := holdfast.settled_v1();
    END IF;
    PERFORM holdfast.make_model_v1(p_name, 1, p_code_version, 'live', NULL, v_start);
    RETURN true;
END $$;
COMMENT ON FUNCTION holdfast.declare_projection_v1 IS
    'Makes the projection known, and its first model. False: it has a live model of other code, and none of this; a rebuild makes one.';

CREATE FUNCTION holdfast.make_model_v1(
    p_projection text, p_model integer, p_code_version integer, p_state text, p_schema text, p_start bigint
) RETURNS void
LANGUAGE sql VOLATILE AS $$
    INSERT INTO holdfast.projection_model (projection, model, code_version, state, schema_name, made_at, live_at)
    VALUES (p_projection, p_model, p_code_version, p_state, p_schema, holdfast.now(),
            CASE WHEN p_state = 'live' THEN holdfast.now() END);
    INSERT INTO holdfast.projection_partition (projection, model, partition, checkpoint, effects_after)
    SELECT p_projection, p_model, n, p_start, p_start FROM generate_series(0, 63) AS n
$$;
COMMENT ON FUNCTION holdfast.make_model_v1 IS 'A model with its 64 partitions, all at one position.';

CREATE FUNCTION holdfast.register_projector_v1(
    p_projection text, p_code_version integer, p_worker bigint, p_key integer, p_total integer, p_host text, p_pid integer, p_lease interval
) RETURNS TABLE (projector bigint, refusal text)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    -- One after the other: two processes with one key must not both find that nobody has it.
    PERFORM pg_advisory_xact_lock(1212569, hashtext(p_projection));
    DELETE FROM holdfast.projector p
    WHERE p.projection = p_projection AND p.lives_until < holdfast.now() - interval '10 minutes';
    SELECT CASE
            WHEN p_total IS NULL THEN format('%s holds fixed partitions, key %s of %s; a projection is served either by fixed or by elastic workers',
                                             x.who, x.partition_key, x.total_partitions)
            WHEN x.total_partitions IS NULL THEN format('%s takes any partition (it has no partition key)', x.who)
            WHEN x.total_partitions <> p_total THEN format('%s counts %s partitions in all, this one %s', x.who, x.total_partitions, p_total)
            ELSE format('%s has partition key %s of %s already', x.who, p_key, p_total) END
    INTO refusal
    FROM (SELECT p.*, format('process %s on %s', p.pid, p.host) AS who
          FROM holdfast.live_projectors_v1(p_projection, p_code_version) AS p) AS x
    WHERE x.total_partitions IS DISTINCT FROM p_total OR x.partition_key = p_key
    ORDER BY x.id LIMIT 1;
    -- A process that asks again takes the place of its own refusal.
    DELETE FROM holdfast.projector p
    WHERE p.projection = p_projection AND p.refused IS NOT NULL AND p.host = p_host AND p.pid = p_pid;
    INSERT INTO holdfast.projector AS p (projection, code_version, worker, partition_key, total_partitions, host, pid, started_at, lives_until, refused)
    VALUES (p_projection, p_code_version, p_worker, p_key, p_total, p_host, p_pid, holdfast.now(), holdfast.now() + p_lease, refusal)
    RETURNING p.id INTO projector;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION holdfast.register_projector_v1 IS
    'A number for a process that wants to serve, or why it may not. A refusal is kept, so that people see it.';

CREATE FUNCTION holdfast.renew_projectors_v1(p_projectors bigint[], p_lease interval) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_known bigint[];
BEGIN
    WITH known AS (
        UPDATE holdfast.projector p SET lives_until = holdfast.now() + p_lease WHERE p.id = ANY (p_projectors) RETURNING p.id
    )
    SELECT array_agg(id) INTO v_known FROM known;
    WITH mine AS MATERIALIZED (
        SELECT o.projection, o.model, o.partition FROM holdfast.projection_partition o
        WHERE o.owner = ANY (p_projectors) AND o.lease_until > holdfast.now()
          AND o.lease_until < holdfast.now() + p_lease * 0.6
        FOR UPDATE SKIP LOCKED)
    UPDATE holdfast.projection_partition t SET lease_until = holdfast.now() + p_lease FROM mine
    WHERE t.projection = mine.projection AND t.model = mine.model AND t.partition = mine.partition;
    RETURN v_known;
END $$;
COMMENT ON FUNCTION holdfast.renew_projectors_v1 IS
    'Renews projectors and those of their leases that run out soon; one that has run out is not renewed, it is claimed anew. Returns who is known.';

CREATE FUNCTION holdfast.hold_partitions_v1(p_projector bigint, p_lease interval) RETURNS TABLE (
    model integer, state text, schema_name text, partition smallint, epoch bigint, checkpoint bigint, effects_after bigint, failing jsonb, rests_seconds double precision)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_me      holdfast.projector;
    v_idle    boolean;
    v_model   record;
    v_workers integer;
    v_rank    integer;
    v_share   integer;
    v_have    integer;
BEGIN
    SELECT * INTO v_me FROM holdfast.projector p WHERE p.id = p_projector;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'projector % is not registered any more', p_projector USING ERRCODE = 'HF120';
    END IF;
    SELECT j.paused_at IS NOT NULL OR j.retired_at IS NOT NULL INTO v_idle FROM holdfast.projection j WHERE j.name = v_me.projection;
    SELECT count(*), count(*) FILTER (WHERE l.id < p_projector) INTO v_workers, v_rank
    FROM holdfast.live_projectors_v1(v_me.projection, v_me.code_version) AS l WHERE l.id <> p_projector;
    v_workers := v_workers + 1;
    FOR v_model IN
        SELECT m.model, m.state = 'live' AND coalesce(j.still_until > holdfast.now(), false) AS stands_still
        FROM holdfast.projection_model m JOIN holdfast.projection j ON j.name = m.projection
        WHERE m.projection = v_me.projection AND m.code_version = v_me.code_version
    LOOP
        v_share := CASE WHEN v_idle OR v_model.stands_still THEN 0
                        WHEN v_me.total_partitions IS NOT NULL THEN 64
                        ELSE 64 / v_workers + CASE WHEN v_rank < 64 % v_workers THEN 1 ELSE 0 END END;
        SELECT count(*) INTO v_have FROM holdfast.projection_partition t
        WHERE t.projection = v_me.projection AND t.model = v_model.model AND t.owner = p_projector;
        IF v_have > v_share THEN
            PERFORM holdfast.give_back_partitions_v1(p_projector, v_me.projection, v_model.model, v_have - v_share);
        END IF;
        -- An array, because a joined subquery may be evaluated once for every row, and would take its limit each time.
        UPDATE holdfast.projection_partition t
        SET owner = p_projector, epoch = t.epoch + 1, lease_until = holdfast.now() + p_lease
        WHERE t.projection = v_me.projection AND t.model = v_model.model AND t.partition = ANY (ARRAY(
            SELECT f.partition FROM holdfast.projection_partition f
            WHERE f.projection = v_me.projection AND f.model = v_model.model
              AND (v_me.total_partitions IS NULL OR f.partition % v_me.total_partitions = v_me.partition_key)
              AND (f.owner IS NULL OR f.lease_until < holdfast.now()
                   OR f.owner NOT IN (SELECT l.id FROM holdfast.live_projectors_v1(v_me.projection, v_me.code_version) AS l))
            ORDER BY (f.owner = p_projector) IS TRUE DESC, f.partition
            LIMIT greatest(v_share - least(v_have, v_share) + (
                SELECT count(*) FROM holdfast.projection_partition o
                WHERE o.projection = v_me.projection AND o.model = v_model.model AND o.owner = p_projector
                  AND o.lease_until < holdfast.now()), 0)
            FOR UPDATE SKIP LOCKED));
    END LOOP;
    RETURN QUERY
        SELECT t.model, m.state, m.schema_name, t.partition, t.epoch, t.checkpoint, t.effects_after, t.failing,
               extract(epoch FROM (t.failing ->> 'retry_at')::timestamptz - holdfast.now())::double precision
        FROM holdfast.projection_partition t JOIN holdfast.projection_model m USING (projection, model)
        WHERE t.owner = p_projector AND t.lease_until > holdfast.now() AND m.code_version = v_me.code_version
        ORDER BY t.model, t.partition;
END $$;
COMMENT ON FUNCTION holdfast.hold_partitions_v1 IS
    'Gives back what is above the fair share, takes what is free below it, each with a new epoch, and tells what is held. A live lease is never taken.';

CREATE FUNCTION holdfast.give_back_partitions_v1(p_projector bigint, p_projection text, p_model integer, p_count bigint) RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE holdfast.projection_partition t SET owner = NULL, lease_until = NULL
    WHERE t.projection = p_projection AND t.model = p_model AND t.partition = ANY (ARRAY(
        SELECT o.partition FROM holdfast.projection_partition o
        WHERE o.owner = p_projector AND o.projection = p_projection AND o.model = p_model
        ORDER BY o.partition DESC LIMIT p_count FOR UPDATE SKIP LOCKED))
$$;
COMMENT ON FUNCTION holdfast.give_back_partitions_v1 IS 'Lets go of so many partitions between two batches; the epoch stays, the next owner raises it.';

CREATE FUNCTION holdfast.retire_projector_v1(p_projector bigint) RETURNS void
LANGUAGE sql VOLATILE AS $$
    SELECT holdfast.give_back_partitions_v1(p_projector, m.projection, m.model, 64)
    FROM holdfast.projector p JOIN holdfast.projection_model m ON m.projection = p.projection WHERE p.id = p_projector;
    DELETE FROM holdfast.projector p WHERE p.id = p_projector
$$;
COMMENT ON FUNCTION holdfast.retire_projector_v1 IS 'An ordered end: everything is given back at once, nobody waits for a lease to run out.';

-- Work ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION holdfast.checkpoint_v1(
    p_projection text, p_model integer, p_partitions smallint[], p_epochs bigint[], p_old bigint[], p_new bigint[], p_lease interval
) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    WITH moved AS (
        UPDATE holdfast.projection_partition t
        SET checkpoint = n.new, lease_until = holdfast.now() + p_lease, moved_at = holdfast.now(), failing = NULL
        FROM unnest(p_partitions, p_epochs, p_old, p_new) AS n(partition, epoch, old, new)
        WHERE t.projection = p_projection AND t.model = p_model AND t.partition = n.partition
          AND t.epoch = n.epoch AND t.checkpoint = n.old
        RETURNING 1)
    SELECT count(*) FROM moved
$$;
COMMENT ON FUNCTION holdfast.checkpoint_v1 IS
    'Fence, renewal and checkpoint in one guarded update, last in the transaction of the read model. Fewer rows than asked for: roll back, the lease is lost.';

CREATE FUNCTION holdfast.bounds_v1(p_projection text, p_model integer) RETURNS TABLE (settled bigint, live bigint[])
LANGUAGE sql STABLE AS $$
    SELECT holdfast.settled_v1(),
           CASE WHEN m.state <> 'live' THEN ARRAY(
               SELECT t.checkpoint FROM holdfast.projection_partition t
               JOIN holdfast.projection_model l USING (projection, model)
               WHERE t.projection = p_projection AND l.state = 'live' ORDER BY t.partition) END
    FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.model = p_model
$$;
COMMENT ON FUNCTION holdfast.bounds_v1 IS
    'How far may be read: to the settled position; a model that is not live only as far as the live one has come, so that a switch neither loses nor doubles effects.';

CREATE FUNCTION holdfast.in_scope_v1(p_type text, p_stream text, p_tags text[], p_types text[], p_categories text[], p_wanted_tags text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (p_types IS NULL OR p_type = ANY (p_types))
       AND (p_categories IS NULL OR holdfast.category_of(p_stream) = ANY (p_categories))
       AND (p_wanted_tags IS NULL OR coalesce(p_tags @> p_wanted_tags, false))
$$;
COMMENT ON FUNCTION holdfast.in_scope_v1 IS 'Any of the types, any of the categories, all of the tags; NULL asks for nothing.';

CREATE FUNCTION holdfast.next_events_v1(
    p_projection text, p_model integer, p_partitions smallint[], p_after bigint[], p_upto bigint[], p_limit_each integer,
    p_types text[], p_categories text[], p_tags text[]
) RETURNS TABLE (
    "position" bigint, stream text, version bigint, type text, schema_version smallint, data jsonb, id uuid, recorded_at timestamptz,
    tags text[], metadata jsonb, correlation_id text, causation_id text, trace jsonb, partition smallint, parked boolean)
LANGUAGE sql STABLE SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off SET jit = off AS $$
    SELECT e.position, e.stream, e.version, e.type, e.schema_version, e.data, e.id, e.recorded_at, e.tags, e.metadata,
           e.correlation_id, e.causation_id, e.trace, e.partition,
           EXISTS (SELECT FROM holdfast.projection_parked k WHERE k.projection = p_projection AND k.model = p_model AND k.stream = e.stream)
    FROM unnest(p_partitions, p_after, p_upto) AS o(partition, after, upto)
    CROSS JOIN LATERAL (
        SELECT x.* FROM holdfast.event x
        WHERE x.partition = o.partition AND x.position > o.after AND x.position <= o.upto
          AND holdfast.in_scope_v1(x.type, x.stream, x.tags, p_types, p_categories, p_tags)
        ORDER BY x.position LIMIT p_limit_each) AS e
$$;
COMMENT ON FUNCTION holdfast.next_events_v1 IS
    'The next events of each partition, in order inside each, by the index of partitions: n readers read the log once, not n times.';

CREATE FUNCTION holdfast.stream_part_v1(
    p_stream text, p_first bigint, p_last bigint, p_limit integer, p_types text[], p_categories text[], p_tags text[]
) RETURNS TABLE (
    "position" bigint, stream text, version bigint, type text, schema_version smallint, data jsonb, id uuid, recorded_at timestamptz,
    tags text[], metadata jsonb, correlation_id text, causation_id text, trace jsonb, partition smallint)
LANGUAGE sql STABLE SET enable_seqscan = off SET jit = off AS $$
    SELECT e.position, e.stream, e.version, e.type, e.schema_version, e.data, e.id, e.recorded_at, e.tags, e.metadata,
           e.correlation_id, e.causation_id, e.trace, e.partition
    FROM holdfast.event e
    WHERE e.stream = p_stream AND e.position BETWEEN p_first AND p_last
      AND holdfast.in_scope_v1(e.type, e.stream, e.tags, p_types, p_categories, p_tags)
    ORDER BY e.position LIMIT p_limit
$$;
COMMENT ON FUNCTION holdfast.stream_part_v1 IS 'Events of one stream between two positions, both included: what a parked stream has still to be given.';

CREATE FUNCTION holdfast.park_failed_v1(
    p_projection text, p_model integer, p_stream text, p_partition smallint, p_position bigint, p_attempts integer, p_error jsonb, p_retry_in interval
) RETURNS void
LANGUAGE sql VOLATILE AS $$
    INSERT INTO holdfast.projection_parked AS p (projection, model, stream, partition, next_position, attempts, parked_at, retry_at, error)
    VALUES (p_projection, p_model, p_stream, p_partition, p_position, p_attempts, holdfast.now(), holdfast.now() + p_retry_in, p_error)
    ON CONFLICT (projection, model, stream) DO UPDATE SET
        next_position = excluded.next_position, attempts = excluded.attempts, retry_at = excluded.retry_at, error = excluded.error
$$;
COMMENT ON FUNCTION holdfast.park_failed_v1 IS 'The stream waits from this event on; retried after p_retry_in, or by a person when that is NULL. In one transaction with the checkpoint.';

CREATE FUNCTION holdfast.stop_at_v1(p_projection text, p_model integer, p_partition smallint, p_epoch bigint, p_failing jsonb, p_retry_in interval) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    WITH told AS (
        UPDATE holdfast.projection_partition t
        SET failing = CASE WHEN p_retry_in IS NULL THEN p_failing
                           ELSE p_failing || jsonb_build_object('retry_at', holdfast.now() + p_retry_in) END
        WHERE t.projection = p_projection AND t.model = p_model AND t.partition = p_partition AND t.epoch = p_epoch
        RETURNING 1)
    SELECT EXISTS (SELECT FROM told)
$$;
COMMENT ON FUNCTION holdfast.stop_at_v1 IS 'The partition rests before this event, until its retry or for good; only its owner can say so.';

CREATE FUNCTION holdfast.upsert_rows_v1(p_table text, p_columns text[], p_key text[], p_rows jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_count   bigint;
    v_columns text := (SELECT string_agg(quote_ident(c), ', ') FROM unnest(p_columns) AS c);
    v_values  text := (SELECT string_agg('r.' || quote_ident(c), ', ') FROM unnest(p_columns) AS c);
    v_key     text := (SELECT string_agg(quote_ident(c), ', ') FROM unnest(p_key) AS c);
    v_set     text := (SELECT string_agg(format('%1$I = excluded.%1$I', c), ', ') FROM unnest(p_columns) AS c WHERE c <> ALL (p_key));
BEGIN
    EXECUTE format('INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_recordset(NULL::%s, $1) AS r ON CONFLICT (%s) DO %s',
                   p_table::regclass, v_columns, v_values, p_table::regclass, v_key,
                   coalesce('UPDATE SET ' || v_set, 'NOTHING')) USING p_rows;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;
COMMENT ON FUNCTION holdfast.upsert_rows_v1 IS 'The rows that a batch handler returned, in one statement; the columns of the key decide what is new.';

-- What operators do ---------------------------------------------------------------------------------------------------

CREATE FUNCTION holdfast.fence_partitions_v1(p_projection text, p_model integer) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM FROM holdfast.projection_partition t
    WHERE t.projection = p_projection AND (p_model IS NULL OR t.model = p_model)
    ORDER BY t.model, t.partition FOR UPDATE;
    UPDATE holdfast.projection_partition t SET epoch = t.epoch + 1, owner = NULL, lease_until = NULL
    WHERE t.projection = p_projection AND (p_model IS NULL OR t.model = p_model);
END $$;
COMMENT ON FUNCTION holdfast.fence_partitions_v1 IS 'Waits for the batches that are being committed; whatever their owners do after that is refused.';

CREATE FUNCTION holdfast.pause_projection_v1(p_projection text, p_reason text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_before timestamptz;
BEGIN
    SELECT j.paused_at INTO v_before FROM holdfast.projection j WHERE j.name = p_projection FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE holdfast.projection j SET paused_at = coalesce(j.paused_at, holdfast.now()), pause_reason = p_reason WHERE j.name = p_projection;
    PERFORM holdfast.fence_partitions_v1(p_projection, NULL);
    RETURN v_before IS NULL;
END $$;
COMMENT ON FUNCTION holdfast.pause_projection_v1 IS 'When it returns nothing more is applied, by nobody. NULL: there is no such projection; false: it was paused.';

CREATE FUNCTION holdfast.resume_projection_v1(p_projection text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_paused  timestamptz;
    v_stopped bigint;
BEGIN
    SELECT j.paused_at INTO v_paused FROM holdfast.projection j WHERE j.name = p_projection FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE holdfast.projection j SET paused_at = NULL, pause_reason = NULL, retired_at = NULL WHERE j.name = p_projection;
    UPDATE holdfast.projection_partition t SET failing = NULL WHERE t.projection = p_projection AND t.failing IS NOT NULL;
    GET DIAGNOSTICS v_stopped = ROW_COUNT;
    RETURN v_paused IS NOT NULL OR v_stopped > 0;
END $$;
COMMENT ON FUNCTION holdfast.resume_projection_v1 IS 'Goes on after a pause, and after partitions stopped at an event. NULL: no such projection; false: it was running.';

CREATE FUNCTION holdfast.retire_projection_v1(p_projection text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE holdfast.projection j SET retired_at = holdfast.now() WHERE j.name = p_projection AND j.retired_at IS NULL;
    IF NOT FOUND THEN
        RETURN CASE WHEN EXISTS (SELECT FROM holdfast.projection j WHERE j.name = p_projection) THEN false END;
    END IF;
    PERFORM holdfast.fence_partitions_v1(p_projection, NULL);
    RETURN true;
END $$;
COMMENT ON FUNCTION holdfast.retire_projection_v1 IS 'Nobody serves it any more, and health does not ask for it; resume brings it back.';

CREATE FUNCTION holdfast.reset_projection_v1(p_projection text, p_position bigint, p_empty boolean) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_model integer;
    v_table text;
BEGIN
    PERFORM FROM holdfast.projection j WHERE j.name = p_projection FOR UPDATE;
    SELECT m.model INTO v_model FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.state = 'live';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM holdfast.fence_partitions_v1(p_projection, v_model);
    IF p_empty THEN
        FOR v_table IN SELECT unnest(j.tables) FROM holdfast.projection j WHERE j.name = p_projection LOOP
            EXECUTE format('TRUNCATE %s', quote_ident(v_table)::regclass);
        END LOOP;
    END IF;
    DELETE FROM holdfast.projection_parked p WHERE p.projection = p_projection AND p.model = v_model;
    UPDATE holdfast.projection_partition t
    SET checkpoint = least(p_position, t.checkpoint), effects_after = greatest(t.effects_after, t.checkpoint), failing = NULL
    WHERE t.projection = p_projection AND t.model = v_model;
    RETURN v_model;
END $$;
COMMENT ON FUNCTION holdfast.reset_projection_v1 IS
    'Empties the read model (p_empty) and handles the events after p_position again, without their effects. NULL: no such projection.';

CREATE FUNCTION holdfast.park_stream_v1(p_projection text, p_stream text, p_partition smallint, p_reason text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_model      integer;
    v_checkpoint bigint;
BEGIN
    SELECT m.model INTO v_model FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.state = 'live';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- The owner does not know of this yet: a new epoch makes it look again before it commits anything.
    UPDATE holdfast.projection_partition t SET epoch = t.epoch + 1
    WHERE t.projection = p_projection AND t.model = v_model AND t.partition = p_partition
    RETURNING t.checkpoint INTO v_checkpoint;
    INSERT INTO holdfast.projection_parked AS p (projection, model, stream, partition, next_position, attempts, parked_at, reason)
    VALUES (p_projection, v_model, p_stream, p_partition, v_checkpoint + 1, 0, holdfast.now(), p_reason)
    ON CONFLICT (projection, model, stream) DO UPDATE SET retry_at = NULL, reason = excluded.reason;
    RETURN true;
END $$;
COMMENT ON FUNCTION holdfast.park_stream_v1 IS 'From the checkpoint on the events of this stream wait, others go on.';

CREATE FUNCTION holdfast.unpark_v1(p_projection text, p_stream text) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    WITH due AS (
        UPDATE holdfast.projection_parked p SET retry_at = holdfast.now(), attempts = 0
        FROM holdfast.projection_model m
        WHERE m.projection = p.projection AND m.model = p.model AND m.state = 'live'
          AND p.projection = p_projection AND (p_stream IS NULL OR p.stream = p_stream)
        RETURNING 1)
    SELECT count(*) FROM due
$$;
COMMENT ON FUNCTION holdfast.unpark_v1 IS 'Their owner handles these streams from where they stopped, now. Returns how many.';

CREATE FUNCTION holdfast.skip_v1(p_projection text, p_stream text, p_reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_model    integer;
    v_parked   holdfast.projection_parked;
    v_stopped  holdfast.projection_partition;
    v_position bigint;
BEGIN
    SELECT m.model INTO v_model FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.state = 'live';
    SELECT * INTO v_parked FROM holdfast.projection_parked p
    WHERE p.projection = p_projection AND p.model = v_model AND p.stream = p_stream FOR UPDATE;
    IF FOUND THEN
        SELECT min(e.position) INTO v_position FROM holdfast.event e WHERE e.stream = p_stream AND e.position >= v_parked.next_position;
        IF v_position IS NOT NULL THEN
            UPDATE holdfast.projection_parked p SET next_position = v_position + 1, attempts = 0, retry_at = holdfast.now()
            WHERE p.projection = p_projection AND p.model = v_model AND p.stream = p_stream;
        END IF;
    ELSE
        SELECT * INTO v_stopped FROM holdfast.projection_partition t
        WHERE t.projection = p_projection AND t.model = v_model AND t.failing ->> 'stream' = p_stream FOR UPDATE;
        v_position := (v_stopped.failing ->> 'position')::bigint;
        UPDATE holdfast.projection_partition t SET checkpoint = v_position, epoch = t.epoch + 1, failing = NULL
        WHERE t.projection = p_projection AND t.model = v_model AND t.partition = v_stopped.partition AND v_position IS NOT NULL;
    END IF;
    IF v_position IS NOT NULL THEN
        INSERT INTO holdfast.projection_skip (projection, model, stream, position, skipped_at, reason, error)
        VALUES (p_projection, v_model, p_stream, v_position, holdfast.now(), p_reason, coalesce(v_parked.error, v_stopped.failing -> 'error'));
    END IF;
    RETURN v_position;
END $$;
COMMENT ON FUNCTION holdfast.skip_v1 IS 'Passes over the event that the stream waits at, with a reason that is kept. NULL: it waits at none.';

-- A second model beside the live one ------------------------------------------------------------------------------------

CREATE FUNCTION holdfast.start_rebuild_v1(p_projection text, p_code_version integer) RETURNS TABLE (model integer, schema_name text)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_projection holdfast.projection;
    v_table      text;
BEGIN
    SELECT * INTO v_projection FROM holdfast.projection j WHERE j.name = p_projection FOR UPDATE;
    IF EXISTS (SELECT FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.state = 'building') THEN
        RAISE EXCEPTION 'a model of % is being built already', p_projection USING ERRCODE = 'HF121';
    END IF;
    SELECT max(m.model) + 1 INTO start_rebuild_v1.model FROM holdfast.projection_model m WHERE m.projection = p_projection;
    schema_name := format('holdfast_%s_%s', p_projection, start_rebuild_v1.model);
    EXECUTE format('CREATE SCHEMA %I', schema_name);
    FOREACH v_table IN ARRAY v_projection.tables LOOP
        EXECUTE format('CREATE TABLE %I.%I (LIKE %s INCLUDING ALL)', schema_name, v_table, quote_ident(v_table)::regclass);
    END LOOP;
    PERFORM holdfast.make_model_v1(p_projection, start_rebuild_v1.model, p_code_version, 'building', schema_name, 0);
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION holdfast.start_rebuild_v1 IS 'A new model from the beginning of the log, in tables of its own that are shaped like the live ones.';

CREATE FUNCTION holdfast.hold_still_v1(p_projection text, p_for interval) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE holdfast.projection j SET still_until = holdfast.now() + p_for WHERE j.name = p_projection;
    PERFORM holdfast.fence_partitions_v1(p_projection, m.model) FROM holdfast.projection_model m
    WHERE p_for IS NOT NULL AND m.projection = p_projection AND m.state = 'live';
END $$;
COMMENT ON FUNCTION holdfast.hold_still_v1 IS 'The live model stands still for so long, so that another can reach it; NULL: it goes on now.';

CREATE FUNCTION holdfast.copy_grants_v1(p_from regclass, p_to regclass) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_grant record;
BEGIN
    FOR v_grant IN
        SELECT a.privilege_type, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS grantee
        FROM pg_catalog.pg_class c, aclexplode(c.relacl) AS a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
        WHERE c.oid = p_from AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT %s ON %s TO %s', v_grant.privilege_type, p_to, v_grant.grantee);
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.copy_grants_v1 IS 'Who may read the old table may read the new one.';

CREATE FUNCTION holdfast.switch_model_v1(p_projection text, p_model integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_live   holdfast.projection_model;
    v_next   holdfast.projection_model;
    v_aside  text;
    v_table  text;
    v_home   text;
    v_behind bigint;
BEGIN
    PERFORM FROM holdfast.projection j WHERE j.name = p_projection FOR UPDATE;
    PERFORM holdfast.fence_partitions_v1(p_projection, NULL);
    SELECT * INTO v_live FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.state = 'live';
    SELECT * INTO v_next FROM holdfast.projection_model m WHERE m.projection = p_projection AND m.model = p_model AND m.state <> 'live';
    SELECT count(*) INTO v_behind
    FROM holdfast.projection_partition l JOIN holdfast.projection_partition t USING (projection, partition)
    WHERE l.projection = p_projection AND l.model = v_live.model AND t.model = v_next.model AND t.checkpoint < l.checkpoint;
    IF v_next.model IS NULL THEN
        RETURN 64;
    ELSIF v_behind > 0 THEN
        RETURN v_behind;
    END IF;
    v_aside := format('holdfast_%s_%s', p_projection, v_live.model);
    EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', v_aside);
    FOR v_table IN SELECT unnest(j.tables) FROM holdfast.projection j WHERE j.name = p_projection LOOP
        SELECT c.relnamespace::regnamespace::text INTO v_home FROM pg_catalog.pg_class c WHERE c.oid = quote_ident(v_table)::regclass;
        PERFORM holdfast.copy_grants_v1(quote_ident(v_table)::regclass, format('%I.%I', v_next.schema_name, v_table)::regclass);
        EXECUTE format('ALTER TABLE %s.%I SET SCHEMA %I', v_home, v_table, v_aside);
        EXECUTE format('ALTER TABLE %I.%I SET SCHEMA %s', v_next.schema_name, v_table, v_home);
    END LOOP;
    PERFORM holdfast.drop_model_v1(p_projection, m.model) FROM holdfast.projection_model m
    WHERE m.projection = p_projection AND m.state = 'kept' AND m.model <> p_model;
    UPDATE holdfast.projection_model m SET state = 'kept', schema_name = v_aside WHERE m.projection = p_projection AND m.model = v_live.model;
    UPDATE holdfast.projection_model m SET state = 'live', schema_name = NULL, live_at = holdfast.now() WHERE m.projection = p_projection AND m.model = p_model;
    UPDATE holdfast.projection_partition t SET effects_after = greatest(l.effects_after, l.checkpoint)
    FROM holdfast.projection_partition l
    WHERE t.projection = p_projection AND t.model = p_model AND l.projection = p_projection AND l.model = v_live.model AND l.partition = t.partition;
    UPDATE holdfast.projection j SET still_until = NULL WHERE j.name = p_projection;
    BEGIN
        EXECUTE format('DROP SCHEMA %I', v_next.schema_name);
    EXCEPTION WHEN dependent_objects_still_exist THEN
        NULL;       -- the application put something of its own there
    END;
    RETURN 0;
END $$;
COMMENT ON FUNCTION holdfast.switch_model_v1 IS
    'In one transaction the other model becomes the live one, under the same table names, and the former is kept. Returns how many partitions are behind; then nothing was done.';

CREATE FUNCTION holdfast.drop_model_v1(p_projection text, p_model integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_schema text;
BEGIN
    DELETE FROM holdfast.projection_model m
    WHERE m.projection = p_projection AND m.model = p_model AND m.state <> 'live' RETURNING m.schema_name INTO v_schema;
    IF v_schema IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', v_schema);
    RETURN true;
END $$;
COMMENT ON FUNCTION holdfast.drop_model_v1 IS 'A model that is built or kept, with its tables. The live one is never dropped.';

-- What people see ------------------------------------------------------------------------------------------------------

CREATE FUNCTION holdfast.projection_lag_v1(p_projection text, p_most integer) RETURNS TABLE (
    projection text, model integer, state text, partition smallint, checkpoint bigint, events bigint, seconds double precision,
    parked bigint, failing jsonb, moved_at timestamptz, epoch bigint, owner bigint, owner_host text, owner_pid integer)
LANGUAGE sql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
    SELECT t.projection, t.model, m.state, t.partition, t.checkpoint, b.events,
           CASE WHEN b.oldest IS NOT NULL THEN greatest(extract(epoch FROM holdfast.now() - b.oldest), 0) END::double precision,
           (SELECT count(*) FROM holdfast.projection_parked k
            WHERE k.projection = t.projection AND k.model = t.model AND k.partition = t.partition),
           t.failing, t.moved_at, t.epoch, o.id, o.host, o.pid
    FROM holdfast.projection_partition t
    JOIN holdfast.projection_model m USING (projection, model)
    JOIN holdfast.projection j ON j.name = t.projection
    LEFT JOIN LATERAL (SELECT p.id, p.host, p.pid FROM holdfast.live_projectors_v1(t.projection, NULL) AS p
                       WHERE p.id = t.owner AND t.lease_until > holdfast.now()) AS o ON true
    CROSS JOIN LATERAL (
        SELECT count(*) AS events, min(x.recorded_at) AS oldest FROM (
            SELECT e.recorded_at FROM holdfast.event e
            WHERE e.partition = t.partition AND e.position > t.checkpoint
              AND holdfast.in_scope_v1(e.type, e.stream, e.tags, j.types, j.categories, j.tags)
            ORDER BY e.position LIMIT p_most) AS x) AS b
    WHERE p_projection IS NULL OR t.projection = p_projection
    ORDER BY t.projection, t.model, t.partition
$$;
COMMENT ON FUNCTION holdfast.projection_lag_v1 IS
    'Per partition: events that wait (counted up to p_most) and the age of the oldest of them. An idle projection has none, whatever positions say.';

CREATE FUNCTION holdfast.projections_v1(p_projection text, p_most integer) RETURNS TABLE (
    name text, kind text, on_failure text, code_version integer, model integer, model_version integer, building integer, kept integer,
    paused_at timestamptz, pause_reason text, retired_at timestamptz, workers bigint, held bigint, events bigint, seconds double precision,
    building_events bigint, parked bigint, undecided bigint, stopped bigint, total_partitions smallint, missing_keys integer[], refused text[])
LANGUAGE sql STABLE SET jit = off AS $$
    SELECT j.name, j.kind, j.on_failure, j.code_version, m.model, m.code_version,
           (SELECT b.model FROM holdfast.projection_model b WHERE b.projection = j.name AND b.state = 'building'),
           (SELECT b.model FROM holdfast.projection_model b WHERE b.projection = j.name AND b.state = 'kept'),
           j.paused_at, j.pause_reason, j.retired_at, w.workers, l.held, l.events, l.seconds, l.building_events,
           k.parked, k.undecided, l.stopped, w.total,
           CASE WHEN w.total IS NOT NULL THEN ARRAY(SELECT n FROM generate_series(0, w.total - 1) AS n WHERE n <> ALL (w.keys) ORDER BY n) END,
           ARRAY(SELECT format('process %s on %s: %s', r.pid, r.host, r.refused) FROM holdfast.projector r
                 WHERE r.projection = j.name AND r.refused IS NOT NULL AND r.started_at > holdfast.now() - interval '5 minutes' ORDER BY r.id)
    FROM holdfast.projection j
    LEFT JOIN holdfast.projection_model m ON m.projection = j.name AND m.state = 'live'
    CROSS JOIN LATERAL (
        SELECT count(*) AS workers, max(p.total_partitions) AS total, coalesce(array_agg(p.partition_key::integer), '{}') AS keys
        FROM holdfast.live_projectors_v1(j.name, m.code_version) AS p) AS w
    CROSS JOIN LATERAL (
        SELECT count(g.owner) FILTER (WHERE g.state = 'live') AS held, sum(g.events) FILTER (WHERE g.state = 'live')::bigint AS events,
               max(g.seconds) FILTER (WHERE g.state = 'live') AS seconds, sum(g.events) FILTER (WHERE g.state = 'building')::bigint AS building_events,
               count(*) FILTER (WHERE g.state = 'live' AND g.failing IS NOT NULL AND NOT g.failing ? 'retry_at') AS stopped
        FROM holdfast.projection_lag_v1(j.name, p_most) AS g) AS l
    CROSS JOIN LATERAL (
        SELECT count(*) AS parked, count(*) FILTER (WHERE q.retry_at IS NULL) AS undecided
        FROM holdfast.projection_parked q WHERE q.projection = j.name AND q.model = m.model) AS k
    WHERE p_projection IS NULL OR j.name = p_projection
    ORDER BY j.name
$$;
COMMENT ON FUNCTION holdfast.projections_v1 IS 'Every projection on one line: who serves it, how far it is, what waits for a person.';

CREATE FUNCTION holdfast.has_caught_up_v1(p_projection text, p_position bigint) RETURNS boolean
LANGUAGE sql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
    SELECT CASE WHEN count(*) > 0 THEN NOT bool_or(EXISTS (
        SELECT FROM holdfast.event e
        WHERE e.partition = t.partition AND e.position > t.checkpoint AND e.position <= p_position
          AND holdfast.in_scope_v1(e.type, e.stream, e.tags, j.types, j.categories, j.tags))) END
    FROM holdfast.projection_partition t
    JOIN holdfast.projection_model m USING (projection, model)
    JOIN holdfast.projection j ON j.name = t.projection
    WHERE t.projection = p_projection AND m.state = 'live'
$$;
COMMENT ON FUNCTION holdfast.has_caught_up_v1 IS
    'Whether every visible event up to this position is in the live read model (or parked). NULL: there is no such projection.';
