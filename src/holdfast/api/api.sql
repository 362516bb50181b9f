-- What the API itself asks of the database.

-- name: installation
-- Promise: the version of the schema and of the server, and whether it is a primary; reads a table of few rows.
select coalesce((select max(m.version) from holdfast.migration m), 0) as schema_version,
       pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1) as version,
       not pg_catalog.pg_is_in_recovery() as is_primary
