-- What the runner asks the server around every measure.

-- name: gauges
-- The end of the write-ahead log in bytes, and the commits of one database.
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal_bytes,
       (SELECT xact_commit FROM pg_stat_database WHERE datname = $1) AS commits

-- name: checkpoint
-- Every measure begins right after one, so that none pays for its predecessor's.
CHECKPOINT

-- name: analyze
-- What autovacuum would have done within a minute; peers whose plans need statistics get them.
ANALYZE

-- name: settings
-- What differs from the server's defaults and matters for speed or durability.
SELECT name, current_setting(name) AS value
FROM pg_settings
WHERE name IN ('server_version', 'shared_buffers', 'fsync', 'synchronous_commit', 'full_page_writes', 'wal_level',
               'max_wal_size', 'wal_sync_method', 'jit', 'max_connections', 'wal_compression', 'io_method')
ORDER BY name

-- name: postmaster
-- The process whose children are the server, when it runs on this machine and we may know.
SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)::integer AS pid
