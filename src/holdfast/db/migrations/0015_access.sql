-- Access over HTTP: who may do what, and who did what.
--
-- Secrets are high-entropy random strings; only their SHA-256 is stored, so a copy of these tables opens nothing.
-- An audit row is written in the transaction of the act that it tells of: there is never one without the other.

CREATE TABLE holdfast.access_token (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text        NOT NULL CHECK (name <> ''),
    digest      bytea       NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    role        text,
    permissions text[]      NOT NULL DEFAULT '{}',
    queues      text[],
    created_at  timestamptz NOT NULL DEFAULT holdfast.now(),
    created_by  text        NOT NULL,
    expires_at  timestamptz,
    used_at     timestamptz,
    revoked_at  timestamptz,
    revoked_by  text,
    CHECK (role IS NOT NULL OR permissions <> '{}'),
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
COMMENT ON TABLE holdfast.access_token IS
    'Credentials of programs and people. What one permits: its role and the permissions beside it; in these queues only, if any are named.';

CREATE TABLE holdfast.access_session (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest      bytea       NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    token_id    bigint      REFERENCES holdfast.access_token,
    name        text        NOT NULL,
    permissions text[]      NOT NULL,
    roles       text[]      NOT NULL,
    queues      text[],
    client      text,
    agent       text,
    created_at  timestamptz NOT NULL DEFAULT holdfast.now(),
    seen_at     timestamptz NOT NULL DEFAULT holdfast.now(),
    expires_at  timestamptz NOT NULL,
    ended_at    timestamptz
);
CREATE INDEX access_session_expiry ON holdfast.access_session (expires_at);
CREATE INDEX access_session_token ON holdfast.access_session (token_id);
COMMENT ON TABLE holdfast.access_session IS
    'Browsers that are signed in. A session of a token permits what the token permits now, and ends with it; one of an OIDC bearer what that granted.';

CREATE TABLE holdfast.audit (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT holdfast.now(),
    actor       text        NOT NULL,
    actor_kind  text        NOT NULL,
    action      text        NOT NULL,
    result      text        NOT NULL CHECK (result IN ('done', 'begun', 'failed', 'denied')),
    target_kind text,
    target      text,
    reason      text,
    before      jsonb,
    after       jsonb,
    code        text,
    detail      text,
    request_id  text,
    client      text
);
CREATE INDEX audit_actor ON holdfast.audit (actor, id DESC);
CREATE INDEX audit_action ON holdfast.audit (action, id DESC);
CREATE INDEX audit_target ON holdfast.audit (target_kind, target, id DESC);
CREATE INDEX audit_at ON holdfast.audit (at);
COMMENT ON TABLE holdfast.audit IS 'Every act over HTTP, and every refusal: who, what, on what, from where, and how it ended. Rows are written once.';

CREATE FUNCTION holdfast.refuse_change_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are written once', TG_TABLE_NAME USING ERRCODE = 'HF151';
END $$;
CREATE TRIGGER audit_is_final BEFORE UPDATE ON holdfast.audit FOR EACH ROW EXECUTE FUNCTION holdfast.refuse_change_v1();

CREATE TABLE holdfast.request_key (
    actor      text        NOT NULL COLLATE "C",
    key        text        NOT NULL COLLATE "C",
    digest     bytea       NOT NULL,
    status     integer,
    body       bytea,
    created_at timestamptz NOT NULL DEFAULT holdfast.now(),
    PRIMARY KEY (actor, key)
);
CREATE INDEX request_key_age ON holdfast.request_key (created_at);
COMMENT ON TABLE holdfast.request_key IS
    'Idempotency keys of requests: the answer to the first is the answer to all that repeat it. Committed with the act.';

CREATE FUNCTION holdfast.write_audit_v1(
    p_actor text, p_actor_kind text, p_action text, p_result text, p_target_kind text, p_target text, p_reason text,
    p_before jsonb, p_after jsonb, p_code text, p_detail text, p_request_id text, p_client text
) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    INSERT INTO holdfast.audit (actor, actor_kind, action, result, target_kind, target, reason, before, after, code, detail, request_id, client)
    VALUES (p_actor, p_actor_kind, p_action, p_result, p_target_kind, p_target, p_reason, p_before, p_after, p_code, p_detail, p_request_id, p_client)
    RETURNING id
$$;
COMMENT ON FUNCTION holdfast.write_audit_v1 IS 'One row of the audit, in the transaction of its caller.';

CREATE FUNCTION holdfast.take_request_key_v1(p_actor text, p_key text, p_digest bytea) RETURNS TABLE (
    is_new boolean, is_same boolean, status integer, body bytea)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    -- Waits for a request of that key that is still at work; what it left behind is looked at in the next statement.
    INSERT INTO holdfast.request_key (actor, key, digest) VALUES (p_actor, p_key, p_digest) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN QUERY SELECT true, true, NULL::integer, NULL::bytea;
        RETURN;
    END IF;
    RETURN QUERY SELECT false, k.digest = p_digest, k.status, k.body
    FROM holdfast.request_key k WHERE k.actor = p_actor AND k.key = p_key;
END $$;
COMMENT ON FUNCTION holdfast.take_request_key_v1 IS
    'Takes an idempotency key for this transaction, or tells what its first request was answered. No row: that was pruned just now.';

CREATE FUNCTION holdfast.answer_request_key_v1(p_actor text, p_key text, p_status integer, p_body bytea) RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE holdfast.request_key SET status = p_status, body = p_body WHERE actor = p_actor AND key = p_key
$$;
COMMENT ON FUNCTION holdfast.answer_request_key_v1 IS 'Keeps the answer beside the key, in the transaction that took it.';

CREATE FUNCTION holdfast.prune_access_v1(p_audit_days integer, p_most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_count bigint := 0;
    v_now timestamptz := holdfast.now();
    v_rows bigint;
BEGIN
    DELETE FROM holdfast.request_key WHERE ctid = ANY (ARRAY(
        SELECT k.ctid FROM holdfast.request_key k WHERE k.created_at < v_now - interval '24 hours'
        ORDER BY k.created_at LIMIT p_most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    v_count := v_count + v_rows;
    DELETE FROM holdfast.access_session WHERE ctid = ANY (ARRAY(
        SELECT s.ctid FROM holdfast.access_session s WHERE s.expires_at < v_now - interval '7 days'
        ORDER BY s.expires_at LIMIT p_most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    v_count := v_count + v_rows;
    DELETE FROM holdfast.audit WHERE ctid = ANY (ARRAY(
        SELECT a.ctid FROM holdfast.audit a WHERE a.at < v_now - make_interval(days => p_audit_days)
        ORDER BY a.at LIMIT p_most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_count + v_rows;
END $$;
COMMENT ON FUNCTION holdfast.prune_access_v1 IS
    'Lets go of idempotency keys after a day, of sessions a week after their end, of audit rows after so many days; so many of each at most.';

CREATE FUNCTION holdfast.create_first_token_v1(p_name text, p_digest bytea) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_id bigint;
BEGIN
    -- Locked here, looked at in the next statement: of several that start together one finds the table empty.
    PERFORM pg_catalog.pg_advisory_xact_lock(72700, 15);
    INSERT INTO holdfast.access_token (name, digest, role, created_by)
    SELECT p_name, p_digest, 'admin', 'first start' WHERE NOT EXISTS (SELECT FROM holdfast.access_token)
    RETURNING id INTO v_id;
    RETURN v_id;
END $$;
COMMENT ON FUNCTION holdfast.create_first_token_v1 IS 'An admin token if there is no token at all, at most once; NULL otherwise.';
