-- name: enqueued
-- Promise: every job of the task $1 that this transaction can see, oldest first, and where it stands.
select j.id, j.queue, p.place, j.priority, j.args::text, p.due_at, j.unique_key
from holdfast.every_job j cross join lateral holdfast.places_v1(array[j.id]) p
where j.task = $1::text
order by j.id
