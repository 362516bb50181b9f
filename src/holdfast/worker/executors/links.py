"""Under which names engines run the attempts of this worker, kept where people look and the next lease finds it."""

from __future__ import annotations

from holdfast.db import Database, load_statements
from holdfast.errors import LeaseLost
from holdfast.jobs import Claimed

_SQL = load_statements("holdfast.jobs", "hot.sql")


class AttemptLinks:
    """Rows of ``attempt_link``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, claimed: Claimed, engine: str, external_id: str, log_url: str | None = None) -> None:
        """Remember what this attempt is called over there. Raises ``LeaseLost`` when it is no longer ours."""
        ours = await self._database.fetchval(
            _SQL["link_attempt"],
            claimed.lease,
            claimed.id,
            claimed.attempt,
            engine,
            external_id,
            log_url,
            pool="control",
        )
        if not ours:
            raise LeaseLost(f"job {claimed.id} is no longer this worker's")

    async def last(self, claimed: Claimed, engine: str) -> str | None:
        """What an earlier lease of this very attempt is called over there; it may still run, or have finished."""
        found = await self._database.fetchval(_SQL["last_link"], claimed.id, claimed.attempt, engine, pool="control")
        return None if found is None else str(found)
