-- The work of a projector: read, apply, checkpoint, and what becomes of failures.

-- name: begin
-- Promise: the transaction's own settings: a frozen worker's is ended by the server, and tables are found in the model's schema.
SELECT set_config('idle_in_transaction_session_timeout', $1, true),
       CASE WHEN $2::text IS NOT NULL
            THEN set_config('search_path', quote_ident($2) || ', ' || current_setting('search_path'), true) END

-- name: checkpoint
-- Promise: fence, renewal and checkpoint in one: fewer rows than partitions means that the lease is lost.
SELECT holdfast.checkpoint_v1($1, $2, $3, $4, $5, $6, $7)

-- name: upsert_rows
-- Promise: stores the rows that a batch handler returned, by their key.
SELECT holdfast.upsert_rows_v1($1, $2, $3, $4)

-- name: park_failed
-- Promise: the stream waits from this event on, others go on.
SELECT holdfast.park_failed_v1($1, $2, $3, $4, $5, $6, $7, $8)

-- name: stop_at
-- Promise: the partition rests before this event; only its owner can say so.
SELECT holdfast.stop_at_v1($1, $2, $3, $4, $5, $6)

-- name: due_parked
-- Promise: streams of our partitions whose retry is due, the longest waiting first.
SELECT stream, partition FROM holdfast.projection_parked
WHERE projection = $1 AND model = $2 AND retry_at <= holdfast.now() AND partition = ANY ($3)
ORDER BY retry_at LIMIT 20

-- name: lock_parked
-- Promise: the stream, for the length of this transaction ours; nothing when an operator has it in hand.
SELECT next_position, attempts FROM holdfast.projection_parked
WHERE projection = $1 AND model = $2 AND stream = $3 AND retry_at <= holdfast.now() FOR UPDATE SKIP LOCKED

-- name: parked_went_on
-- Promise: the stream has been handled up to before this position, and waits with no failure.
UPDATE holdfast.projection_parked SET next_position = $4, attempts = 0, error = NULL WHERE projection = $1 AND model = $2 AND stream = $3

-- name: unpark
-- Promise: the stream has caught up with its partition: its events flow again.
DELETE FROM holdfast.projection_parked WHERE projection = $1 AND model = $2 AND stream = $3
