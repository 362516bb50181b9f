-- name: overview
-- Promise: queues by name, those of $1 alone where given, after the name $2, $3 at most: what waits in each, since when, who serves it, how fast it goes.
-- Depths are counted up to $4 and said to be inexact beyond, of what is due later or before gates up to ten times as many for all queues together.
-- Rates are of the last five whole minutes, buckets of the last thirty, the oldest first.
with recursive waiting(queue) as (      -- the distinct queues by one index descent each
    (select r.queue from holdfast.ready r order by r.queue limit 1)
    union all
    select (select r.queue from holdfast.ready r where r.queue > w.queue order by r.queue limit 1) from waiting w where w.queue is not null
), held as (
    select h.job_id from holdfast.lease l cross join lateral unnest(l.job_ids) as h(job_id)
    where not exists (select from holdfast.lease_exit e where e.lease = l.id and e.job_id = h.job_id) and not holdfast.is_finished_v1(h.job_id)
), busy as (
    select j.queue, count(distinct h.job_id) as n from held h join holdfast.every_job j on j.id = h.job_id group by j.queue
), later as (
    select s.queue, count(*) as n from (select x.queue from holdfast.scheduled x limit $4::integer * 10) as s group by s.queue
), in_line as (
    select b.queue, count(*) as n from (select x.queue from holdfast.blocked x limit $4::integer * 10) as b group by b.queue
), serving as (
    select q as queue, count(*) as workers, sum(w.concurrency) as slots, array_agg(w.id order by w.id) as ids
    from holdfast.worker w cross join lateral unnest(w.queues) as q where w.state = 'live' group by q
), names as (
    select w.queue from waiting w where w.queue is not null union select queue from busy union select queue from later union select queue from in_line
    union select queue from holdfast.queue_pause union select queue from holdfast.tally where minute = '-infinity' union select queue from serving
), chosen as (
    select n.queue from names n where ($1::text[] is null or n.queue = any($1::text[])) and ($2::text is null or n.queue > $2::text)
    order by n.queue limit $3::integer
), clock as (select date_trunc('minute', holdfast.now()) as minute, holdfast.now() as at)
select n.queue, c.ready, c.ready < $4::integer as ready_is_exact, case when c.ready > 0 then holdfast.ready_seconds_v1(n.queue) end as oldest_seconds,
       coalesce(l.n, 0) as scheduled, (select coalesce(sum(x.n), 0) < $4::integer * 10 from later x) as scheduled_is_exact,
       coalesce(g.n, 0) as blocked, (select coalesce(sum(x.n), 0) < $4::integer * 10 from in_line x) as blocked_is_exact,
       coalesce(b.n, 0) as running, p.paused_at, p.reason as pause_reason, p.paused_by,
       coalesce(t.completed, 0) as completed, coalesce(t.failed, 0) as failed, coalesce(t.cancelled, 0) as cancelled,
       coalesce(t.retried, 0) as retried, coalesce(t.lost, 0) as lost,
       m.enqueued / 300.0 as enqueued_per_second, m.ended / 300.0 as ended_per_second, m.failed / 300.0 as failed_per_second,
       m.took_us / 1000000.0 / nullif(m.ended, 0) as run_mean_seconds,
       array(select coalesce(x.completed + x.failed + x.cancelled, 0)::bigint from generate_series(30, 1, -1) as back
             left join holdfast.tally x on x.queue = n.queue and x.minute = k.minute - back * interval '1 minute' order by back desc) as buckets,
       coalesce(s.workers, 0) as workers, coalesce(s.slots, 0) as slots, coalesce(s.ids, '{}') as worker_ids
from chosen n cross join clock k
cross join lateral (select count(*) as ready from (select from holdfast.ready r where r.queue = n.queue limit $4::integer) as x) as c
cross join lateral (
    select coalesce(sum(x.enqueued), 0)::double precision as enqueued, coalesce(sum(x.completed + x.failed + x.cancelled), 0)::double precision as ended,
           coalesce(sum(x.failed), 0)::double precision as failed, coalesce(sum(x.took_us), 0)::double precision as took_us
    from holdfast.tally x where x.queue = n.queue and x.minute >= k.minute - interval '5 minutes' and x.minute < k.minute) as m
left join later l on l.queue = n.queue
left join in_line g on g.queue = n.queue
left join busy b on b.queue = n.queue
left join serving s on s.queue = n.queue
left join holdfast.queue_pause p on p.queue = n.queue
left join holdfast.tally t on t.queue = n.queue and t.minute = '-infinity'
order by n.queue

-- name: tasks_of
-- Promise: the tasks that workers have declared for the queue $1, by name.
select t.name from holdfast.task t where t.queue = $1::text order by t.name limit 1000
