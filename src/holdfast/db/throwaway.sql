-- name: create_copy
-- Promise: the command that makes the database $1, a copy of $2; names are quoted.
select format('create database %I template %I', $1::text, $2::text)

-- name: drop
-- Promise: the command that drops the database $1, whoever is connected to it; nothing where there is none.
select format('drop database if exists %I with (force)', $1::text)

-- name: empty_template
-- Promise: nobody is connected to the database $1 any more, so that it can be copied.
select count(pg_terminate_backend(a.pid)) from pg_catalog.pg_stat_activity a where a.datname = $1::text

-- name: now_body
-- Promise: what holdfast.now() does, as SQL.
select p.prosrc from pg_catalog.pg_proc p where p.oid = 'holdfast.now()'::regprocedure

-- name: move_now
-- Promise: the command that makes holdfast.now() what $1 says, and $2 seconds more, for every session at once.
select format('create or replace function holdfast.now() returns timestamptz language sql volatile parallel safe as %L',
              format('%s + %L::interval', rtrim($1::text), make_interval(secs => $2::double precision)))
