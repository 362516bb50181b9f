-- name: totals
-- Promise: per queue, since ever, what was enqueued and what became of attempts, and how long a sample waited and ran; folded every few seconds.
select t.queue, t.enqueued, t.completed, t.failed, t.cancelled, t.retried, t.lost,
       p.waits, p.runs, p.wait_sum, p.run_sum
from holdfast.tally t left join holdfast.pace p on p.queue = t.queue and p.minute = '-infinity'
where t.minute = '-infinity' order by t.queue limit 1000

-- name: database
-- Promise: what of the database is worth an alert: open transactions, the horizon of vacuum, blocked sessions, notifications.
select (select coalesce(max(extract(epoch from clock_timestamp() - a.xact_start)), 0)::double precision from pg_catalog.pg_stat_activity a
        where coalesce(a.backend_type, 'client backend') = 'client backend' and a.datid is not null and a.datname = current_database() and a.pid <> pg_backend_pid()) as oldest_transaction_seconds,
       (select coalesce(max(age(a.backend_xmin)), 0)::bigint from pg_catalog.pg_stat_activity a where a.pid <> pg_backend_pid()) as xmin_age,
       (select count(*) from pg_catalog.pg_stat_activity a where a.wait_event_type = 'Lock' and a.datname = current_database()) as blocked,
       (select d.deadlocks from pg_catalog.pg_stat_database d where d.datname = current_database()) as deadlocks,
       pg_notification_queue_usage() as notify_queue_share, pg_database_size(current_database()) as bytes,
       (select max(m.version) from holdfast.migration m) as schema_version,
       holdfast.pace_bounds_v1() as bounds

-- name: schedules
-- Promise: when each schedule that is not paused is due next.
select s.name, extract(epoch from s.due_at)::double precision as due
from holdfast.schedule s where s.due_at is not null and s.paused_at is null and s.withdrawn_at is null order by s.name limit 1000
