-- Statements of the LISTEN session. Advisory locks here belong to the session and say "I am here": class ids are
-- given by the rooms above; nobody ever waits for one.

-- name: notify
-- Promise: every session that listens on channel $1 at commit gets payload $2, unless a pooler is in between.
select pg_catalog.pg_notify($1::text, $2::text)

-- name: hold_shared
-- Promise: true when this session now holds (class $1, key $2) shared; never waits.
select pg_catalog.pg_try_advisory_lock_shared($1::integer, $2::integer)

-- name: release_shared
-- Promise: this session holds (class $1, key $2) once less; false when it did not hold it.
select pg_catalog.pg_advisory_unlock_shared($1::integer, $2::integer)
