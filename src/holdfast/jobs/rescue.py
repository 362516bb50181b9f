"""What becomes of the jobs of a dead worker."""

from __future__ import annotations

from holdfast.db import Database, load_statements
from holdfast.jobs.records import Claimed

_SQL = load_statements("holdfast.jobs", "hot.sql")


async def rescue(database: Database, worker: int, *, max_losses: int) -> int:
    """Put back what a dead worker held and had not finished; returns how many jobs.

    Safe to repeat, and meant to be: a lease that was locked, or that a late claim made after the first look, is found
    by the next call. A job lost ``max_losses`` times while it alone could be the cause fails for good.
    """
    return int(await database.fetchval(_SQL["rescue"], worker, max_losses, pool="control"))


async def count_loss(database: Database, claimed: Claimed, reason: str, *, counted: bool) -> tuple[int, int] | None:
    """Remember that what ran this attempt died; returns how often that happened to the job, and how often it counted.

    None: the lease is lost as well, and whoever took the job over has counted.
    """
    row = await database.fetchrow(
        _SQL["count_loss"], claimed.lease, claimed.id, claimed.queue, counted, reason, pool="control"
    )
    return None if row is None else (int(row["losses"]), int(row["counted"]))
