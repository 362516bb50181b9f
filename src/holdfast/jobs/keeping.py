"""Beside the jobs: due jobs become ready, counters are folded, history is kept in partitions and let go of."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Fault, Statement, classify, load_statements
from holdfast.telemetry import get_logger

_GATES = load_statements("holdfast.jobs", "gates.sql")
_HOT = load_statements("holdfast.jobs", "hot.sql")
_SQL = load_statements("holdfast.jobs", "keeping.sql")
_LONG_AGO = datetime(1, 1, 2, tzinfo=UTC)
_OVERLAP = timedelta(seconds=60)
_FULL_LOOK_EVERY_SECONDS = 5.0
_PROMOTE_AT_ONCE = 1000

log = get_logger("jobs")


class Promoter:
    """Moves due jobs into ready. Looks only a minute back, and at everything every five seconds, for late commits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mark = _LONG_AGO
        self._full_look_due_at = 0.0

    async def promote(self) -> float | None:
        """Promote what is due. Returns the seconds until the next job is due; 0: more is due; None: nothing waits."""
        if monotonic() >= self._full_look_due_at:
            self._mark = _LONG_AGO
            self._full_look_due_at = monotonic() + _FULL_LOOK_EVERY_SECONDS
        row = await self._database.fetchrow(_HOT["promote"], self._mark, _PROMOTE_AT_ONCE, pool="control")
        if row["last_due"] is not None:
            self._mark = row["last_due"] - _OVERLAP
        if row["promoted"] >= _PROMOTE_AT_ONCE:
            return 0.0
        return None if row["next_due_us"] is None else row["next_due_us"] / 1_000_000


class Keeper:
    """Housekeeping that any worker may do; each step is safe for several at once."""

    def __init__(self, database: Database, *, retention_days: int, job_log_days: int = 7) -> None:
        self._database = database
        self._retention_days = retention_days
        self._job_log_days = min(job_log_days, retention_days)

    async def fold(self) -> bool:
        """Bring the counters up to date. False: another worker is at it."""
        return bool(await self._database.fetchval(_SQL["fold"], pool="control"))

    async def tidy(self) -> None:
        """Make partitions ahead, forget dead workers and stale keys."""
        await self._database.fetchval(_SQL["make_partitions"], pool="control")
        await self._database.fetchval(_SQL["make_log_partitions"], pool="control")
        await self._database.fetchval(_SQL["sweep"], 10_000, pool="control")
        await self._database.fetchval(_SQL["forget_workers"], 3600.0, pool="control")

    async def retain(self) -> int:
        """Let go of history older than the retention; returns how many partitions were dropped.

        Steps: copy the unfinished aside, detach without stopping anybody, look once more, drop. What is interrupted is
        taken up by the next call. A reader that holds a partition only delays its end, nobody else.
        """
        await self._drop_log_lines()
        for name in await self._names("detached_partitions"):
            await self._drop(name)
        dropped = 0
        for name, until_id in await self._database.fetch(
            _SQL["expired_partitions"], self._retention_days, pool="control"
        ):
            await self._database.fetchval(_SQL["keep_stragglers"], name, until_id, pool="control")
            if not await self._detach(name):
                break
            dropped += await self._drop(name)
        return dropped

    async def _detach(self, name: str) -> bool:
        connection = await self._database.connect_direct()
        if connection is None:
            return False  # DETACH CONCURRENTLY cannot pass a transaction-mode pooler
        try:
            for text in await self._names("detach_statements", name):
                await connection.execute(text, timeout=600)
        except DRIVER_ERRORS as error:
            log.warning("partition %s could not be detached now, the next round goes on: %s", name, error)
            return False
        finally:
            connection.terminate()
        return True

    async def _drop(self, name: str) -> bool:
        try:
            await self._database.fetchval(_SQL["drop_detached"], name, pool="control")
        except DRIVER_ERRORS as error:
            if classify(error) is not Fault.CONTENDED:
                raise
            log.info("partition %s is still being read, it is dropped later", name)
            return False
        return True

    async def _drop_log_lines(self) -> None:
        try:
            await self._database.fetchval(_SQL["drop_log_partitions"], self._job_log_days, pool="control")
        except DRIVER_ERRORS as error:
            if classify(error) is not Fault.CONTENDED:
                raise
            log.info("old log lines of jobs are still being read, they are dropped later")

    async def _names(self, statement: str, *params: object) -> list[str]:
        return [row[0] for row in await self._database.fetch(_SQL[statement], *params, pool="control")]


async def audit(database: Database) -> tuple[list[tuple[int, list[str]]], list[tuple[int, str, str]]]:
    """The two laws: jobs that stand in no place or in several, and unfinished jobs that nobody is going to move."""
    standing, moving = await asyncio.gather(database.fetch(_SQL["audit"]), database.fetch(_SQL["audit_movers"]))
    return [(row[0], list(row[1])) for row in standing], [(row[0], row[1], row[2]) for row in moving]


async def audit_gates(database: Database) -> list[tuple[str, int | None, str]]:
    """The law of gates: never more slots than a gate has, each held by a job that may run, and nobody runs without."""
    return [(row[0], row[1], row[2]) for row in await database.fetch(_GATES["audit_gates"])]


async def declare_partition_days(database: Database, days: int) -> None:
    """Choose the width of partitions; has an effect only before the first job."""
    statement: Statement = _SQL["set_partition_days"]
    await database.execute(statement, days)
