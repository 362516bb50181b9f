-- What a projection reads: the log by partition, never past what is settled.

-- name: bounds
-- Promise: how far the partitions of this model may be read: to the settled position, and a model that is not live no further than the live one.
SELECT settled, live FROM holdfast.bounds_v1($1, $2)

-- name: next_events
-- Promise: the next events of each partition after its checkpoint, up to its bound; with whether their stream is parked.
SELECT * FROM holdfast.next_events_v1($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: stream_events
-- Promise: events of one stream between two positions, both included, that the projection is for.
SELECT * FROM holdfast.stream_part_v1($1, $2, $3, $4, $5, $6, $7)
