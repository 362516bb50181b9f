-- The database, as somebody looks at it who wonders what holds Holdfast back. Reads only; where the role may not see, it says so.

-- name: tables
-- Promise: our tables with size, rows and vacuums, partitions summed up under the name of their parent, the largest first. Waits for no lock.
with locked as materialized (
    -- Measuring a table opens it: one that somebody has locked, or waits to lock, is told by what the last vacuum counted.
    select distinct l.relation from pg_catalog.pg_locks l where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock'
)
select coalesce(parent.relname, c.relname) as name, count(*) as parts,
       sum(case when k.relation is null then pg_total_relation_size(c.oid) else c.relpages * current_setting('block_size')::bigint end)::bigint as bytes,
       sum(case when k.relation is null then pg_indexes_size(c.oid) else 0 end)::bigint as index_bytes, sum(greatest(s.n_live_tup, 0))::bigint as rows_about, sum(s.n_dead_tup)::bigint as dead_rows,
       extract(epoch from clock_timestamp() - max(greatest(s.last_vacuum, s.last_autovacuum)))::double precision as vacuumed_seconds,
       extract(epoch from clock_timestamp() - max(greatest(s.last_analyze, s.last_autoanalyze)))::double precision as analyzed_seconds,
       max(age(c.relfrozenxid))::bigint as frozen_age
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_stat_user_tables s on s.relid = c.oid
left join pg_catalog.pg_inherits i on i.inhrelid = c.oid
left join pg_catalog.pg_class parent on parent.oid = i.inhparent
left join locked k on k.relation = c.oid
where n.nspname = 'holdfast' and c.relkind = 'r'
group by 1 order by 3 desc limit 200

-- name: connections
-- Promise: connections of this database by application and state, the most numerous first, and how long the oldest transaction of each is open.
select coalesce(nullif(a.application_name, ''), 'unnamed') as application, coalesce(a.state, 'not visible') as state, count(*) as count,
       max(extract(epoch from clock_timestamp() - a.xact_start))::double precision as oldest_transaction_seconds
from pg_catalog.pg_stat_activity a
where coalesce(a.backend_type, 'client backend') = 'client backend' and a.datid is not null and a.datname = current_database()
group by 1, 2 order by 3 desc, 1, 2 limit 100

-- name: backends
-- Promise: the sessions worth a look: open transactions, the oldest first; whoever is waited for is among them.
select a.pid, coalesce(nullif(a.application_name, ''), 'unnamed') as application, a.usename::text as username, host(a.client_addr) as client, a.state,
       extract(epoch from clock_timestamp() - a.xact_start)::double precision as transaction_seconds,
       extract(epoch from clock_timestamp() - a.state_change)::double precision as state_seconds,
       a.wait_event_type, a.wait_event, age(a.backend_xmin)::bigint as xmin_age, a.backend_start as started_at,
       left(a.query, 500) as query, pg_blocking_pids(a.pid) as blocked_by,
       exists (select from holdfast.stalled_by_v1() s where s.pid = a.pid) as holds_log,
       a.pid = pg_backend_pid() as is_me
from pg_catalog.pg_stat_activity a
where coalesce(a.backend_type, 'client backend') = 'client backend' and a.datid is not null and a.datname = current_database() and a.pid <> pg_backend_pid()
  and (a.xact_start is not null or a.pid in (select unnest(pg_blocking_pids(w.pid)) from pg_catalog.pg_stat_activity w where w.wait_event_type = 'Lock'))
order by a.xact_start nulls last limit 100

-- name: locks
-- Promise: who waits for whom, and for what: a line for each waiting session and each that it waits for.
select w.pid, b.pid as blocked_by, coalesce((select format('%s.%s', n.nspname, c.relname) from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                 where c.oid = l.relation), l.locktype) as what, l.mode,
       extract(epoch from clock_timestamp() - l.waitstart)::double precision as waiting_seconds
from pg_catalog.pg_stat_activity w
cross join lateral unnest(pg_blocking_pids(w.pid)) as b(pid)
left join lateral (select * from pg_catalog.pg_locks x where x.pid = w.pid and not x.granted limit 1) as l on true
where w.wait_event_type = 'Lock' and w.datname = current_database()
order by l.waitstart nulls last limit 200

-- name: horizon
-- Promise: who keeps dead rows from being cleaned up: sessions, prepared transactions, replication slots, the oldest first.
select * from (
    select 'session' as kind, a.pid::text as name, coalesce(nullif(a.application_name, ''), 'unnamed') as detail,
           greatest(age(a.backend_xmin), age(a.backend_xid))::bigint as age_transactions,
           extract(epoch from clock_timestamp() - a.xact_start)::double precision as seconds
    from pg_catalog.pg_stat_activity a
    where (a.backend_xmin is not null or a.backend_xid is not null) and a.pid <> pg_backend_pid() and a.backend_type is distinct from 'walsender'
    union all
    select 'prepared transaction', p.gid, p.owner::text, age(p.transaction)::bigint, extract(epoch from clock_timestamp() - p.prepared)::double precision
    from pg_catalog.pg_prepared_xacts p
    union all
    select 'replication slot', s.slot_name::text, case when s.active then 'active' else 'inactive' end,
           greatest(age(s.xmin), age(s.catalog_xmin))::bigint, null
    from pg_catalog.pg_replication_slots s where s.xmin is not null or s.catalog_xmin is not null) as h
order by age_transactions desc nulls last limit 20

-- name: server
-- Promise: the server as a whole: version, role, connections, WAL, how full the queue of notifications is, and what this role may see.
select current_setting('server_version') as version, pg_is_in_recovery() as standby, current_database() as database,
       pg_database_size(current_database()) as bytes, pg_postmaster_start_time() as started_at,
       current_setting('max_connections')::integer as max_connections,
       current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer as allowed_connections,
       (select count(*) from pg_catalog.pg_stat_activity a where coalesce(a.backend_type, 'client backend') = 'client backend' and a.datid is not null) as connections,
       pg_notification_queue_usage() as notify_queue_share,
       (select age(d.datfrozenxid)::bigint from pg_catalog.pg_database d where d.datname = current_database()) as frozen_age,
       (select d.deadlocks from pg_catalog.pg_stat_database d where d.datname = current_database()) as deadlocks,
       (select d.temp_bytes from pg_catalog.pg_stat_database d where d.datname = current_database()) as temp_bytes,
       case when pg_is_in_recovery() then null else (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint end as wal_bytes_written,
       (select max(case when pg_is_in_recovery() then null else pg_current_wal_lsn() - s.restart_lsn end)::bigint
        from pg_catalog.pg_replication_slots s) as wal_bytes_held_by_slots,
       (select r.failed_count from pg_catalog.pg_stat_archiver r) as archive_failures,
       (select extract(epoch from clock_timestamp() - r.last_archived_time)::double precision from pg_catalog.pg_stat_archiver r) as archived_seconds,
       current_user as role,
       pg_has_role(current_user, 'pg_read_all_stats', 'usage') as sees_others,
       pg_has_role(current_user, 'pg_signal_backend', 'usage') as may_end_others

-- name: settings
-- Promise: the settings of the server that decide over durability, speed and connections, as they are for this session.
select s.name, s.setting, s.unit, s.source, s.pending_restart
from pg_catalog.pg_settings s
where s.name in ('max_connections', 'shared_buffers', 'work_mem', 'maintenance_work_mem', 'effective_cache_size', 'wal_level', 'max_wal_size',
                 'checkpoint_timeout', 'synchronous_commit', 'fsync', 'full_page_writes', 'autovacuum', 'autovacuum_max_workers', 'autovacuum_naptime',
                 'statement_timeout', 'idle_in_transaction_session_timeout', 'lock_timeout', 'max_locks_per_transaction', 'jit',
                 'default_transaction_isolation', 'archive_mode', 'track_counts', 'track_activities', 'hot_standby')
order by s.name

-- name: find_backend
-- Promise: the session of this database with that process id, if there is one, and whether it is this one.
select a.pid, coalesce(nullif(a.application_name, ''), 'unnamed') as application, a.usename::text as username, a.state, a.backend_start as started_at,
       left(a.query, 500) as query, a.pid = pg_backend_pid() as is_me, a.usename = current_user as is_ours,
       extract(epoch from clock_timestamp() - a.xact_start)::double precision as transaction_seconds
from pg_catalog.pg_stat_activity a
where a.pid = $1::integer and coalesce(a.backend_type, 'client backend') = 'client backend' and a.datid is not null and a.datname = current_database()

-- name: cancel
-- Promise: the statement of that session is asked to stop, if it is still the session that began at $2.
select coalesce(bool_or(pg_cancel_backend(a.pid)), false) from pg_catalog.pg_stat_activity a
where a.pid = $1::integer and a.backend_start = $2::timestamptz and a.pid <> pg_backend_pid()

-- name: terminate
-- Promise: that session is ended, if it is still the one that began at $2; what it had open is rolled back.
select coalesce(bool_or(pg_terminate_backend(a.pid)), false) from pg_catalog.pg_stat_activity a
where a.pid = $1::integer and a.backend_start = $2::timestamptz and a.pid <> pg_backend_pid()
