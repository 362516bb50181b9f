-- name: fold
-- Promise: at most $1 noted failures are counted into their groups; says how many notes were taken, 0: none, or another worker is at it.
select holdfast.fold_failures_v1($1::integer)

-- name: forget
-- Promise: groups in which nothing has failed for $1 days are gone, and members whose jobs are gone.
select holdfast.forget_failures_v1(make_interval(days => $1::integer))

-- name: groups
-- Promise: groups of failures in the queues $1 (null: all), the last to fail first, after ($2, $3); of one fingerprint where $4. $5 at most.
-- Reads the rows of groups, which are few, and no job. Failures of the last 24 hours by the hour, the oldest hour first.
with chosen as (
    select g.* from holdfast.failure_group g
    where ($1::text[] is null or g.queue = any($1::text[])) and ($4::text is null or g.fingerprint = $4::text)
    order by g.last_at desc limit 10000
), page as (
    select g.fingerprint, min(g.task) as task, min(g.error_type) as error_type, min(g.frame) as frame, array_agg(g.queue order by g.queue) as queues,
           (array_agg(g.message order by g.last_at desc))[1] as message, sum(g.failures)::bigint as failures, min(g.first_at) as first_at,
           max(g.last_at) as last_at, (array_agg(g.sample_job order by g.last_at desc))[1] as sample_job
    from chosen g group by g.fingerprint
    having $2::timestamptz is null or (max(g.last_at), g.fingerprint) < ($2::timestamptz, $3::text)
    order by max(g.last_at) desc, g.fingerprint desc limit $5::integer
), clock as (select date_trunc('hour', holdfast.now(), 'UTC') as hour)
select s.fingerprint, s.task, s.error_type, s.frame, s.queues, s.message, s.failures, s.first_at, s.last_at, s.sample_job,
       case when m.fingerprint is null then 'new' when m.state = 'resolved' and s.last_at > m.marked_at then 'regressed' else m.state end as state,
       m.note, m.marked_at, m.marked_by, h.buckets
from page s cross join clock k
left join holdfast.failure_mark m on m.fingerprint = s.fingerprint
cross join lateral (
    select array_agg(coalesce(c.failures, 0) order by n.back desc) as buckets from generate_series(23, 0, -1) as n(back)
    left join (
        select b.hour, sum(b.failures)::bigint as failures from holdfast.failure_bucket b cross join lateral unnest(s.queues) as q
        where b.fingerprint = s.fingerprint and b.queue = q and b.hour > k.hour - interval '24 hours' group by b.hour) as c
        on c.hour = k.hour - n.back * interval '1 hour') as h
order by s.last_at desc, s.fingerprint desc

-- name: mark
-- Promise: from now on people see that somebody has looked at this group, or has put an end to it.
insert into holdfast.failure_mark (fingerprint, state, note, marked_at, marked_by)
select $1::text, $2::text, $3::text, holdfast.now(), $4::text
on conflict (fingerprint) do update set state = excluded.state, note = excluded.note, marked_at = excluded.marked_at, marked_by = excluded.marked_by

-- name: unmark
-- Promise: the group is new again.
delete from holdfast.failure_mark m where m.fingerprint = $1::text
