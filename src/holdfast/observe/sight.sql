-- What the verdict is judged from. One statement, one snapshot, one round trip: whoever looks every few seconds costs little.

-- name: sight
-- Promise: how everything stands now, a JSON text a part; nothing is counted beyond $1 rows, what ended longer than $2 seconds ago is left out.
with held as materialized (
    -- What runs (or waits in a worker's prefetch) for a minute and longer; leases are few.
    select h.job_id, l.id >> 36 as worker, l.claimed_at from holdfast.lease l cross join lateral unnest(l.job_ids) as h(job_id)
    where l.claimed_at < holdfast.now() - interval '60 seconds'
      and not exists (select from holdfast.lease_exit e where e.lease = l.id and e.job_id = h.job_id)
      and not exists (select from holdfast.outcome o where o.job_id = h.job_id)
    order by l.claimed_at limit 1000
), queues as (
    select * from holdfast.sight_queues_v1($1::integer)
), workers as (
    select w.id, w.name, w.host, w.pid, w.state, w.queues, w.concurrency, coalesce(b.running, '{}') as running, w.end_reason,
           extract(epoch from holdfast.now() - b.beaten_at)::double precision as silent_seconds,
           extract(epoch from holdfast.now() - w.started_at)::double precision as age_seconds,
           extract(epoch from holdfast.now() - w.ended_at)::double precision as ended_seconds,
           extract(epoch from holdfast.now() - coalesce(b.asked_at, w.started_at))::double precision as asked_seconds,
           extract(epoch from holdfast.now() - greatest(b.claimed_at, (
               select max(l.claimed_at) from holdfast.lease l where l.id >= w.id << 36 and l.id < (w.id + 1) << 36)))::double precision as claimed_seconds
    from holdfast.worker w left join holdfast.worker_beat b on b.worker = w.id
    where w.state = 'live' or w.ended_at > holdfast.now() - make_interval(secs => $2::double precision)
    order by w.id limit 1000
), lanes as (
    select substr(s.gate, 6) as lane, h.job_id::text as job, j.task, j.queue, h.worker,
           coalesce((select nullif(w.name, '') from holdfast.worker w where w.id = h.worker), 'worker ' || h.worker) as worker_name,
           extract(epoch from holdfast.now() - h.claimed_at)::double precision as seconds,
           (select count(*) from (select from holdfast.blocked b where b.gate = s.gate limit $1::integer) as b) as waiting,
           (select percentile_cont(0.5) within group (order by extract(epoch from o.finished_at - o.started_at))::double precision
            from (select x.* from holdfast.outcome x where x.state = 1 order by x.job_id desc limit 500) as o
            join holdfast.job k on k.id = o.job_id where k.task = j.task) as usual_seconds
    from held h join holdfast.slot s on s.job_id = h.job_id join holdfast.every_job j on j.id = h.job_id
    where starts_with(s.gate, 'lane:') and exists (select from holdfast.blocked b where b.gate = s.gate)
    order by h.claimed_at limit 10
), unwell as (
    (select o.job_id, o.error, o.finished_at, o.state from holdfast.outcome o where o.state <> 1 order by o.job_id desc limit 300)
    union all
    (select f.job_id, f.error, f.finished_at, 2 from holdfast.failed_attempt f order by f.job_id desc limit 300)
), failures as (
    select j.queue, j.task, coalesce(u.error->>'type', 'an error') as error, count(*) as count,
           left(max(u.error->>'message'), 200) as message, max(u.job_id)::text as job
    from unwell u join holdfast.job j on j.id = u.job_id
    where u.state = 2 and u.finished_at > holdfast.now() - interval '5 minutes'
    group by 1, 2, 3 order by count(*) desc limit 20
), schedules as (
    select s.name, extract(epoch from holdfast.now() - s.due_at)::double precision as overdue_seconds, s.plan->>'queue' as queue
    from holdfast.schedule s where s.paused_at is null and s.withdrawn_at is null and s.due_at < holdfast.now()
    order by s.due_at limit 100
), mark as materialized (
    select holdfast.settled_v1() as settled, holdfast.last_position_v1() as drawn
), log as (
    select m.settled, m.drawn, coalesce((select e.position from holdfast.event e order by e.position desc limit 1), 0) as highest,
           (select extract(epoch from holdfast.now() - e.recorded_at)::double precision from holdfast.event e
            where e.position > m.settled order by e.position limit 1) as waiting_seconds,
           (select coalesce(jsonb_agg(to_jsonb(h)), '[]') from (select * from holdfast.stalled_by_v1() limit 5) as h) as holders
    from mark m
), server as (
    select current_setting('server_version') as version, pg_is_in_recovery() as standby,
           current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer as allowed,
           (select count(*) from pg_catalog.pg_stat_activity a where coalesce(a.backend_type, 'client backend') = 'client backend' and a.datid is not null) as connections,
           (select coalesce(jsonb_agg(to_jsonb(b)), '[]') from (
                select coalesce(nullif(a.application_name, ''), 'unnamed') as application, count(*) as count
                from pg_catalog.pg_stat_activity a where coalesce(a.backend_type, 'client backend') = 'client backend' and a.datid is not null group by 1 order by 2 desc limit 5) as b) as users
)
select holdfast.now() as at,
       (select coalesce(jsonb_agg(to_jsonb(q)), '[]')::text from queues q) as queues,
       (select coalesce(jsonb_agg(to_jsonb(w)), '[]')::text from workers w) as workers,
       (select coalesce(jsonb_agg(to_jsonb(l)), '[]')::text from lanes l) as lanes,
       (select coalesce(jsonb_agg(to_jsonb(f)), '[]')::text from failures f) as failures,
       (select coalesce(jsonb_agg(to_jsonb(s)), '[]')::text from schedules s) as schedules,
       (select to_jsonb(n)::text from (select s.name, s.next_at, s.plan->>'queue' as queue from holdfast.schedule s where s.next_at is not null and s.paused_at is null
            and s.withdrawn_at is null order by s.next_at limit 1) as n) as next_schedule,
       (select to_jsonb(l)::text from log l) as log,
       (select to_jsonb(s)::text from server s) as server
