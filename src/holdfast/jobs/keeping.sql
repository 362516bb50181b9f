-- name: fold
-- Promise: counters catch up with the deltas and with settled arrivals; false: another worker is at it.
select holdfast.fold_v1()

-- name: sweep
-- Promise: at most $1 rows of each kind that nothing rests on are gone.
select holdfast.sweep_v1($1::integer)

-- name: forget_workers
-- Promise: workers dead for longer than $1 seconds and named by no lease are gone.
select holdfast.forget_workers_v1(make_interval(secs => $1::double precision))

-- name: make_partitions
-- Promise: partitions exist for at least eight days ahead.
select holdfast.make_partitions_v1()

-- name: make_log_partitions
-- Promise: log lines of today and the next two days have a partition.
select holdfast.make_log_partitions_v1()

-- name: drop_log_partitions
-- Promise: log lines older than $1 days are gone, by whole days; says how many days.
select holdfast.drop_log_partitions_v1(make_interval(days => $1::integer))

-- name: set_partition_days
-- Promise: partitions made from now on are this wide, once the present ones end; only before the first job.
update holdfast.storage set partition_days = $1::integer
where partition_days <> $1::integer and not exists (select from holdfast.job)

-- name: expired_partitions
-- Promise: partitions older than $1 days, oldest first, with the id at which each ends.
select name, until_id from holdfast.expired_partitions_v1(make_interval(days => $1::integer))

-- name: keep_stragglers
-- Promise: the unfinished jobs of a partition stand in job_kept as well, and their outcomes will.
select holdfast.keep_stragglers_v1($1::text, $2::bigint)

-- name: detach_statements
-- Promise: the statements still needed to detach this partition, each to be run outside of a transaction.
select * from holdfast.detach_statements_v1($1::text)

-- name: detached_partitions
-- Promise: partitions detached and not yet dropped.
select * from holdfast.detached_partitions_v1()

-- name: drop_detached
-- Promise: a detached partition is gone, whoever in it is unfinished is kept; says how many.
select holdfast.drop_detached_v1($1::text)

-- name: audit
-- Promise: every job that stands in no place or in more than one.
select job_id, places from holdfast.audit_v1()

-- name: audit_movers
-- Promise: every unfinished job, and every batch, that nobody is going to move, or that counts wrongly.
select job_id, place, trouble from holdfast.audit_movers_v1()
union all select batch_id, 'batch', trouble from holdfast.audit_batches_v1()
