"""What some workers have done, as the rows tell it: the same whoever asks, and also after a worker was killed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from holdfast.db import Database, load_statements

_SQL = load_statements("holdfast.jobs", "work_done.sql")


class TaskWork(Struct, frozen=True):
    """Jobs of one task that ended, and how long they took. Cancelled ones may not have run."""

    queue: str
    task: str
    completed: int
    failed: int
    cancelled: int
    median_seconds: float | None
    p95_seconds: float | None
    longest_seconds: float | None


class ErrorGroup(Struct, frozen=True):
    """Jobs of one task that failed for good in the same way; ``examples`` are ids of up to three of them."""

    queue: str
    task: str
    type: str | None
    message: str | None
    jobs: int
    examples: list[int]


class QueueLeft(Struct, frozen=True):
    """What a queue still holds, counted up to ten thousand."""

    queue: str
    ready: int
    scheduled: int
    running: int
    paused: bool


class WorkDone(Struct, frozen=True):
    """What some workers did between two moments, and what they left."""

    began_at: datetime
    ended_at: datetime
    tasks: list[TaskWork]
    errors: list[ErrorGroup]
    left: list[QueueLeft]
    retried: int
    lost: int

    @property
    def completed(self) -> int:
        """Jobs that completed."""
        return sum(work.completed for work in self.tasks)

    @property
    def failed(self) -> int:
        """Jobs that failed for good."""
        return sum(work.failed for work in self.tasks)

    @property
    def cancelled(self) -> int:
        """Jobs that were cancelled while these workers had them."""
        return sum(work.cancelled for work in self.tasks)


async def work_done(
    database: Database, workers: Sequence[int], queues: Sequence[str], *, seconds: float, most_errors: int = 50
) -> WorkDone:
    """Read what these workers did within the last seconds, and what the queues still hold.

    Reads every outcome that is kept, once.
    """
    ids = list(workers)
    ended_at: datetime = await database.fetchval(_SQL["now"])
    began_at = ended_at - timedelta(seconds=seconds)
    return WorkDone(
        began_at=began_at,
        ended_at=ended_at,
        tasks=[TaskWork(**dict(row)) for row in await database.fetch(_SQL["by_task"], ids)],
        errors=[ErrorGroup(**dict(row)) for row in await database.fetch(_SQL["by_error"], ids, most_errors)],
        left=[QueueLeft(**dict(row)) for row in await database.fetch(_SQL["left"], list(queues), 10_000)],
        retried=int(await database.fetchval(_SQL["retried"], ids)),
        lost=int(await database.fetchval(_SQL["lost"], began_at, list(queues))),
    )
