-- name: attempts
-- Promise: every attempt of a job that failed, oldest first, with its error.
select f.attempt, f.started_at, f.finished_at, f.lease >> 36 as worker, f.error::text as error
from holdfast.failed_attempt f where f.job_id = $1::bigint order by f.finished_at

-- name: losses
-- Promise: when a job was lost with its worker, oldest first.
select l.lost_at, l.lease >> 36 as worker, l.counted, l.reason from holdfast.loss l where l.job_id = $1::bigint order by l.lost_at

-- name: edits
-- Promise: what a job said before each time a person changed it, oldest first.
select e.edited_at, e.reason, e.args::text as args, e.priority from holdfast.job_edit e where e.job_id = $1::bigint order by e.id

-- name: asked
-- Promise: that somebody wants this job not to run, since when and why; nothing once it has ended.
select c.requested_at, c.reason from holdfast.cancel_request c where c.job_id = $1::bigint

-- name: links
-- Promise: under which names outside engines ran the attempts of a job, oldest first.
select k.linked_at, k.attempt, k.lease >> 36 as worker, k.engine, k.external_id, k.log_url
from holdfast.attempt_link k where k.job_id = $1::bigint order by k.linked_at
