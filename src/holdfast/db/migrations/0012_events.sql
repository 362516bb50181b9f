-- The event log: streams, events, and the ticks that say how far it may be read.
--
-- A position is drawn when an event is inserted and is seen when its transaction commits: a lower one can appear after a
-- higher one. So nobody reads beyond the newest tick. A tick publishes the position L when everybody who wrote to the log
-- at the moment L was read has ended. What that rests on:
--     positions come from a sequence with CACHE 1, drawn inside the INSERT into event, under its ROW EXCLUSIVE lock;
--     the stream's row, and the keys of conditions, are locked before that, so positions of one stream follow its versions
--     and a writer has its transaction id before it has a position;
--     tick_v1 reads the sequence in one statement and the writers in a later one;
--     a commit is visible before its locks are gone.
-- Lock order: append key, condition keys (sorted), stream rows (sorted), event.

CREATE SEQUENCE holdfast.event_position CACHE 1;
COMMENT ON SEQUENCE holdfast.event_position IS 'Places in the log. Rolled back appends leave holes that never fill.';

CREATE FUNCTION holdfast.partition_of(p_stream text) RETURNS smallint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT (get_byte(sha256(convert_to(p_stream, 'UTF8')), 0) & 63)::smallint
$$;
COMMENT ON FUNCTION holdfast.partition_of IS
    'One of the 64 partitions of the log, 0 to 63. SHA-256, so that it is the same on every server, version and platform.';

CREATE FUNCTION holdfast.category_of(p_stream text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT split_part(p_stream, '-', 1) $$;
COMMENT ON FUNCTION holdfast.category_of IS 'What stands before the first hyphen: order-42 is of category order.';

CREATE TABLE holdfast.stream (
    name      text     PRIMARY KEY COLLATE "C",
    version   bigint   NOT NULL CHECK (version > 0),
    partition smallint NOT NULL CHECK (partition BETWEEN 0 AND 63)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, vacuum_truncate = off);
COMMENT ON TABLE holdfast.stream IS
    'One row per series of events: the version of its last event. Whoever appends locks it first, and holds it until the end of the transaction.';

CREATE TABLE holdfast.event (
    position       bigint      NOT NULL DEFAULT nextval('holdfast.event_position'),
    version        bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL,
    id             uuid        NOT NULL,
    partition      smallint    NOT NULL,
    schema_version smallint    NOT NULL CHECK (schema_version > 0),
    stream         text        NOT NULL COLLATE "C",
    type           text        NOT NULL COLLATE "C",
    data           jsonb       NOT NULL,
    tags           text[],
    metadata       jsonb,
    correlation_id text,
    causation_id   text,
    trace          jsonb,
    PRIMARY KEY (position)
);
CREATE UNIQUE INDEX event_of_stream ON holdfast.event (stream, version);
CREATE UNIQUE INDEX event_by_id ON holdfast.event (id);
CREATE INDEX event_of_partition ON holdfast.event (partition, position);
CREATE INDEX event_of_type ON holdfast.event (type, position);
CREATE INDEX event_of_correlation ON holdfast.event (correlation_id, position) WHERE correlation_id IS NOT NULL;
COMMENT ON TABLE holdfast.event IS 'The log. Rows are inserted by append_v1 and never changed.';
COMMENT ON COLUMN holdfast.event.position IS 'Place in the log; final at append; read only up to the newest tick';
COMMENT ON COLUMN holdfast.event.version IS 'Place in the stream: 1, 2, 3 … without gaps';
COMMENT ON COLUMN holdfast.event.partition IS 'partition_of(stream), stored so that a reader of some partitions finds its events by index';
COMMENT ON COLUMN holdfast.event.schema_version IS 'Of the shape of data; upcasters lift older ones when they are read';

CREATE TABLE holdfast.event_tag (
    tag      text   NOT NULL COLLATE "C",
    position bigint NOT NULL,
    PRIMARY KEY (tag, position)
);
COMMENT ON TABLE holdfast.event_tag IS 'Tagged events by tag, for conditions and for reading by tag. An event without tags has no row here.';

CREATE TABLE holdfast.append_key (
    key         text        PRIMARY KEY COLLATE "C",
    content     uuid        NOT NULL,
    positions   bigint[]    NOT NULL,
    versions    bigint[]    NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX append_key_age ON holdfast.append_key (recorded_at);
COMMENT ON TABLE holdfast.append_key IS 'What an append with an idempotency key gave, so that its repetition gives the same.';

CREATE TABLE holdfast.tick (
    position bigint      PRIMARY KEY,
    at       timestamptz NOT NULL,
    ticker   bigint      NOT NULL
) WITH (vacuum_truncate = off);
CREATE INDEX tick_by_time ON holdfast.tick (at, position);
COMMENT ON TABLE holdfast.tick IS
    'Up to this position every event is visible or dead. Inserted, never updated: the newest is found at once under an old snapshot, too.';

CREATE TABLE holdfast.snapshot (
    stream         text        NOT NULL COLLATE "C",
    name           text        NOT NULL COLLATE "C",
    version        bigint      NOT NULL,
    schema_version smallint    NOT NULL,
    state          jsonb       NOT NULL,
    taken_at       timestamptz NOT NULL,
    PRIMARY KEY (stream, name)
);
COMMENT ON COLUMN holdfast.tick.ticker IS 'The worker that published it, 0 for a reader: workers leave ticking to the lowest number that does it';
COMMENT ON TABLE holdfast.snapshot IS 'What the events of a stream up to a version amount to, so that a reader need not begin at 1. May be lost.';

CREATE FUNCTION holdfast.refuse_change_of_events() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event log is append-only: % of holdfast.event is refused', lower(TG_OP)
        USING ERRCODE = 'HF107', HINT = 'Append an event that says what has changed.';
END $$;
CREATE TRIGGER event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON holdfast.event
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change_of_events();

-- ---- append ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION holdfast.take_stream_v1(p_stream text, p_expected bigint, p_count integer, OUT base bigint, OUT partition smallint)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
BEGIN
    -- Each of these locks the row and judges its newest version in one: after a wait PostgreSQL looks at the row again.
    IF p_expected > 0 THEN
        UPDATE holdfast.stream s SET version = s.version + p_count WHERE s.name = p_stream AND s.version = p_expected
        RETURNING s.version - p_count, s.partition INTO base, partition;
    ELSIF p_expected = 0 THEN
        INSERT INTO holdfast.stream AS s (name, version, partition) VALUES (p_stream, p_count, holdfast.partition_of(p_stream))
        ON CONFLICT DO NOTHING RETURNING 0, s.partition INTO base, partition;
    ELSE
        UPDATE holdfast.stream s SET version = s.version + p_count WHERE s.name = p_stream
        RETURNING s.version - p_count, s.partition INTO base, partition;
        IF NOT FOUND THEN
            INSERT INTO holdfast.stream AS s (name, version, partition) VALUES (p_stream, p_count, holdfast.partition_of(p_stream))
            ON CONFLICT (name) DO UPDATE SET version = s.version + p_count
            RETURNING s.version - p_count, s.partition INTO base, partition;
        END IF;
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.take_stream_v1 IS
    'Makes room for p_count events in a stream that stands at the expected version (0: does not exist, NULL: any). No base: it does not, and nothing was changed.';

CREATE FUNCTION holdfast.winners_v1(p_stream text, p_expected bigint) RETURNS jsonb
LANGUAGE sql VOLATILE AS $$
    SELECT jsonb_build_object(
        'stream', p_stream, 'expected', p_expected,
        'actual', coalesce((SELECT s.version FROM holdfast.stream s WHERE s.name = p_stream), 0),
        'events', coalesce((
            SELECT jsonb_agg(jsonb_build_object('stream', e.stream, 'version', e.version, 'position', e.position, 'type', e.type,
                                                'id', e.id, 'recorded_at', e.recorded_at) ORDER BY e.version)
            FROM (SELECT x.* FROM holdfast.event x WHERE x.stream = p_stream AND x.version > p_expected
                  ORDER BY x.version LIMIT 20) AS e), '[]'))
$$;
COMMENT ON FUNCTION holdfast.winners_v1 IS 'Why an expected version does not hold: the actual one, and the first events that came in between.';

CREATE FUNCTION holdfast.condition_key_v1(p_kind text, p_word text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashtext(p_kind || ':' || p_word) $$;

CREATE FUNCTION holdfast.lock_conditions_v1(p_types text[], p_tags text[], p_condition jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_shared integer[];
    v_key    record;
BEGIN
    IF cardinality(p_types) = 1 AND p_tags IS NULL AND p_condition IS NULL THEN
        PERFORM pg_advisory_xact_lock_shared(1212577, holdfast.condition_key_v1('type', p_types[1]));
        RETURN;
    END IF;
    v_shared := ARRAY(
        SELECT holdfast.condition_key_v1('type', t) FROM unnest(p_types) AS t
        UNION SELECT holdfast.condition_key_v1('tag', t) FROM unnest(p_tags) AS w(words), unnest(w.words::text[]) AS t);
    -- The lock table of the server is finite: many keys become one, which excludes conditions but no other plain append.
    IF cardinality(v_shared) > 64 THEN
        PERFORM pg_advisory_xact_lock(1212578, 0);
        v_shared := '{}';
    ELSIF p_condition IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock_shared(1212578, 0);
    END IF;
    FOR v_key IN
        SELECT k.key, bool_or(k.alone) AS alone FROM (
            SELECT s AS key, false AS alone FROM unnest(v_shared) AS s
            -- One tag is enough: whatever an item matches carries all of its tags, and locks each of them.
            UNION ALL SELECT holdfast.condition_key_v1('tag', i.item #>> '{tags,0}'), true
            FROM jsonb_array_elements(p_condition -> 'items') AS i(item) WHERE i.item #> '{tags,0}' IS NOT NULL
            UNION ALL SELECT holdfast.condition_key_v1('type', t), true
            FROM jsonb_array_elements(p_condition -> 'items') AS i(item), jsonb_array_elements_text(i.item -> 'types') AS t
            WHERE i.item #> '{tags,0}' IS NULL
        ) AS k GROUP BY k.key ORDER BY k.key
    LOOP
        IF v_key.alone THEN
            PERFORM pg_advisory_xact_lock(1212577, v_key.key);
        ELSE
            PERFORM pg_advisory_xact_lock_shared(1212577, v_key.key);
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.lock_conditions_v1 IS
    'Shared locks on the types and tags of what is appended, exclusive ones on what a condition looks at; in one order, before any position is drawn.';

CREATE FUNCTION holdfast.matching_v1(p_condition jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
    v_after bigint   := coalesce((p_condition ->> 'after')::bigint, 0);
    v_seen  bigint[] := ARRAY(SELECT s::bigint FROM jsonb_array_elements_text(p_condition -> 'seen') AS s);
    v_item  jsonb;
    v_types text[];
    v_tags  text[];
    v_found jsonb := '[]';
    v_more  jsonb;
BEGIN
    FOR v_item IN SELECT i FROM jsonb_array_elements(p_condition -> 'items') AS i LOOP
        v_types := ARRAY(SELECT t FROM jsonb_array_elements_text(v_item -> 'types') AS t);
        v_tags := ARRAY(SELECT t FROM jsonb_array_elements_text(v_item -> 'tags') AS t);
        SELECT coalesce(jsonb_agg(to_jsonb(f) ORDER BY f.position), '[]') INTO v_more FROM (
            SELECT e.stream, e.version, e.position, e.type, e.id, e.recorded_at
            FROM holdfast.event_tag g JOIN holdfast.event e ON e.position = g.position
            WHERE cardinality(v_tags) > 0 AND g.tag = v_tags[1] AND g.position > v_after AND g.position <> ALL (v_seen)
              AND e.tags @> v_tags AND (cardinality(v_types) = 0 OR e.type = ANY (v_types))
            UNION ALL
            SELECT e.stream, e.version, e.position, e.type, e.id, e.recorded_at FROM holdfast.event e
            WHERE cardinality(v_tags) = 0 AND e.type = ANY (v_types) AND e.position > v_after AND e.position <> ALL (v_seen)
            LIMIT 20) AS f;
        v_found := v_found || v_more;
    END LOOP;
    RETURN v_found;
END $$;
COMMENT ON FUNCTION holdfast.matching_v1 IS
    'Events that an append condition did not want: {"after": position, "seen": [positions], "items": [{"types": [], "tags": []}]}. An item matches any of its types and all of its tags.';

CREATE FUNCTION holdfast.judge_position_v1(p_position bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
BEGIN
    IF p_position <= (SELECT max(t.position) FROM holdfast.tick t) THEN
        RAISE EXCEPTION 'the sequence of positions is behind the log: it gave %, which readers have passed', p_position
            USING ERRCODE = 'HF106', HINT = 'After a restore or a switch-over run `holdfast event adopt`, or SELECT holdfast.adopt_log_v1().';
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.judge_position_v1 IS
    'A position that was just drawn is beyond every tick, for ticks wait for whoever has one. One that is not would never be read: refused.';

CREATE FUNCTION holdfast.write_events_v1(
    p_streams text[], p_expected bigint[], p_counts integer[], p_of integer[], p_nth integer[], p_ids uuid[], p_types text[],
    p_schema_versions smallint[], p_data jsonb[], p_tags text[], p_metadata jsonb[], p_correlations text[], p_causations text[],
    p_traces jsonb[], OUT positions bigint[], OUT versions bigint[], OUT recorded_at timestamptz, OUT refused_by integer
)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_bases      bigint[];
    v_partitions smallint[];
    v_at         integer;
    v_taken      record;
BEGIN
    recorded_at := holdfast.now();
    FOR v_at IN 1 .. cardinality(p_streams) LOOP
        v_taken := holdfast.take_stream_v1(p_streams[v_at], p_expected[v_at], p_counts[v_at]);
        IF v_taken.base IS NULL THEN
            refused_by := v_at;
            RETURN;
        END IF;
        v_bases[v_at] := v_taken.base;
        v_partitions[v_at] := v_taken.partition;
    END LOOP;
    WITH added AS (
        INSERT INTO holdfast.event AS e (version, recorded_at, id, partition, schema_version, stream, type, data, tags, metadata,
                                    correlation_id, causation_id, trace)
        SELECT v_bases[i.of] + i.nth, write_events_v1.recorded_at, i.id, v_partitions[i.of], i.schema_version, p_streams[i.of], i.type,
               i.data, i.tags::text[], i.metadata, i.correlation_id, i.causation_id, i.trace
        FROM unnest(p_of, p_nth, p_ids, p_types, p_schema_versions, p_data, p_tags, p_metadata, p_correlations, p_causations, p_traces)
             WITH ORDINALITY AS i(of, nth, id, type, schema_version, data, tags, metadata, correlation_id, causation_id, trace, at)
        ORDER BY i.at
        RETURNING e.position, e.version
    )
    SELECT array_agg(a.position ORDER BY a.position), array_agg(a.version ORDER BY a.position) INTO positions, versions FROM added a;
    PERFORM holdfast.judge_position_v1(positions[1]);
    IF p_tags IS NOT NULL THEN
        INSERT INTO holdfast.event_tag (tag, position)
        SELECT DISTINCT t.tag, positions[i.at] FROM unnest(p_tags) WITH ORDINALITY AS i(words, at), unnest(i.words::text[]) AS t(tag);
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.write_events_v1 IS
    'Locks the streams in the order given (callers sort them by name), then inserts in the order of the events. refused_by: the stream whose expected version does not hold; the caller must undo the others.';

CREATE FUNCTION holdfast.find_repeated_v1(
    p_streams text[], p_of integer[], p_ids uuid[], p_types text[], p_schema_versions smallint[], p_data jsonb[],
    OUT verdict text, OUT positions bigint[], OUT versions bigint[], OUT recorded_at timestamptz, OUT detail jsonb
)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
BEGIN
    SELECT CASE WHEN count(*) = 0 THEN NULL
                WHEN count(*) = cardinality(p_ids) AND bool_and(f.same) THEN 'repeated' ELSE 'id_taken' END,
           array_agg(f.position ORDER BY f.at), array_agg(f.version ORDER BY f.at), min(f.recorded_at),
           jsonb_build_object('events', jsonb_agg(jsonb_build_object(
               'id', f.id, 'stream', f.stream, 'version', f.version, 'position', f.position, 'type', f.type,
               'recorded_at', f.recorded_at, 'same', f.same) ORDER BY f.at))
    INTO verdict, positions, versions, recorded_at, detail
    FROM (
        SELECT i.at, e.id, e.stream, e.version, e.position, e.type, e.recorded_at,
               (e.stream, e.type, e.schema_version, e.data) = (p_streams[i.of], i.type, i.schema_version, i.data) AS same
        FROM unnest(p_of, p_ids, p_types, p_schema_versions, p_data) WITH ORDINALITY AS i(of, id, type, schema_version, data, at)
        JOIN holdfast.event e ON e.id = i.id) AS f;
END $$;
COMMENT ON FUNCTION holdfast.find_repeated_v1 IS
    'repeated: all of these ids are in the log with the same stream, type and data. id_taken: some are, or with other content. NULL: none is.';

CREATE FUNCTION holdfast.append_v1(
    p_streams text[], p_expected bigint[], p_counts integer[], p_of integer[], p_nth integer[], p_ids uuid[], p_types text[],
    p_schema_versions smallint[], p_data jsonb[], p_tags text[], p_metadata jsonb[], p_correlations text[], p_causations text[],
    p_traces jsonb[], p_ids_are_given boolean, p_key text, p_condition jsonb,
    OUT verdict text, OUT positions bigint[], OUT versions bigint[], OUT recorded_at timestamptz, OUT detail jsonb
)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_content uuid;
    v_written record;
    v_refused integer;
    v_kept    holdfast.append_key;
BEGIN
    IF (p_ids_are_given OR p_key IS NOT NULL OR p_condition IS NOT NULL) AND current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'ids, idempotency keys and conditions cannot be checked in a % transaction', current_setting('transaction_isolation')
            USING ERRCODE = 'HF105', HINT = 'Its snapshot is older than the locks that protect the check: append in READ COMMITTED.';
    END IF;
    IF p_condition IS NOT NULL AND EXISTS (
        SELECT FROM jsonb_array_elements(p_condition -> 'items') AS i WHERE i #> '{types,0}' IS NULL AND i #> '{tags,0}' IS NULL
    ) THEN
        RAISE EXCEPTION 'every item of a condition names a type or a tag' USING ERRCODE = 'HF108';
    END IF;
    IF p_key IS NOT NULL THEN
        v_content := md5(row(p_streams, p_of, p_types, p_schema_versions, p_data, p_tags)::text)::uuid;
        PERFORM pg_advisory_xact_lock(1212579, hashtext(p_key));
        SELECT * INTO v_kept FROM holdfast.append_key k WHERE k.key = p_key;
        IF FOUND THEN
            verdict := CASE WHEN v_kept.content = v_content THEN 'repeated' ELSE 'key_taken' END;
            positions := v_kept.positions; versions := v_kept.versions; recorded_at := v_kept.recorded_at;
            RETURN;
        END IF;
    END IF;
    PERFORM holdfast.lock_conditions_v1(p_types, p_tags, p_condition);
    IF p_ids_are_given THEN
        SELECT * INTO verdict, positions, versions, recorded_at, detail
        FROM holdfast.find_repeated_v1(p_streams, p_of, p_ids, p_types, p_schema_versions, p_data);
        IF verdict IS NOT NULL THEN RETURN; END IF;
    END IF;
    IF p_condition IS NOT NULL THEN
        detail := holdfast.matching_v1(p_condition);
        IF detail <> '[]' THEN
            verdict := 'condition';
            RETURN;
        END IF;
    END IF;
    IF cardinality(p_streams) = 1 AND NOT p_ids_are_given THEN
        v_written := holdfast.write_events_v1(
            p_streams, p_expected, p_counts, p_of, p_nth, p_ids, p_types, p_schema_versions, p_data, p_tags, p_metadata,
            p_correlations, p_causations, p_traces);
        v_refused := v_written.refused_by;
    ELSE
        -- A savepoint: what was done before the refusal is undone, and the caller's transaction goes on.
        BEGIN
            v_written := holdfast.write_events_v1(
                p_streams, p_expected, p_counts, p_of, p_nth, p_ids, p_types, p_schema_versions, p_data, p_tags, p_metadata,
                p_correlations, p_causations, p_traces);
            IF v_written.refused_by IS NOT NULL THEN
                v_refused := v_written.refused_by;
                RAISE EXCEPTION 'refused' USING ERRCODE = 'HF101';
            END IF;
        EXCEPTION
            WHEN SQLSTATE 'HF101' THEN NULL;
            WHEN unique_violation THEN
                IF NOT p_ids_are_given THEN RAISE; END IF;
                v_refused := 0;
        END;
    END IF;
    IF v_refused IS NOT NULL AND p_ids_are_given THEN
        -- Whoever was faster may have been our own first try, or somebody with one of our ids: in a new statement it shows.
        SELECT * INTO verdict, positions, versions, recorded_at, detail
        FROM holdfast.find_repeated_v1(p_streams, p_of, p_ids, p_types, p_schema_versions, p_data);
        IF verdict IS NOT NULL THEN RETURN; END IF;
    END IF;
    IF v_refused = 0 THEN
        RAISE EXCEPTION 'an id is given twice in one append' USING ERRCODE = 'HF103';
    ELSIF v_refused IS NOT NULL THEN
        verdict := 'conflict';
        detail := holdfast.winners_v1(p_streams[v_refused], p_expected[v_refused]);
        RETURN;
    END IF;
    verdict := 'appended';
    positions := v_written.positions;
    versions := v_written.versions;
    recorded_at := v_written.recorded_at;
    detail := NULL;
    IF p_key IS NOT NULL THEN
        INSERT INTO holdfast.append_key (key, content, positions, versions, recorded_at)
        VALUES (p_key, v_content, append_v1.positions, append_v1.versions, append_v1.recorded_at);
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.append_v1 IS
    'All of these events are in the log, or none. verdict: appended; repeated (they were already); conflict, condition, id_taken, key_taken: nothing was changed, detail says why, and the transaction can go on.';

CREATE FUNCTION holdfast.append_one_v1(
    p_stream text, p_expected bigint, p_id uuid, p_type text, p_schema_version smallint, p_data jsonb, p_tags text,
    p_metadata jsonb, p_correlation text, p_causation text, p_trace jsonb,
    OUT verdict text, OUT positions bigint[], OUT versions bigint[], OUT recorded_at timestamptz, OUT detail jsonb
)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_taken     record;
    v_base      bigint;
    v_partition smallint;
    v_position  bigint;
BEGIN
    IF p_tags IS NULL THEN
        PERFORM pg_advisory_xact_lock_shared(1212577, holdfast.condition_key_v1('type', p_type));
    ELSE
        PERFORM holdfast.lock_conditions_v1(ARRAY[p_type], ARRAY[p_tags], NULL);
    END IF;
    IF p_expected IS NULL THEN                              -- as take_stream_v1, whose call would cost a fifth of the append
        UPDATE holdfast.stream s SET version = s.version + 1 WHERE s.name = p_stream
        RETURNING s.version - 1, s.partition INTO v_base, v_partition;
    END IF;
    IF v_base IS NULL THEN
        v_taken := holdfast.take_stream_v1(p_stream, p_expected, 1);
        v_base := v_taken.base;
        v_partition := v_taken.partition;
        IF v_base IS NULL THEN
            verdict := 'conflict';
            detail := holdfast.winners_v1(p_stream, p_expected);
            RETURN;
        END IF;
    END IF;
    recorded_at := holdfast.now();
    INSERT INTO holdfast.event AS e (version, recorded_at, id, partition, schema_version, stream, type, data, tags, metadata,
                                correlation_id, causation_id, trace)
    VALUES (v_base + 1, append_one_v1.recorded_at, p_id, v_partition, p_schema_version, p_stream, p_type, p_data, p_tags::text[],
            p_metadata, p_correlation, p_causation, p_trace)
    RETURNING e.position INTO v_position;
    PERFORM holdfast.judge_position_v1(v_position);
    IF p_tags IS NOT NULL THEN
        INSERT INTO holdfast.event_tag (tag, position) SELECT DISTINCT t.tag, v_position FROM unnest(p_tags::text[]) AS t(tag);
    END IF;
    verdict := 'appended';
    positions := ARRAY[v_position];
    versions := ARRAY[v_base + 1];
END $$;
COMMENT ON FUNCTION holdfast.append_one_v1 IS 'append_v1 for one event with a fresh id and no condition: without arrays it costs a third.';

CREATE FUNCTION holdfast.take_streams_v1(
    p_streams text[], p_expected bigint[], p_counts integer[], OUT verdicts text[], OUT bases bigint[], OUT partitions smallint[]
)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET lock_timeout = '20ms' AS $$
DECLARE
    v_new text[];
BEGIN
    -- Of strangers nobody waits for the others' rows: what somebody holds is left to a call of its own.
    SELECT array_agg(CASE WHEN h.version IS NULL THEN CASE WHEN NOT h.exists AND coalesce(h.expected, 0) = 0 THEN 'new'
                                                           WHEN NOT h.exists THEN 'conflict' ELSE 'busy' END
                          WHEN h.expected <> h.version THEN 'conflict' ELSE 'appended' END ORDER BY h.at),
           array_agg(h.version ORDER BY h.at), array_agg(h.partition ORDER BY h.at)
    INTO verdicts, bases, partitions
    FROM (
        WITH held AS MATERIALIZED (
            SELECT s.name, s.version, s.partition FROM holdfast.stream s WHERE s.name = ANY (p_streams) ORDER BY s.name FOR NO KEY UPDATE SKIP LOCKED
        )
        SELECT i.at, i.expected, l.version, l.partition,
               l.version IS NOT NULL OR EXISTS (SELECT FROM holdfast.stream x WHERE x.name = i.stream) AS exists
        FROM unnest(p_streams, p_expected) WITH ORDINALITY AS i(stream, expected, at) LEFT JOIN held l ON l.name = i.stream) AS h;
    UPDATE holdfast.stream s SET version = s.version + i.count
    FROM unnest(p_streams, p_counts, verdicts) AS i(stream, count, verdict) WHERE i.verdict = 'appended' AND s.name = i.stream;
    IF 'new' = ANY (verdicts) THEN
        BEGIN
            WITH added AS (
                INSERT INTO holdfast.stream (name, version, partition)
                SELECT i.stream, i.count, holdfast.partition_of(i.stream)
                FROM unnest(p_streams, p_counts, verdicts) AS i(stream, count, verdict) WHERE i.verdict = 'new' ORDER BY i.stream
                ON CONFLICT DO NOTHING RETURNING name
            )
            SELECT array_agg(a.name) INTO v_new FROM added a;
        EXCEPTION WHEN lock_not_available THEN
            v_new := NULL;                                  -- somebody is just beginning one of them, and has not committed
        END;
        SELECT array_agg(CASE WHEN i.verdict <> 'new' THEN i.verdict WHEN i.stream = ANY (v_new) THEN 'appended' ELSE 'busy' END ORDER BY i.at),
               array_agg(CASE WHEN i.verdict = 'new' THEN 0 ELSE i.base END ORDER BY i.at),
               array_agg(CASE WHEN i.verdict = 'new' THEN holdfast.partition_of(i.stream) ELSE i.partition END ORDER BY i.at)
        INTO verdicts, bases, partitions
        FROM unnest(p_streams, verdicts, bases, partitions) WITH ORDINALITY AS i(stream, verdict, base, partition, at);
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.take_streams_v1 IS
    'As take_stream_v1 for streams of strangers: appended (there is room now), conflict, or busy, where it would have had to wait. None of them twice.';

CREATE FUNCTION holdfast.append_each_v1(
    p_streams text[], p_expected bigint[], p_counts integer[], p_of integer[], p_nth integer[], p_ids uuid[], p_types text[],
    p_schema_versions smallint[], p_data jsonb[], p_metadata jsonb[], p_correlations text[], p_causations text[], p_traces jsonb[]
) RETURNS TABLE (verdict text, positions bigint[], versions bigint[], recorded_at timestamptz, detail jsonb)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_type      text;
    v_taken     record;
    v_positions bigint[];
    v_at        timestamptz := holdfast.now();
BEGIN
    FOR v_type IN SELECT DISTINCT t FROM unnest(p_types) AS t LOOP
        IF NOT pg_try_advisory_xact_lock_shared(1212577, holdfast.condition_key_v1('type', v_type)) THEN
            RETURN QUERY SELECT 'busy', NULL::bigint[], NULL::bigint[], NULL::timestamptz, NULL::jsonb FROM unnest(p_streams);
            RETURN;
        END IF;
    END LOOP;
    v_taken := holdfast.take_streams_v1(p_streams, p_expected, p_counts);
    WITH added AS (
        INSERT INTO holdfast.event AS e (version, recorded_at, id, partition, schema_version, stream, type, data, metadata,
                                    correlation_id, causation_id, trace)
        SELECT v_taken.bases[i.of] + i.nth, v_at, i.id, v_taken.partitions[i.of], i.schema_version, p_streams[i.of], i.type,
               i.data, i.metadata, i.correlation_id, i.causation_id, i.trace
        FROM unnest(p_of, p_nth, p_ids, p_types, p_schema_versions, p_data, p_metadata, p_correlations, p_causations, p_traces)
             WITH ORDINALITY AS i(of, nth, id, type, schema_version, data, metadata, correlation_id, causation_id, trace, at)
        WHERE v_taken.verdicts[i.of] = 'appended' ORDER BY i.at
        RETURNING e.position
    )
    SELECT array_agg(a.position ORDER BY a.position) INTO v_positions FROM added a;
    IF v_positions IS NOT NULL THEN
        PERFORM holdfast.judge_position_v1(v_positions[1]);
    END IF;
    RETURN QUERY
    WITH placed AS (
        SELECT i.of, array_agg(v_positions[i.turn] ORDER BY i.turn) AS positions, array_agg(v_taken.bases[i.of] + i.nth ORDER BY i.turn) AS versions
        FROM (SELECT u.of, u.nth, row_number() OVER (ORDER BY u.at) AS turn
              FROM unnest(p_of, p_nth) WITH ORDINALITY AS u(of, nth, at) WHERE v_taken.verdicts[u.of] = 'appended') AS i
        GROUP BY i.of
    )
    SELECT t.verdict, p.positions, p.versions, v_at,
           CASE WHEN t.verdict = 'conflict' THEN holdfast.winners_v1(p_streams[t.at], p_expected[t.at]) END
    FROM unnest(v_taken.verdicts) WITH ORDINALITY AS t(verdict, at) LEFT JOIN placed p ON p.of = t.at ORDER BY t.at;
END $$;
COMMENT ON FUNCTION holdfast.append_each_v1 IS
    'Appends of strangers in one commit, each to a stream of its own, without tags, conditions, keys and given ids; a verdict each, as append_v1 gives it, or busy: nothing was done for it, and it is to be sent alone.';

-- ---- order ----------------------------------------------------------------------------------------------------------

CREATE FUNCTION holdfast.settled_v1() RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT coalesce(max(t.position), 0) FROM holdfast.tick t $$;
COMMENT ON FUNCTION holdfast.settled_v1 IS
    'The settled watermark: up to it nothing is missing and nothing can appear any more. Read it in the same statement as the events.';

CREATE FUNCTION holdfast.last_position_v1() RETURNS bigint
LANGUAGE sql VOLATILE AS $$ SELECT s.last_value - CASE WHEN s.is_called THEN 0 ELSE 1 END FROM holdfast.event_position s $$;
COMMENT ON FUNCTION holdfast.last_position_v1 IS 'The last position that was drawn, by whomever.';

CREATE FUNCTION holdfast.event_writers_v1() RETURNS text[]
LANGUAGE sql VOLATILE AS $$
    WITH held AS MATERIALIZED (
        SELECT l.locktype, l.relation, l.database, l.mode, l.virtualtransaction, l.transactionid FROM pg_catalog.pg_locks l WHERE l.granted
    ), writer AS (
        SELECT DISTINCT h.virtualtransaction FROM held h
        WHERE h.locktype = 'relation' AND h.relation = 'holdfast.event'::regclass
          AND h.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
          AND h.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    )
    -- Prepared and then taken over by a restarted server, a transaction is called -1/<transaction id>: both names are its own.
    SELECT coalesce(array_agg(n.name), '{}') FROM (
        SELECT w.virtualtransaction AS name FROM writer w
        UNION SELECT '-1/' || h.transactionid FROM held h JOIN writer w USING (virtualtransaction)
        WHERE h.locktype = 'transactionid' AND h.mode = 'ExclusiveLock') AS n
$$;
COMMENT ON FUNCTION holdfast.event_writers_v1 IS
    'Who may have drawn a position that is not visible yet: the transactions that hold a write lock on the log, prepared ones too.';

CREATE FUNCTION holdfast.tick_v1(
    p_ticker bigint, p_pending bigint, p_fence text[],
    OUT settled bigint, OUT pending bigint, OUT fence text[], OUT moved boolean, OUT last_ticker bigint, OUT last_age_seconds double precision
)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_last    bigint;
    v_writers text[];
    v_new     bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'a tick needs READ COMMITTED' USING ERRCODE = 'HF105';
    END IF;
    moved := false;
    SELECT t.position, t.ticker, extract(epoch FROM holdfast.now() - t.at) INTO settled, last_ticker, last_age_seconds
    FROM holdfast.tick t ORDER BY t.position DESC LIMIT 1;
    settled := coalesce(settled, 0);
    -- First the sequence, then the writers: whoever drew a number up to this one is among them or has ended.
    v_last := holdfast.last_position_v1();
    IF v_last <= settled THEN
        RETURN;
    END IF;
    v_writers := holdfast.event_writers_v1();
    IF v_writers = '{}' THEN
        v_new := v_last;
    ELSIF p_pending > settled AND p_pending <= v_last THEN
        IF p_fence && v_writers THEN
            -- Somebody of then still writes: wait for these, not for newer ones.
            pending := p_pending;
            fence := ARRAY(SELECT w FROM unnest(p_fence) AS w WHERE w = ANY (v_writers));
        ELSE
            v_new := p_pending;
        END IF;
    END IF;
    IF v_new IS NOT NULL THEN
        INSERT INTO holdfast.tick (position, at, ticker) VALUES (v_new, holdfast.now(), p_ticker) ON CONFLICT DO NOTHING;
        PERFORM pg_notify('holdfast_tick', v_new::text);
        settled := v_new;
        moved := true;
    END IF;
    IF pending IS NULL AND v_last > settled THEN
        pending := v_last;
        fence := v_writers;
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.tick_v1 IS
    'Publishes how far the log may be read. Hand in what the last call of this process gave as pending and fence, or NULL: any number of callers do no harm to each other.';

CREATE FUNCTION holdfast.stalled_by_v1() RETURNS TABLE (
    pid integer, application text, username text, client text, state text, age_seconds double precision, query text, prepared text)
LANGUAGE sql VOLATILE AS $$
    SELECT l.pid, a.application_name, a.usename::text, host(a.client_addr), a.state,
           extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::double precision, a.query, p.gid
    FROM pg_catalog.pg_locks l
    LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    LEFT JOIN LATERAL (
        SELECT x.gid, x.prepared FROM pg_catalog.pg_locks t JOIN pg_catalog.pg_prepared_xacts x ON x.transaction = t.transactionid
        WHERE l.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid' AND t.virtualtransaction = l.virtualtransaction LIMIT 1
    ) AS p ON true
    WHERE l.locktype = 'relation' AND l.relation = 'holdfast.event'::regclass AND l.granted
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
      AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    ORDER BY 6 DESC NULLS LAST
$$;
COMMENT ON FUNCTION holdfast.stalled_by_v1 IS 'Who holds the watermark back, oldest first: sessions with an open append, and prepared transactions.';

CREATE FUNCTION holdfast.adopt_log_v1(OUT drawn_before bigint, OUT highest bigint, OUT settled bigint)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    LOCK TABLE holdfast.event IN EXCLUSIVE MODE;            -- waits for every append; readers go on
    drawn_before := holdfast.last_position_v1();
    highest := greatest((SELECT max(e.position) FROM holdfast.event e), holdfast.settled_v1(), 0);
    IF highest > drawn_before THEN
        PERFORM setval('holdfast.event_position', highest);
    END IF;
    settled := greatest(highest, drawn_before);
    IF settled > holdfast.settled_v1() THEN
        INSERT INTO holdfast.tick (position, at, ticker) VALUES (settled, holdfast.now(), 0) ON CONFLICT DO NOTHING;
        PERFORM pg_notify('holdfast_tick', settled::text);
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.adopt_log_v1 IS
    'After a restore or a switch-over: everything present is committed, so the sequence is put behind the last position and the whole log is published.';

CREATE FUNCTION holdfast.thin_ticks_v1() RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_rows integer;
BEGIN
    DELETE FROM holdfast.tick t USING (
        SELECT x.position, x.at, lead(x.at) OVER (ORDER BY x.position) AS next_at FROM holdfast.tick x
    ) AS n
    WHERE n.position = t.position AND n.next_at IS NOT NULL AND (
        (n.at < holdfast.now() - interval '1 day' AND date_trunc('minute', n.at) = date_trunc('minute', n.next_at))
        OR (n.at < holdfast.now() - interval '1 hour' AND date_trunc('second', n.at) = date_trunc('second', n.next_at)));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END $$;
COMMENT ON FUNCTION holdfast.thin_ticks_v1 IS 'Ticks tell time to the second after an hour and to the minute after a day; the newest always stays.';

CREATE FUNCTION holdfast.forget_append_keys_v1(p_days integer, p_most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_rows integer;
BEGIN
    DELETE FROM holdfast.append_key k WHERE k.key IN (
        SELECT x.key FROM holdfast.append_key x WHERE x.recorded_at < holdfast.now() - p_days * interval '1 day'
        ORDER BY x.recorded_at LIMIT p_most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END $$;
COMMENT ON FUNCTION holdfast.forget_append_keys_v1 IS 'Idempotency keys older than that no longer recognise a repetition; the events stay.';

-- ---- for other languages --------------------------------------------------------------------------------------------

CREATE FUNCTION holdfast.new_event_id() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
        substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;
COMMENT ON FUNCTION holdfast.new_event_id IS 'A UUID of version 7: in the order of time, so that its index grows at one end.';

CREATE FUNCTION holdfast.append_events(
    stream text, events jsonb, expected_version bigint DEFAULT NULL, idempotency_key text DEFAULT NULL, condition jsonb DEFAULT NULL
) RETURNS TABLE (version bigint, "position" bigint)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_answer record;
    v_given  boolean;
BEGIN
    IF jsonb_typeof(events) IS DISTINCT FROM 'array' OR jsonb_array_length(events) = 0 THEN
        RAISE EXCEPTION 'events must be a JSON array with at least one event' USING ERRCODE = 'HF108',
            HINT = 'Write [{"type": "OrderPlaced", "data": {…}}].';
    ELSIF coalesce(append_events.stream, '') = '' OR expected_version < 0 THEN
        RAISE EXCEPTION 'a stream needs a name, and an expected version is 0 (none yet) or more' USING ERRCODE = 'HF108';
    ELSIF EXISTS (SELECT FROM jsonb_array_elements(events) AS e WHERE jsonb_typeof(e -> 'type') IS DISTINCT FROM 'string' OR e -> 'data' IS NULL) THEN
        RAISE EXCEPTION 'every event needs a type and data' USING ERRCODE = 'HF108';
    END IF;
    v_given := EXISTS (SELECT FROM jsonb_array_elements(events) AS e WHERE e ? 'id');
    SELECT a.* INTO v_answer FROM (
        SELECT array_agg(1) AS of, array_agg(e.at::integer ORDER BY e.at) AS nth,
               array_agg(coalesce((e.event ->> 'id')::uuid, holdfast.new_event_id()) ORDER BY e.at) AS ids,
               array_agg(e.event ->> 'type' ORDER BY e.at) AS types,
               array_agg(coalesce((e.event ->> 'schema_version')::smallint, 1::smallint) ORDER BY e.at) AS schema_versions,
               array_agg(e.event -> 'data' ORDER BY e.at) AS data,
               CASE WHEN bool_or(jsonb_array_length(e.event -> 'tags') > 0) THEN array_agg(nullif(ARRAY(SELECT t FROM jsonb_array_elements_text(e.event -> 'tags') AS t)::text, '{}') ORDER BY e.at) END AS tags,
               array_agg(e.event -> 'metadata' ORDER BY e.at) AS metadata,
               array_agg(e.event ->> 'correlation_id' ORDER BY e.at) AS correlations,
               array_agg(e.event ->> 'causation_id' ORDER BY e.at) AS causations,
               array_agg(e.event -> 'trace' ORDER BY e.at) AS traces
        FROM jsonb_array_elements(events) WITH ORDINALITY AS e(event, at)) AS i,
        LATERAL holdfast.append_v1(
            ARRAY[append_events.stream], ARRAY[expected_version], ARRAY[jsonb_array_length(events)], i.of, i.nth, i.ids, i.types,
            i.schema_versions, i.data, i.tags, i.metadata, i.correlations, i.causations, i.traces, v_given, idempotency_key, condition) AS a;
    IF v_answer.verdict NOT IN ('appended', 'repeated') THEN
        RAISE EXCEPTION 'nothing was appended to %: %', append_events.stream, CASE v_answer.verdict
                WHEN 'conflict' THEN format('version %s was expected, it stands at %s', expected_version, v_answer.detail ->> 'actual')
                WHEN 'condition' THEN 'events that the condition excludes were appended meanwhile'
                WHEN 'id_taken' THEN 'an event with such an id is in the log, with other content'
                ELSE 'the idempotency key was used for other events' END
            USING ERRCODE = CASE v_answer.verdict WHEN 'conflict' THEN 'HF101' WHEN 'condition' THEN 'HF102' WHEN 'id_taken' THEN 'HF103' ELSE 'HF104' END,
                  DETAIL = coalesce(v_answer.detail::text, '');
    END IF;
    RETURN QUERY SELECT u.version, u.pos FROM unnest(v_answer.versions, v_answer.positions) AS u(version, pos);
END $$;
COMMENT ON FUNCTION holdfast.append_events IS
    'Appends [{"type", "data", "id"?, "schema_version"?, "tags"?, "metadata"?, "correlation_id"?, "causation_id"?, "trace"?}] to one stream, in the transaction of the caller. expected_version: 0 = the stream is new, n = it stands at n, NULL = any. Raises HF101 to HF104 with the winners in DETAIL.';
