-- name: now
-- Promise: the moment, by the clock that decides.
select holdfast.now()

-- name: read
-- Promise: the named schedules as they stand, or all of them for null, with the database's idea of now.
select s.name, s.version, s.source, s.declared, s.edited, s.anchor_at, s.next_at, s.due_at, s.last_at,
       s.paused_at, s.pause_reason, s.withdrawn_at, s.declared_at, holdfast.now() as seen_at
from holdfast.schedule s where $1::text[] is null or s.name = any($1::text[]) order by s.name

-- name: declare
-- Promise: the code's plan holds from now on; false: the row is not in version $2 any more (null: it is there already), and nothing was done.
select holdfast.declare_schedule_v1($1::text, $2::bigint, $3::text, $4::text::jsonb, $5::timestamptz, $6::timestamptz, $7::timestamptz)

-- name: withdraw
-- Promise: schedules of the modules $1 that are not among $2 are due no more; their names.
select * from holdfast.withdraw_schedules_v1($1::text[], $2::text[])

-- name: look
-- Promise: whether something is due that this process can decide about, whether an occurrence waits for a job to end, and the
-- seconds until something else is due.
select exists (select from holdfast.due_schedules_v1($1::text[])) as due,
       exists (select from holdfast.occurrence o where o.state = 'waiting') as waiting,
       holdfast.next_due_seconds_v1() as next_seconds

-- name: due
-- Promise: what is due and this process can decide about; $1 names the schedules whose probe it has.
select name, version, plan, anchor_at, next_at, due_at, seen_at from holdfast.due_schedules_v1($1::text[])

-- name: take_probe
-- Promise: true: nobody else asks the source of this occurrence for $4 seconds; $5: the caller has it, and keeps it.
select holdfast.take_probe_v1($1::text, $2::bigint, $3::timestamptz, $4::double precision, $5::boolean)

-- name: fire
-- Promise: these occurrences are decided about and the schedule stands at the next one, or nothing was done: somebody else was first.
select schedule, at, origin, state, because, detail, job_id
from holdfast.fire_v1($1::text, $2::bigint, $3::timestamptz, $4::timestamptz[], $5::boolean[], $6::text[],
                      $7::timestamptz, $8::timestamptz, $9::text)

-- name: start_waiting
-- Promise: the oldest waiting occurrence of every schedule without an unfinished job has its job.
select schedule, at, origin, state, because, detail, job_id from holdfast.start_waiting_v1()

-- name: forget
-- Promise: occurrences decided about more than $1 days ago are gone, but the last that had a job.
select holdfast.forget_occurrences_v1(make_interval(days => $1::integer))

-- name: occurrences
-- Promise: the latest $2 occurrences of a schedule, newest first, and where the job of each stands.
select o.schedule, o.at, o.origin, o.state, o.because, o.detail, o.job_id, p.place as job_state
from (select * from holdfast.occurrence x where x.schedule = $1::text order by x.at desc limit $2::integer) as o
left join lateral holdfast.places_v1(array[o.job_id]) as p on o.job_id is not null
order by o.at desc

-- name: latest
-- Promise: the latest occurrence of each schedule, and where its job stands.
select o.schedule, o.at, o.origin, o.state, o.because, o.detail, o.job_id, p.place as job_state
from holdfast.schedule s
cross join lateral (select * from holdfast.occurrence x where x.schedule = s.name order by x.at desc limit 1) as o
left join lateral holdfast.places_v1(array[o.job_id]) as p on o.job_id is not null
where $1::text[] is null or s.name = any($1::text[])

-- name: between
-- Promise: the occurrences of a schedule from $2 to $3 that have a job or wait for one.
select o.at, o.job_id from holdfast.occurrence o
where o.schedule = $1::text and o.at between $2::timestamptz and $3::timestamptz and o.state <> 'skipped'

-- name: trigger
-- Promise: one occurrence now, if the overlap policy lets it or $2 forces it; no row: there is no such schedule.
select schedule, at, origin, state, because, detail, job_id from holdfast.trigger_schedule_v1($1::text, $2::boolean, $3::text)

-- name: backfill
-- Promise: those of the moments $2 that have no job get one, or wait for theirs.
select schedule, at, origin, state, because, detail, job_id from holdfast.backfill_v1($1::text, $2::timestamptz[])

-- name: pause
-- Promise: nothing of the schedule is due from now on; paused, already or unknown.
select holdfast.pause_schedule_v1($1::text, $2::text)

-- name: change
-- Promise: the edits, and the end of a pause, hold from now on; false: the row is not in version $2 any more, and nothing was done.
select holdfast.change_schedule_v1($1::text, $2::bigint, $3::text::jsonb, $4::timestamptz, $5::timestamptz, $6::boolean,
                                   $7::timestamptz[], $8::text)
