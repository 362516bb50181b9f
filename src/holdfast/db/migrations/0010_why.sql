-- Why a job does not run: what the claim looks at, asked by a person. Reads only, takes no lock, works on a standby.

CREATE FUNCTION holdfast.lockers_v1(p_xmax xid) RETURNS TABLE (
    pid integer, application text, username text, client text, state text, seconds double precision, query text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_xids xid[] := ARRAY[p_xmax];
BEGIN
    IF p_xmax IS NULL OR p_xmax = '0'::xid THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype = 'transactionid' AND l.transactionid = p_xmax AND l.granted) THEN
        BEGIN
            v_xids := ARRAY(SELECT m.xid FROM pg_catalog.pg_get_multixact_members(p_xmax) AS m);
        EXCEPTION
            WHEN OTHERS THEN RETURN;                        -- the number of one transaction, which has ended
        END;
    END IF;
    RETURN QUERY
    SELECT a.pid, a.application_name, a.usename::text, host(a.client_addr), a.state,
           extract(epoch FROM clock_timestamp() - a.xact_start)::double precision, a.query
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'transactionid' AND l.granted AND l.transactionid = ANY (v_xids)
    ORDER BY a.xact_start;
END $$;
COMMENT ON FUNCTION holdfast.lockers_v1 IS
    'The open transactions that hold a row of which this is the xmax: one, or those of a multixact. Needs no lock on the row.';
