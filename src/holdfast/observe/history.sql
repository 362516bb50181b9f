-- name: roll_up
-- Promise: counters by the hour, paces and moments are up to date; false: another worker is at it.
select holdfast.roll_up_v1()

-- name: minutes
-- Promise: outcomes since $1 in steps of $2 seconds, of the queues $3 or of all for null, oldest first. Served by tally_minute.
select date_bin(make_interval(secs => $2::integer), t.minute, '2024-01-01Z') as at, sum(t.enqueued)::bigint as enqueued,
       sum(t.completed)::bigint as completed, sum(t.failed)::bigint as failed, sum(t.cancelled)::bigint as cancelled,
       sum(t.retried)::bigint as retried, sum(t.lost)::bigint as lost
from holdfast.tally t
where t.minute >= $1::timestamptz and ($3::text[] is null or t.queue = any ($3))
group by 1 order by 1

-- name: minute_paces
-- Promise: how long jobs waited and ran, as minutes does; each queue counts as much as it has ended jobs.
select at, array_agg(waits order by i) as waits, array_agg(runs order by i) as runs
from (
    select date_bin(make_interval(secs => $2::integer), p.minute, '2024-01-01Z') as at, u.i,
           sum(u.waits * w.weight) as waits, sum(u.runs * w.weight) as runs
    from holdfast.pace p
    cross join lateral (
        select greatest(1.0, coalesce((select (t.completed + t.failed)::double precision from holdfast.tally t where t.queue = p.queue and t.minute = p.minute), 0)
                             / greatest((select sum(x) from unnest(p.runs) as x), 1)) as weight) as w
    cross join lateral unnest(p.waits, p.runs) with ordinality as u(waits, runs, i)
    where p.minute >= $1::timestamptz and ($3::text[] is null or p.queue = any ($3))
    group by 1, 2) as summed
group by at order by at

-- name: hours
-- Promise: as minutes, from the hours that are over; the running hour is read from its minutes.
select date_bin(make_interval(secs => $2::integer), h.hour, '2024-01-01Z') as at, sum(h.enqueued)::bigint as enqueued,
       sum(h.completed)::bigint as completed, sum(h.failed)::bigint as failed, sum(h.cancelled)::bigint as cancelled,
       sum(h.retried)::bigint as retried, sum(h.lost)::bigint as lost
from (
    select t.queue, t.hour, t.enqueued, t.completed, t.failed, t.cancelled, t.retried, t.lost from holdfast.tally_hour t
    where t.hour >= $1::timestamptz and t.hour < (select m.hour_done from holdfast.history_mark m)
    union all
    select t.queue, t.minute, t.enqueued, t.completed, t.failed, t.cancelled, t.retried, t.lost from holdfast.tally t
    where t.minute >= greatest($1::timestamptz, (select m.hour_done from holdfast.history_mark m))) as h
where $3::text[] is null or h.queue = any ($3)
group by 1 order by 1

-- name: hour_paces
-- Promise: as minute_paces, by the hour, each job that was timed once.
select at, array_agg(waits order by i) as waits, array_agg(runs order by i) as runs
from (
    select date_bin(make_interval(secs => $2::integer), h.at, '2024-01-01Z') as at, u.i,
           sum(u.waits)::double precision as waits, sum(u.runs)::double precision as runs
    from (
        select t.queue, t.hour as at, t.waits, t.runs from holdfast.tally_hour t
        where t.hour >= $1::timestamptz and t.hour < (select m.hour_done from holdfast.history_mark m)
        union all
        select p.queue, p.minute, p.waits, p.runs from holdfast.pace p
        where p.minute >= greatest($1::timestamptz, (select m.hour_done from holdfast.history_mark m))) as h
    cross join lateral unnest(h.waits, h.runs) with ordinality as u(waits, runs, i)
    where $3::text[] is null or h.queue = any ($3)
    group by 1, 2) as summed
group by at order by at

-- name: moments
-- Promise: the newest $2 moments since $1, oldest first.
select kind, at, text from (select m.kind, m.at, m.text from holdfast.moment m where m.at >= $1::timestamptz order by m.at desc limit $2::integer) as n order by at

-- name: bounds
-- Promise: the upper ends of the intervals in which waits and runs are counted, and the moment.
select holdfast.pace_bounds_v1() as bounds, holdfast.now() as at
