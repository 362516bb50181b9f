-- A job that SQL enqueues for later says so, as one enqueued by the application does: how long it waited is no wait for a worker.
CREATE OR REPLACE FUNCTION holdfast.enqueue(
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
    IF run_at = 'infinity' THEN
        RAISE EXCEPTION 'a job of % cannot be due at infinity', p_task USING ERRCODE = 'HF004', HINT = 'Say when, or enqueue it once it is wanted.';
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
        ARRAY[coalesce(priority, v_task.priority, 5)::smallint],
        ARRAY[(coalesce(v_task.flags, 0) | CASE WHEN run_at > holdfast.now() THEN 32 ELSE 0 END)::smallint],
        NULL, CASE WHEN run_at IS NOT NULL THEN ARRAY[run_at] END,
        ARRAY[max_attempts::smallint], ARRAY[coalesce(timeout_seconds, v_task.timeout_seconds)],
        ARRAY[p_task || ':' || unique_key], NULL, CASE WHEN v_gates IS NOT NULL THEN ARRAY[v_gates] END))[1];
END $$;
COMMENT ON COLUMN holdfast.job.flags IS
    '1 = claimed into a lease of its own (transactional task), 2 = holds a unique key, 8 = stands behind gates, 16 = belongs to a batch, 32 = was to run later from the start';

-- Nobody calls these any more.
DROP FUNCTION holdfast.find_jobs_v1;
DROP FUNCTION holdfast.job_matches_v1;
DROP FUNCTION holdfast.report_running_v1;
