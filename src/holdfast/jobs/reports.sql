-- name: report_progress
-- Promise: people see how far these jobs are; what a lost lease reports is passed over.
select holdfast.report_progress_v1($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[])

-- name: save_checkpoints
-- Promise: the next attempt of these jobs goes on from here; returns the jobs whose lease is lost.
select holdfast.save_checkpoints_v1($1::bigint[], $2::bigint[], $3::text[]::jsonb[])

-- name: last_checkpoint
-- Promise: where the job goes on, as it was saved last, or nothing.
select c.value::text from holdfast.checkpoint c where c.job_id = $1::bigint

-- name: write_log
-- Promise: these lines stand in the log of their jobs.
select holdfast.write_log_v1($1::bigint[], $2::bigint[], $3::smallint[], $4::integer[], $5::bigint[], $6::smallint[], $7::text[], $8::text[])

-- name: read_log
-- Promise: the next $4 lines of a job, attempt by attempt, without the first $3 lines of the leases $2. A line that was
-- written again, because nobody knew whether it was, is told once.
select distinct on (l.attempt, l.begun_at, l.lease, l.number) l.lease, l.attempt, l.number, l.at, l.level, l.logger, l.message, l.lease >> 36 as worker
from (select x.*, min(x.at) over (partition by x.lease) as begun_at from holdfast.job_log x where x.job_id = $1::bigint) as l
left join unnest($2::bigint[], $3::integer[]) as k(lease, number) on k.lease = l.lease
where l.number > coalesce(k.number, 0)
order by l.attempt, l.begun_at, l.lease, l.number limit $4::integer

-- name: log_page
-- Promise: the next $4 lines of a job, attempt by attempt, after the line $3 of the lease $2, from the first where that is null.
with lines as (select x.*, min(x.at) over (partition by x.lease) as begun_at from holdfast.job_log x where x.job_id = $1::bigint)
select distinct on (l.attempt, l.begun_at, l.lease, l.number) l.lease, l.attempt, l.number, l.at, l.level, l.logger, l.message, l.lease >> 36 as worker
from lines l
where $2::bigint is null
   or (l.attempt, l.begun_at, l.lease, l.number) > (select m.attempt, m.begun_at, m.lease, $3::integer from lines m where m.lease = $2::bigint limit 1)
order by l.attempt, l.begun_at, l.lease, l.number limit $4::integer
