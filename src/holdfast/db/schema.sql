-- The whole schema, for reading. Generated from a migrated database by `make schema`; do not edit.
-- The files of migrations/ make it; a test proves that they make exactly this, and `holdfast db validate` compares a
-- live database with it. Partitions are left out: they are made as days go by.

-- Functions may name what stands further down.
set check_function_bodies = off;

-- [schema] holdfast
create schema holdfast;

-- [table] holdfast.migration
create table holdfast.migration (
    version integer not null,
    name text not null,
    checksum text not null,
    applied_at timestamp with time zone default clock_timestamp() not null,
    constraint migration_pkey PRIMARY KEY (version),
    constraint migration_version_check CHECK ((version > 0))
);
comment on table holdfast.migration is 'Migrations applied to this schema, with the sha256 of the file each came from.';

-- [function] holdfast.now()
CREATE OR REPLACE FUNCTION holdfast.now()
 RETURNS timestamp with time zone
 LANGUAGE sql
 PARALLEL SAFE
AS $function$
    select pg_catalog.clock_timestamp()
         + coalesce(nullif(pg_catalog.current_setting('holdfast.clock_offset', true), ''), '0')::interval
$function$;
comment on function holdfast.now() is 'The time by which everything in this schema is judged; tests move it with holdfast.clock_offset.';
