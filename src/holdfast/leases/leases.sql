-- Statements about who is alive. The functions they call say more: migrations/0005_liveness.sql.
-- Advisory locks: (1212568, worker number) = its liveness session stands; (1212569, 0) = the one observer.
-- None of these statements ever waits for a lock.

-- name: register
-- Promise: a worker number never used before; it lives from now on. Touches one row each of worker and worker_beat.
select holdfast.register_worker_v1($1::text, $2::text, $3::integer, $4::text, $5::text, $6::text[], $7::integer, $8::boolean) as worker

-- name: beat
-- Promise: one more beat of worker $1; false when it was declared dead. Served by the primary keys.
select holdfast.beat_v1($1::bigint) as live

-- name: observe
-- Promise: one look at every worker that is said to live, in one snapshot.
select worker, beat, has_session, session_held, host, incarnation, server_age_seconds from holdfast.observe_v1()

-- name: declare_dead
-- Promise: true when worker $1 claims nothing from now on; false while a claim of it is in flight.
select holdfast.declare_dead_v1($1::bigint, $2::text) as dead

-- name: workers_to_rescue
-- Promise: everybody who is not live and whom a lease still names.
select worker from holdfast.workers_to_rescue_v1() as worker

-- name: rescue
-- Promise: puts back what worker $1, not live, held and had not finished; how many jobs. Skips what others lock.
select holdfast.rescue_v1($1::bigint, $2::integer) as jobs

-- name: take
-- Promise: true when this session now holds (class $1, key $2) alone; never waits.
select pg_catalog.pg_try_advisory_lock($1::integer, $2::integer) as taken

-- name: let_go
-- Promise: this session no longer holds (class $1, key $2); false when it did not.
select pg_catalog.pg_advisory_unlock($1::integer, $2::integer) as gone

-- name: evict
-- Promise: ends the sessions of ours that still hold (class $1, key $2) although their client is gone.
select pg_catalog.pg_terminate_backend(l.pid) as ended
from pg_catalog.pg_locks l
where l.locktype = 'advisory' and l.classid = $1::integer::oid and l.objid = $2::integer::oid and l.objsubid = 2 and l.granted
  and l.pid <> pg_catalog.pg_backend_pid()
  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
