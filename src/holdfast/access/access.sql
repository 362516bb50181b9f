-- Statements of access. Each is served by a primary key, a unique digest or an index of the audit.

-- name: write_audit
-- Promise: one row of the audit, in the transaction of its caller.
select holdfast.write_audit_v1($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9::text::jsonb, $10, $11, $12, $13)

-- name: audit_page
-- Promise: the newest rows of the audit below an id, at most $6; by actor, action or target with their index.
select a.id, a.at, a.actor, a.actor_kind, a.action, a.result, a.target_kind, a.target, a.reason, a.before::text as before,
       a.after::text as after, a.code, a.detail, a.request_id, a.client
from holdfast.audit a
where a.id < $1 and ($2::text is null or a.actor = $2) and ($3::text is null or a.action = $3)
  and ($4::timestamptz is null or a.at >= $4) and ($5::text is null or a.target = $5)
order by a.id desc
limit $6
