-- Schedules: rows that say when to enqueue a job, and what became of every due moment.
--
-- When the next occurrence is, Python knows (cron, zones). That it happens at most once, the database knows: whoever
-- locks the due row as it was read inserts the job, writes the occurrence and advances the row, in one transaction.
-- Lock order: schedule before anything of a job. Workers skip a schedule that is locked, people wait for it.

CREATE TABLE holdfast.schedule (
    name          text        PRIMARY KEY COLLATE "C",
    source        text        NOT NULL,
    declared      jsonb       NOT NULL,
    edited        jsonb       NOT NULL DEFAULT '{}',
    plan          jsonb       NOT NULL GENERATED ALWAYS AS (declared || edited) STORED,
    version       bigint      NOT NULL DEFAULT 1,
    anchor_at     timestamptz NOT NULL,
    next_at       timestamptz,
    due_at        timestamptz,
    last_at       timestamptz,
    probing_until timestamptz,
    paused_at     timestamptz,
    pause_reason  text,
    withdrawn_at  timestamptz,
    declared_at   timestamptz NOT NULL,
    CHECK ((next_at IS NULL) = (due_at IS NULL))
);
CREATE INDEX schedule_due ON holdfast.schedule (due_at) WHERE paused_at IS NULL AND withdrawn_at IS NULL;
COMMENT ON TABLE holdfast.schedule IS
    'When to enqueue which job. plan = what the code declared, with what people edited over it. next_at is the next occurrence, due_at the same with its jitter.';
COMMENT ON COLUMN holdfast.schedule.source IS 'The module that declared it: whoever starts a worker of that module without declaring it withdraws it.';
COMMENT ON COLUMN holdfast.schedule.version IS 'Counts changes of the plan: a decision made from an older one is refused.';
COMMENT ON COLUMN holdfast.schedule.probing_until IS 'Somebody asks the source until then; others leave it to them. Saves questions, decides nothing.';

CREATE TABLE holdfast.occurrence (
    schedule    text        NOT NULL COLLATE "C",
    at          timestamptz NOT NULL,
    origin      text        NOT NULL CHECK (origin IN ('due', 'trigger', 'backfill')),
    state       text        NOT NULL CHECK (state IN ('started', 'waiting', 'skipped')),
    because     text        CHECK (because IN ('overlap', 'unchanged', 'missed', 'paused')),
    detail      text,
    job_id      bigint,
    fingerprint text,
    decided_at  timestamptz NOT NULL,
    PRIMARY KEY (schedule, at),
    CHECK ((state = 'started') = (job_id IS NOT NULL)),
    CHECK ((state = 'skipped') = (because IS NOT NULL))
);
CREATE INDEX occurrence_waiting ON holdfast.occurrence (schedule, at) WHERE state = 'waiting';
CREATE INDEX occurrence_started ON holdfast.occurrence (schedule, at) WHERE job_id IS NOT NULL;
COMMENT ON TABLE holdfast.occurrence IS
    'What became of every due moment: a job, a wait for the job before it, or skipped and because of what. One row per moment, so at most one job.';

CREATE FUNCTION holdfast.declare_schedule_v1(
    p_name text, p_version bigint, p_source text, p_declared jsonb, p_anchor timestamptz, p_next timestamptz, p_due timestamptz
) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF p_version IS NULL THEN
        INSERT INTO holdfast.schedule (name, source, declared, anchor_at, next_at, due_at, declared_at)
        VALUES (p_name, p_source, p_declared, p_anchor, p_next, p_due, holdfast.now()) ON CONFLICT DO NOTHING;
        RETURN FOUND;
    END IF;
    UPDATE holdfast.schedule s SET source = p_source, declared = p_declared, version = s.version + 1, next_at = p_next,
           due_at = p_due, withdrawn_at = NULL, declared_at = holdfast.now()
    WHERE s.name = p_name AND s.version = p_version;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION holdfast.declare_schedule_v1 IS
    'What the code says from now on. False: somebody else declared or changed it since it was read, so look again.';

CREATE FUNCTION holdfast.withdraw_schedules_v1(p_sources text[], p_declared text[]) RETURNS SETOF text
LANGUAGE sql VOLATILE AS $$
    UPDATE holdfast.schedule s SET withdrawn_at = holdfast.now(), version = s.version + 1
    WHERE s.source = ANY (p_sources) AND s.name <> ALL (p_declared) AND s.withdrawn_at IS NULL
    RETURNING s.name
$$;
COMMENT ON FUNCTION holdfast.withdraw_schedules_v1 IS 'Schedules whose module is still there but no longer declares them are due no more.';

CREATE FUNCTION holdfast.due_schedules_v1(p_probes text[]) RETURNS TABLE (
    name text, version bigint, plan jsonb, anchor_at timestamptz, next_at timestamptz, due_at timestamptz, seen_at timestamptz)
LANGUAGE sql VOLATILE AS $$
    SELECT s.name, s.version, s.plan, s.anchor_at, s.next_at, s.due_at, n.seen_at
    FROM (SELECT holdfast.now() AS seen_at) AS n, holdfast.schedule s
    WHERE s.due_at <= n.seen_at AND s.paused_at IS NULL AND s.withdrawn_at IS NULL
      AND (s.plan ->> 'probe' IS NULL OR s.name = ANY (p_probes))
      AND (s.probing_until IS NULL OR s.probing_until <= n.seen_at)
    ORDER BY s.due_at
$$;
COMMENT ON FUNCTION holdfast.due_schedules_v1 IS 'Schedules with an occurrence to decide about, but for those whose probe this process does not have or somebody else is asking.';

CREATE FUNCTION holdfast.next_due_seconds_v1() RETURNS double precision
LANGUAGE sql VOLATILE AS $$
    SELECT extract(epoch FROM min(s.due_at) - holdfast.now())::double precision FROM holdfast.schedule s
    WHERE s.due_at > holdfast.now() AND s.paused_at IS NULL AND s.withdrawn_at IS NULL
$$;
COMMENT ON FUNCTION holdfast.next_due_seconds_v1 IS 'How long until something is due that is not due yet.';

CREATE FUNCTION holdfast.take_probe_v1(
    p_name text, p_version bigint, p_next timestamptz, p_seconds double precision, p_again boolean
) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_now timestamptz := holdfast.now();
BEGIN
    PERFORM FROM holdfast.schedule s WHERE s.name = p_name AND s.version = p_version AND s.next_at = p_next
        AND (p_again OR s.probing_until IS NULL OR s.probing_until <= v_now) FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE holdfast.schedule SET probing_until = v_now + make_interval(secs => p_seconds) WHERE name = p_name;
    RETURN true;
END $$;
COMMENT ON FUNCTION holdfast.take_probe_v1 IS 'True: the caller asks the source of this occurrence, and others leave it alone for so long. Again: it still does.';

-- Is a job of this schedule on its way? The last hundred are looked at: a schedule that forbids overlap has one.
CREATE FUNCTION holdfast.unfinished_job_of_v1(p_schedule text, OUT job_id bigint, OUT at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT o.job_id, o.at FROM (
        SELECT x.job_id, x.at FROM holdfast.occurrence x WHERE x.schedule = p_schedule AND x.job_id IS NOT NULL
        ORDER BY x.at DESC LIMIT 100) AS o
    WHERE NOT holdfast.is_finished_v1(o.job_id) AND EXISTS (SELECT FROM holdfast.every_job j WHERE j.id = o.job_id)
    ORDER BY o.at DESC LIMIT 1
$$;
COMMENT ON FUNCTION holdfast.unfinished_job_of_v1 IS 'The newest job of the schedule that has not ended. A job that retention dropped has ended.';

-- The last job that saw the source as it is now, unless it failed: then the source is worth another try.
CREATE FUNCTION holdfast.unchanged_since_v1(p_schedule text, p_fingerprint text) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT o.at FROM (
        SELECT x.job_id, x.at, x.fingerprint FROM holdfast.occurrence x WHERE x.schedule = p_schedule AND x.job_id IS NOT NULL
          AND x.fingerprint IS NOT NULL
        ORDER BY x.at DESC LIMIT 1) AS o
    WHERE o.fingerprint = p_fingerprint
      AND NOT EXISTS (SELECT FROM holdfast.every_outcome e WHERE e.job_id = o.job_id AND e.state <> 1)
$$;
COMMENT ON FUNCTION holdfast.unchanged_since_v1 IS 'The occurrence whose job saw this very source and did not fail; null: the source changed, or its job failed.';

CREATE FUNCTION holdfast.enqueue_occurrence_v1(p_plan jsonb, p_at timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    SELECT holdfast.enqueue(
        p_plan ->> 'task',
        p_plan -> 'args' || CASE WHEN p_plan ->> 'occurrence_argument' IS NOT NULL
                                 THEN jsonb_build_object(p_plan ->> 'occurrence_argument', to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                                 ELSE '{}' END,
        queue => p_plan ->> 'queue', priority => (p_plan ->> 'priority')::integer)
$$;
COMMENT ON FUNCTION holdfast.enqueue_occurrence_v1 IS 'The job of one occurrence, as the plan says; told which moment it is for if its task takes that argument.';

CREATE FUNCTION holdfast.decide_occurrence_v1(
    p_name text, p_plan jsonb, p_at timestamptz, p_origin text, p_overlap text, p_fingerprint text, p_detail text
) RETURNS holdfast.occurrence
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_seen    timestamptz;
    v_busy    bigint;
    v_busy_at timestamptz;
    v_made    holdfast.occurrence;
BEGIN
    v_made := ROW(p_name, p_at, p_origin, 'started', NULL, p_detail, NULL, p_fingerprint, holdfast.now());
    v_seen := holdfast.unchanged_since_v1(p_name, p_fingerprint);
    IF p_overlap <> 'allow' THEN
        SELECT u.job_id, u.at INTO v_busy, v_busy_at FROM holdfast.unfinished_job_of_v1(p_name) u;
    END IF;
    IF v_seen IS NOT NULL THEN
        v_made.state := 'skipped';
        v_made.because := 'unchanged';
        v_made.detail := format('the source is as it was at %s', to_char(v_seen AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"'));
    ELSIF v_busy IS NOT NULL AND p_overlap = 'skip' THEN
        v_made.state := 'skipped';
        v_made.because := 'overlap';
        v_made.detail := format('job %s of %s has not ended', v_busy, to_char(v_busy_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"'));
    ELSIF p_overlap = 'queue' AND (v_busy IS NOT NULL
            OR EXISTS (SELECT FROM holdfast.occurrence o WHERE o.schedule = p_name AND o.state = 'waiting')) THEN
        v_made.state := 'waiting';
    ELSE
        v_made.job_id := holdfast.enqueue_occurrence_v1(p_plan, p_at);
    END IF;
    RETURN v_made;
END $$;
COMMENT ON FUNCTION holdfast.decide_occurrence_v1 IS 'What becomes of one occurrence of a schedule that the caller has locked: a job, a wait, or skipped because the source is unchanged or a job is on its way.';

CREATE FUNCTION holdfast.fire_v1(
    p_name text, p_version bigint, p_expected timestamptz, p_ats timestamptz[], p_run boolean[], p_details text[],
    p_next timestamptz, p_due timestamptz, p_fingerprint text
) RETURNS SETOF holdfast.occurrence
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_schedule holdfast.schedule;
    v_now      timestamptz;
    v_made     holdfast.occurrence;
BEGIN
    -- Whoever locks the row as it was read decides about these occurrences; everybody else finds it locked or advanced.
    SELECT * INTO v_schedule FROM holdfast.schedule s
    WHERE s.name = p_name AND s.version = p_version AND s.next_at = p_expected
      AND s.paused_at IS NULL AND s.withdrawn_at IS NULL FOR UPDATE SKIP LOCKED;
    v_now := holdfast.now();
    IF NOT FOUND OR v_schedule.due_at > v_now THEN
        RETURN;                                             -- somebody else was first, or the clock was set back
    END IF;
    FOR v_n IN 1 .. cardinality(p_ats) LOOP
        CONTINUE WHEN EXISTS (SELECT FROM holdfast.occurrence o WHERE o.schedule = p_name AND o.at = p_ats[v_n]);
        IF p_run[v_n] THEN
            v_made := holdfast.decide_occurrence_v1(
                p_name, v_schedule.plan, p_ats[v_n], 'due', v_schedule.plan ->> 'overlap', p_fingerprint, p_details[v_n]);
        ELSE
            v_made := ROW(p_name, p_ats[v_n], 'due', 'skipped', 'missed', p_details[v_n], NULL, NULL, v_now);
        END IF;
        INSERT INTO holdfast.occurrence SELECT (v_made).*;
        RETURN NEXT v_made;
    END LOOP;
    UPDATE holdfast.schedule SET next_at = p_next, due_at = p_due, last_at = p_ats[cardinality(p_ats)], probing_until = NULL
    WHERE name = p_name;
END $$;
COMMENT ON FUNCTION holdfast.fire_v1 IS
    'Decides about the occurrences of a due schedule and advances it, in one transaction. Nothing comes back when somebody else did, or when the plan has changed since.';

CREATE FUNCTION holdfast.start_waiting_v1() RETURNS SETOF holdfast.occurrence
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_schedule holdfast.schedule;
    v_name     text;
BEGIN
    FOR v_name IN SELECT DISTINCT o.schedule FROM holdfast.occurrence o WHERE o.state = 'waiting' LOOP
        SELECT * INTO v_schedule FROM holdfast.schedule s
        WHERE s.name = v_name AND s.paused_at IS NULL AND s.withdrawn_at IS NULL FOR UPDATE SKIP LOCKED;
        IF FOUND AND (SELECT u.job_id FROM holdfast.unfinished_job_of_v1(v_name) u) IS NULL THEN
            RETURN QUERY
            UPDATE holdfast.occurrence o SET state = 'started', job_id = holdfast.enqueue_occurrence_v1(v_schedule.plan, o.at)
            WHERE o.schedule = v_name AND o.at = (
                SELECT min(x.at) FROM holdfast.occurrence x WHERE x.schedule = v_name AND x.state = 'waiting')
            RETURNING o.*;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.start_waiting_v1 IS 'Of every schedule that queues its occurrences, the oldest one waiting gets its job once the job before it has ended.';

CREATE FUNCTION holdfast.trigger_schedule_v1(p_name text, p_force boolean, p_detail text) RETURNS SETOF holdfast.occurrence
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_schedule holdfast.schedule;
    v_made     holdfast.occurrence;
BEGIN
    SELECT * INTO v_schedule FROM holdfast.schedule s WHERE s.name = p_name FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- The source is not asked: somebody wants it to run.
    v_made := holdfast.decide_occurrence_v1(
        p_name, v_schedule.plan, holdfast.now(), 'trigger', CASE WHEN p_force THEN 'allow' ELSE v_schedule.plan ->> 'overlap' END, NULL, p_detail);
    INSERT INTO holdfast.occurrence SELECT (v_made).*;
    RETURN NEXT v_made;
END $$;
COMMENT ON FUNCTION holdfast.trigger_schedule_v1 IS
    'One occurrence now, whatever the timetable and the probe say; the overlap policy counts unless forced. Nothing comes back when there is no such schedule.';

CREATE FUNCTION holdfast.backfill_v1(p_name text, p_ats timestamptz[]) RETURNS SETOF holdfast.occurrence
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_schedule holdfast.schedule;
    v_made     holdfast.occurrence;
    v_at       timestamptz;
BEGIN
    SELECT * INTO v_schedule FROM holdfast.schedule s WHERE s.name = p_name FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    FOREACH v_at IN ARRAY p_ats LOOP
        -- What has, or waits for, its job is done already; what is still to come comes by itself.
        CONTINUE WHEN v_at >= v_schedule.next_at OR EXISTS (
            SELECT FROM holdfast.occurrence o WHERE o.schedule = p_name AND o.at = v_at AND o.state <> 'skipped');
        v_made := holdfast.decide_occurrence_v1(
            p_name, v_schedule.plan, v_at, 'backfill', CASE v_schedule.plan ->> 'overlap' WHEN 'allow' THEN 'allow' ELSE 'queue' END, NULL, NULL);
        DELETE FROM holdfast.occurrence o WHERE o.schedule = p_name AND o.at = v_at;
        INSERT INTO holdfast.occurrence SELECT (v_made).*;
        RETURN NEXT v_made;
    END LOOP;
END $$;
COMMENT ON FUNCTION holdfast.backfill_v1 IS
    'Jobs for past moments that have none: at once where overlap is allowed, otherwise one after the other. Moments that have a job are left out, so it may be repeated.';

CREATE FUNCTION holdfast.pause_schedule_v1(p_name text, p_reason text) RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_paused boolean;
BEGIN
    SELECT s.paused_at IS NOT NULL INTO v_paused FROM holdfast.schedule s WHERE s.name = p_name FOR UPDATE;
    IF v_paused IS NULL THEN RETURN 'unknown'; END IF;
    IF v_paused THEN RETURN 'already'; END IF;
    UPDATE holdfast.schedule SET paused_at = holdfast.now(), pause_reason = p_reason WHERE name = p_name;
    RETURN 'paused';
END $$;
COMMENT ON FUNCTION holdfast.pause_schedule_v1 IS 'Nothing of it is due from now on; jobs that exist run on. Answers paused, already or unknown.';

CREATE FUNCTION holdfast.change_schedule_v1(
    p_name text, p_version bigint, p_edited jsonb, p_next timestamptz, p_due timestamptz, p_resume boolean, p_paused timestamptz[], p_detail text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM FROM holdfast.schedule s WHERE s.name = p_name AND s.version = p_version FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO holdfast.occurrence (schedule, at, origin, state, because, detail, decided_at)
    SELECT p_name, m.at, 'due', 'skipped', 'paused', p_detail, holdfast.now() FROM unnest(p_paused) AS m(at) ON CONFLICT DO NOTHING;
    UPDATE holdfast.schedule s SET edited = p_edited, version = s.version + 1, next_at = p_next, due_at = p_due,
           last_at = greatest(s.last_at, (SELECT max(m.at) FROM unnest(p_paused) AS m(at))),
           paused_at = CASE WHEN p_resume THEN NULL ELSE s.paused_at END, pause_reason = CASE WHEN p_resume THEN NULL ELSE s.pause_reason END
    WHERE s.name = p_name;
    RETURN true;
END $$;
COMMENT ON FUNCTION holdfast.change_schedule_v1 IS
    'An edit of the plan, or the end of a pause with the occurrences that it swallowed. False: the schedule was changed since it was read, so look again.';

CREATE FUNCTION holdfast.forget_occurrences_v1(p_after interval) RETURNS integer
LANGUAGE sql VOLATILE AS $$
    WITH gone AS (
        DELETE FROM holdfast.occurrence o WHERE o.decided_at < holdfast.now() - p_after AND o.state <> 'waiting'
          AND o.at < (SELECT max(x.at) FROM holdfast.occurrence x WHERE x.schedule = o.schedule AND x.job_id IS NOT NULL)
        RETURNING 1
    ) SELECT count(*)::integer FROM gone
$$;
COMMENT ON FUNCTION holdfast.forget_occurrences_v1 IS 'Deletes what was decided so long ago, but the last occurrence that had a job, and what came after it.';
