-- name: workers
-- Promise: live workers, and those that ended within the last $1 seconds, the newest first; or only worker $2.
select w.id, w.name, w.state, w.host, w.pid, w.version, w.queues, w.concurrency, w.started_at, w.ended_at, w.end_reason,
       coalesce(b.running, '{}') as running,
       extract(epoch from holdfast.now() - b.beaten_at)::double precision as silent_seconds,
       extract(epoch from holdfast.now() - coalesce(b.asked_at, w.started_at))::double precision as asked_seconds,
       extract(epoch from holdfast.now() - b.claimed_at)::double precision as claimed_seconds
from holdfast.worker w left join holdfast.worker_beat b on b.worker = w.id
where ($2::bigint is null and (w.state = 'live' or w.ended_at > holdfast.now() - make_interval(secs => $1::double precision))) or w.id = $2::bigint
order by w.id desc limit 1000

-- name: held
-- Promise: the jobs that the leases of worker $1 still hold, the longest held first, at most $2.
select h.job_id, j.task, j.queue, j.priority, l.claimed_at,
       extract(epoch from holdfast.now() - l.claimed_at)::double precision as seconds
from holdfast.lease l cross join lateral unnest(l.job_ids) as h(job_id) join holdfast.every_job j on j.id = h.job_id
where l.id >= $1::bigint << 36 and l.id < ($1::bigint + 1) << 36
  and not exists (select from holdfast.lease_exit e where e.lease = l.id and e.job_id = h.job_id)
  and not exists (select from holdfast.every_outcome o where o.job_id = h.job_id)
order by l.claimed_at, h.job_id limit $2::integer

-- name: names
-- Promise: of these workers, those that have a name, whether they live or not; by the primary key.
select w.id, w.name from holdfast.worker w where w.id = any($1::bigint[]) and w.name <> ''
