-- The leases of partitions: who serves a projection, and what each process holds of it.

-- name: declare
-- Promise: makes the projection known with its first model; false: there are models, and none of this code version.
SELECT holdfast.declare_projection_v1($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: register
-- Promise: a number for this process, and why it may not serve, if it may not.
SELECT projector, refusal FROM holdfast.register_projector_v1($1, $2, $3, $4, $5, $6, $7, $8)

-- name: renew
-- Promise: renews projectors and those of their leases that run out soon. Never waits for a row.
SELECT holdfast.renew_projectors_v1($1, $2)

-- name: hold
-- Promise: gives back what is above the fair share, takes what is free below it, tells what is held now.
SELECT model, state, schema_name, partition, epoch, checkpoint, effects_after, failing, rests_seconds
FROM holdfast.hold_partitions_v1($1, $2)

-- name: retire
-- Promise: everything this projector holds is free at once.
SELECT holdfast.retire_projector_v1($1)

-- name: is_served
-- Promise: whether a live process serves this code of the projection.
SELECT EXISTS (SELECT FROM holdfast.live_projectors_v1($1, $2))
