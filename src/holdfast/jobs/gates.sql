-- name: admit
-- Promise: whoever may pass its gates is ready, its slots taken: after the jobs $1 that have ended, at the gates $2, after the calls above $3, and in a part of all gates from $4 on.
select is_mine, seated, heard, opens_us, swept, queues from holdfast.admit_v1($1::bigint[], $2::text[], $3::bigint, $4::text, $5::integer)

-- name: call_mark
-- Promise: no call at or below settled is there or can appear; pending and fence are for the next call.
select settled, pending, fence from holdfast.call_mark_v1($1::bigint, $2::text[])

-- name: declare_limits
-- Promise: the database knows these limits; unchanged ones are not written, an operator's choice stays.
select holdfast.declare_limits_v1($1::text[], $2::integer[], $3::bigint[], $4::text[]::jsonb[])

-- name: limits
-- Promise: every limit and rate, and at most $1 keys of them that are in use.
select name, capacity, declared, per_us, gate, taken, waiting from holdfast.limits_v1($1::integer)

-- name: set_limit
-- Promise: the limit or rate $1 lets through $2 from now on, or as many as declared; false: there is none.
select holdfast.set_limit_v1($1::text, $2::integer)

-- name: audit_gates
-- Promise: every breach of the law of gates.
select gate, job_id, trouble from holdfast.audit_gates_v1()
