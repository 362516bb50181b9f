-- name: draw_ids
-- Promise: $1 first ids of blocks of 1024 that nobody else gets. Good for a minute.
select holdfast.draw_ids_v1($1::integer)

-- name: enqueue
-- Promise: all of these jobs are stored and placed, or none; no unique keys among them. Without ids the server draws them.
select holdfast.enqueue_v1($1::bigint[], $2::text[], $3::text[], $4::text[]::jsonb[], $5::smallint[], $6::smallint[],
    $7::bigint[], $8::timestamptz[], $9::smallint[], $10::real[], $11::text[], $12::text[]::jsonb[], $13::text[])

-- name: enqueue_one
-- Promise: as enqueue, for one plain job with an id drawn before.
select holdfast.enqueue_one_v1($1::bigint, $2::text, $3::text, $4::text::jsonb, $5::smallint, $6::smallint,
    $7::bigint, $8::timestamptz, $9::smallint, $10::real, $11::text::jsonb)

-- name: enqueue_keyed
-- Promise: as enqueue, and where a job in a covered place holds a unique key, its id is returned and nothing is inserted for it.
select holdfast.enqueue_keyed_v1($1::bigint[], $2::text[], $3::text[], $4::text[]::jsonb[], $5::smallint[], $6::smallint[],
    $7::bigint[], $8::timestamptz[], $9::smallint[], $10::real[], $11::text[], $12::text[]::jsonb[], $13::text[],
    $14::smallint[], $15::bigint[], $16::smallint[])

-- name: enqueue_one_keyed
-- Promise: as enqueue_keyed, for one job without gates with an id drawn before.
select holdfast.enqueue_one_keyed_v1($1::bigint, $2::text, $3::text, $4::text::jsonb, $5::smallint, $6::smallint,
    $7::bigint, $8::timestamptz, $9::smallint, $10::real, $11::text::jsonb, $12::text, $13::smallint, $14::bigint, $15::smallint)

-- name: which_exist
-- Promise: those of the given ids that are jobs. Asked after an answer was lost.
select j.id from holdfast.job j where j.id = any($1::bigint[])

-- name: declare_tasks
-- Promise: SQL callers find the queue and the defaults of these tasks; unchanged ones are not written.
insert into holdfast.task as t (name, queue, priority, flags, max_attempts, timeout_seconds, gates, declared_at)
select i.name, i.queue, i.priority, i.flags, i.max_attempts, i.timeout_seconds, i.gates, holdfast.now()
from unnest($1::text[], $2::text[], $3::smallint[], $4::smallint[], $5::smallint[], $6::real[], $7::text[]::jsonb[])
     as i(name, queue, priority, flags, max_attempts, timeout_seconds, gates)
order by i.name
on conflict (name) do update set queue = excluded.queue, priority = excluded.priority, flags = excluded.flags,
    max_attempts = excluded.max_attempts, timeout_seconds = excluded.timeout_seconds, gates = excluded.gates, declared_at = excluded.declared_at
where (t.queue, t.priority, t.flags, t.max_attempts, t.timeout_seconds, t.gates)
      is distinct from (excluded.queue, excluded.priority, excluded.flags, excluded.max_attempts, excluded.timeout_seconds, excluded.gates)

-- name: enqueue_keyed_told
-- Promise: as enqueue_keyed on a connection of the caller's, where the server draws the ids: the id of a job that existed before is negative.
select holdfast.enqueue_keyed_told_v1($1::bigint[], $2::text[], $3::text[], $4::text[]::jsonb[], $5::smallint[], $6::smallint[],
    $7::bigint[], $8::timestamptz[], $9::smallint[], $10::real[], $11::text[], $12::text[]::jsonb[], $13::text[],
    $14::smallint[], $15::bigint[], $16::smallint[])

-- name: ring
-- Promise: one idle worker of each of these queues is told to look, where there is one. A hint.
select holdfast.ring_v1($1::text[])
