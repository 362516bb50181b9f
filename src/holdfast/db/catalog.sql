-- The schema, described from PostgreSQL's own catalog, as statements that make it.
--
-- What it leaves out, because it differs between installations without being a difference of the schema: partitions
-- (their names are dates), owners, grants to roles (only PUBLIC's are described), not-null constraints' names (a column
-- says "not null"; PostgreSQL 18 keeps a constraint for it, 15 does not). Every section yields rows of
-- (kind, identity, key, definition); `key` is what `dependencies` speaks of. Read in one repeatable-read transaction
-- after `qualify_names`, else names of the current search_path lose their schema.

-- name: qualify_names
-- Promise: until the end of this transaction, names in definitions are written in full.
select pg_catalog.set_config('search_path', 'pg_catalog', true)

-- name: schema
-- Promise: the schema itself, its comment and what PUBLIC may do in it.
select 'schema' as kind, n.nspname::text as identity, 'n' || n.oid as key,
       concat_ws(E'\n',
           format('create schema %I;', n.nspname),
           'comment on schema holdfast is ' || quote_literal(obj_description(n.oid, 'pg_namespace')) || ';',
           (select format('grant %s on schema %I to public;',
                          string_agg(lower(a.privilege_type), ', ' order by a.privilege_type), n.nspname)
            from aclexplode(n.nspacl) as a where a.grantee = 0 having count(*) > 0)) as definition
from pg_namespace as n
where n.nspname = 'holdfast'

-- name: types
-- Promise: enums, domains and composite types; not the row types of tables.
select 'type' as kind, t.oid::regtype::text as identity, 't' || t.oid as key,
       concat_ws(E'\n',
           case t.typtype
               when 'e' then
                   format('create type %s as enum (%s);', t.oid::regtype,
                          (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                           from pg_enum as e where e.enumtypid = t.oid))
               when 'd' then
                   concat_ws(' ', format('create domain %s as %s', t.oid::regtype,
                                         format_type(t.typbasetype, t.typtypmod)),
                             'default ' || t.typdefault,
                             case when t.typnotnull then 'not null' end,
                             (select string_agg(format('constraint %I %s', k.conname, pg_get_constraintdef(k.oid)), ' '
                                                order by k.conname)
                              from pg_constraint as k where k.contypid = t.oid and k.contype = 'c')) || ';'
               else
                   format('create type %s as (%s);', t.oid::regtype,
                          (select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', '
                                             order by a.attnum)
                           from pg_attribute as a
                           where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped))
           end,
           'comment on type ' || t.oid::regtype || ' is ' || quote_literal(obj_description(t.oid, 'pg_type')) || ';') as definition
from pg_type as t
left join pg_class as c on c.oid = t.typrelid
where t.typnamespace = 'holdfast'::regnamespace
  and (t.typtype in ('e', 'd') or (t.typtype = 'c' and c.relkind = 'c'))

-- name: sequences
-- Promise: sequences that stand by themselves or are owned by a column; not those of identity columns.
select 'sequence' as kind, c.oid::regclass::text as identity, 'c' || c.oid as key,
       concat_ws(E'\n',
           format('create sequence %s as %s increment %s minvalue %s maxvalue %s start %s cache %s%s;',
                  c.oid::regclass, format_type(s.seqtypid, null), s.seqincrement, s.seqmin, s.seqmax, s.seqstart,
                  s.seqcache, case when s.seqcycle then ' cycle' else '' end),
           'comment on sequence ' || c.oid::regclass || ' is '
               || quote_literal(obj_description(c.oid, 'pg_class')) || ';') as definition
from pg_class as c
join pg_sequence as s on s.seqrelid = c.oid
where c.relnamespace = 'holdfast'::regnamespace
  and not exists (select from pg_depend as d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'i')

-- name: sequence_owners
-- Promise: which column a sequence goes away with.
select 'sequence owner' as kind, c.oid::regclass::text as identity, 'o' || c.oid as key,
       format('alter sequence %s owned by %s.%I;', c.oid::regclass, a.attrelid::regclass, a.attname) as definition
from pg_class as c
join pg_depend as d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'a'
join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where c.relkind = 'S' and c.relnamespace = 'holdfast'::regnamespace

-- name: tables
-- Promise: tables with columns, constraints (foreign keys apart), indexes, storage, comments and PUBLIC's rights.
with relation as (
    select c.*, c.oid::regclass::text as name
    from pg_class as c
    where c.relnamespace = 'holdfast'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
), body as (
    select r.oid, 1 as part, a.attnum::int as place, null::name as label,
           concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
               case when a.attcollation <> t.typcollation then 'collate ' || a.attcollation::regcollation end,
               case a.attidentity when 'a' then 'generated always as identity'
                                  when 'd' then 'generated by default as identity' end,
               (select format('(increment %s minvalue %s maxvalue %s start %s cache %s%s)', s.seqincrement, s.seqmin,
                              s.seqmax, s.seqstart, s.seqcache, case when s.seqcycle then ' cycle' else '' end)
                from pg_depend as d join pg_sequence as s on s.seqrelid = d.objid
                where d.classid = 'pg_class'::regclass and d.refobjid = r.oid and d.refobjsubid = a.attnum
                  and d.deptype = 'i'),
               case when a.attgenerated = 's'
                    then 'generated always as (' || pg_get_expr(f.adbin, f.adrelid) || ') stored'
                    else 'default ' || pg_get_expr(f.adbin, f.adrelid) end,
               case when a.attnotnull then 'not null' end) as line
    from relation as r
    join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    join pg_type as t on t.oid = a.atttypid
    left join pg_attrdef as f on f.adrelid = r.oid and f.adnum = a.attnum
    union all
    select r.oid, 2, case k.contype when 'p' then 1 when 'u' then 2 else 3 end, k.conname,
           format('constraint %I %s', k.conname, pg_get_constraintdef(k.oid))
    from relation as r
    join pg_constraint as k on k.conrelid = r.oid and k.contype in ('p', 'u', 'c', 'x')
), addition as (
    select r.oid, 1 as part, x.relname::text as label,
           -- "only" is how the catalog says that the partitions' indexes are separate; as a statement it would leave
           -- them out.
           replace(pg_get_indexdef(x.oid), ' ON ONLY ', ' ON ') || ';' as line
    from relation as r
    join pg_index as i on i.indrelid = r.oid
    join pg_class as x on x.oid = i.indexrelid
    where not exists (select from pg_constraint as k
                      where k.conindid = x.oid and k.conrelid = r.oid and k.contype in ('p', 'u', 'x'))
    union all
    select r.oid, 2, a.attname, format('alter table %s alter column %I set storage %s;', r.name, a.attname,
           case a.attstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end)
    from relation as r
    join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    join pg_type as t on t.oid = a.atttypid
    where a.attstorage <> t.typstorage
    union all
    select r.oid, 3, a.attname, format('alter table %s alter column %I set compression %s;', r.name, a.attname,
           case a.attcompression when 'l' then 'lz4' else 'pglz' end)
    from relation as r
    join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    where a.attcompression <> ''
    union all
    select r.oid, 4, a.attname, format('alter table %s alter column %I set statistics %s;', r.name, a.attname,
                                       a.attstattarget)
    from relation as r
    join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    where a.attstattarget >= 0
    union all
    select r.oid, 5, '', format('comment on table %s is %L;', r.name, obj_description(r.oid, 'pg_class'))
    from relation as r
    where obj_description(r.oid, 'pg_class') is not null
    union all
    select r.oid, 6, lpad(a.attnum::text, 5, '0'), format('comment on column %s.%I is %L;', r.name, a.attname,
                                                         col_description(r.oid, a.attnum))
    from relation as r
    join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    where col_description(r.oid, a.attnum) is not null
    union all
    select r.oid, 7, a.privilege_type, format('grant %s on table %s to public;', lower(a.privilege_type), r.name)
    from relation as r, aclexplode(r.relacl) as a
    where a.grantee = 0
)
select 'table' as kind, r.name as identity, 'c' || r.oid as key,
       concat_ws(E'\n',
           format(E'create %stable %s (\n    %s\n)%s%s;',
               case r.relpersistence when 'u' then 'unlogged ' else '' end, r.name,
               (select string_agg(b.line, E',\n    ' order by b.part, b.place, b.label) from body as b where b.oid = r.oid),
               E'\npartition by ' || pg_get_partkeydef(r.oid),
               E'\nwith (' || (select string_agg(o, ', ' order by o) from (
                   select unnest(r.reloptions) as o
                   union all
                   select 'toast.' || unnest(s.reloptions) from pg_class as s where s.oid = r.reltoastrelid
               ) as options having count(*) > 0) || ')'),
           (select string_agg(a.line, E'\n' order by a.part, a.label) from addition as a where a.oid = r.oid)
       ) as definition
from relation as r

-- name: foreign_keys
-- Promise: foreign keys, apart from their tables, because two tables may point at one another.
select 'foreign key' as kind, format('%s.%I', k.conrelid::regclass, k.conname) as identity, 'k' || k.oid as key,
       format('alter table %s add constraint %I %s;', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
           as definition
from pg_constraint as k
join pg_class as c on c.oid = k.conrelid
where k.connamespace = 'holdfast'::regnamespace and k.contype = 'f' and k.conparentid = 0 and not c.relispartition

-- name: views
-- Promise: views and materialized views with their indexes, comments and PUBLIC's rights.
select 'view' as kind, c.oid::regclass::text as identity, 'c' || c.oid as key,
       concat_ws(E'\n',
           format(E'create %sview %s%s as\n%s;', case c.relkind when 'm' then 'materialized ' else '' end,
                  c.oid::regclass, ' with (' || array_to_string(c.reloptions, ', ') || ')',
                  rtrim(pg_get_viewdef(c.oid, true), ';')),
           (select string_agg(pg_get_indexdef(i.indexrelid) || ';', E'\n' order by i.indexrelid::regclass::text)
            from pg_index as i where i.indrelid = c.oid),
           'comment on ' || case c.relkind when 'm' then 'materialized ' else '' end || 'view ' || c.oid::regclass
               || ' is ' || quote_literal(obj_description(c.oid, 'pg_class')) || ';',
           (select string_agg(format('comment on column %s.%I is %L;', c.oid::regclass, a.attname,
                                     col_description(c.oid, a.attnum)), E'\n' order by a.attnum)
            from pg_attribute as a
            where a.attrelid = c.oid and a.attnum > 0 and col_description(c.oid, a.attnum) is not null),
           (select string_agg(format('grant %s on table %s to public;', lower(a.privilege_type), c.oid::regclass), E'\n'
                              order by a.privilege_type)
            from aclexplode(c.relacl) as a where a.grantee = 0)) as definition
from pg_class as c
where c.relnamespace = 'holdfast'::regnamespace and c.relkind in ('v', 'm')

-- name: functions
-- Promise: functions and procedures with everything that is SET on them, their comments, and whether PUBLIC may call.
select 'function' as kind, p.oid::regprocedure::text as identity, 'p' || p.oid as key,
       concat_ws(E'\n',
           rtrim(pg_get_functiondef(p.oid), E'\n') || ';',
           'comment on ' || case p.prokind when 'p' then 'procedure ' else 'function ' end || p.oid::regprocedure
               || ' is ' || quote_literal(obj_description(p.oid, 'pg_proc')) || ';',
           case when p.proacl is not null and not exists (select from aclexplode(p.proacl) as a where a.grantee = 0)
                then format('revoke all on %s %s from public;',
                            case p.prokind when 'p' then 'procedure' else 'function' end, p.oid::regprocedure)
           end) as definition
from pg_proc as p
where p.pronamespace = 'holdfast'::regnamespace and p.prokind in ('f', 'p')

-- name: triggers
-- Promise: triggers of our tables and views; not those that constraints make for themselves.
select 'trigger' as kind, format('%s.%I', g.tgrelid::regclass, g.tgname) as identity, 'g' || g.oid as key,
       pg_get_triggerdef(g.oid) || ';' as definition
from pg_trigger as g
join pg_class as c on c.oid = g.tgrelid
where c.relnamespace = 'holdfast'::regnamespace and not g.tgisinternal and g.tgparentid = 0

-- name: statistics
-- Promise: extended statistics.
select 'statistics' as kind, format('holdfast.%I', s.stxname) as identity, 's' || s.oid as key,
       pg_get_statisticsobjdef(s.oid) || ';' as definition
from pg_statistic_ext as s
where s.stxnamespace = 'holdfast'::regnamespace

-- name: dependencies
-- Promise: pairs of keys of which the first can only be made when the second exists. Whatever is part of an object
-- (an index, a default, a row type, the rule of a view) counts as the object.
with part as (
    select 'pg_namespace'::regclass as class, oid, 'n' || oid as key from pg_namespace where nspname = 'holdfast'
    union all
    select 'pg_class'::regclass, c.oid,
           case when i.indrelid is not null then 'c' || i.indrelid
                when d.refobjid is not null then 'c' || d.refobjid
                else 'c' || c.oid end
    from pg_class as c
    left join pg_index as i on i.indexrelid = c.oid
    left join pg_depend as d on c.relkind = 'S' and d.classid = 'pg_class'::regclass and d.objid = c.oid
                            and d.deptype = 'i'
    where c.relnamespace = 'holdfast'::regnamespace and c.relkind <> 'c'
    union all
    select 'pg_attrdef'::regclass, oid, 'c' || adrelid from pg_attrdef
    union all
    select 'pg_constraint'::regclass, oid,
           case when contype = 'f' then 'k' || oid when contypid <> 0 then 't' || contypid else 'c' || conrelid end
    from pg_constraint
    where connamespace = 'holdfast'::regnamespace
    union all
    select 'pg_rewrite'::regclass, oid, 'c' || ev_class from pg_rewrite
    union all
    select 'pg_type'::regclass, t.oid,
           case when c.relkind <> 'c' then 'c' || c.oid
                when e.typrelid <> 0 and ec.relkind <> 'c' then 'c' || ec.oid
                when t.typcategory = 'A' then 't' || e.oid
                else 't' || t.oid end
    from pg_type as t
    left join pg_class as c on c.oid = t.typrelid
    left join pg_type as e on e.oid = t.typelem and t.typcategory = 'A'
    left join pg_class as ec on ec.oid = e.typrelid
    where t.typnamespace = 'holdfast'::regnamespace
    union all
    select 'pg_proc'::regclass, oid, 'p' || oid from pg_proc where pronamespace = 'holdfast'::regnamespace
    union all
    select 'pg_trigger'::regclass, oid, 'g' || oid from pg_trigger where not tgisinternal
    union all
    select 'pg_statistic_ext'::regclass, oid, 's' || oid from pg_statistic_ext
)
select distinct part.key, needed.key as needs
from pg_depend as d
join part on part.class = d.classid and part.oid = d.objid
join part as needed on needed.class = d.refclassid and needed.oid = d.refobjid
left join pg_class as c on d.classid = 'pg_class'::regclass and c.oid = d.objid
where part.key <> needed.key
  -- A sequence owned by a column would go in a circle with the default that draws from it; see sequence_owners.
  and not (d.deptype = 'a' and coalesce(c.relkind = 'S', false))
union
select 'o' || oid, 'c' || oid from pg_class where relkind = 'S' and relnamespace = 'holdfast'::regnamespace
