-- name: preview
-- Promise: the filter is frozen as it is now, under the hash of a token that is good for $18 seconds; nothing else happens.
insert into holdfast.operation (verb, filter, places, queues, tasks, failures, terms, from_id, until_id, frozen_at, delay_seconds, due_at, priority,
    reason, requested_by, token_hash, expires_at, planned, planned_is_exact)
select $1::text, $2::text, $3::text[], $4::text[], $5::text[], $6::text[], $7::text::jsonb,
       greatest($10::bigint, coalesce(holdfast.id_floor(m.at - make_interval(secs => $8::double precision)), 0)),
       least($11::bigint, holdfast.id_floor(m.at) + 4194304, holdfast.id_floor(m.at - make_interval(secs => $9::double precision))),
       m.at, $12::double precision, $13::timestamptz, $14::smallint, $15::text, $16::text, $17::text,
       m.at + make_interval(secs => $18::double precision), $19::bigint, $20::boolean
from (select $21::timestamptz as at) as m
returning id, expires_at

-- name: moment
-- Promise: the moment by which a filter is frozen.
select holdfast.now()

-- name: start
-- Promise: the operation previewed under this token hash runs from now on; null: it does not.
select holdfast.start_operation_v1($1::text, $2::text, $3::text)

-- name: by_token
-- Promise: what became of a token.
select o.id, o.state, o.requested_by, o.expires_at <= holdfast.now() as expired from holdfast.operation o where o.token_hash = $1::text

-- name: operations
-- Promise: operations that were started, the newest first, before $1; those on the queues $2 alone where given; of one id where $3.
select o.id, o.verb, o.filter, o.queues, o.requested_by, o.reason, o.state, o.planned, o.planned_is_exact, o.moved, o.skipped, o.failed, o.trouble,
       o.due_at, o.priority, o.started_at, o.turn_at, o.finished_at, o.ended_by
from holdfast.operation o
where o.state <> 'previewed' and o.id < $1::bigint and ($2::text[] is null or o.queues <@ $2::text[]) and ($3::bigint is null or o.id = $3::bigint)
order by o.id desc limit $4::integer

-- name: operate
-- Promise: one batch of at most $1 jobs of one running operation has moved, with its progress, in one transaction; no row: none is running.
select operation, verb, state, taken from holdfast.operate_v1($1::integer, $2::integer)

-- name: end
-- Promise: no batch of the operation begins from now on; false: it was not running.
select holdfast.end_operation_v1($1::bigint, $2::text, $3::text, $4::text)

-- name: next_running
-- Promise: whose turn it is, without taking it.
select o.id from holdfast.operation o where o.state = 'running' order by o.turn_at, o.id limit 1

-- name: forget
-- Promise: previews that nobody may start any more are gone, and operations that ended more than $1 days ago.
delete from holdfast.operation o
where (o.state = 'previewed' and o.expires_at < holdfast.now() - interval '1 hour')
   or (o.state not in ('previewed', 'running') and o.finished_at < holdfast.now() - make_interval(days => $1::integer))
