"""What a worker does for access: it lets go of what is too old."""

from __future__ import annotations

from holdfast.db import Database, load_statements
from holdfast.worker import Surroundings

_SQL = load_statements("holdfast.access", "access.sql")
_EVERY_SECONDS = 3600.0
_AT_ONCE = 10_000


class AccessKeeper:
    """Once an hour: idempotency keys of yesterday, ended sessions, rows of the audit that are older than was asked."""

    name = "access keeper"

    def __init__(self, *, audit_days: int) -> None:
        self._audit_days = audit_days
        self._database: Database | None = None

    async def start(self, surroundings: Surroundings) -> None:
        """Begin; a drain has no time for it."""
        self._database = surroundings.database
        if not surroundings.draining:
            surroundings.every(_EVERY_SECONDS, self._tidy, name="access housekeeping")

    async def stop(self) -> None:
        """Nothing to hand back."""

    async def _tidy(self) -> float | None:
        return 1.0 if self._database is not None and await prune(self._database, self._audit_days) else None


async def prune(database: Database, audit_days: int) -> bool:
    """Let go of what is too old; whether there may be more."""
    return int(await database.fetchval(_SQL["prune_access"], audit_days, _AT_ONCE, pool="control")) >= _AT_ONCE
