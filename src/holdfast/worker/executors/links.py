"""Under which names engines run the attempts of this worker, kept where people look and the next lease finds it."""

from __future__ import annotations

from holdfast.db import DRIVER_ERRORS, Database, load_statements
from holdfast.errors import DatabaseUnavailable, LeaseLost
from holdfast.jobs import Claimed
from holdfast.telemetry import get_logger
from holdfast.worker.executors.contract import WorkDied

log = get_logger("worker")

_SQL = load_statements("holdfast.jobs", "hot.sql")


class AttemptLinks:
    """Rows of ``attempt_link``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, claimed: Claimed, engine: str, external_id: str, log_url: str | None = None) -> None:
        """Remember what this attempt is called over there. Raises ``LeaseLost`` when it is no longer ours.

        A database that is away does not end the attempt: then nobody sees the link, and the next lease submits anew.
        """
        link = (claimed.lease, claimed.id, claimed.attempt, engine, external_id, log_url)
        try:
            ours = await self._database.fetchval(_SQL["link_attempt"], *link, pool="control")
        except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
            log.warning("job %d runs as %s %s, which could not be kept: %s", claimed.id, engine, external_id, error)
            return
        if not ours:
            raise LeaseLost(f"job {claimed.id} is no longer this worker's")

    async def last(self, claimed: Claimed, engine: str) -> str | None:
        """What an earlier lease of this very attempt is called over there; it may still run, or have finished.

        Raises ``WorkDied`` while the database is away: submitting blindly could do hours of work twice.
        """
        try:
            found = await self._database.fetchval(
                _SQL["last_link"], claimed.id, claimed.attempt, engine, pool="control"
            )
        except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
            raise WorkDied(f"the database could not say whether it runs already: {error}", blamed=False) from error
        return None if found is None else str(found)
