"""Queues as a page shows them: what waits, since when, who serves it, how fast it goes, when it will be empty."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from holdfast.db import Database, load_statements
from holdfast.errors import QueueUnknown

_SQL = load_statements("holdfast.jobs", "queue_views.sql")


class QueueView(Struct, frozen=True):
    """A queue with everything that is known about it at a look.

    Depths are lower bounds unless said to be exact. Rates are jobs a second over the last five whole minutes, totals
    are counted since the beginning. ``buckets``: jobs that ended, minute by minute, the last thirty, the oldest first.
    ``drained_in_seconds``: at this rate nothing is ready any more; None while nothing ends, or the depth is not known.
    """

    name: str
    ready: int
    ready_is_exact: bool
    oldest_seconds: float | None
    scheduled: int
    scheduled_is_exact: bool
    blocked: int
    blocked_is_exact: bool
    running: int
    paused_at: datetime | None
    pause_reason: str | None
    paused_by: str | None
    completed: int
    failed: int
    cancelled: int
    retried: int
    lost: int
    enqueued_per_second: float
    ended_per_second: float
    failed_per_second: float
    run_mean_seconds: float | None
    buckets: Sequence[int]
    workers: int
    slots: int
    worker_ids: Sequence[int]
    drained_in_seconds: float | None


async def view_queues(
    database: Database,
    *,
    queues: Collection[str] | None = None,
    after: str | None = None,
    limit: int = 200,
    count_up_to: int = 10_000,
) -> Sequence[QueueView]:
    """Queues by name: every one that has jobs, had some, is paused, or has a worker."""
    wanted = None if queues is None else sorted(queues)
    rows = await database.fetch(_SQL["overview"], wanted, after, limit, count_up_to)
    return [_view(row) for row in rows]


async def view_queue(database: Database, name: str) -> QueueView:
    """One queue. Raises ``QueueUnknown``."""
    found = await view_queues(database, queues=[name])
    if not found:
        raise QueueUnknown(
            f"there is no queue {name!r}", remedy="a queue is there from its first job or its first worker on"
        )
    return found[0]


async def tasks_of(database: Database, queue: str) -> Sequence[str]:
    """The tasks declared for a queue."""
    return [row["name"] for row in await database.fetch(_SQL["tasks_of"], queue)]


def _view(row: Any) -> QueueView:
    values = dict(row)
    values["name"] = values.pop("queue")
    known = values["ready_is_exact"] and values["ended_per_second"] > 0
    left = values["ready"] + values["running"]
    values["drained_in_seconds"] = left / values["ended_per_second"] if known else None
    return QueueView(**values)
