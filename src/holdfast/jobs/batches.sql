-- name: open_batch
-- Promise: the batch exists and ends once nothing of it is open; negative: an earlier attempt of its parent has opened it.
select holdfast.open_batch_v1($1::bigint, $2::text, $3::bigint, $4::text::jsonb, $5::text::jsonb, $6::text::jsonb)

-- name: enqueue_into
-- Promise: as enqueue, and the jobs belong to the batch $1, or to that of the job $2, which does not end before them.
select holdfast.enqueue_into_v1($1::bigint, $2::bigint,
    $3::bigint[], $4::text[], $5::text[], $6::text[]::jsonb[], $7::smallint[], $8::smallint[],
    $9::bigint[], $10::timestamptz[], $11::smallint[], $12::real[], $13::text[], $14::text[]::jsonb[], $15::text[],
    $16::smallint[], $17::bigint[], $18::smallint[])

-- name: settle
-- Promise: batches of which nothing is open have ended and called back, once; says how many.
select holdfast.settle_batches_v1($1::integer)

-- name: batch_exists
-- Promise: whether the commit whose answer was lost has happened.
select exists (select from holdfast.batch b where b.id = $1::bigint)

-- name: show
-- Promise: these batches ($1), or the newest older than $2 where $1 is null, only unfinished ones where $3.
-- Counters include what no worker has folded yet.
select b.id, b.name, b.parent_job, b.created_at, b.finished_at, b.cancelled_at, b.cancel_reason,
       b.members + d.joined as members, b.completed + d.completed as completed, b.failed + d.failed as failed,
       b.cancelled + d.cancelled as cancelled, b.reopened + d.reopened as reopened, b.inner_open + d.inner_open as inner_open,
       b.inner_unwell + d.inner_unwell as inner_unwell,
       array(select c.job_id from holdfast.batch_callback c where c.batch_id = b.id order by c.job_id) as callbacks
from holdfast.batch b cross join lateral (
    select coalesce(sum(x.joined), 0) as joined, coalesce(sum(x.completed), 0) as completed, coalesce(sum(x.failed), 0) as failed,
           coalesce(sum(x.cancelled), 0) as cancelled, coalesce(sum(x.reopened), 0) as reopened,
           coalesce(sum(x.inner_open), 0) as inner_open, coalesce(sum(x.inner_unwell), 0) as inner_unwell
    from holdfast.batch_delta x where x.batch_id = b.id) as d
where ($1::bigint[] is null or b.id = any($1::bigint[])) and b.id < $2::bigint and (not $3::boolean or b.finished_at is null)
order by b.id desc limit $4::integer

-- name: members
-- Promise: the next $3 members of a batch after the job $2.
select m.job_id from holdfast.batch_member m where m.batch_id = $1::bigint and m.job_id > $2::bigint order by m.job_id limit $3::integer

-- name: is_within
-- Promise: whether the first $3 members of a batch (null: all of them) stand in these queues; by id, to the first that does not.
select not exists (
    select from (select x.job_id from holdfast.batch_member x where x.batch_id = $1::bigint order by x.job_id limit $3::integer) as m
    join holdfast.every_job j on j.id = m.job_id where j.queue <> all ($2::text[]))

-- name: children
-- Promise: the next $3 jobs, after the job $2, of the batches that the job $1 opened, or was called back for.
select m.job_id from holdfast.batch_member m
where m.batch_id in (select b.id from holdfast.batch b where b.parent_job = $1::bigint
                     union select c.batch_id from holdfast.batch_callback c where c.job_id = $1::bigint)
  and m.job_id > $2::bigint order by m.job_id limit $3::integer

-- name: cancel
-- Promise: the batch calls nobody any more, its members and what they opened are cancelled or asked to stop.
select holdfast.cancel_batch_v1($1::bigint, $2::text)
