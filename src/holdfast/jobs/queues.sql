-- name: pause_queue
-- Promise: no claim looks into the queue from now on; false: it was paused already.
select holdfast.pause_queue_v1($1::text, $2::text, $3::text)

-- name: resume_queue
-- Promise: claims look into the queue again; false: it was not paused.
select holdfast.resume_queue_v1($1::text)

-- name: depths
-- Promise: one line per queue; depths are exact up to $1 rows.
select queue, ready, ready_is_exact, oldest_seconds, scheduled, blocked, running, paused_at, pause_reason,
       completed, failed, cancelled, retried, lost, unfinished_about
from holdfast.queue_depths_v2($1::integer)

-- name: workers
-- Promise: live workers and those that died within the last $1 seconds.
select w.id, w.name, w.state, w.host, w.pid, w.queues, w.concurrency, w.started_at, w.ended_at, w.end_reason,
       b.beaten_at, coalesce(cardinality(b.running), 0) as running
from holdfast.worker w left join holdfast.worker_beat b on b.worker = w.id
where w.state = 'live' or w.ended_at > holdfast.now() - make_interval(secs => $1::double precision)
order by w.id

-- name: left_to_run
-- Promise: what a drained worker of these queues still has to wait for: ready jobs, those due by now, those before gates that open within $2 seconds, retries due by then,
-- batches not settled, operations that run, and jobs of workers that look dead, which are about to be put back.
select (select count(*) from (select from holdfast.blocked b where b.queue = any($1::text[])
            and not exists (select from holdfast.queue_pause p where p.queue = b.queue)
            and case split_part(b.gate, ':', 1)
                when 'limit' then coalesce((select r.capacity > 0 from holdfast.limit_rule r where r.name = 'limit:' || split_part(b.gate, ':', 2)), true)
                when 'rate' then exists (select from holdfast.gate g where g.name = b.gate
                                         and g.opens_at <= holdfast.now() + make_interval(secs => $2::double precision))
                when 'lane' then not exists (select from holdfast.slot s join holdfast.scheduled d on d.job_id = s.job_id where s.gate = b.gate
                                             and d.due_at > holdfast.now() + make_interval(secs => $2::double precision))
                else true end limit 1) as x)
       + (select count(*) from (select from holdfast.ready r where r.queue = any($1::text[])
            and not exists (select from holdfast.queue_pause p where p.queue = r.queue) limit 1) as x) as ready,
       (select count(*) from (select from holdfast.scheduled s where s.queue = any($1::text[])
            and s.due_at <= holdfast.now() + case when s.attempt > 1 then make_interval(secs => $2::double precision) else '0' end
            limit 1) as x) as retries,
       exists (select from holdfast.batch_delta) as settling,
       exists (select from holdfast.operation o where o.state = 'running') as operating,
       holdfast.left_behind_v1($1::text[]) as left_behind

-- name: backlog
-- Promise: how many jobs of these queues are ready, counted up to $2.
select count(*) from (select from holdfast.ready r where r.queue = any($1::text[]) limit $2::bigint) as x
