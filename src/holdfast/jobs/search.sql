-- name: search
-- Promise: the newest $11 jobs before $10 that stand in the places $1 and fit, among $12 candidates; a row without a job says where the window ended.
select job_id, "position", place, queue, task, error_type
from holdfast.search_jobs_v1($1::text[], $2::text[], $3::text[], $4::text[], $5::text::jsonb, holdfast.now(), null,
    greatest($8::bigint, coalesce(holdfast.id_floor(holdfast.now() - make_interval(secs => $6::double precision)), 0)),
    least($9::bigint, holdfast.id_floor(holdfast.now() - make_interval(secs => $7::double precision))), $10::bigint, $11::integer, $12::integer)

-- name: count
-- Promise: as search, counted by state, task and type of error; the line without a state says where the window ended.
select s.place as state, s.task, s.error_type, count(distinct s.job_id) as jobs, min(s.job_id) as oldest, max(s.job_id) as newest, min(s."position") as "position"
from holdfast.search_jobs_v1($1::text[], $2::text[], $3::text[], $4::text[], $5::text::jsonb, holdfast.now(), null,
    greatest($8::bigint, coalesce(holdfast.id_floor(holdfast.now() - make_interval(secs => $6::double precision)), 0)),
    least($9::bigint, holdfast.id_floor(holdfast.now() - make_interval(secs => $7::double precision))), $10::bigint, $11::integer, $12::integer) s
group by s.place, s.task, s.error_type

-- name: moment_of
-- Promise: when a job of this id was enqueued.
select holdfast.id_time($1::bigint)
