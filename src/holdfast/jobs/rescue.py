"""What becomes of the jobs of a dead worker."""

from __future__ import annotations

from holdfast.db import Database, load_statements

_SQL = load_statements("holdfast.jobs", "hot.sql")


async def rescue(database: Database, worker: int, *, max_losses: int) -> int:
    """Put back what a dead worker held and had not finished; returns how many jobs.

    Safe to repeat, and meant to be: a lease that was locked, or that a late claim made after the first look, is found
    by the next call. A job lost ``max_losses`` times while it alone could be the cause fails for good.
    """
    return int(await database.fetchval(_SQL["rescue"], worker, max_losses, pool="control"))
