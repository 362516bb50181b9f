-- What people see of projections, and what they do to them.

-- name: list
-- Promise: every projection, or one, on a line: who serves it, how far it is, what waits for a person. Counts no further than $2 a partition.
SELECT * FROM holdfast.projections_v1($1, $2)

-- name: lag
-- Promise: every partition of one projection, or of all, with the events that wait and the age of the oldest.
SELECT * FROM holdfast.projection_lag_v1($1, $2)

-- name: parked
-- Promise: the streams that wait, with the event they wait at and why, the longest first.
SELECT k.stream, k.partition, k.next_position, k.attempts, k.parked_at, k.retry_at, k.error, k.reason
FROM holdfast.projection_parked k JOIN holdfast.projection_model m USING (projection, model)
WHERE k.projection = $1 AND m.state = 'live' ORDER BY k.parked_at LIMIT $2

-- name: has_caught_up
-- Promise: whether every visible event up to this position is in the live read model; null for an unknown projection.
SELECT holdfast.has_caught_up_v1($1, $2)

-- name: pause
-- Promise: returns when nothing more is applied, by nobody; null for an unknown projection, false when it was paused.
SELECT holdfast.pause_projection_v1($1, $2)

-- name: resume
-- Promise: goes on after a pause and after a stop; null for an unknown projection, false when it was running.
SELECT holdfast.resume_projection_v1($1)

-- name: retire
-- Promise: nobody serves it any more and health does not ask for it; null for an unknown projection.
SELECT holdfast.retire_projection_v1($1)

-- name: reset
-- Promise: handles the events after $2 again, without effects, after emptying the read model if asked; null for an unknown projection.
SELECT holdfast.reset_projection_v1($1, $2, $3)

-- name: park
-- Promise: from the checkpoint on the events of this stream wait; null for an unknown projection.
SELECT holdfast.park_stream_v1($1, $2, holdfast.partition_of($2), $3)

-- name: unpark
-- Promise: the stream, or every one for null, is handled again from where it stopped; returns how many.
SELECT holdfast.unpark_v1($1, $2)

-- name: skip
-- Promise: passes over the event that the stream waits at, with a reason that is kept; null when it waits at none.
SELECT holdfast.skip_v1($1, $2, $3)

-- name: skipped
-- Promise: events that somebody decided not to handle, the newest first.
SELECT stream, position, skipped_at, reason FROM holdfast.projection_skip WHERE projection = $1 ORDER BY skipped_at DESC LIMIT $2

-- name: models
-- Promise: the models of a projection, the live one first.
SELECT model, state, schema_name, code_version FROM holdfast.projection_model WHERE projection = $1 ORDER BY state = 'live' DESC, model

-- name: declared
-- Promise: what the database knows of a projection: its tables and the newest version of its code.
SELECT tables, code_version FROM holdfast.projection WHERE name = $1

-- name: start_rebuild
-- Promise: a new model from the beginning of the log, in tables of its own; nothing when one is being built already.
SELECT model, schema_name FROM holdfast.start_rebuild_v1($1, $2)

-- name: hold_still
-- Promise: the live model stands still for so long; null: it goes on.
SELECT holdfast.hold_still_v1($1, $2)

-- name: behind
-- Promise: how many partitions of this model are behind the live one.
SELECT count(*) FROM holdfast.projection_partition l
JOIN holdfast.projection_model m USING (projection, model)
JOIN holdfast.projection_partition t USING (projection, partition)
WHERE l.projection = $1 AND m.state = 'live' AND t.model = $2 AND t.checkpoint < l.checkpoint

-- name: lock_briefly
-- Promise: readers of the old tables are not queued behind us for longer than this.
SELECT set_config('lock_timeout', $1, true)

-- name: find_in
-- Promise: names without a schema mean this schema, for this transaction.
SELECT set_config('search_path', quote_ident($1) || ', ' || current_setting('search_path'), true)

-- name: switch
-- Promise: in one transaction the other model is live under the same names and the former is kept; returns how many partitions are behind.
SELECT holdfast.switch_model_v1($1, $2)

-- name: drop_model
-- Promise: a model that is built or kept, with its tables.
SELECT holdfast.drop_model_v1($1, $2)
