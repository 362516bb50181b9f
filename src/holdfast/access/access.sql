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

-- name: create_token
-- Promise: one token; what is stored of its secret is $2.
insert into holdfast.access_token (name, digest, role, permissions, queues, created_by, expires_at)
values ($1, $2, $3, $4::text[], $5::text[], $6, holdfast.now() + make_interval(secs => $7::double precision))
returning id

-- name: create_first_token
-- Promise: one admin token for $1 of digest $2 if there is no token at all, and its id; NULL otherwise. Once, however
-- many processes start together.
select holdfast.create_first_token_v1($1, $2)

-- name: find_token
-- Promise: the token of this digest and how it stands; by its unique index.
select t.id, t.name, t.role, t.permissions, t.queues,
       case when t.revoked_at is not null then 'revoked' when t.expires_at <= holdfast.now() then 'expired'
            else 'good' end as standing,
       t.used_at is null or t.used_at < holdfast.now() - interval '1 minute' as is_stale
from holdfast.access_token t where t.digest = $1

-- name: touch_token
-- Promise: the token was used now, to the minute; a row at a time, by its key.
update holdfast.access_token set used_at = holdfast.now()
where id = $1 and (used_at is null or used_at < holdfast.now() - interval '1 minute')

-- name: list_tokens
-- Promise: the newest tokens below an id, at most $2, of these queues alone ($4; null: all); by the primary key.
select t.id, t.name, t.role, t.permissions, t.queues, t.created_at, t.created_by, t.expires_at, t.used_at, t.revoked_at,
       t.revoked_by,
       case when t.revoked_at is not null then 'revoked' when t.expires_at <= holdfast.now() then 'expired'
            else 'good' end as standing
from holdfast.access_token t
where t.id < $1 and ($3::bigint is null or t.id = $3) and ($4::text[] is null or t.queues <@ $4::text[])
order by t.id desc limit $2

-- name: revoke_token
-- Promise: the token opens nothing from now on, nor do its sessions; its name, or NULL when there was nothing to revoke,
-- or it opens more than these queues ($3; null: all).
update holdfast.access_token set revoked_at = holdfast.now(), revoked_by = $2
where id = $1 and revoked_at is null and ($3::text[] is null or queues <@ $3::text[]) returning name

-- name: open_session
-- Promise: one session; what is stored of its secret is $1. It ends $9 seconds from now, or at $10 if that is earlier.
insert into holdfast.access_session (digest, token_id, name, permissions, roles, queues, client, agent, expires_at)
values ($1, $2, $3, $4::text[], $5::text[], $6::text[], $7, $8,
        least(holdfast.now() + make_interval(secs => $9::double precision), $10::timestamptz))
returning id

-- name: find_session
-- Promise: the session of this digest if it is open and was seen within $2 seconds, with what its token permits now; by
-- unique indexes.
select s.id, s.name, s.token_id, s.permissions, s.roles, s.queues, t.name as token_name, t.role as token_role,
       t.permissions as token_permissions, t.queues as token_queues,
       s.seen_at < holdfast.now() - interval '1 minute' as is_stale
from holdfast.access_session s left join holdfast.access_token t on t.id = s.token_id
where s.digest = $1 and s.ended_at is null and s.expires_at > holdfast.now()
  and s.seen_at > holdfast.now() - make_interval(secs => $2::double precision)
  and (s.token_id is null or (t.revoked_at is null and (t.expires_at is null or t.expires_at > holdfast.now())))

-- name: touch_session
-- Promise: the session was seen now, to the minute; a row at a time, by its key.
update holdfast.access_session set seen_at = holdfast.now()
where id = $1 and seen_at < holdfast.now() - interval '1 minute' and ended_at is null

-- name: end_session
-- Promise: the session opens nothing from now on; its name, or NULL when it had ended already, or opens more than these
-- queues ($2; null: all).
update holdfast.access_session set ended_at = holdfast.now()
where id = $1 and ended_at is null and ($2::text[] is null or queues <@ $2::text[]) returning name

-- name: find_ended
-- Promise: of these tokens and sessions, those that open nothing any more ($3: seconds after which an unseen session has
-- ended); by primary keys.
select 'token' as kind, asked.id
from unnest($1::bigint[]) asked(id)
where not exists (
    select from holdfast.access_token t
    where t.id = asked.id and t.revoked_at is null and (t.expires_at is null or t.expires_at > holdfast.now()))
union all
select 'session', asked.id
from unnest($2::bigint[]) asked(id)
where not exists (
    select from holdfast.access_session s left join holdfast.access_token t on t.id = s.token_id
    where s.id = asked.id and s.ended_at is null and s.expires_at > holdfast.now()
      and s.seen_at > holdfast.now() - make_interval(secs => $3::double precision)
      and (s.token_id is null or (t.revoked_at is null and (t.expires_at is null or t.expires_at > holdfast.now()))))

-- name: list_sessions
-- Promise: the newest sessions below an id that are open, at most $2, of these queues alone ($4; null: all); by the
-- primary key.
select s.id, s.name, s.token_id, s.client, s.agent, s.created_at, s.seen_at, s.expires_at
from holdfast.access_session s
where s.id < $1 and s.ended_at is null and s.expires_at > holdfast.now()
  and s.seen_at > holdfast.now() - make_interval(secs => $3::double precision)
  and ($4::text[] is null or s.queues <@ $4::text[])
order by s.id desc limit $2

-- name: prune_access
-- Promise: lets go of what is too old, at most $2 rows of each kind; by the indexes on their ages.
select holdfast.prune_access_v1($1, $2)

-- name: take_request_key
-- Promise: takes an idempotency key for this transaction, waiting for a request of that key that is at work; or tells
-- what its first request was answered.
select is_new, is_same, status, body from holdfast.take_request_key_v1($1, $2, $3)

-- name: answer_request_key
-- Promise: keeps the answer beside the key, in the transaction that took it.
select holdfast.answer_request_key_v1($1, $2, $3, $4)

-- name: drop_request_key
-- Promise: the key is free again; by its primary key.
delete from holdfast.request_key where actor = $1 and key = $2
