-- name: by_task
-- Promise: what the workers $1 finished, a line per queue and task, with how long the jobs took in seconds.
select j.queue, j.task,
       count(*) filter (where o.state = 1) as completed, count(*) filter (where o.state = 2) as failed,
       count(*) filter (where o.state = 3) as cancelled,
       percentile_cont(0.5) within group (order by extract(epoch from o.finished_at - o.started_at)) as median_seconds,
       percentile_cont(0.95) within group (order by extract(epoch from o.finished_at - o.started_at)) as p95_seconds,
       max(extract(epoch from o.finished_at - o.started_at))::double precision as longest_seconds
from holdfast.every_outcome o join holdfast.every_job j on j.id = o.job_id
where o.lease >> 36 = any($1::bigint[])
group by j.queue, j.task order by j.queue, j.task

-- name: by_error
-- Promise: the jobs that failed for good under the workers $1, a line per task and error, the most frequent first, $2 lines at most.
select j.queue, j.task, o.error ->> 'type' as type, left(split_part(o.error ->> 'message', e'\n', 1), 300) as message,
       count(*) as jobs, (array_agg(o.job_id order by o.job_id))[1:3] as examples
from holdfast.every_outcome o join holdfast.every_job j on j.id = o.job_id
where o.lease >> 36 = any($1::bigint[]) and o.state = 2
group by 1, 2, 3, 4 order by count(*) desc, 1, 2 limit $2::integer

-- name: retried
-- Promise: how many attempts failed under the workers $1 and were tried again, or will be.
select count(*) from holdfast.failed_attempt f where f.lease >> 36 = any($1::bigint[])

-- name: lost
-- Promise: how many jobs of the queues $2 were lost with a worker since $1 and put back, those of other workers included.
select count(*) from holdfast.loss l
where l.lost_at >= $1::timestamptz
  and exists (select from holdfast.every_job j where j.id = l.job_id and j.queue = any($2::text[]))

-- name: left
-- Promise: what these queues still hold, a line each, counted up to $2: ready, due later, running with others.
select d.queue, d.ready, d.scheduled, d.running, d.paused_at is not null as paused
from holdfast.queue_depths_v2($2::integer) d where d.queue = any($1::text[]) order by d.queue

-- name: now
-- Promise: the moment, by the clock that the rows are written by.
select holdfast.now()
