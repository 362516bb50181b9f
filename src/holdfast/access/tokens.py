"""Tokens: the credentials of programs, and of people who have no OIDC."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from holdfast.access.principal import Principal, permissions_of
from holdfast.access.roles import Permission, Role
from holdfast.access.secrets import TOKEN_PREFIX, digest_of, new_secret
from holdfast.db import DRIVER_ERRORS, Database, load_statements
from holdfast.errors import ConfigurationError, TokenNotFound, Unauthenticated
from holdfast.telemetry import get_logger

_SQL = load_statements("holdfast.access", "access.sql")
_NEWEST = 2**63 - 1
_LONGEST_SECRET = 200

log = get_logger("access")


class Token(Struct, frozen=True):
    """A token as people see it; its secret was shown once."""

    id: int
    name: str
    role: str | None
    permissions: tuple[str, ...]
    queues: tuple[str, ...] | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    used_at: datetime | None
    """To the minute."""
    revoked_at: datetime | None
    revoked_by: str | None
    standing: str
    """good, expired or revoked."""


class Tokens:
    """Tokens, over a handle on the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        name: str,
        *,
        by: str,
        role: Role | None = None,
        permissions: Collection[Permission] = (),
        queues: Collection[str] | None = None,
        expires_in_seconds: float | None = None,
    ) -> tuple[int, str]:
        """A new token: its id and its secret, which nobody can read again. Raises ``ConfigurationError``."""
        if not name.strip():
            raise ConfigurationError("a token needs a name", remedy="name the person or the program that will use it")
        if role is None and not permissions:
            raise ConfigurationError("a token needs a role or permissions", remedy=f"roles are {', '.join(Role)}")
        if queues is not None and not queues:
            raise ConfigurationError("a token for no queue opens nothing", remedy="name queues, or leave them out")
        secret = new_secret(TOKEN_PREFIX)
        created = await self._database.fetchval(
            _SQL["create_token"],
            name,
            digest_of(secret),
            role,
            sorted(permissions),
            _sorted(queues),
            by,
            expires_in_seconds,
        )
        return int(created), secret

    async def create_first(self, name: str = "first admin") -> str | None:
        """The secret of an admin token if there is no token at all; ``None`` otherwise."""
        secret = new_secret(TOKEN_PREFIX)
        created = await self._database.fetchval(_SQL["create_first_token"], name, digest_of(secret))
        return None if created is None else secret

    async def list(
        self, *, before: int | None = None, limit: int = 50, queues: Collection[str] | None = None
    ) -> Sequence[Token]:
        """The newest tokens first, also those that open nothing any more; ``queues``: those of these queues alone."""
        return await self._page(before, limit, queues=queues)

    async def show(self, token_id: int) -> Token:
        """One token. Raises ``TokenNotFound``."""
        found = await self._page(None, 1, token_id)
        if not found:
            raise _unknown(token_id)
        return found[0]

    async def revoke(self, token_id: int, *, by: str, queues: Collection[str] | None = None) -> str:
        """Let a token and its sessions open nothing from now on; returns its name.

        ``queues``: only if it is of these queues alone. Raises ``TokenNotFound``.
        """
        name = await self._database.fetchval(_SQL["revoke_token"], token_id, by, _sorted(queues))
        if name is None:
            raise _unknown(token_id)
        return str(name)

    async def principal_of(self, secret: str) -> Principal:
        """Who shows this secret. Raises ``Unauthenticated`` for one that is wrong, expired or revoked."""
        row = None
        if len(secret) <= _LONGEST_SECRET:
            row = await self._database.fetchrow(_SQL["find_token"], digest_of(secret))
        if row is None:
            raise Unauthenticated("there is no such token", remedy="look for a typing mistake, or ask for a new one")
        if row["standing"] != "good":
            raise Unauthenticated(
                f"the token {row['name']!r} is {row['standing']}", remedy="ask an admin for a new one"
            )
        if row["is_stale"]:
            await self._touch(row["id"])
        return principal_of_token(
            row["id"], row["name"], row["role"], row["permissions"], row["queues"], kind_is_session=False
        )

    async def _touch(self, token_id: int) -> None:
        try:
            await self._database.execute(_SQL["touch_token"], token_id)
        except DRIVER_ERRORS as error:
            log.debug("when token %d was used is not noted: %s", token_id, error)

    async def _page(
        self, before: int | None, limit: int, token_id: int | None = None, queues: Collection[str] | None = None
    ) -> Sequence[Token]:
        rows = await self._database.fetch(_SQL["list_tokens"], before or _NEWEST, limit, token_id, _sorted(queues))
        return [
            Token(
                **{
                    **dict(row),
                    "permissions": tuple(row["permissions"]),
                    "queues": None if row["queues"] is None else tuple(row["queues"]),
                }
            )
            for row in rows
        ]


def principal_of_token(
    token_id: int,
    name: str,
    role: str | None,
    permissions: Iterable[str],
    queues: Iterable[str] | None,
    *,
    kind_is_session: bool,
) -> Principal:
    """What a stored token permits; what a newer program stored and this one does not know permits nothing."""
    roles = (Role(role),) if role in set(Role) else ()
    known = {Permission(word) for word in permissions if word in set(Permission)}
    return Principal(
        name,
        "session" if kind_is_session else "token",
        permissions_of(roles, known),
        roles,
        None if queues is None else frozenset(queues),
        token_id=token_id,
    )


def _sorted(queues: Collection[str] | None) -> Sequence[str] | None:
    return None if queues is None else sorted(queues)


def _unknown(token_id: int) -> TokenNotFound:
    return TokenNotFound(f"there is no token {token_id} that could be revoked", remedy="list them: holdfast token list")
