-- name: show
-- Promise: where each of these jobs stands and what it is, in one snapshot.
select j.id, j.task, j.queue, p.place as state, j.priority, j.args::text as args, p.attempt, j.max_attempts, j.timeout_seconds,
       holdfast.id_time(j.id) as enqueued_at, p.due_at, p.started_at, p.finished_at, p.worker, p.result::text as result,
       p.error::text as error, j.unique_key, p.cancel_requested,
       case when g.job_id is not null then jsonb_build_object(
           'done', g.done, 'total', g.total, 'message', g.message, 'reported_at', g.reported_at)::text end as progress,
       m.batch_id as batch
from holdfast.places_v1($1::bigint[]) p join holdfast.every_job j on j.id = p.job_id
left join holdfast.progress g on g.job_id = p.job_id
left join holdfast.batch_member m on m.job_id = p.job_id
where j.id = any($1::bigint[])
order by j.id desc

-- name: page_all
-- Promise: the newest jobs older than $1, of one queue ($2) and task ($3) where given.
select j.id from holdfast.every_job j
where j.id < $1::bigint and ($2::text is null or j.queue = $2::text) and ($3::text is null or j.task = $3::text)
order by j.id desc limit $4::integer

-- name: page_finished
-- Promise: the newest jobs older than $1 that ended in state $5 (1 completed, 2 failed, 3 cancelled).
select j.id from holdfast.every_outcome o join holdfast.every_job j on j.id = o.job_id
where o.job_id < $1::bigint and o.state = $5::smallint
  and ($2::text is null or j.queue = $2::text) and ($3::text is null or j.task = $3::text)
order by o.job_id desc limit $4::integer

-- name: page_scheduled
-- Promise: the newest jobs older than $1 that are due later.
select j.id from holdfast.scheduled s join holdfast.every_job j on j.id = s.job_id
where s.job_id < $1::bigint and ($2::text is null or j.queue = $2::text) and ($3::text is null or j.task = $3::text)
order by s.job_id desc limit $4::integer

-- name: page_blocked
-- Promise: the newest jobs older than $1 that wait before a gate.
select j.id from holdfast.blocked b join holdfast.every_job j on j.id = b.job_id
where b.job_id < $1::bigint and ($2::text is null or j.queue = $2::text) and ($3::text is null or j.task = $3::text)
order by b.job_id desc limit $4::integer

-- name: page_ready
-- Promise: ready jobs older than $1, newest first.
select j.id from holdfast.ready r join holdfast.every_job j on j.id = r.job_id
where r.job_id < $1::bigint and ($2::text is null or r.queue = $2::text) and ($3::text is null or j.task = $3::text)
order by r.job_id desc limit $4::integer

-- name: page_running
-- Promise: leased jobs older than $1, newest first.
select j.id from holdfast.lease l cross join lateral unnest(l.job_ids) as h(job_id) join holdfast.every_job j on j.id = h.job_id
where j.id < $1::bigint and ($2::text is null or j.queue = $2::text) and ($3::text is null or j.task = $3::text)
  and not exists (select from holdfast.lease_exit e where e.lease = l.id and e.job_id = j.id)
  and not exists (select from holdfast.every_outcome o where o.job_id = j.id)
order by j.id desc limit $4::integer

-- name: cancel
-- Promise: waiting jobs are cancelled, running ones are asked to stop; the answer per job is cancelled, requested, finished or unknown.
select job_id, answer from holdfast.cancel_v1($1::bigint[], $2::text)

-- name: retry
-- Promise: a failed, cancelled or scheduled job is ready; for any other nothing changes and the answer says where it stands.
select holdfast.retry_v1($1::bigint)

-- name: states
-- Promise: where each of these jobs stands.
select job_id, place from holdfast.places_v1($1::bigint[])

-- name: enqueue_by_name
-- Promise: one job of the task $1 with the arguments $2 is stored as its declaration says; the id, or that of its twin, which is older than this statement.
with clock as materialized (select holdfast.id_floor(holdfast.now()) as begun)
select e.id, e.id < k.begun as existing
from clock k cross join lateral (select holdfast.enqueue(
    $1::text, $2::jsonb, queue => $3::text, priority => $4::integer,
    run_at => coalesce($8::timestamptz, case when k.begun is not null then holdfast.now() + make_interval(secs => $5::double precision) end),
    unique_key => $6::text, lane => $7::text) as id) as e

-- name: redrive
-- Promise: those of the given jobs that have failed or were cancelled are ready; the answer says moved for each.
select job_id, answer from holdfast.redrive_v1($1::bigint[])

-- name: prioritize
-- Promise: waiting jobs have the priority $2; the answer per job is moved, or where it stands.
select job_id, answer from holdfast.prioritize_v1($1::bigint[], $2::smallint)

-- name: reschedule
-- Promise: waiting jobs are due at $2, or $3 seconds from now; the answer per job is moved, or where it stands.
select job_id, answer from holdfast.reschedule_v1($1::bigint[], coalesce($2::timestamptz, holdfast.now() + make_interval(secs => $3::double precision)))

-- name: edit
-- Promise: a job that does not run has the arguments $3 instead of $2, and the old ones are kept; otherwise nothing changes.
select holdfast.edit_v1($1::bigint, $2::text::jsonb, $3::text::jsonb, $4::text)

-- name: purge
-- Promise: jobs that do not run are gone, with everything about them; the answer per job is purged, or where it stands.
select job_id, answer from holdfast.purge_v1($1::bigint[])

-- name: next_id
-- Promise: no id that was drawn by now is higher than what comes before this one.
select holdfast.id_floor(holdfast.now()) + 4194304

-- name: lines
-- Promise: as show, but for lists: arguments only where they are small, of an error its type and first line, no result.
select j.id, j.task, j.queue, p.place as state, j.priority,
       case when pg_column_size(j.args) <= $2::integer then j.args::text end as args, p.attempt, j.max_attempts, j.timeout_seconds,
       holdfast.id_time(j.id) as enqueued_at, p.due_at, p.started_at, p.finished_at, p.worker, null as result,
       case when p.error is not null then jsonb_build_object('type', p.error ->> 'type',
           'message', left(split_part(p.error ->> 'message', e'\n', 1), 300))::text end as error, j.unique_key, p.cancel_requested,
       case when g.job_id is not null then jsonb_build_object(
           'done', g.done, 'total', g.total, 'message', g.message, 'reported_at', g.reported_at)::text end as progress,
       m.batch_id as batch
from holdfast.places_v1($1::bigint[]) p join holdfast.every_job j on j.id = p.job_id
left join holdfast.progress g on g.job_id = p.job_id
left join holdfast.batch_member m on m.job_id = p.job_id
where j.id = any($1::bigint[])

-- name: counts
-- Promise: how many jobs of the queues $1 (null: all) stand in each place: counted up to $2, completed ones by the counters of workers.
-- Reads at most $2 rows of a place, or those of the queues among the first ten times as many.
select 'ready' as state, count(*) as jobs, count(*) < $2::integer as is_exact
from (select from holdfast.ready r where $1::text[] is null or r.queue = any($1::text[]) limit $2::integer) as x
union all
select 'scheduled', count(*) filter (where $1::text[] is null or s.queue = any($1::text[])),
       count(*) < $2::integer * case when $1::text[] is null then 1 else 10 end
from (select y.queue from holdfast.scheduled y limit $2::integer * case when $1::text[] is null then 1 else 10 end) as s
union all
select 'blocked', count(*) filter (where $1::text[] is null or b.queue = any($1::text[])),
       count(*) < $2::integer * case when $1::text[] is null then 1 else 10 end
from (select y.queue from holdfast.blocked y limit $2::integer * case when $1::text[] is null then 1 else 10 end) as b
union all
select 'running', count(*), true
from holdfast.lease l cross join lateral unnest(l.job_ids) as h(job_id)
where not exists (select from holdfast.lease_exit e where e.lease = l.id and e.job_id = h.job_id)
  and not holdfast.is_finished_v1(h.job_id)
  and ($1::text[] is null or (select j.queue from holdfast.every_job j where j.id = h.job_id limit 1) = any($1::text[]))
union all
select x.state, count(o.job_id), bool_and(u.is_all)
from (values ('failed', 2), ('cancelled', 3)) as x(state, number)
cross join (select count(*) < $2::integer as is_all from (select from holdfast.every_outcome y where y.state <> 1 limit $2::integer) as z) as u
left join (select y.job_id, y.state from holdfast.every_outcome y where y.state <> 1 order by y.job_id desc limit $2::integer) as o
     on o.state = x.number and ($1::text[] is null or (select j.queue from holdfast.every_job j where j.id = o.job_id limit 1) = any($1::text[]))
group by x.state
union all
select 'completed', coalesce(sum(t.completed), 0)::bigint, false
from holdfast.tally t where t.minute = '-infinity' and ($1::text[] is null or t.queue = any($1::text[]))

-- name: tasks
-- Promise: every task that a worker has declared, by name; of the queues $1 where given.
select t.name, t.queue, t.priority, t.max_attempts, t.timeout_seconds, t.declared_at,
       coalesce((select sum(g.failures) from holdfast.failure_group g where g.task = t.name and ($1::text[] is null or g.queue = any($1::text[]))), 0)::bigint as failures
from holdfast.task t where $1::text[] is null or t.queue = any($1::text[]) order by t.name limit 5000
