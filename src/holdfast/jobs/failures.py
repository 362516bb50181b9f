"""``app.failures``: what goes wrong, told apart by what it is and where it comes from.

A group is one task, one type of error, one function of the application in which it was raised. Lines and messages are
left out: they change with every release and every user. Groups count jobs that have failed for good.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from holdfast.db import Database, load_statements
from holdfast.errors import ConfigurationError, FailureUnknown

_SQL = load_statements("holdfast.jobs", "failures.sql")
_FOLD_AT_ONCE = 2_000


class FailureState(StrEnum):
    """What people have made of a group."""

    NEW = "new"  # nobody has looked at it
    SEEN = "seen"  # somebody has
    RESOLVED = "resolved"  # somebody has put an end to it, and nothing failed since
    REGRESSED = "regressed"  # … and it has failed again


class FailureGroup(Struct, frozen=True):
    """Failures that are one failure. ``buckets``: how many in each of the last 24 hours, the oldest first.

    ``failures`` counts them since ``first_at``; a job that is retried and fails again counts twice.
    """

    fingerprint: str
    task: str
    error_type: str
    frame: str | None
    queues: Sequence[str]
    message: str
    failures: int
    first_at: datetime
    last_at: datetime
    sample_job: int
    state: FailureState
    note: str | None
    marked_at: datetime | None
    marked_by: str | None
    buckets: Sequence[int]


class Failures:
    """``app.failures``: failures in groups."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self,
        *,
        queues: Collection[str] | None = None,
        after: tuple[datetime, str] | None = None,
        limit: int = 50,
    ) -> Sequence[FailureGroup]:
        """Groups of these queues, the last to fail first; ``after``: ``last_at`` and fingerprint of the last one."""
        last_at, fingerprint = after or (None, None)
        wanted = None if queues is None else sorted(queues)
        rows = await self._database.fetch(_SQL["groups"], wanted, last_at, fingerprint, None, limit)
        return [_group(row) for row in rows]

    async def show(self, fingerprint: str, *, queues: Collection[str] | None = None) -> FailureGroup:
        """One group. Raises ``FailureUnknown``."""
        wanted = None if queues is None else sorted(queues)
        rows = await self._database.fetch(_SQL["groups"], wanted, None, None, fingerprint, 1)
        if not rows:
            raise FailureUnknown(
                f"there is no group of failures {fingerprint!r}",
                remedy="fingerprints stand in holdfast failure list; groups go with their jobs, after retention_days",
            )
        return _group(rows[0])

    async def mark(
        self, fingerprint: str, state: FailureState | str, *, note: str | None = None, by: str | None = None
    ) -> FailureGroup:
        """Say that a group was ``seen``, is ``resolved``, or is ``new`` again. Raises ``FailureUnknown``.

        One that is resolved and fails again has regressed, without anybody saying so.
        """
        if state not in (FailureState.NEW, FailureState.SEEN, FailureState.RESOLVED):
            raise ConfigurationError(f"nobody can mark a failure as {state}", remedy="say new, seen or resolved")
        await self.show(fingerprint)
        if state == FailureState.NEW:
            await self._database.execute(_SQL["unmark"], fingerprint)
        else:
            await self._database.execute(_SQL["mark"], fingerprint, str(state), note, by)
        return await self.show(fingerprint)


class FailureFolder:
    """Counts what has failed into groups. Any worker may do it; one does at a time."""

    def __init__(self, database: Database, *, retention_days: int) -> None:
        self._database = database
        self._retention_days = retention_days

    async def fold(self) -> int:
        """Count everything that is noted; says how many notes were taken."""
        total = 0
        while taken := int(await self._database.fetchval(_SQL["fold"], _FOLD_AT_ONCE, pool="control")):
            total += taken
            if taken < _FOLD_AT_ONCE:
                break
        return total

    async def forget(self) -> None:
        """Let go of groups in which nothing has failed for as long as jobs are kept."""
        await self._database.execute(_SQL["forget"], self._retention_days, pool="control")


def _group(row: Any) -> FailureGroup:
    return FailureGroup(**{**dict(row), "state": FailureState(row["state"])})
