-- What a projection reads: the log by partition, never past what is settled.

-- name: bounds
-- How far the partitions of this model may be read: to the settled position, and a model that is not live no further than the live one.
SELECT settled, live FROM holdfast.bounds_v1($1, $2)

-- name: next_events
-- The next events of each partition after its checkpoint, up to its bound, at most $6 of each, by position; with whether their stream is parked.
SELECT 1

-- name: stream_events
-- Events of one stream from $2 to $3 that the projection is for, at most $4, by position.
SELECT 1
