-- What is looked for: the audit by what was acted on, and arguments without what nobody is shown of them.

-- One index for both: whoever knows the kind knows the name, and a name alone had to read the audit from its end.
CREATE INDEX audit_about ON holdfast.audit (target, id DESC);
DROP INDEX holdfast.audit_target;
COMMENT ON TABLE holdfast.audit IS
    'Every act over HTTP or by a command, and every refusal: who, what, on what, from where, and how it ended. Rows are written once.';

CREATE FUNCTION holdfast.sought_v1(p_value jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- The text of an object holds all that is in it, under keys that look secret, too: its parts are sought by their own names.
    SELECT CASE
        WHEN jsonb_path_exists(p_value, 'strict $.** ? (@.type() == "object")') THEN NULL
        WHEN p_value #>> '{}' !~* '://|bearer|basic|hf[ts]_' THEN p_value #>> '{}'
        -- As holdfast.access shows them: passwords in URLs, bearer tokens, tokens of ours.
        ELSE regexp_replace(regexp_replace(regexp_replace(p_value #>> '{}',
            '(\m[a-z][a-z0-9+.-]{0,30}://[^\s/:@]{0,200}):[^\s@]+@', '\1:***@', 'gi'),
            '\m(bearer|basic)\s+[\w.~+/=-]{8,}', '\1 [redacted]', 'gi'),
            '\mhf[ts]_[\w-]{16,}', '[redacted]', 'g')
    END
$$;
COMMENT ON FUNCTION holdfast.sought_v1 IS
    'What a filter compares of an argument: its text as it is shown; nothing of an object, nor of a list that holds one.';

CREATE OR REPLACE FUNCTION holdfast.job_fits_v1(
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
                WHEN 'args' THEN holdfast.sought_v1(p_args #> t.path)
                WHEN 'error' THEN CASE t.op WHEN '=' THEN p_error ->> 'type' ELSE concat_ws(': ', p_error ->> 'type', p_error ->> 'message') END
            END,
            CASE t.field
                WHEN 'priority' THEN p_priority::double precision
                WHEN 'attempt' THEN p_attempt::double precision
                WHEN 'ended' THEN extract(epoch FROM p_now - p_ended_at)::double precision
                WHEN 'due' THEN extract(epoch FROM p_due_at - p_now)::double precision
            END))
$$;
