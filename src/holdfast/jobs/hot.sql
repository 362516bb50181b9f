-- name: work
-- Promise: finish and claim in one round trip and one commit; rows of kind 0 are jobs, 1 refused completions, 2 says that this worker is dead, 3 names gates to look at, 4 gates to go on at with the next claim.
select kind, job_id, lease, queue, priority, seq, attempt, flags, task, args, max_attempts, timeout_seconds, trace::text
from holdfast.work_v1($1::text::bigint[], $2::text::bigint[], $3::text::smallint[], $4::text::smallint[], $5::text::bigint[], $6::text::bigint[], $7::text[]::jsonb[],
    $8::text[]::jsonb[], $9::text[], $10::text::smallint[], $11::bigint[], $12::boolean,
    $14::bigint, $15::bigint, $16::integer, $17::text[], $18::smallint[], $19::bigint[], $13::text::bigint[], $20::text[])

-- name: claim
-- Promise: work without anything to finish. Its commit does not wait for the disk: after a crash it has not happened.
select kind, job_id, lease, queue, priority, seq, attempt, flags, task, args, max_attempts, timeout_seconds, trace::text
from (select set_config('synchronous_commit', 'off', true) as wait) as disk,
    holdfast.claim_v1($1::bigint, $2::bigint, $3::integer, $4::text[], $5::smallint[], $6::bigint[], $7::text[])
where disk.wait = 'off'

-- name: finish
-- Promise: outcomes under the fence of their leases, nothing claimed; the refused ones come back, and the gates that the others have left.
select refused, gates from holdfast.finish_v1($1::text::bigint[], $2::text::bigint[], $3::text::smallint[], $4::text::smallint[], $5::text::bigint[], $6::text::bigint[], $7::text[]::jsonb[],
    $8::text[]::jsonb[], $9::text[], $10::text::smallint[], $11::bigint[], $12::boolean, $13::text::bigint[])

-- name: leave
-- Promise: retries, snoozes and returns: each has left its lease and stands in its new place, or is refused.
select holdfast.leave_v1($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[], $5::smallint[], $6::text[], $7::smallint[],
    $8::smallint[], $9::text[]::jsonb[], $10::bigint[], $11::bigint[], $12::bigint[])

-- name: finish_solo
-- Promise: the last statement of a job's transaction; false means that the lease is lost and the transaction must roll back.
select holdfast.finish_solo_v1($1::bigint, $2::bigint, $3::smallint, $4::bigint, $5::text::jsonb, $6::text, $7::smallint)

-- name: bound_idle_transaction
-- Promise: a frozen worker keeps the locks of this transaction no longer than $1 milliseconds.
select set_config('idle_in_transaction_session_timeout', $1::text, true)

-- name: outcome_is_mine
-- Promise: whether the commit whose answer was lost has happened.
select exists (select from holdfast.every_outcome o where o.job_id = $1::bigint and o.lease = $2::bigint)

-- name: marks
-- Promise: below each mark nothing is left and nothing can appear; pending and fence are for the next call.
select settled, pending, fence, marks from holdfast.marks_v1($1::text[], $2::smallint[], $3::bigint[], $4::bigint, $5::text[])

-- name: promote
-- Promise: at most $2 jobs that are due later than $1 and by now become ready; says how long until the next.
select promoted, last_due, next_due_us from holdfast.promote_v1($1::timestamptz, $2::integer)

-- name: unknown_leases
-- Promise: leases of a live worker that it does not know of.
select * from holdfast.unknown_leases_v1($1::bigint, $2::bigint, $3::bigint[])

-- name: release_lease
-- Promise: what this lease still holds is ready again; nothing of it ran.
select holdfast.release_lease_v1($1::bigint)

-- name: rescue
-- Promise: what a dead worker held is ready again, or ended as lost too often; says how many jobs.
select holdfast.rescue_v1($1::bigint, $2::integer)

-- name: report_running
-- Promise: people see what this worker is really executing, and how long ago it asked for jobs ($3) and got one ($4, null: never), in microseconds.
select holdfast.report_running_v2($1::bigint, $2::bigint[], $3::bigint, $4::bigint)

-- name: anyone_idle
-- Promise: whether another worker (not the session $2) is idle on one of these queues.
select holdfast.anyone_idle_v1($1::text[], $2::integer)

-- name: ring_another
-- Promise: one idle worker (not the session $2) looks at once; a hint, losing it costs latency.
select holdfast.ring_another_v1($1::text[], $2::integer)

-- name: idle_keys
-- Promise: the keys of the advisory locks that say "idle" for these queues.
select holdfast.idle_key_v1(q) from unnest($1::text[]) as q

-- name: cancel_requests
-- Promise: those of the given running jobs that somebody wants to stop, and why.
select c.job_id, c.reason from holdfast.cancel_request c where c.job_id = any($1::bigint[])

-- name: count_loss
-- Promise: the death of whatever ran this attempt is remembered, with how often that happened; no row: the lease is lost.
select losses, counted from holdfast.count_loss_v1($1::bigint, $2::bigint, $3::text, $4::boolean, $5::text)

-- name: link_attempt
-- Promise: people see under which name an engine runs this attempt; false: the lease is lost.
select holdfast.link_attempt_v1($1::bigint, $2::bigint, $3::smallint, $4::text, $5::text, $6::text)

-- name: last_link
-- Promise: under which name the engine $3 runs, or ran, this attempt ($2) of a job, if an earlier lease submitted it.
select k.external_id from holdfast.attempt_link k
where k.job_id = $1::bigint and k.attempt = $2::smallint and k.engine = $3::text order by k.linked_at desc limit 1
