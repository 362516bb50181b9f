-- What the migration runner does besides the migrations themselves.
-- Lock order: the advisory lock (72700, 1) first, then whatever the migration takes.

-- name: table_exists
-- Promise: true when holdfast.migration exists; works in an empty database.
select pg_catalog.to_regclass('holdfast.migration') is not null

-- name: schema_exists
-- Promise: true when the schema exists; so a role that may not create one can use one made for it.
select pg_catalog.to_regnamespace('holdfast') is not null

-- name: create_schema
-- Promise: the schema exists afterwards; needs the right to create schemas in this database.
create schema if not exists holdfast

-- name: create_table
-- Promise: the table of applied migrations exists afterwards; safe to repeat under the migration lock.
create table if not exists holdfast.migration (
    version integer primary key check (version > 0),
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default pg_catalog.clock_timestamp()
)

-- name: describe_table
-- Promise: says in the catalog what the table is for.
comment on table holdfast.migration is 'Migrations applied to this schema, with the sha256 of the file each came from.'

-- name: applied
-- Promise: every applied migration in order; locks nothing.
select version, name, checksum, applied_at from holdfast.migration order by version

-- name: try_lock
-- Promise: true when this transaction now holds the right to migrate; never waits. A waiting statement would keep a
-- snapshot open, and with it hold up whatever the other migrator does. Ends with the transaction, so it is safe behind
-- a pooler.
select pg_catalog.pg_try_advisory_xact_lock(72700, 1)

-- name: lock_holder
-- Promise: the process id and program that hold the right to migrate in this database, if any.
select lock.pid, activity.application_name
from pg_catalog.pg_locks as lock
left join pg_catalog.pg_stat_activity as activity on activity.pid = lock.pid
where lock.locktype = 'advisory' and lock.classid = 72700 and lock.objid = 1 and lock.granted
  and lock.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())
limit 1

-- name: prepare_transaction
-- Promise: for the length of this transaction names must be written in full, a table lock is given up after $1 ms
-- (whoever waits for one makes everybody else wait behind him), and a statement ends after $2 ms.
select pg_catalog.set_config('search_path', 'pg_catalog', true),
       pg_catalog.set_config('lock_timeout', $1::text, true),
       pg_catalog.set_config('statement_timeout', $2::text, true)

-- name: record
-- Promise: the migration counts as applied when this transaction commits, and not otherwise.
insert into holdfast.migration (version, name, checksum) values ($1::integer, $2::text, $3::text)

-- name: begin
-- Promise: opens the transaction of one migration in a script for people.
begin

-- name: commit
-- Promise: ends the transaction of one migration in a script for people.
commit
