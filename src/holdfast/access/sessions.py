"""Sessions: browsers that have shown a credential once and are known by a cookie since."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from msgspec import Struct

from holdfast.access.principal import Principal
from holdfast.access.roles import Permission, Role
from holdfast.access.secrets import SESSION_PREFIX, csrf_token_of, digest_of, new_secret
from holdfast.access.tokens import principal_of_token
from holdfast.db import DRIVER_ERRORS, Database, load_statements
from holdfast.telemetry import get_logger

_SQL = load_statements("holdfast.access", "access.sql")
_NEWEST = 2**63 - 1
_LONGEST_SECRET = 200
_LONGEST_AGENT = 300

log = get_logger("access")


class Session(Struct, frozen=True):
    """A browser that is signed in."""

    id: int
    name: str
    token_id: int | None
    client: str | None
    agent: str | None
    created_at: datetime
    seen_at: datetime
    """To the minute."""
    expires_at: datetime


class Credential(Struct, frozen=True):
    """What somebody signs in with, once it was checked; ``expires_at``: when it ends by itself."""

    principal: Principal
    expires_at: datetime | None = None


class Sessions:
    """Sessions, over a handle on the database."""

    def __init__(self, database: Database, *, idle_seconds: float, longest_seconds: float) -> None:
        """A session ends when it was not seen for so long, and after ``longest_seconds`` whatever it does."""
        self._database = database
        self._idle_seconds = idle_seconds
        self._longest_seconds = longest_seconds

    async def open(
        self, credential: Credential, *, client: str | None = None, agent: str | None = None
    ) -> tuple[Principal, str]:
        """A new session, and its secret. Always a new one: a cookie that somebody planted before never becomes one."""
        who, secret = credential.principal, new_secret(SESSION_PREFIX)
        session_id = await self._database.fetchval(
            _SQL["open_session"],
            digest_of(secret),
            who.token_id,
            who.name,
            sorted(who.permissions),
            list(who.roles),
            None if who.queues is None else sorted(who.queues),
            client,
            agent and _storable(agent)[:_LONGEST_AGENT],
            self._longest_seconds,
            credential.expires_at,
        )
        return (
            replace(who, kind="session", session_id=int(session_id), csrf_token=csrf_token_of(secret)),
            secret,
        )

    async def principal_of(self, secret: str) -> Principal | None:
        """Who is signed in with this secret; ``None``: nobody, or not any more."""
        if len(secret) > _LONGEST_SECRET:
            return None
        row = await self._database.fetchrow(_SQL["find_session"], digest_of(secret), self._idle_seconds)
        if row is None:
            return None
        if row["is_stale"]:
            await self._touch(row["id"])
        if row["token_id"] is not None:
            who = principal_of_token(
                row["token_id"],
                row["token_name"],
                row["token_role"],
                row["token_permissions"],
                row["token_queues"],
                kind_is_session=True,
            )
        else:
            who = Principal(
                row["name"],
                "session",
                frozenset(Permission(word) for word in row["permissions"] if word in set(Permission)),
                tuple(Role(word) for word in row["roles"] if word in set(Role)),
                None if row["queues"] is None else frozenset(row["queues"]),
            )
        return replace(who, session_id=row["id"], csrf_token=csrf_token_of(secret))

    async def end(self, session_id: int, *, queues: Collection[str] | None = None) -> str | None:
        """Sign it out; the name of who was signed in, ``None`` when it had ended already.

        ``queues``: only if it is of these queues alone.
        """
        name = await self._database.fetchval(_SQL["end_session"], session_id, None if queues is None else list(queues))
        return None if name is None else str(name)

    async def list(
        self, *, before: int | None = None, limit: int = 50, queues: Collection[str] | None = None
    ) -> Sequence[Session]:
        """Open sessions, the newest first; ``queues``: those of these queues alone."""
        of = None if queues is None else list(queues)
        rows = await self._database.fetch(_SQL["list_sessions"], before or _NEWEST, limit, self._idle_seconds, of)
        return [Session(**dict(row)) for row in rows]

    async def _touch(self, session_id: int) -> None:
        try:
            await self._database.execute(_SQL["touch_session"], session_id)
        except DRIVER_ERRORS as error:
            log.debug("when session %d was seen is not noted: %s", session_id, error)


def _storable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
