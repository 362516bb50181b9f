-- name: pulse
-- Promise: a mark for everything that may be watched, other as soon as something changed; for the jobs $1 and the newest operations one each.
-- Sequences and small tables alone: whoever asks every second or two costs next to nothing.
with leases as (
    select count(*) as n, coalesce(sum(l.id % 1000003), 0) as ids from holdfast.lease l
), drawn as (
    select (select r.last_value from holdfast.ready_number r) as ready, (select b.last_value from holdfast.blocked_number b) as blocked,
           (select n.last_value from holdfast.job_number n) as single, (select k.last_value from holdfast.job_block k) as block,
           coalesce(pg_sequence_last_value('holdfast.tally_delta_id_seq'::regclass), 0) as ended,
           (select s.last_value from holdfast.event_position s) as appended
)
select holdfast.now() as at,
       concat_ws('.', d.ready, d.blocked, d.single, d.block, d.ended, l.n, l.ids) as jobs,
       (select md5(coalesce(string_agg(q.queue || q.paused_at::text, ',' order by q.queue), '')) from holdfast.queue_pause q) as queues,
       (select md5(coalesce(string_agg(w.id || w.state, ',' order by w.id), '')) from holdfast.worker w) as workers,
       (select concat_ws('.', sum(s.version), count(*), max(s.last_at)) from holdfast.schedule s) as schedules,
       (select concat_ws('.', max(g.last_at), sum(g.failures)) from holdfast.failure_group g) as failures,
       (select concat_ws('.', holdfast.settled_v1(), d.appended)) as events,
       (select md5(concat_ws('.', sum(p.checkpoint), sum(p.epoch), count(p.owner), count(p.failing), count(*),
                             (select count(*) from holdfast.projection_parked), (select max(j.paused_at) from holdfast.projection j)))
        from holdfast.projection_partition p) as projections,
       (select coalesce(jsonb_object_agg(o.id::text, concat_ws('.', o.state, o.moved, o.skipped, o.failed)), '{}')::text
        from (select x.* from holdfast.operation x where x.state <> 'previewed' order by x.id desc limit 20) as o) as operations,
       (select coalesce(jsonb_object_agg(p.job_id::text, jsonb_build_array(j.queue, concat_ws('.', p.place, p.attempt, p.lease, p.cancel_requested, p.due_at,
                    (select concat_ws('.', r.done, r.message) from holdfast.progress r where r.job_id = p.job_id),
                    (select max(g.at) from holdfast.job_log g where g.job_id = p.job_id),
                    (select max(e.id) from holdfast.job_edit e where e.job_id = p.job_id)))), '{}')::text
        from holdfast.places_v1($1::bigint[]) p join holdfast.every_job j on j.id = p.job_id and j.id = any ($1::bigint[])) as watched
from drawn d, leases l
