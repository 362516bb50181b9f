-- Statements of the pools themselves. They touch no table, so they run before any migration.

-- name: describe_session
-- Promise: says which server session answers and what it may do; reads only settings.
select pg_catalog.pg_backend_pid() as backend_pid,
       pg_catalog.current_setting('server_version_num')::int as server_version,
       pg_catalog.current_setting('transaction_read_only')::bool as read_only,
       pg_catalog.current_setting('transaction_isolation') as isolation

-- name: answer
-- Promise: comes back if the connection is alive; changes nothing.
select 1

-- name: be_brief
-- Promise: no statement of this transaction, and no wait for a lock, takes longer than $1 milliseconds.
select pg_catalog.set_config('statement_timeout', $1::int::text, true),
       pg_catalog.set_config('lock_timeout', $1::int::text, true)
