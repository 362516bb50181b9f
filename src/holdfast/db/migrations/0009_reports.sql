-- What a running job says about itself: progress, checkpoints, log lines. Jobs that say nothing have no rows here.

CREATE TABLE holdfast.progress (
    job_id      bigint      PRIMARY KEY,
    lease       bigint      NOT NULL,
    done        bigint      NOT NULL,
    total       bigint,
    message     text,
    reported_at timestamptz NOT NULL
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
COMMENT ON TABLE holdfast.progress IS 'How far a job says it is; at most one write a second. lease: the attempt that said it.';

CREATE TABLE holdfast.checkpoint (
    job_id   bigint      PRIMARY KEY,
    lease    bigint      NOT NULL,
    value    jsonb       NOT NULL,
    saved_at timestamptz NOT NULL
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
COMMENT ON TABLE holdfast.checkpoint IS 'Where the next attempt of a job goes on. Written under the fence of the lease.';

CREATE TABLE holdfast.job_log (
    job_id  bigint      NOT NULL,
    lease   bigint      NOT NULL,
    attempt smallint    NOT NULL,
    number  integer     NOT NULL,
    at      timestamptz NOT NULL,
    level   smallint    NOT NULL,
    logger  text        NOT NULL,
    message text        NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX job_log_job ON holdfast.job_log (job_id, at);
COMMENT ON TABLE holdfast.job_log IS 'Log lines of attempts, a partition a day; number counts the lines of one attempt. Evidence, not results: a lost lease may still write here.';

CREATE FUNCTION holdfast.may_speak_v1(p_live bigint[], p_lease bigint, p_job bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN holdfast.is_finished_v1(p_job) THEN
            EXISTS (SELECT FROM holdfast.outcome o WHERE o.job_id = p_job AND o.lease = p_lease)
            OR EXISTS (SELECT FROM holdfast.outcome_kept o WHERE o.job_id = p_job AND o.lease = p_lease)
        ELSE EXISTS (SELECT FROM holdfast.lease l WHERE l.id = p_lease AND l.id = ANY (p_live) AND p_job = ANY (l.job_ids))
             AND NOT EXISTS (SELECT FROM holdfast.lease_exit e WHERE e.lease = p_lease AND e.job_id = p_job)
    END
$$;
COMMENT ON FUNCTION holdfast.may_speak_v1 IS
    'Whether this attempt runs under one of these locked leases, or was the one that ended the job: its last words count.';

CREATE FUNCTION holdfast.report_progress_v1(
    p_leases bigint[], p_jobs bigint[], p_done bigint[], p_totals bigint[], p_messages text[], p_ago_us bigint[]
) RETURNS void
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_now  timestamptz := holdfast.now();
    v_live bigint[];
BEGIN
    -- A lease that is locked is being ended: what its jobs report now is not worth a wait.
    SELECT array_agg(l.id) INTO v_live FROM (
        SELECT id FROM holdfast.lease WHERE id = ANY (p_leases) ORDER BY id FOR KEY SHARE SKIP LOCKED) AS l;
    INSERT INTO holdfast.progress AS p (job_id, lease, done, total, message, reported_at)
    SELECT i.job_id, i.lease, i.done, i.total, i.message, v_now - i.ago_us * interval '1 microsecond'
    FROM unnest(p_leases, p_jobs, p_done, p_totals, p_messages, p_ago_us) AS i(lease, job_id, done, total, message, ago_us)
    WHERE holdfast.may_speak_v1(coalesce(v_live, '{}'), i.lease, i.job_id)
    ORDER BY i.job_id
    ON CONFLICT (job_id) DO UPDATE SET
        lease = excluded.lease, done = excluded.done, total = excluded.total, message = excluded.message, reported_at = excluded.reported_at;
END $$;
COMMENT ON FUNCTION holdfast.report_progress_v1 IS 'How far these jobs are, one row each; what a lost lease says is passed over.';

CREATE FUNCTION holdfast.save_checkpoints_v1(p_leases bigint[], p_jobs bigint[], p_values jsonb[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v_live  bigint[];
    v_saved bigint[];
BEGIN
    -- The fence. Locked in one statement; what the leases still hold is read in the next.
    SELECT array_agg(l.id) INTO v_live FROM (
        SELECT id FROM holdfast.lease WHERE id = ANY (p_leases) ORDER BY id FOR KEY SHARE) AS l;
    WITH saved AS (
        INSERT INTO holdfast.checkpoint AS c (job_id, lease, value, saved_at)
        SELECT i.job_id, i.lease, i.value, holdfast.now()
        FROM unnest(p_leases, p_jobs, p_values) AS i(lease, job_id, value)
        WHERE NOT holdfast.is_finished_v1(i.job_id) AND holdfast.may_speak_v1(coalesce(v_live, '{}'), i.lease, i.job_id)
        ORDER BY i.job_id
        ON CONFLICT (job_id) DO UPDATE SET lease = excluded.lease, value = excluded.value, saved_at = excluded.saved_at
        RETURNING job_id
    )
    SELECT array_agg(s.job_id) INTO v_saved FROM saved s;
    RETURN ARRAY(SELECT j FROM unnest(p_jobs) AS j WHERE j <> ALL (coalesce(v_saved, '{}')));
END $$;
COMMENT ON FUNCTION holdfast.save_checkpoints_v1 IS
    'Keeps where each of these jobs goes on, under the fence of its lease; returns the jobs refused because their lease is lost.';

CREATE FUNCTION holdfast.make_log_partitions_v1() RETURNS integer
LANGUAGE plpgsql VOLATILE SET lock_timeout = '2s' AS $$
DECLARE
    v_day  date := (holdfast.now() AT TIME ZONE 'UTC')::date;
    v_name text;
    v_made integer := 0;
BEGIN
    FOR v_ahead IN 0..2 LOOP
        v_name := 'log_' || to_char(v_day + v_ahead, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('holdfast.' || v_name) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(1212573, 0);
        CONTINUE WHEN to_regclass('holdfast.' || v_name) IS NOT NULL;       -- somebody else made it while we waited
        EXECUTE format('CREATE TABLE holdfast.%I (LIKE holdfast.job_log INCLUDING ALL)', v_name);
        EXECUTE format('ALTER TABLE holdfast.job_log ATTACH PARTITION holdfast.%I FOR VALUES FROM (%L) TO (%L)', v_name,
                       to_char(v_day + v_ahead, 'YYYY-MM-DD') || ' 00:00:00+00', to_char(v_day + v_ahead + 1, 'YYYY-MM-DD') || ' 00:00:00+00');
        v_made := v_made + 1;
    END LOOP;
    RETURN v_made;
END $$;
COMMENT ON FUNCTION holdfast.make_log_partitions_v1 IS 'A partition of job_log for today and the two days after. Any worker does it; a write does as a last resort.';

CREATE FUNCTION holdfast.write_log_v1(
    p_jobs bigint[], p_leases bigint[], p_attempts smallint[], p_numbers integer[], p_ago_us bigint[], p_levels smallint[],
    p_loggers text[], p_messages text[]
) RETURNS void
LANGUAGE plpgsql VOLATILE SET jit = off AS $$
DECLARE
    v_now   timestamptz := holdfast.now();
    v_today timestamptz := date_trunc('day', v_now, 'UTC');
BEGIN
    IF to_regclass('holdfast.log_' || to_char(v_today AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NULL THEN
        PERFORM holdfast.make_log_partitions_v1();
    END IF;
    -- Lines that waited over midnight for the server are told to the new day: the old one's partition may be gone.
    INSERT INTO holdfast.job_log (job_id, lease, attempt, number, at, level, logger, message)
    SELECT i.job_id, i.lease, i.attempt, i.number, greatest(v_now - i.ago_us * interval '1 microsecond', v_today), i.level, i.logger, i.message
    FROM unnest(p_jobs, p_leases, p_attempts, p_numbers, p_ago_us, p_levels, p_loggers, p_messages)
         AS i(job_id, lease, attempt, number, ago_us, level, logger, message);
END $$;
COMMENT ON FUNCTION holdfast.write_log_v1 IS 'Many log lines of many jobs in one statement.';

CREATE FUNCTION holdfast.drop_log_partitions_v1(p_keep interval) RETURNS integer
LANGUAGE plpgsql VOLATILE SET lock_timeout = '2s' AS $$
DECLARE
    v_name    text;
    v_dropped integer := 0;
BEGIN
    FOR v_name IN
        SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'holdfast.job_log'::regclass
          AND to_date(substr(c.relname, 5), 'YYYYMMDD') + 1 <= ((holdfast.now() - p_keep) AT TIME ZONE 'UTC')::date
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE holdfast.%I', v_name);
        v_dropped := v_dropped + 1;
    END LOOP;
    RETURN v_dropped;
END $$;
COMMENT ON FUNCTION holdfast.drop_log_partitions_v1 IS
    'Lets go of whole days of log lines. Nothing but log lines is behind this lock; a reader only delays it to the next hour.';

SELECT holdfast.make_log_partitions_v1();
