"""``app.queues``: the lines that jobs wait in, and who serves them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import Struct

from holdfast.db import Database, load_statements
from holdfast.jobs.queue_views import QueueView, tasks_of, view_queue, view_queues
from holdfast.telemetry import emit

_SQL = load_statements("holdfast.jobs", "queues.sql")


class QueueInfo(Struct, frozen=True):
    """A queue as people see it. ``ready`` is a lower bound unless ``ready_is_exact``; totals lag a few seconds."""

    name: str
    ready: int
    ready_is_exact: bool
    oldest_seconds: float | None
    scheduled: int
    blocked: int
    running: int
    paused_at: datetime | None
    pause_reason: str | None
    completed: int
    failed: int
    cancelled: int
    retried: int
    lost: int
    unfinished_about: int


class LeftToRun(NamedTuple):
    """What a drain of some queues still waits for."""

    jobs: bool
    """Jobs to run, those among them that a worker held which looks dead: they are about to be put back."""
    retries: bool
    """Retries that are due within the horizon."""
    settling: bool
    """A batch may be ending."""
    operations: bool
    """An operation runs: any worker does it, whatever queues it serves, and it may bring jobs back."""


class Queues:
    """``app.queues``: the lines that jobs wait in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pause(self, queue: str, *, reason: str | None = None, by: str | None = None) -> bool:
        """Claim nothing more from a queue; what runs, runs on. ``by``: who to ask about it. False: it was paused."""
        changed = bool(await self._database.fetchval(_SQL["pause_queue"], queue, reason, by))
        if changed:
            emit("jobs.queue.paused", queue=queue)
        return changed

    async def resume(self, queue: str) -> bool:
        """Claim from a queue again. False: it was not paused."""
        changed = bool(await self._database.fetchval(_SQL["resume_queue"], queue))
        if changed:
            emit("jobs.queue.resumed", queue=queue)
        return changed

    async def workers(self, *, dead_within_seconds: float = 600.0) -> list[dict[str, Any]]:
        """Live workers, and those that ended within the last ten minutes."""
        return [dict(row) for row in await self._database.fetch(_SQL["workers"], dead_within_seconds)]

    async def left_to_run(self, queues: Sequence[str], *, horizon_seconds: float) -> LeftToRun:
        """What a worker that drains these queues still has to wait for."""
        row = await self._database.fetchrow(_SQL["left_to_run"], list(queues), horizon_seconds)
        return LeftToRun(
            jobs=bool(row["ready"] or row["left_behind"]),
            retries=bool(row["retries"]),
            settling=row["settling"],
            operations=row["operating"],
        )

    async def backlog(self, queues: Sequence[str], *, count_up_to: int = 100_000) -> int:
        """How many jobs of these queues are ready, counted up to a limit."""
        return int(await self._database.fetchval(_SQL["backlog"], list(queues), count_up_to))

    async def views(
        self, *, queues: Collection[str] | None = None, after: str | None = None, limit: int = 200
    ) -> Sequence[QueueView]:
        """Queues by name as a page shows them, those after the name ``after``."""
        return await view_queues(self._database, queues=queues, after=after, limit=limit)

    async def view(self, name: str) -> QueueView:
        """One queue as a page shows it. Raises ``QueueUnknown``."""
        return await view_queue(self._database, name)

    async def tasks_of(self, name: str) -> Sequence[str]:
        """The tasks that workers have declared for a queue."""
        return await tasks_of(self._database, name)

    async def list(self, *, count_up_to: int = 10_000) -> list[QueueInfo]:
        """Every queue that has jobs, had some, is paused, or has a worker."""
        rows = await self._database.fetch(_SQL["depths"], count_up_to)
        return [QueueInfo(row["queue"], *tuple(row)[1:]) for row in rows]
