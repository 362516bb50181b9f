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
-- Promise: how long jobs waited and ran, as minutes does; each queue and minute counts as much as it has ended jobs. Element by element: unnesting costs ten times as much.
select date_bin(make_interval(secs => $2::integer), p.minute, '2024-01-01Z') as at,
       array[sum(p.waits[1] * p.weight), sum(p.waits[2] * p.weight), sum(p.waits[3] * p.weight), sum(p.waits[4] * p.weight), sum(p.waits[5] * p.weight),
           sum(p.waits[6] * p.weight), sum(p.waits[7] * p.weight), sum(p.waits[8] * p.weight), sum(p.waits[9] * p.weight), sum(p.waits[10] * p.weight),
           sum(p.waits[11] * p.weight), sum(p.waits[12] * p.weight), sum(p.waits[13] * p.weight), sum(p.waits[14] * p.weight), sum(p.waits[15] * p.weight),
           sum(p.waits[16] * p.weight), sum(p.waits[17] * p.weight), sum(p.waits[18] * p.weight)] as waits,
       array[sum(p.runs[1] * p.weight), sum(p.runs[2] * p.weight), sum(p.runs[3] * p.weight), sum(p.runs[4] * p.weight), sum(p.runs[5] * p.weight),
           sum(p.runs[6] * p.weight), sum(p.runs[7] * p.weight), sum(p.runs[8] * p.weight), sum(p.runs[9] * p.weight), sum(p.runs[10] * p.weight), sum(p.runs[11]
           * p.weight), sum(p.runs[12] * p.weight), sum(p.runs[13] * p.weight), sum(p.runs[14] * p.weight), sum(p.runs[15] * p.weight), sum(p.runs[16] *
           p.weight), sum(p.runs[17] * p.weight), sum(p.runs[18] * p.weight)] as runs
from (select x.minute, x.waits, x.runs,
             greatest(coalesce(t.completed + t.failed, 0)::double precision / greatest(x.runs[1] + x.runs[2] + x.runs[3] + x.runs[4] + x.runs[5] + x.runs[6] + x.runs[7] + x.runs[8] + x.runs[9] + x.runs[10] + x.runs[11] + x.runs[12] +
           x.runs[13] + x.runs[14] + x.runs[15] + x.runs[16] + x.runs[17] + x.runs[18], 1), 1) as weight
      from holdfast.pace x left join holdfast.tally t on t.queue = x.queue and t.minute = x.minute
      where x.minute >= $1::timestamptz and ($3::text[] is null or x.queue = any ($3)) offset 0) as p
group by 1 order by 1

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
select date_bin(make_interval(secs => $2::integer), h.at, '2024-01-01Z') as at,
       array[sum(h.waits[1]), sum(h.waits[2]), sum(h.waits[3]), sum(h.waits[4]), sum(h.waits[5]), sum(h.waits[6]), sum(h.waits[7]), sum(h.waits[8]),
           sum(h.waits[9]), sum(h.waits[10]), sum(h.waits[11]), sum(h.waits[12]), sum(h.waits[13]), sum(h.waits[14]), sum(h.waits[15]), sum(h.waits[16]),
           sum(h.waits[17]), sum(h.waits[18])]::double precision[] as waits,
       array[sum(h.runs[1]), sum(h.runs[2]), sum(h.runs[3]), sum(h.runs[4]), sum(h.runs[5]), sum(h.runs[6]), sum(h.runs[7]), sum(h.runs[8]), sum(h.runs[9]),
           sum(h.runs[10]), sum(h.runs[11]), sum(h.runs[12]), sum(h.runs[13]), sum(h.runs[14]), sum(h.runs[15]), sum(h.runs[16]), sum(h.runs[17]),
           sum(h.runs[18])]::double precision[] as runs
from (
    select t.queue, t.hour as at, t.waits, t.runs from holdfast.tally_hour t
    where t.hour >= $1::timestamptz and t.hour < (select m.hour_done from holdfast.history_mark m)
    union all
    select p.queue, p.minute, p.waits, p.runs from holdfast.pace p
    where p.minute >= greatest($1::timestamptz, (select m.hour_done from holdfast.history_mark m))) as h
where $3::text[] is null or h.queue = any ($3)
group by 1 order by 1

-- name: moments
-- Promise: the newest $2 moments since $1, oldest first.
select kind, at, text from (select m.kind, m.at, m.text from holdfast.moment m where m.at >= $1::timestamptz order by m.at desc limit $2::integer) as n order by at

-- name: note_version
-- Promise: a moment that says that code of version $1 runs from now on, unless the newest such moment says that already;
-- one for all workers that start within a minute. Looks back over the moments by their key, once for each worker.
insert into holdfast.moment (kind, at, what, text)
select 'deployed', date_trunc('minute', holdfast.now()), $1::text, format('version %s', $1::text)
where $1::text is distinct from (select m.what from holdfast.moment m where m.kind = 'deployed' order by m.at desc limit 1)
on conflict do nothing

-- name: bounds
-- Promise: the upper ends of the intervals in which waits and runs are counted, and the moment.
select holdfast.pace_bounds_v1() as bounds, holdfast.now() as at
