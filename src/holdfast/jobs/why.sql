-- name: why
-- Promise: in one snapshot, everything that decides whether this job is claimed now; no row: there is no such job.
with me as (
    select j.id, j.task, j.queue, j.flags, j.unique_key from holdfast.every_job j where j.id = $1::bigint
), place as materialized (
    select p.* from holdfast.places_v1(array[$1::bigint]) p
), here as (
    -- Ready jobs have no index by id, because the claim would pay for it: the queue is read only for a job that is in it.
    select r.queue, r.priority, r.seq, r.flags, r.xmax as locker from holdfast.ready r
    where r.job_id = $1::bigint and (select p.place from place p) = 'ready'
), later as (
    select s.xmax as locker from holdfast.scheduled s where s.job_id = $1::bigint
), before as (
    select b.gate, b.rank, b.seq, b.queue, b.xmax as locker from holdfast.blocked b where b.job_id = $1::bigint
), holding as (
    select s.job_id from holdfast.every_slot s join before b on b.gate = s.gate order by s.job_id limit 5
), live as (
    select w.id, w.name, w.host, w.concurrency, w.queues, coalesce(b.running, '{}') as running,
           extract(epoch from holdfast.now() - b.beaten_at)::double precision as silent_seconds
    from holdfast.worker w left join holdfast.worker_beat b on b.worker = w.id where w.state = 'live'
)
select me.task, me.queue, p.place, p.attempt, p.due_at, p.started_at, p.finished_at, p.error::text as error, p.worker, p.lease,
       extract(epoch from p.due_at - holdfast.now())::double precision as due_in_seconds,
       extract(epoch from holdfast.now() - p.started_at)::double precision as running_seconds,
       extract(epoch from holdfast.now() - p.finished_at)::double precision as finished_seconds_ago,
       c.requested_at as cancel_requested_at, c.reason as cancel_reason,
       q.paused_at, q.reason as pause_reason, q.paused_by,
       extract(epoch from holdfast.now() - q.paused_at)::double precision as paused_seconds,
       (select f.error->>'type' from holdfast.failed_attempt f where f.job_id = me.id order by f.finished_at desc limit 1) as last_error,
       (select count(*) from holdfast.loss l where l.job_id = me.id) as losses,
       (select w.name from holdfast.worker w where w.id = p.worker) as worker_name,
       (select w.host from holdfast.worker w where w.id = p.worker) as worker_host,
       (select h.seq from here h) is not null as is_ready,
       (select b.gate from before b) as gate,
       (select count(*) from before b cross join lateral (
            select from holdfast.blocked x where x.gate = b.gate and (x.rank, x.seq) < (b.rank, b.seq) limit 10001) as a) as ahead_before_gate,
       (select count(*) from before b join holdfast.every_slot s on s.gate = b.gate) as slots_taken,
       (select r.capacity from before b join holdfast.limit_rule r
            on r.name = split_part(b.gate, ':', 1) || ':' || split_part(b.gate, ':', 2)) as gate_capacity,
       (select r.per_us / 1e6::double precision from before b join holdfast.limit_rule r
            on r.name = split_part(b.gate, ':', 1) || ':' || split_part(b.gate, ':', 2)) as gate_per_seconds,
       (select extract(epoch from g.opens_at - holdfast.now())::double precision from before b join holdfast.gate g on g.name = b.gate) as gate_opens_in_seconds,
       (select jsonb_agg(jsonb_build_object(
                'job', hp.job_id, 'place', hp.place, 'worker', hp.worker, 'worker_name', w.name, 'worker_host', w.host,
                'seconds', case when hp.place = 'running' then extract(epoch from holdfast.now() - hp.started_at) end,
                'due_in_seconds', extract(epoch from hp.due_at - holdfast.now()),
                'usual_seconds', (select percentile_cont(0.5) within group (order by extract(epoch from o.finished_at - o.started_at))
                    from (select x.* from holdfast.outcome x where x.state = 1 order by x.job_id desc limit 2000) as o
                    join holdfast.job j on j.id = o.job_id
                    where j.task = (select hj.task from holdfast.every_job hj where hj.id = hp.job_id limit 1))) order by hp.job_id)::text
            from holdfast.places_v1(array(select h.job_id from holding h)) hp
            left join holdfast.worker w on w.id = hp.worker) as gate_holders,
       (select count(*) from here h cross join lateral (
            select from holdfast.ready x where x.queue = h.queue and (x.priority, x.seq) < (h.priority, h.seq) limit 10001) as a) as ahead,
       (select jsonb_agg(to_jsonb(l))::text from live l) as workers,
       (select jsonb_agg(to_jsonb(k))::text from holdfast.lockers_v1(
            coalesce((select h.locker from here h), (select l.locker from later l), (select b.locker from before b))) as k where k.pid <> pg_backend_pid()) as lockers,
       (select array_agg(h.job_id) from holdfast.lease l cross join lateral unnest(l.job_ids) as h(job_id)
            where l.id >> 36 = p.worker and h.job_id <> me.id and exists (select from holdfast.loss o where o.job_id = h.job_id)) as other_suspects,
       case when p.place = 'running' then
           (select percentile_cont(0.5) within group (order by extract(epoch from o.finished_at - o.started_at))
            from (select x.* from holdfast.outcome x where x.state = 1 order by x.job_id desc limit 2000) as o
            join holdfast.job j on j.id = o.job_id where j.task = me.task) end as usual_seconds,
       pg_is_in_recovery() as is_standby, current_setting('transaction_read_only')::boolean as read_only
from me join place p on p.job_id = me.id
left join holdfast.cancel_request c on c.job_id = me.id
left join holdfast.queue_pause q on q.queue = coalesce((select h.queue from here h), (select b.queue from before b), me.queue)
