-- How it went: counters by the minute and by the hour, how long jobs waited and ran, moments worth a line in a chart,
-- and whether workers still ask for jobs. All of it is written beside the jobs, by workers' services; no job pays for it.

ALTER TABLE holdfast.worker_beat ADD COLUMN asked_at timestamptz, ADD COLUMN claimed_at timestamptz;
COMMENT ON COLUMN holdfast.worker_beat.asked_at IS
    'When its pump last turned: it asked for jobs, or had reason not to. A process beats although its event loop is blocked; this stands still then.';
COMMENT ON COLUMN holdfast.worker_beat.claimed_at IS 'When it last got a job.';

CREATE FUNCTION holdfast.report_running_v2(p_worker bigint, p_running bigint[], p_asked_us bigint, p_claimed_us bigint) RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE holdfast.worker_beat SET running = p_running, asked_at = holdfast.now() - p_asked_us * interval '1 microsecond',
        claimed_at = holdfast.now() - p_claimed_us * interval '1 microsecond'
    WHERE worker = p_worker
$$;
COMMENT ON FUNCTION holdfast.report_running_v2 IS
    'What is really executing, and how long ago the worker asked for jobs and got one (NULL: never). At most once a second, at least every ten.';

-- Minutes of the last hours are looked up by time, whatever the queue.
CREATE INDEX tally_minute ON holdfast.tally (minute);

CREATE TABLE holdfast.tally_hour (
    queue     text        NOT NULL COLLATE "C",
    hour      timestamptz NOT NULL,
    enqueued  bigint      NOT NULL,
    completed bigint      NOT NULL,
    failed    bigint      NOT NULL,
    cancelled bigint      NOT NULL,
    retried   bigint      NOT NULL,
    lost      bigint      NOT NULL,
    reopened  bigint      NOT NULL,
    took_us   bigint      NOT NULL,
    waits     bigint[]    NOT NULL,
    runs      bigint[]    NOT NULL,
    PRIMARY KEY (hour, queue)
);
COMMENT ON TABLE holdfast.tally_hour IS 'The minutes of tally and pace, by the hour, for ninety days.';

CREATE TABLE holdfast.pace (
    queue    text        NOT NULL COLLATE "C",
    minute   timestamptz NOT NULL,
    waits    bigint[]    NOT NULL,
    runs     bigint[]    NOT NULL,
    wait_sum double precision NOT NULL DEFAULT 0,
    run_sum  double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (minute, queue)
);
COMMENT ON TABLE holdfast.pace IS
    'How many of the sampled jobs waited, and ran, for how long: a count for each interval of pace_bounds_v1, the last for all above. -infinity: ever.';

CREATE TABLE holdfast.ready_mark (
    at  timestamptz NOT NULL,
    seq bigint      PRIMARY KEY
);
COMMENT ON TABLE holdfast.ready_mark IS 'Where the order of ready stood at a moment: what was drawn after it became ready after it.';

CREATE TABLE holdfast.moment (
    kind text        NOT NULL,
    at   timestamptz NOT NULL,
    what text        NOT NULL,
    text text        NOT NULL,
    PRIMARY KEY (at, kind, what)
);
COMMENT ON TABLE holdfast.moment IS 'Moments worth a line in a chart: workers that started or were lost, queues that were paused.';

CREATE TABLE holdfast.history_mark (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    sampled_at timestamptz NOT NULL,
    pages      jsonb       NOT NULL DEFAULT '{}',
    hour_done  timestamptz NOT NULL
);
INSERT INTO holdfast.history_mark (sampled_at, hour_done) SELECT holdfast.now(), date_trunc('hour', holdfast.now()) - interval '31 days';
COMMENT ON TABLE holdfast.history_mark IS 'Jobs that ended up to sampled_at are in pace; hours before hour_done are in tally_hour. pages: how far each partition of outcome was read.';

CREATE FUNCTION holdfast.pace_bounds_v1() RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY[.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800]::double precision[]
$$;
COMMENT ON FUNCTION holdfast.pace_bounds_v1 IS 'Upper ends, in seconds, of the intervals in which waits and runs are counted.';

CREATE FUNCTION holdfast.add_counts_v1(p_old bigint[], p_new bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(coalesce(o, 0) + coalesce(n, 0) ORDER BY i), coalesce(p_old, p_new))
    FROM unnest(p_old, p_new) WITH ORDINALITY AS u(o, n, i)
$$;
COMMENT ON FUNCTION holdfast.add_counts_v1 IS 'Counts of the same intervals, added up.';

CREATE FUNCTION holdfast.outcomes_at_the_end_v1(p_pages jsonb, p_since timestamptz) RETURNS TABLE (job_id bigint, started_at timestamptz, finished_at timestamptz, attempt smallint)
LANGUAGE plpgsql STABLE SET jit = off AS $$
DECLARE
    v_part  record;
    v_from  bigint;
    v_step  bigint;
    v_chunk bigint;
BEGIN
    -- Outcomes are only appended: what ended last stands at the end of each partition, whenever its job was enqueued.
    FOR v_part IN
        SELECT c.relname, c.oid::regclass AS name, pg_relation_size(c.oid) / current_setting('block_size')::bigint AS pages,
               (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''?(\d+)''?\)'))[1]::bigint AS until_id
        FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'holdfast.outcome'::regclass AND NOT i.inhdetachpending
    LOOP
        CONTINUE WHEN v_part.pages = 0;
        CONTINUE WHEN v_part.pages = (p_pages ->> v_part.relname)::bigint AND v_part.until_id < holdfast.id_floor(holdfast.now());
        -- PostgreSQL may add pages ahead of the rows; so a look begins a little before where the last one ended.
        v_from := greatest(coalesce((p_pages ->> v_part.relname)::bigint, v_part.pages) - 16, 0);
        v_step := greatest((v_part.pages - v_from + 7) / 8, 8);
        v_chunk := v_from;
        WHILE v_chunk < v_part.pages LOOP
            RETURN QUERY EXECUTE format(
                'SELECT o.job_id, o.started_at, o.finished_at, o.attempt FROM ONLY %s o
                 WHERE o.ctid >= %L::tid AND o.ctid < %L::tid AND o.finished_at > $1 AND o.started_at IS NOT NULL LIMIT 250',
                v_part.name, format('(%s,0)', v_chunk), format('(%s,0)', v_chunk + 8)) USING p_since;
            v_chunk := v_chunk + v_step;
        END LOOP;
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.outcomes_at_the_end_v1 IS
    'A sample of what ended since then: up to 64 pages and 2000 rows a partition, spread over what was written since p_pages.';

CREATE FUNCTION holdfast.sample_pace_v1(p_minute timestamptz) RETURNS integer
LANGUAGE plpgsql VOLATILE SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    v_mark  holdfast.history_mark;
    v_now   timestamptz := holdfast.now();
    v_pages jsonb;
    v_rows  integer;
BEGIN
    SELECT * INTO v_mark FROM holdfast.history_mark;
    SELECT coalesce(jsonb_object_agg(c.relname, pg_relation_size(c.oid) / current_setting('block_size')::bigint), '{}') INTO v_pages
    FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'holdfast.outcome'::regclass;
    WITH ended AS MATERIALIZED (
        SELECT * FROM holdfast.outcomes_at_the_end_v1(v_mark.pages, v_mark.sampled_at)
    ), timed AS (
        SELECT j.queue,
               CASE WHEN e.attempt = 1 AND j.flags & 32 = 0
                    THEN greatest(extract(epoch FROM e.started_at - holdfast.id_time(e.job_id)), 0)::double precision END AS waited,
               greatest(extract(epoch FROM e.finished_at - e.started_at), 0)::double precision AS ran
        FROM ended e JOIN holdfast.job j ON j.id = e.job_id
    ), counted AS (
        SELECT t.queue, n.n,
               count(*) FILTER (WHERE width_bucket(t.waited, holdfast.pace_bounds_v1()) = n.n) AS waits,
               count(*) FILTER (WHERE width_bucket(t.ran, holdfast.pace_bounds_v1()) = n.n) AS runs,
               CASE WHEN n.n = 0 THEN coalesce(sum(t.waited), 0) ELSE 0 END AS wait_sum, CASE WHEN n.n = 0 THEN coalesce(sum(t.ran), 0) ELSE 0 END AS run_sum
        FROM timed t, generate_series(0, cardinality(holdfast.pace_bounds_v1())) AS n(n) GROUP BY t.queue, n.n
    ), summed AS (
        SELECT c.queue, array_agg(c.waits ORDER BY c.n) AS waits, array_agg(c.runs ORDER BY c.n) AS runs,
               sum(c.wait_sum) AS wait_sum, sum(c.run_sum) AS run_sum
        FROM counted c GROUP BY c.queue
    )
    INSERT INTO holdfast.pace AS p (queue, minute, waits, runs, wait_sum, run_sum)
    SELECT s.queue, m.minute, s.waits, s.runs, s.wait_sum, s.run_sum
    FROM summed s, (VALUES (p_minute), ('-infinity')) AS m(minute)
    ON CONFLICT (minute, queue) DO UPDATE SET
        waits = holdfast.add_counts_v1(p.waits, excluded.waits), runs = holdfast.add_counts_v1(p.runs, excluded.runs),
        wait_sum = p.wait_sum + excluded.wait_sum, run_sum = p.run_sum + excluded.run_sum;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    UPDATE holdfast.history_mark SET sampled_at = v_now, pages = v_pages;
    RETURN v_rows;
END $$;
COMMENT ON FUNCTION holdfast.sample_pace_v1 IS
    'Counts how long a sample of the jobs that ended since the last look had waited and run. Waits are those of first attempts that were to run at once.';

CREATE FUNCTION holdfast.roll_hours_v1() RETURNS integer
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
DECLARE
    v_done  timestamptz;
    v_until timestamptz := date_trunc('hour', holdfast.now() - interval '2 minutes');
    v_rows  integer;
BEGIN
    SELECT m.hour_done INTO v_done FROM holdfast.history_mark m;
    IF v_done >= v_until THEN
        RETURN 0;
    END IF;
    -- Counters are folded into the minute in which they are folded, so what is over does not change any more.
    INSERT INTO holdfast.tally_hour (queue, hour, enqueued, completed, failed, cancelled, retried, lost, reopened, took_us, waits, runs)
    SELECT t.*,
           ARRAY(SELECT sum(u.n)::bigint FROM holdfast.pace p, unnest(p.waits) WITH ORDINALITY AS u(n, i)
                 WHERE p.queue = t.queue AND p.minute >= t.hour AND p.minute < t.hour + interval '1 hour' GROUP BY u.i ORDER BY u.i),
           ARRAY(SELECT sum(u.n)::bigint FROM holdfast.pace p, unnest(p.runs) WITH ORDINALITY AS u(n, i)
                 WHERE p.queue = t.queue AND p.minute >= t.hour AND p.minute < t.hour + interval '1 hour' GROUP BY u.i ORDER BY u.i)
    FROM (
        SELECT x.queue, date_trunc('hour', x.minute) AS hour, sum(x.enqueued), sum(x.completed), sum(x.failed), sum(x.cancelled),
               sum(x.retried), sum(x.lost), sum(x.reopened), sum(x.took_us)
        FROM holdfast.tally x WHERE x.minute >= v_done AND x.minute < v_until GROUP BY 1, 2) AS t
    ON CONFLICT (hour, queue) DO UPDATE SET
        enqueued = excluded.enqueued, completed = excluded.completed, failed = excluded.failed, cancelled = excluded.cancelled,
        retried = excluded.retried, lost = excluded.lost, reopened = excluded.reopened, took_us = excluded.took_us,
        waits = excluded.waits, runs = excluded.runs;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    DELETE FROM holdfast.tally t WHERE t.minute > '-infinity' AND t.minute < least(v_until, holdfast.now() - interval '48 hours');
    DELETE FROM holdfast.pace p WHERE p.minute > '-infinity' AND p.minute < least(v_until, holdfast.now() - interval '48 hours');
    DELETE FROM holdfast.tally_hour h WHERE h.hour < holdfast.now() - interval '90 days';
    DELETE FROM holdfast.moment m WHERE m.at < holdfast.now() - interval '90 days';
    UPDATE holdfast.history_mark SET hour_done = v_until;
    RETURN v_rows;
END $$;
COMMENT ON FUNCTION holdfast.roll_hours_v1 IS 'Sums the minutes of hours that are over, once; minutes go after two days, hours after ninety.';

CREATE FUNCTION holdfast.note_moments_v1() RETURNS void
LANGUAGE sql VOLATILE AS $$
    INSERT INTO holdfast.moment (kind, at, what, text)
    SELECT 'paused', p.paused_at, p.queue, format('queue %s paused%s', p.queue, coalesce(': ' || p.reason, '')) FROM holdfast.queue_pause p
    UNION ALL
    SELECT 'worker_lost', w.ended_at, w.id::text, format('%s on %s: %s', coalesce(nullif(w.name, ''), 'worker ' || w.id), w.host, w.end_reason)
    FROM holdfast.worker w WHERE w.state = 'dead' AND w.end_reason <> 'stopped' AND w.ended_at > holdfast.now() - interval '10 minutes'
    UNION ALL
    -- Those of one deploy start together: one line for all of them.
    SELECT 'started', min(w.started_at), '', format('%s workers started', count(*)) FROM holdfast.worker w
    WHERE w.started_at > holdfast.now() - interval '5 minutes' AND w.started_at < holdfast.now() - interval '1 minute'
      AND NOT EXISTS (SELECT FROM holdfast.moment m WHERE m.kind = 'started' AND m.at > w.started_at - interval '5 minutes' AND m.at <= w.started_at)
    HAVING count(*) > 0
    ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION holdfast.note_moments_v1 IS 'Keeps, once, the moments of the last minutes; the rows they are read from are forgotten sooner.';

CREATE FUNCTION holdfast.roll_up_v1() RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_now timestamptz := holdfast.now();
    v_seq bigint;
    v_due boolean;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1212580, 0) THEN
        RETURN false;
    END IF;
    SELECT o.last_value - CASE WHEN o.is_called THEN 0 ELSE 1 END INTO v_seq FROM holdfast.ready_number o;
    INSERT INTO holdfast.ready_mark (at, seq) VALUES (v_now, v_seq) ON CONFLICT (seq) DO UPDATE SET at = excluded.at;
    -- In the minute in which they are found, as the counters are: several looks of one minute add up.
    SELECT v_now >= m.sampled_at + interval '20 seconds' OR v_now < m.sampled_at INTO v_due FROM holdfast.history_mark m;
    IF v_due THEN
        PERFORM holdfast.sample_pace_v1(date_trunc('minute', v_now));
        PERFORM holdfast.note_moments_v1();
        PERFORM holdfast.roll_hours_v1();
        DELETE FROM holdfast.ready_mark r WHERE r.at < v_now - interval '1 day' AND r.seq < v_seq;
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION holdfast.roll_up_v1 IS 'All of the history, brought up to date; false: another worker is at it. Repeating it changes nothing.';

CREATE FUNCTION holdfast.ready_seconds_v1(p_queue text) RETURNS double precision
LANGUAGE sql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
    SELECT greatest(max(extract(epoch FROM holdfast.now() - greatest(
               holdfast.id_time(f.job_id), (SELECT m.at FROM holdfast.ready_mark m WHERE m.seq < f.seq ORDER BY m.seq DESC LIMIT 1)))), 0)::double precision
    FROM generate_series(0, 9) AS n(priority)
    CROSS JOIN LATERAL (SELECT r.job_id, r.seq FROM holdfast.ready r WHERE r.queue = p_queue AND r.priority = n.priority
                        ORDER BY r.seq LIMIT 1) AS f
$$;
COMMENT ON FUNCTION holdfast.ready_seconds_v1 IS
    'How long the job that has been ready longest in a queue has been so, to a few seconds; NULL: none is. A job that was scheduled counts from when it became ready.';
