-- name: append_one
-- Promise: this event is in the log, or the verdict says why not; nothing else has changed then, and the transaction goes on.
select a.verdict, a.positions, a.versions, a.recorded_at, a.detail::text
from holdfast.append_one_v1($1::text, $2::bigint, $3::uuid, $4::text, $5::smallint, $6::text::jsonb, $7::text, $8::text::jsonb,
                            $9::text, $10::text, $11::text::jsonb) as a

-- name: append
-- Promise: all of these events are in the log, or none; streams are locked in the order given, which is that of their names.
select a.verdict, a.positions, a.versions, a.recorded_at, a.detail::text
from holdfast.append_v1($1::text[], $2::bigint[], $3::integer[], $4::integer[], $5::integer[], $6::uuid[], $7::text[],
                        $8::smallint[], $9::text[]::jsonb[], $10::text[], $11::text[]::jsonb[], $12::text[], $13::text[],
                        $14::text[]::jsonb[], $15::boolean, $16::text, $17::text::jsonb) as a

-- name: append_each
-- Promise: each of these appends of strangers is in the log or its verdict says why not, in the order given; busy: send it alone.
select a.verdict, a.positions, a.versions, a.recorded_at, a.detail::text
from holdfast.append_each_v1($1::text[], $2::bigint[], $3::integer[], $4::integer[], $5::integer[], $6::uuid[], $7::text[],
                             $8::smallint[], $9::text[]::jsonb[], $10::text[]::jsonb[], $11::text[], $12::text[],
                             $13::text[]::jsonb[]) as a

-- name: tick
-- Promise: publishes how far the log may be read, if that can be known now; $2 and $3 are what the last call gave.
select t.settled, t.pending, t.fence, t.moved, t.last_ticker, t.last_age_seconds
from holdfast.tick_v1($1::bigint, $2::bigint, $3::text[]) as t

-- name: stalled_by
-- Promise: who has an open append now, oldest first.
select s.pid, s.application, s.username, s.client, s.state, s.age_seconds, s.query, s.prepared from holdfast.stalled_by_v1() as s

-- name: live_workers
-- Promise: how many workers are alive; they share the idle looks at the sequence.
select count(*) from holdfast.worker w where w.state = 'live'

-- name: thin_ticks
-- Promise: old ticks tell time less finely; the newest stays.
select holdfast.thin_ticks_v1()

-- name: forget_append_keys
-- Promise: forgets at most $2 idempotency keys older than $1 days.
select holdfast.forget_append_keys_v1($1::integer, $2::integer)

-- name: adopt_log
-- Promise: after a restore the sequence is behind nobody, and the whole log is published.
select a.drawn_before, a.highest, a.settled from holdfast.adopt_log_v1() as a

-- name: log_state
-- Promise: one look at the log: settled, drawn, when it was settled, and the highest position there is.
select holdfast.settled_v1() as settled, holdfast.last_position_v1() as drawn,
       (select t.at from holdfast.tick t order by t.position desc limit 1) as settled_at,
       coalesce((select e.position from holdfast.event e order by e.position desc limit 1), 0) as highest,
       holdfast.now() as now

-- name: position_at
-- Promise: the settled position at that moment: what came later has a higher one. 0: the log knows no such moment.
select coalesce((select t.position from holdfast.tick t where t.at <= $1::timestamptz order by t.at desc, t.position desc limit 1), 0)

-- name: read_stream
-- Promise: events of one stream in the order of versions; a stream is read without waiting for the watermark.
select e.position, e.stream, e.version, e.type, e.schema_version, e.data::text, e.id, e.recorded_at, e.tags,
       e.metadata::text, e.correlation_id, e.causation_id, e.trace::text, e.partition
from holdfast.event e
where e.stream = $1::text and e.version >= $2::bigint and e.version <= $3::bigint
order by e.version limit $4::integer

-- name: read_stream_backwards
-- Promise: as read_stream, the newest version first.
select e.position, e.stream, e.version, e.type, e.schema_version, e.data::text, e.id, e.recorded_at, e.tags,
       e.metadata::text, e.correlation_id, e.causation_id, e.trace::text, e.partition
from holdfast.event e
where e.stream = $1::text and e.version >= $2::bigint and e.version <= $3::bigint
order by e.version desc limit $4::integer

-- name: streams
-- Promise: at most $3 streams after $2 whose names begin with $1, by name, with their last version and when it came. One index descent a stream.
with recursive named(stream, n) as (
    (select e.stream, 1 from holdfast.event e where e.stream > $2::text and e.stream >= $1::text and starts_with(e.stream, $1::text) order by e.stream limit 1)
    union all
    select f.stream, d.n + 1 from named d cross join lateral (
        select e.stream from holdfast.event e where e.stream > d.stream order by e.stream limit 1) as f
    where d.n < $3::integer and starts_with(f.stream, $1::text)
)
select d.stream, l.version, l.position, l.recorded_at, l.type from named d
cross join lateral (select e.version, e.position, e.recorded_at, e.type from holdfast.event e where e.stream = d.stream order by e.version desc limit 1) as l
order by d.stream

-- name: read_log
-- Promise: settled events after $1 in the order of positions, and how far the log was settled in the same snapshot. Served by the primary key.
with mark as materialized (select holdfast.settled_v1() as settled)
select m.settled, e.position, e.stream, e.version, e.type, e.schema_version, e.data::text, e.id, e.recorded_at, e.tags,
       e.metadata::text, e.correlation_id, e.causation_id, e.trace::text, e.partition
from mark m left join lateral (
    select x.* from holdfast.event x
    where x.position > $1::bigint and x.position <= m.settled
      and ($3::text[] is null or x.type = any ($3)) and ($4::text[] is null or x.tags @> $4)
      and ($5::text[] is null or holdfast.category_of(x.stream) = any ($5))
    order by x.position limit $2::integer) as e on true
order by e.position

-- name: read_log_of_type
-- Promise: as read_log for one type, $3; served by event_of_type, so that a rare type is found at once.
with mark as materialized (select holdfast.settled_v1() as settled)
select m.settled, e.position, e.stream, e.version, e.type, e.schema_version, e.data::text, e.id, e.recorded_at, e.tags,
       e.metadata::text, e.correlation_id, e.causation_id, e.trace::text, e.partition
from mark m left join lateral (
    select x.* from holdfast.event x
    where x.type = $3::text and x.position > $1::bigint and x.position <= m.settled
      and ($4::text[] is null or x.tags @> $4) and ($5::text[] is null or holdfast.category_of(x.stream) = any ($5))
    order by x.type, x.position limit $2::integer) as e on true
order by e.position

-- name: read_log_tagged
-- Promise: as read_log for events with all of the tags $4; served by the first tag in event_tag.
with mark as materialized (select holdfast.settled_v1() as settled)
select m.settled, e.position, e.stream, e.version, e.type, e.schema_version, e.data::text, e.id, e.recorded_at, e.tags,
       e.metadata::text, e.correlation_id, e.causation_id, e.trace::text, e.partition
from mark m left join lateral (
    select x.* from holdfast.event_tag g join holdfast.event x on x.position = g.position
    where g.tag = ($4::text[])[1] and g.position > $1::bigint and g.position <= m.settled
      and x.tags @> $4 and ($3::text[] is null or x.type = any ($3))
      and ($5::text[] is null or holdfast.category_of(x.stream) = any ($5))
    order by g.position limit $2::integer) as e on true
order by e.position

-- name: read_log_backwards
-- Promise: settled events before $1, the newest first.
with mark as materialized (select holdfast.settled_v1() as settled)
select m.settled, e.position, e.stream, e.version, e.type, e.schema_version, e.data::text, e.id, e.recorded_at, e.tags,
       e.metadata::text, e.correlation_id, e.causation_id, e.trace::text, e.partition
from mark m left join lateral (
    select x.* from holdfast.event x
    where x.position < $1::bigint and x.position <= m.settled
      and ($3::text[] is null or x.type = any ($3)) and ($4::text[] is null or x.tags @> $4)
      and ($5::text[] is null or holdfast.category_of(x.stream) = any ($5))
    order by x.position desc limit $2::integer) as e on true
order by e.position desc

-- name: read_for_decision
-- Promise: every committed event that one match names, settled or not, and how far the log was settled in the same snapshot.
with mark as materialized (select holdfast.settled_v1() as settled)
select m.settled, e.position, e.stream, e.version, e.type, e.schema_version, e.data::text, e.id, e.recorded_at, e.tags,
       e.metadata::text, e.correlation_id, e.causation_id, e.trace::text, e.partition
from mark m left join lateral (
    select x.* from (
        select y.* from unnest($1::text[]) as w(match)
        cross join lateral (select array(select jsonb_array_elements_text(w.match::jsonb -> 'types')) as types,
                                   array(select jsonb_array_elements_text(w.match::jsonb -> 'tags')) as tags) as i
        join holdfast.event_tag g on g.tag = i.tags[1]
        join holdfast.event y on y.position = g.position and y.tags @> i.tags
        where cardinality(i.types) = 0 or y.type = any (i.types)
        union
        select y.* from unnest($1::text[]) as w(match)
        cross join lateral (select array(select jsonb_array_elements_text(w.match::jsonb -> 'types')) as types) as i
        join holdfast.event y on y.type = any (i.types)
        where w.match::jsonb #> '{tags,0}' is null) as x) as e on true
order by e.position

-- name: save_snapshot
-- Promise: keeps the state of a stream at a version, unless a newer one is kept already.
insert into holdfast.snapshot as s (stream, name, version, schema_version, state, taken_at)
values ($1::text, $2::text, $3::bigint, $4::smallint, $5::text::jsonb, holdfast.now())
on conflict (stream, name) do update set version = excluded.version, schema_version = excluded.schema_version,
    state = excluded.state, taken_at = excluded.taken_at
where s.version < excluded.version or s.schema_version <> excluded.schema_version

-- name: load_snapshot
-- Promise: the newest kept state of that schema version; none for another one, so that a changed shape is built anew.
select s.version, s.state::text, s.taken_at from holdfast.snapshot s
where s.stream = $1::text and s.name = $2::text and s.schema_version = $3::smallint

-- name: drop_snapshots
-- Promise: the snapshots of that name are gone; they are built anew from events.
delete from holdfast.snapshot s where s.name = $1::text
