-- What people ask about many jobs at once: failures in groups, searches that end in time, operations that go on by themselves.

-- Failures. Whatever writes an outcome that failed notes it here, in the same commit and without looking at anything; a
-- worker folds the notes into groups. So a page of groups costs the same with ten failures as with ten million.

CREATE TABLE holdfast.failure_noted (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id bigint NOT NULL
) WITH (vacuum_truncate = off);
COMMENT ON TABLE holdfast.failure_noted IS 'Jobs that have failed for good and are in no group yet.';

CREATE TABLE holdfast.failure_member (
    job_id      bigint      PRIMARY KEY,
    fingerprint text        NOT NULL COLLATE "C",
    failed_at   timestamptz NOT NULL
) WITH (vacuum_truncate = off);
CREATE INDEX failure_member_group ON holdfast.failure_member (fingerprint, job_id);
COMMENT ON TABLE holdfast.failure_member IS 'The group of the last failure of a job; where the job stands now, its place says.';

CREATE TABLE holdfast.failure_group (
    fingerprint text        NOT NULL COLLATE "C",
    queue       text        NOT NULL COLLATE "C",
    task        text        NOT NULL COLLATE "C",
    error_type  text        NOT NULL,
    frame       text,
    message     text        NOT NULL,
    failures    bigint      NOT NULL,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    sample_job  bigint      NOT NULL,
    PRIMARY KEY (fingerprint, queue)
) WITH (fillfactor = 70, vacuum_truncate = off);
CREATE INDEX failure_group_newest ON holdfast.failure_group (last_at);
COMMENT ON TABLE holdfast.failure_group IS
    'Failures of one task with one type of error, raised in one function of the application; a row for each queue it happened in.';

CREATE TABLE holdfast.failure_bucket (
    fingerprint text        NOT NULL COLLATE "C",
    queue       text        NOT NULL COLLATE "C",
    hour        timestamptz NOT NULL,
    failures    bigint      NOT NULL,
    PRIMARY KEY (fingerprint, queue, hour)
) WITH (vacuum_truncate = off);
COMMENT ON TABLE holdfast.failure_bucket IS 'Failures of a group by the hour; kept for eight days.';

CREATE TABLE holdfast.failure_mark (
    fingerprint text        PRIMARY KEY COLLATE "C",
    state       text        NOT NULL CHECK (state IN ('seen', 'resolved')),
    note        text,
    marked_at   timestamptz NOT NULL,
    marked_by   text
);
COMMENT ON TABLE holdfast.failure_mark IS 'What a person has said about a group. Nobody has: it is new. Resolved, and it failed again since: it has regressed.';

CREATE FUNCTION holdfast.error_frame_v1(p_error jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(p_error ->> 'frame', (
        SELECT regexp_replace(f.found[1], '^.*?([^/\\]+)\.py$', '\1') || ':' || f.found[2]
        FROM regexp_matches(p_error ->> 'traceback', 'File "([^"\n]+)", line \d+, in (\S+)', 'g') WITH ORDINALITY AS f(found, at)
        WHERE f.found[1] !~ '[/\\]((site|dist)-packages|python\d[\d.]*|holdfast)[/\\]'
        ORDER BY f.at DESC LIMIT 1))
$$;
COMMENT ON FUNCTION holdfast.error_frame_v1 IS
    'The function of the application in which an error was raised: as the worker wrote it down, or else the innermost of its traceback that belongs to no library.';

CREATE FUNCTION holdfast.failure_fingerprint_v1(p_task text, p_type text, p_frame text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(md5(concat_ws(E'\n', p_task, p_type, p_frame)), 16)
$$;
COMMENT ON FUNCTION holdfast.failure_fingerprint_v1 IS 'The name of a group: lines and messages change with every release and every user, these three do not.';

CREATE FUNCTION holdfast.note_failure_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO holdfast.failure_noted (job_id) VALUES (NEW.job_id);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION holdfast.note_failure_v1 IS 'Notes a job that has failed for good. Waits for nobody.';
-- A trigger, and not a line in each function that ends jobs, so that none of them can forget it. Jobs that complete pay for
-- the comparison alone.
CREATE TRIGGER failure_noted AFTER INSERT ON holdfast.outcome FOR EACH ROW WHEN (NEW.state = 2) EXECUTE FUNCTION holdfast.note_failure_v1();
CREATE TRIGGER failure_noted AFTER INSERT ON holdfast.outcome_kept FOR EACH ROW WHEN (NEW.state = 2) EXECUTE FUNCTION holdfast.note_failure_v1();

CREATE FUNCTION holdfast.fold_failures_v1(p_most integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_jobs bigint[];
BEGIN
    IF NOT EXISTS (SELECT FROM holdfast.failure_noted) OR NOT pg_try_advisory_xact_lock(1212575, 0) THEN
        RETURN 0;
    END IF;
    WITH taken AS (
        DELETE FROM holdfast.failure_noted n WHERE n.id = ANY (ARRAY(SELECT x.id FROM holdfast.failure_noted x ORDER BY x.id LIMIT p_most))
        RETURNING n.job_id
    )
    SELECT array_agg(DISTINCT t.job_id) INTO v_jobs FROM taken t;
    -- Whoever was retried since, or moved to another partition with the failure it had, is counted once all the same:
    -- a failure is a job and the moment it failed.
    WITH failed AS MATERIALIZED (
        SELECT j.id AS job_id, j.queue, j.task, o.finished_at, coalesce(o.error ->> 'type', '') AS error_type,
               holdfast.error_frame_v1(o.error) AS frame,
               left(split_part(coalesce(o.error ->> 'message', ''), E'\n', 1), 300) AS message
        FROM unnest(v_jobs) AS n(job_id)
        CROSS JOIN LATERAL (SELECT x.finished_at, x.error FROM holdfast.every_outcome x WHERE x.job_id = n.job_id AND x.state = 2 LIMIT 1) AS o
        JOIN holdfast.every_job j ON j.id = n.job_id
    ), named AS MATERIALIZED (
        SELECT f.*, holdfast.failure_fingerprint_v1(f.task, f.error_type, f.frame) AS fingerprint FROM failed f
    ), told AS (
        INSERT INTO holdfast.failure_member AS m (job_id, fingerprint, failed_at)
        SELECT n.job_id, n.fingerprint, n.finished_at FROM named n ORDER BY n.job_id
        ON CONFLICT (job_id) DO UPDATE SET fingerprint = excluded.fingerprint, failed_at = excluded.failed_at
        WHERE m.failed_at <> excluded.failed_at
        RETURNING m.job_id
    ), counted AS MATERIALIZED (SELECT n.* FROM named n WHERE n.job_id IN (SELECT t.job_id FROM told t)
    ), by_hour AS (
        INSERT INTO holdfast.failure_bucket AS b (fingerprint, queue, hour, failures)
        SELECT c.fingerprint, c.queue, date_trunc('hour', c.finished_at, 'UTC'), count(*) FROM counted c GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (fingerprint, queue, hour) DO UPDATE SET failures = b.failures + excluded.failures
    )
    INSERT INTO holdfast.failure_group AS g (fingerprint, queue, task, error_type, frame, message, failures, first_at, last_at, sample_job)
    SELECT c.fingerprint, c.queue, min(c.task), min(c.error_type), min(c.frame), (array_agg(c.message ORDER BY c.finished_at DESC))[1],
           count(*), min(c.finished_at), max(c.finished_at), (array_agg(c.job_id ORDER BY c.finished_at DESC))[1]
    FROM counted c GROUP BY c.fingerprint, c.queue ORDER BY c.fingerprint, c.queue
    ON CONFLICT (fingerprint, queue) DO UPDATE SET
        failures = g.failures + excluded.failures, first_at = least(g.first_at, excluded.first_at), last_at = greatest(g.last_at, excluded.last_at),
        message = CASE WHEN excluded.last_at >= g.last_at THEN excluded.message ELSE g.message END,
        sample_job = CASE WHEN excluded.last_at >= g.last_at THEN excluded.sample_job ELSE g.sample_job END;
    RETURN cardinality(v_jobs);
END $$;
COMMENT ON FUNCTION holdfast.fold_failures_v1 IS
    'Counts noted failures into their groups, each once; says how many notes were taken. One worker at a time; a job that was retried before is passed over.';

CREATE FUNCTION holdfast.forget_failures_v1(p_keep interval) RETURNS void
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
BEGIN
    DELETE FROM holdfast.failure_member m WHERE m.job_id < (SELECT s.lowest_id FROM holdfast.storage s)
        AND NOT EXISTS (SELECT FROM holdfast.job_kept k WHERE k.id = m.job_id);
    DELETE FROM holdfast.failure_group g WHERE g.last_at < holdfast.now() - p_keep;
    DELETE FROM holdfast.failure_bucket b WHERE b.hour < holdfast.now() - interval '8 days';
    DELETE FROM holdfast.failure_mark m WHERE NOT EXISTS (SELECT FROM holdfast.failure_group g WHERE g.fingerprint = m.fingerprint)
        AND m.marked_at < holdfast.now() - p_keep;
END $$;
COMMENT ON FUNCTION holdfast.forget_failures_v1 IS 'Groups in which nothing has failed for so long are gone, and members whose jobs are gone.';

-- What failed before there were groups; the newest hundred thousand are enough to start from.
INSERT INTO holdfast.failure_noted (job_id)
SELECT o.job_id FROM (SELECT x.job_id FROM holdfast.outcome x WHERE x.state <> 1 AND x.state = 2 ORDER BY x.job_id DESC LIMIT 100000) AS o
ORDER BY o.job_id;

-- Searches. A filter that finds nothing would look at every job there is. So each look has a window: so many candidates,
-- newest first, and where it ended, from where the next look goes on.

CREATE FUNCTION holdfast.job_fits_v1(
    p_terms jsonb, p_now timestamptz, p_id bigint, p_queue text, p_task text, p_priority smallint, p_attempt smallint, p_key text, p_args jsonb,
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
                WHEN 'ended' THEN extract(epoch FROM p_now - p_ended_at)::double precision
                WHEN 'due' THEN extract(epoch FROM p_due_at - p_now)::double precision
            END))
$$;
COMMENT ON FUNCTION holdfast.job_fits_v1 IS 'Whether every term of a filter holds for a job, ages counted from p_now.';

CREATE FUNCTION holdfast.search_ended_v1(
    p_states smallint[], p_queues text[], p_tasks text[], p_failures text[], p_terms jsonb, p_now timestamptz, p_ended_by timestamptz,
    p_from bigint, p_before bigint, p_limit integer, p_window integer
) RETURNS TABLE (job_id bigint, place text, queue text, task text, error_type text)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
BEGIN
    IF p_failures IS NOT NULL THEN
        RETURN QUERY
        SELECT m.job_id, (ARRAY['completed', 'failed', 'cancelled'])[o.state], j.queue::text, j.task::text, o.error ->> 'type'
        FROM (SELECT x.job_id FROM unnest(p_failures) AS f(fingerprint)
              CROSS JOIN LATERAL (SELECT y.job_id FROM holdfast.failure_member y WHERE y.fingerprint = f.fingerprint
                                  AND y.job_id >= p_from AND y.job_id < p_before ORDER BY y.job_id DESC LIMIT p_window) AS x
              ORDER BY x.job_id DESC LIMIT p_window) AS m
        JOIN holdfast.every_outcome o ON o.job_id = m.job_id
        JOIN holdfast.every_job j ON j.id = m.job_id
        WHERE o.state = ANY (p_states) AND (p_ended_by IS NULL OR o.finished_at <= p_ended_by)
          AND (p_queues IS NULL OR j.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, j.queue, j.task, j.priority, o.attempt, j.unique_key, j.args,
                                                       o.error, o.finished_at, NULL))
        ORDER BY m.job_id DESC LIMIT p_limit;
    ELSIF 1 = ANY (p_states) THEN
        RETURN QUERY
        SELECT o.job_id, (ARRAY['completed', 'failed', 'cancelled'])[o.state], j.queue::text, j.task::text, o.error ->> 'type'
        FROM (SELECT * FROM holdfast.every_outcome x WHERE x.job_id >= p_from AND x.job_id < p_before ORDER BY x.job_id DESC LIMIT p_window) AS o
        JOIN holdfast.every_job j ON j.id = o.job_id
        WHERE o.state = ANY (p_states) AND (p_ended_by IS NULL OR o.finished_at <= p_ended_by)
          AND (p_queues IS NULL OR j.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, j.queue, j.task, j.priority, o.attempt, j.unique_key, j.args,
                                                       o.error, o.finished_at, NULL))
        ORDER BY o.job_id DESC LIMIT p_limit;
    ELSE
        RETURN QUERY
        SELECT o.job_id, (ARRAY['completed', 'failed', 'cancelled'])[o.state], j.queue::text, j.task::text, o.error ->> 'type'
        FROM (SELECT * FROM holdfast.every_outcome x WHERE x.state <> 1 AND x.job_id >= p_from AND x.job_id < p_before
              ORDER BY x.job_id DESC LIMIT p_window) AS o
        JOIN holdfast.every_job j ON j.id = o.job_id
        WHERE o.state = ANY (p_states) AND (p_ended_by IS NULL OR o.finished_at <= p_ended_by)
          AND (p_queues IS NULL OR j.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, j.queue, j.task, j.priority, o.attempt, j.unique_key, j.args,
                                                       o.error, o.finished_at, NULL))
        ORDER BY o.job_id DESC LIMIT p_limit;
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.search_ended_v1 IS 'The newest p_limit jobs among p_window that have ended like this; of these groups of failures where given.';

CREATE FUNCTION holdfast.ready_lines_v1(p_queues text[]) RETURNS TABLE (queue text, priority smallint)
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE line(queue, priority) AS (
        (SELECT r.queue, r.priority FROM holdfast.ready r ORDER BY r.queue, r.priority LIMIT 1)
        UNION ALL
        SELECT n.queue, n.priority FROM line l CROSS JOIN LATERAL (
            SELECT r.queue, r.priority FROM holdfast.ready r WHERE (r.queue, r.priority) > (l.queue, l.priority)
            ORDER BY r.queue, r.priority LIMIT 1) AS n
    )
    SELECT l.queue::text, l.priority FROM line l WHERE p_queues IS NULL
    UNION ALL
    SELECT q, n::smallint FROM unnest(p_queues) AS q, generate_series(0, 9) AS n
$$;
COMMENT ON FUNCTION holdfast.ready_lines_v1 IS 'The queues and priorities in which jobs are ready, by one index descent each; all priorities of the given queues.';

CREATE FUNCTION holdfast.search_ready_v1(
    p_queues text[], p_tasks text[], p_terms jsonb, p_now timestamptz, p_from bigint, p_until bigint, p_before_seq bigint, p_limit integer,
    p_window integer, OUT jobs bigint[], OUT seqs bigint[], OUT queues text[], OUT tasks text[], OUT ended_at bigint
)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_plain  boolean := p_tasks IS NULL AND p_terms IS NULL;
    v_lines  integer := (SELECT count(*) FROM holdfast.ready_lines_v1(p_queues));
    v_each   integer := CASE WHEN v_plain THEN p_limit ELSE greatest(p_limit, p_window / greatest(v_lines, 1)) END;
BEGIN
    -- In the order of their numbers, since ready has no index by id: the last to become ready first. Each line gives its
    -- newest; below the highest place where a line broke off nothing is known of that line.
    WITH seen AS MATERIALIZED (
        SELECT r.*, l.at FROM (SELECT x.queue, x.priority, row_number() OVER () AS at FROM holdfast.ready_lines_v1(p_queues) x) AS l
        CROSS JOIN LATERAL (
            SELECT x.seq, x.job_id, x.queue, x.priority, x.attempt FROM holdfast.ready x
            WHERE x.queue = l.queue AND x.priority = l.priority AND x.seq < p_before_seq ORDER BY x.seq DESC LIMIT v_each) AS r
    ), known AS (
        SELECT max(b.least) AS floor FROM (SELECT min(s.seq) AS least FROM seen s GROUP BY s.at HAVING count(*) >= v_each) AS b
    ), found AS (
        SELECT s.job_id, s.seq, s.queue, j.task FROM (SELECT * FROM seen ORDER BY seen.seq DESC) AS s
        JOIN holdfast.every_job j ON j.id = s.job_id
        WHERE s.seq >= coalesce((SELECT k.floor FROM known k), 0) AND s.job_id >= p_from AND s.job_id < p_until
          AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, s.queue, j.task, s.priority, s.attempt, j.unique_key, j.args, NULL, NULL, NULL))
        LIMIT p_limit
    )
    SELECT array_agg(f.job_id ORDER BY f.seq DESC), array_agg(f.seq ORDER BY f.seq DESC), array_agg(f.queue::text ORDER BY f.seq DESC),
           array_agg(f.task::text ORDER BY f.seq DESC), (SELECT k.floor FROM known k)
    INTO jobs, seqs, queues, tasks, ended_at FROM found f;
END $$;
COMMENT ON FUNCTION holdfast.search_ready_v1 IS
    'Ready jobs, the last that became ready first, below p_before_seq; ended_at: below this number there may be more, NULL: there are none.';

CREATE FUNCTION holdfast.search_waiting_v1(
    p_place text, p_queues text[], p_tasks text[], p_terms jsonb, p_now timestamptz, p_from bigint, p_before bigint, p_limit integer, p_window integer
) RETURNS TABLE (job_id bigint, place text, queue text, task text, error_type text)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
BEGIN
    IF p_place = 'scheduled' THEN
        RETURN QUERY
        SELECT s.job_id, p_place, s.queue::text, j.task::text, NULL::text
        FROM (SELECT * FROM holdfast.scheduled x WHERE x.job_id >= p_from AND x.job_id < p_before ORDER BY x.job_id DESC LIMIT p_window) AS s
        JOIN holdfast.every_job j ON j.id = s.job_id
        WHERE (p_queues IS NULL OR s.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, s.queue, j.task, s.priority, s.attempt, j.unique_key, j.args, NULL, NULL, s.due_at))
        ORDER BY s.job_id DESC LIMIT p_limit;
    ELSIF p_place = 'blocked' THEN
        RETURN QUERY
        SELECT b.job_id, p_place, b.queue::text, j.task::text, NULL::text
        FROM (SELECT * FROM holdfast.blocked x WHERE x.job_id >= p_from AND x.job_id < p_before ORDER BY x.job_id DESC LIMIT p_window) AS b
        JOIN holdfast.every_job j ON j.id = b.job_id
        WHERE (p_queues IS NULL OR b.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, b.queue, j.task, b.priority, b.attempt, j.unique_key, j.args, NULL, NULL, NULL))
        ORDER BY b.job_id DESC LIMIT p_limit;
    ELSE
        RETURN QUERY
        SELECT h.job_id, p_place, j.queue::text, j.task::text, NULL::text
        FROM (SELECT u.job_id, l.id AS lease FROM holdfast.lease l CROSS JOIN LATERAL unnest(l.job_ids) AS u(job_id)
              WHERE u.job_id >= p_from AND u.job_id < p_before
                AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = l.id AND e.job_id = u.job_id)
                AND NOT holdfast.is_finished_v1(u.job_id)
              ORDER BY u.job_id DESC LIMIT p_window) AS h
        JOIN holdfast.every_job j ON j.id = h.job_id
        WHERE (p_queues IS NULL OR j.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
          AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, j.id, j.queue, j.task, j.priority, NULL, j.unique_key, j.args, NULL, NULL, NULL))
        ORDER BY h.job_id DESC LIMIT p_limit;
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.search_waiting_v1 IS 'The newest p_limit jobs among p_window that are scheduled, blocked or running.';

CREATE FUNCTION holdfast.search_all_v1(
    p_places text[], p_queues text[], p_tasks text[], p_terms jsonb, p_now timestamptz, p_from bigint, p_before bigint, p_limit integer, p_window integer
) RETURNS TABLE (job_id bigint, place text, queue text, task text, error_type text)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_held bigint[] := ARRAY(
        SELECT h.job_id FROM holdfast.lease l CROSS JOIN LATERAL unnest(l.job_ids) AS h(job_id)
        WHERE NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = l.id AND e.job_id = h.job_id));
BEGIN
    RETURN QUERY
    SELECT f.id, f.place, f.queue, f.task, f.error ->> 'type' FROM (
        SELECT j.id, j.queue::text, j.task::text, j.priority, j.unique_key, j.args, o.error, o.finished_at, s.due_at,
               coalesce(o.attempt, s.attempt, b.attempt) AS attempt,
               CASE WHEN o.state IS NOT NULL THEN (ARRAY['completed', 'failed', 'cancelled'])[o.state]
                    WHEN s.job_id IS NOT NULL THEN 'scheduled' WHEN b.job_id IS NOT NULL THEN 'blocked'
                    WHEN j.id = ANY (v_held) THEN 'running' ELSE 'ready' END AS place
        FROM (SELECT * FROM holdfast.every_job x WHERE x.id >= p_from AND x.id < p_before ORDER BY x.id DESC LIMIT p_window) AS j
        LEFT JOIN LATERAL (SELECT x.state, x.attempt, x.error, x.finished_at FROM holdfast.every_outcome x WHERE x.job_id = j.id LIMIT 1) AS o ON true
        LEFT JOIN holdfast.scheduled s ON s.job_id = j.id
        LEFT JOIN holdfast.blocked b ON b.job_id = j.id
        WHERE (p_queues IS NULL OR j.queue = ANY (p_queues)) AND (p_tasks IS NULL OR j.task = ANY (p_tasks))
    ) AS f
    WHERE f.place = ANY (p_places)
      AND (p_terms IS NULL OR holdfast.job_fits_v1(p_terms, p_now, f.id, f.queue, f.task, f.priority, f.attempt, f.unique_key, f.args,
                                                   f.error, f.finished_at, f.due_at))
    ORDER BY f.id DESC LIMIT p_limit;
END $$;
COMMENT ON FUNCTION holdfast.search_all_v1 IS 'The newest p_limit jobs among p_window, whatever place of these they stand in.';

CREATE FUNCTION holdfast.window_end_v1(p_places text[], p_failures text[], p_from bigint, p_before bigint, p_window integer) RETURNS bigint
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_end bigint;
BEGIN
    CASE
        WHEN p_failures IS NOT NULL THEN
            SELECT m.job_id INTO v_end FROM unnest(p_failures) AS f(fingerprint)
            CROSS JOIN LATERAL (SELECT y.job_id FROM holdfast.failure_member y WHERE y.fingerprint = f.fingerprint
                                AND y.job_id >= p_from AND y.job_id < p_before ORDER BY y.job_id DESC LIMIT p_window) AS m
            ORDER BY m.job_id DESC OFFSET p_window - 1 LIMIT 1;
        WHEN p_places <@ ARRAY['failed', 'cancelled'] THEN
            SELECT o.job_id INTO v_end FROM holdfast.every_outcome o
            WHERE o.state <> 1 AND o.job_id >= p_from AND o.job_id < p_before ORDER BY o.job_id DESC OFFSET p_window - 1 LIMIT 1;
        WHEN p_places <@ ARRAY['completed', 'failed', 'cancelled'] THEN
            SELECT o.job_id INTO v_end FROM holdfast.every_outcome o
            WHERE o.job_id >= p_from AND o.job_id < p_before ORDER BY o.job_id DESC OFFSET p_window - 1 LIMIT 1;
        WHEN p_places = ARRAY['scheduled'] THEN
            SELECT s.job_id INTO v_end FROM holdfast.scheduled s
            WHERE s.job_id >= p_from AND s.job_id < p_before ORDER BY s.job_id DESC OFFSET p_window - 1 LIMIT 1;
        WHEN p_places = ARRAY['blocked'] THEN
            SELECT b.job_id INTO v_end FROM holdfast.blocked b
            WHERE b.job_id >= p_from AND b.job_id < p_before ORDER BY b.job_id DESC OFFSET p_window - 1 LIMIT 1;
        WHEN p_places = ARRAY['running'] THEN
            SELECT h.job_id INTO v_end FROM holdfast.lease l CROSS JOIN LATERAL unnest(l.job_ids) AS h(job_id)
            WHERE h.job_id >= p_from AND h.job_id < p_before ORDER BY h.job_id DESC OFFSET p_window - 1 LIMIT 1;
        ELSE
            SELECT j.id INTO v_end FROM holdfast.every_job j
            WHERE j.id >= p_from AND j.id < p_before ORDER BY j.id DESC OFFSET p_window - 1 LIMIT 1;
    END CASE;
    RETURN v_end;
END $$;
COMMENT ON FUNCTION holdfast.window_end_v1 IS 'The oldest candidate of a window; NULL: there were fewer, the search is at its end.';

CREATE FUNCTION holdfast.search_jobs_v1(
    p_places text[], p_queues text[], p_tasks text[], p_failures text[], p_terms jsonb, p_now timestamptz, p_ended_by timestamptz,
    p_from bigint, p_until bigint, p_before bigint, p_limit integer, p_window integer
) RETURNS TABLE (job_id bigint, "position" bigint, place text, queue text, task text, error_type text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_states smallint[] := array_remove(ARRAY[
        CASE WHEN 'completed' = ANY (p_places) THEN 1 END, CASE WHEN 'failed' = ANY (p_places) THEN 2 END,
        CASE WHEN 'cancelled' = ANY (p_places) THEN 3 END], NULL)::smallint[];
    v_before bigint := least(p_until, p_before);
    v_ready  record;
    v_end    bigint;
    v_found  bigint;
BEGIN
    IF cardinality(p_places) = 0 THEN
        RETURN;
    ELSIF p_places = ARRAY['ready'] THEN
        SELECT * INTO v_ready FROM holdfast.search_ready_v1(p_queues, p_tasks, p_terms, p_now, p_from, p_until, p_before, p_limit, p_window);
        RETURN QUERY SELECT f.job_id, f.seq, 'ready', f.queue, f.task, NULL::text
                     FROM unnest(v_ready.jobs, v_ready.seqs, v_ready.queues, v_ready.tasks) AS f(job_id, seq, queue, task);
        v_found := coalesce(cardinality(v_ready.jobs), 0);
        v_end := v_ready.ended_at;
    ELSE
        IF cardinality(v_states) = cardinality(p_places) THEN
            RETURN QUERY SELECT f.job_id, f.job_id, f.place, f.queue, f.task, f.error_type
                         FROM holdfast.search_ended_v1(v_states, p_queues, p_tasks, p_failures, p_terms, p_now, p_ended_by, p_from, v_before, p_limit, p_window) f;
        ELSIF p_places <@ ARRAY['scheduled', 'blocked', 'running'] AND cardinality(p_places) = 1 THEN
            RETURN QUERY SELECT f.job_id, f.job_id, f.place, f.queue, f.task, f.error_type
                         FROM holdfast.search_waiting_v1(p_places[1], p_queues, p_tasks, p_terms, p_now, p_from, v_before, p_limit, p_window) f;
        ELSE
            RETURN QUERY SELECT f.job_id, f.job_id, f.place, f.queue, f.task, f.error_type
                         FROM holdfast.search_all_v1(p_places, p_queues, p_tasks, p_terms, p_now, p_from, v_before, p_limit, p_window) f;
        END IF;
        GET DIAGNOSTICS v_found = ROW_COUNT;
        IF v_found < p_limit THEN
            v_end := holdfast.window_end_v1(p_places, p_failures, p_from, v_before, p_window);
        END IF;
    END IF;
    IF v_found < p_limit AND v_end IS NOT NULL THEN
        RETURN QUERY SELECT NULL::bigint, v_end, NULL::text, NULL::text, NULL::text, NULL::text;
    END IF;
END $$;
COMMENT ON FUNCTION holdfast.search_jobs_v1 IS
    'The newest p_limit jobs, before p_before, that stand in these places and fit, among p_window candidates. A last row without a job says where the window ended: there may be more before it. Without it, and with less than p_limit, that is all.';

-- Taking jobs out of their places, as before. But ready has no index by id: its lines are read only for jobs that stand in
-- no other place, and each row is compared with a table of ids, not with a list of five hundred.
CREATE OR REPLACE FUNCTION holdfast.take_out_v1(p_jobs bigint[]) RETURNS TABLE (
    job_id bigint, queue text, priority smallint, attempt smallint, flags smallint, due_at timestamptz, line holdfast.blocked)
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
#variable_conflict use_column
DECLARE
    v_left bigint[] := ARRAY(
        SELECT i.id FROM unnest(p_jobs) AS i(id)
        WHERE NOT EXISTS (SELECT FROM holdfast.scheduled s WHERE s.job_id = i.id)
          AND NOT EXISTS (SELECT FROM holdfast.blocked b WHERE b.job_id = i.id) AND NOT holdfast.is_finished_v1(i.id));
BEGIN
    RETURN QUERY
    WITH later AS (
        DELETE FROM holdfast.scheduled s WHERE s.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.scheduled x WHERE x.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED))
        RETURNING s.job_id, s.queue, s.priority, s.attempt, s.flags, s.due_at, NULL::holdfast.blocked
    ), in_line AS (
        DELETE FROM holdfast.blocked b WHERE b.ctid = ANY (ARRAY(
            SELECT x.ctid FROM holdfast.blocked x WHERE x.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED))
        RETURNING b.job_id, b.queue, b.priority, b.attempt, b.flags, NULL::timestamptz, b
    )
    SELECT * FROM later UNION ALL SELECT * FROM in_line;
    IF cardinality(v_left) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    DELETE FROM holdfast.ready r WHERE r.ctid = ANY (ARRAY(
        SELECT x.ctid FROM holdfast.ready x
        WHERE (x.queue, x.priority) IN (SELECT DISTINCT j.queue, j.priority FROM holdfast.every_job j WHERE j.id = ANY (v_left))
          AND x.job_id IN (SELECT unnest(v_left)) FOR UPDATE SKIP LOCKED))
    RETURNING r.job_id, r.queue, r.priority, r.attempt, r.flags, NULL::timestamptz, NULL::holdfast.blocked;
END $$;

-- Operations: a verb on everything that a filter finds, applied by workers, a few hundred jobs a transaction. The filter is
-- frozen when it is previewed: ids above until_id came later, and ages count from frozen_at.

CREATE TABLE holdfast.operation (
    id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    verb             text        NOT NULL CHECK (verb IN ('retry', 'cancel', 'reschedule', 'priority', 'purge')),
    filter           text        NOT NULL,
    places           text[]      NOT NULL,
    queues           text[],
    tasks            text[],
    failures         text[],
    terms            jsonb,
    from_id          bigint      NOT NULL,
    until_id         bigint      NOT NULL,
    frozen_at        timestamptz NOT NULL,
    delay_seconds    double precision,
    due_at           timestamptz,
    priority         smallint    CHECK (priority BETWEEN 0 AND 9),
    reason           text,
    requested_by     text,
    token_hash       text        NOT NULL UNIQUE,
    expires_at       timestamptz NOT NULL,
    planned          bigint      NOT NULL,
    planned_is_exact boolean     NOT NULL,
    state            text        NOT NULL DEFAULT 'previewed' CHECK (state IN ('previewed', 'running', 'finished', 'cancelled', 'failed')),
    place_at         integer     NOT NULL DEFAULT 1,
    before           bigint      NOT NULL DEFAULT 9223372036854775807,
    moved            bigint      NOT NULL DEFAULT 0,
    skipped          bigint      NOT NULL DEFAULT 0,
    failed           bigint      NOT NULL DEFAULT 0,
    trouble          text,
    started_at       timestamptz,
    turn_at          timestamptz,
    finished_at      timestamptz,
    ended_by         text,
    CHECK (verb <> 'reschedule' OR (delay_seconds IS NULL) <> (due_at IS NULL) OR state <> 'previewed'),
    CHECK ((verb = 'priority') = (priority IS NOT NULL))
) WITH (fillfactor = 50, vacuum_truncate = off);
CREATE INDEX operation_turn ON holdfast.operation (turn_at, id) WHERE state = 'running';
CREATE INDEX operation_started ON holdfast.operation (id) WHERE state <> 'previewed';
COMMENT ON TABLE holdfast.operation IS
    'A verb on everything that a filter found when it was previewed. places are gone through in this order; place_at and before say how far it is.';
COMMENT ON COLUMN holdfast.operation.token_hash IS 'sha256 of what the preview gave to whoever asked: only with it, and once, the operation starts.';

CREATE FUNCTION holdfast.start_operation_v1(p_token_hash text, p_by text, p_reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_id bigint;
BEGIN
    UPDATE holdfast.operation o SET state = 'running', started_at = holdfast.now(), turn_at = holdfast.now(), reason = coalesce(p_reason, o.reason),
        due_at = coalesce(o.due_at, holdfast.now() + make_interval(secs => o.delay_seconds))
    WHERE o.token_hash = p_token_hash AND o.state = 'previewed' AND o.expires_at > holdfast.now() AND o.requested_by IS NOT DISTINCT FROM p_by
    RETURNING o.id INTO v_id;
    IF FOUND THEN
        PERFORM pg_notify('holdfast_operations', '');
    END IF;
    RETURN v_id;
END $$;
COMMENT ON FUNCTION holdfast.start_operation_v1 IS 'The previewed operation runs from now on; NULL: no such token, it has expired, was used, or belongs to somebody else.';

CREATE FUNCTION holdfast.end_operation_v1(p_operation bigint, p_state text, p_by text, p_trouble text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE holdfast.operation o SET state = p_state, finished_at = holdfast.now(), ended_by = p_by, trouble = coalesce(p_trouble, o.trouble)
    WHERE o.id = p_operation AND o.state = 'running';
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION holdfast.end_operation_v1 IS 'No batch of a running operation begins from now on; waits for one that is under way. False: it was not running.';

CREATE FUNCTION holdfast.hold_jobs_v1(p_place text, p_jobs bigint[], p_queues text[], p_seqs bigint[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_held  bigint[];
    v_gated bigint[];
BEGIN
    CASE p_place
        WHEN 'ready' THEN
            -- Found by their numbers, and put where verbs find them by id, marked so that move_jobs_v1 knows them again.
            WITH named AS (
                SELECT x.place, x.gated, i.job_id FROM unnest(p_jobs, p_queues, p_seqs) AS i(job_id, queue, seq)
                CROSS JOIN LATERAL (
                    SELECT r.ctid AS place, r.flags & 8 <> 0 AS gated FROM holdfast.ready r
                    WHERE r.queue = i.queue AND r.priority = ANY ('{0,1,2,3,4,5,6,7,8,9}') AND r.seq = i.seq AND r.job_id = i.job_id
                    FOR UPDATE SKIP LOCKED) AS x
            ), taken AS (
                DELETE FROM holdfast.ready r WHERE r.ctid = ANY (ARRAY(SELECT n.place FROM named n WHERE NOT n.gated)) RETURNING r.*
            ), put AS (
                INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
                SELECT '-infinity', t.job_id, t.queue, t.priority, t.attempt, t.flags FROM taken t
            )
            SELECT (SELECT array_agg(t.job_id) FROM taken t), (SELECT array_agg(n.job_id) FROM named n WHERE n.gated) INTO v_held, v_gated;
            v_held := coalesce(v_held, '{}') || v_gated;
        WHEN 'scheduled' THEN
            SELECT array_agg(h.job_id) INTO v_held FROM (
                SELECT s.job_id FROM holdfast.scheduled s WHERE s.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED) AS h;
        WHEN 'blocked' THEN
            SELECT array_agg(h.job_id) INTO v_held FROM (
                SELECT b.job_id FROM holdfast.blocked b WHERE b.job_id = ANY (p_jobs) FOR UPDATE SKIP LOCKED) AS h;
        WHEN 'running' THEN
            SELECT array_agg(p.job_id) INTO v_held FROM holdfast.places_v1(p_jobs) p WHERE p.place = 'running';
        ELSE
            SELECT array_agg(h.job_id) INTO v_held FROM (
                SELECT o.job_id FROM holdfast.outcome o WHERE o.job_id = ANY (p_jobs)
                AND (ARRAY['completed', 'failed', 'cancelled'])[o.state] = p_place FOR UPDATE SKIP LOCKED) AS h;
            SELECT coalesce(v_held, '{}') || array_agg(h.job_id) INTO v_held FROM (
                SELECT o.job_id FROM holdfast.outcome_kept o WHERE o.job_id = ANY (p_jobs)
                AND (ARRAY['completed', 'failed', 'cancelled'])[o.state] = p_place FOR UPDATE SKIP LOCKED) AS h;
    END CASE;
    RETURN coalesce(v_held, '{}');
END $$;
COMMENT ON FUNCTION holdfast.hold_jobs_v1 IS
    'Those of the jobs that stand in this place still, held there until the end of the transaction; one that runs cannot be held.';

CREATE FUNCTION holdfast.move_jobs_v1(p_verb text, p_jobs bigint[], p_reason text, p_due_at timestamptz, p_priority smallint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
DECLARE
    v_moved bigint := 0;
    v_job   bigint;
BEGIN
    CASE p_verb
        WHEN 'retry' THEN
            -- In the order in which enqueues take keys: two that need the same ones wait for each other, never in a circle.
            FOR v_job IN SELECT j.id FROM holdfast.every_job j WHERE j.id = ANY (p_jobs) ORDER BY holdfast.key_hash_v1(j.unique_key) NULLS FIRST, j.id LOOP
                v_moved := v_moved + (holdfast.retry_v1(v_job) = 'moved')::integer;
            END LOOP;
        WHEN 'cancel' THEN
            SELECT count(*) INTO v_moved FROM holdfast.cancel_v1(p_jobs, p_reason) m WHERE m.answer IN ('cancelled', 'requested');
        WHEN 'reschedule' THEN
            SELECT count(*) INTO v_moved FROM holdfast.reschedule_v1(p_jobs, p_due_at) m WHERE m.answer = 'moved';
        WHEN 'priority' THEN
            SELECT count(*) INTO v_moved FROM holdfast.prioritize_v1(p_jobs, p_priority) m WHERE m.answer = 'moved';
        WHEN 'purge' THEN
            SELECT count(*) INTO v_moved FROM holdfast.purge_v1(p_jobs) m WHERE m.answer = 'purged';
    END CASE;
    WITH back AS (                                          -- held by hold_jobs_v1, and ready as they were
        DELETE FROM holdfast.scheduled s WHERE s.job_id = ANY (p_jobs) AND s.due_at = '-infinity' RETURNING s.*
    )
    INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
    SELECT b.queue, b.priority, b.job_id, b.attempt, b.flags FROM back b ORDER BY b.job_id;
    RETURN v_moved;
END $$;
COMMENT ON FUNCTION holdfast.move_jobs_v1 IS 'Does what the verb says with each of the jobs, by the function that does it for one; says how many it moved.';

CREATE FUNCTION holdfast.operate_v1(p_most integer, p_window integer) RETURNS TABLE (operation bigint, verb text, state text, taken integer)
LANGUAGE plpgsql VOLATILE SET jit = off SET lock_timeout = '500ms' AS $$
DECLARE
    v_op      holdfast.operation;
    v_jobs    bigint[];
    v_at      bigint[];
    v_queues  text[];
    v_end     bigint;
    v_before  bigint;
    v_moved   bigint := 0;
    v_skipped bigint := 0;
    v_failed  bigint := 0;
BEGIN
    -- Whoever waited longest for its turn; one that another worker has in hand is passed over. Locked here, looked at below.
    SELECT * INTO v_op FROM holdfast.operation o WHERE o.state = 'running' ORDER BY o.turn_at, o.id LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT array_agg(s.job_id ORDER BY s."position" DESC) FILTER (WHERE s.job_id IS NOT NULL),
           array_agg(s."position" ORDER BY s."position" DESC) FILTER (WHERE s.job_id IS NOT NULL),
           array_agg(s.queue ORDER BY s."position" DESC) FILTER (WHERE s.job_id IS NOT NULL), min(s."position") FILTER (WHERE s.job_id IS NULL)
    INTO v_jobs, v_at, v_queues, v_end
    FROM holdfast.search_jobs_v1(ARRAY[v_op.places[v_op.place_at]], v_op.queues, v_op.tasks, v_op.failures, v_op.terms, v_op.frozen_at, v_op.frozen_at,
                                 v_op.from_id, v_op.until_id, v_op.before, p_most, p_window) s;
    taken := coalesce(cardinality(v_jobs), 0);
    v_before := CASE WHEN taken >= p_most THEN v_at[taken] ELSE v_end END;
    IF taken > 0 THEN
        BEGIN
            v_moved := holdfast.move_jobs_v1(v_op.verb, holdfast.hold_jobs_v1(v_op.places[v_op.place_at], v_jobs, v_queues, v_at),
                                             v_op.reason, v_op.due_at, v_op.priority);
            v_skipped := taken - v_moved;
        EXCEPTION WHEN OTHERS THEN                          -- it is one of them: each by itself, and not for long
            PERFORM set_config('lock_timeout', '50ms', true);
            FOR i IN 1 .. taken LOOP
                BEGIN
                    IF holdfast.move_jobs_v1(v_op.verb, holdfast.hold_jobs_v1(v_op.places[v_op.place_at], v_jobs[i:i], v_queues[i:i], v_at[i:i]),
                                             v_op.reason, v_op.due_at, v_op.priority) > 0 THEN
                        v_moved := v_moved + 1;
                    ELSE
                        v_skipped := v_skipped + 1;
                    END IF;
                EXCEPTION WHEN OTHERS THEN
                    v_failed := v_failed + 1;
                    v_op.trouble := 'job ' || v_jobs[i] || ': ' || SQLERRM;
                END;
                IF v_failed >= 20 AND i < taken THEN
                    v_before := v_at[i];
                    EXIT;
                END IF;
            END LOOP;
        END;
    END IF;
    IF v_before IS NULL THEN                                -- nothing of this place is left
        v_op.place_at := v_op.place_at + 1;
        v_before := 9223372036854775807;
    END IF;
    operation := v_op.id;
    verb := v_op.verb;
    state := CASE WHEN v_op.place_at > cardinality(v_op.places) THEN 'finished' ELSE 'running' END;
    UPDATE holdfast.operation o SET state = operate_v1.state, place_at = v_op.place_at, before = v_before, moved = o.moved + v_moved,
        skipped = o.skipped + v_skipped, failed = o.failed + v_failed, trouble = v_op.trouble, turn_at = holdfast.now(),
        finished_at = CASE WHEN operate_v1.state = 'finished' THEN holdfast.now() END
    WHERE o.id = v_op.id;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION holdfast.operate_v1 IS
    'One batch of one running operation, in one transaction with its progress: at most p_most jobs, found by the frozen filter now, held in their place, moved by its verb. No row: nothing is to be done.';
