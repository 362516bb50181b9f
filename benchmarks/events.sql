-- name: raw_one
-- Promise: one row in the table of events, with every index it has.
insert into holdfast.event (version, recorded_at, id, partition, schema_version, stream, type, data)
values ($1::bigint, now(), $2::uuid, $3::smallint, 1, $4::text, $5::text, $6::text::jsonb) returning position

-- name: raw_many
-- Promise: the rows of one stream after version $1, in one statement.
insert into holdfast.event (version, recorded_at, id, partition, schema_version, stream, type, data)
select $1::bigint + i.nth, now(), i.id, $3::smallint, 1, $4::text, i.type, i.data
from unnest($2::uuid[], $5::text[], $6::text[]::jsonb[]) with ordinality as i(id, type, data, nth) returning position

-- name: work
-- Promise: takes as long as other work in the transaction would.
select pg_sleep($1::double precision)
