"""How it went: outcomes, waits and runs over time, and moments that explain them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Query
from pydantic import Field

from holdfast.access import Permission
from holdfast.api.frame.answers import Out
from holdfast.api.frame.asking import Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.observe import RANGES, Bucket, read_history

router = NounRouter("history")


class BucketOut(Out):
    """What happened from ``at`` on, for as long as the resolution says. Seconds are null where no job was timed."""

    at: datetime
    enqueued: int = Field(description="a minute or two late")
    completed: int
    failed: int
    cancelled: int
    retried: int
    lost: int
    wait_p50_seconds: float | None
    wait_p95_seconds: float | None
    wait_p99_seconds: float | None
    run_p50_seconds: float | None
    run_p95_seconds: float | None
    run_p99_seconds: float | None

    @classmethod
    def of(cls, bucket: Bucket) -> BucketOut:
        """As it is sent."""
        return cls(
            at=bucket.at,
            enqueued=bucket.enqueued,
            completed=bucket.completed,
            failed=bucket.failed,
            cancelled=bucket.cancelled,
            retried=bucket.retried,
            lost=bucket.lost,
            wait_p50_seconds=bucket.wait.p50,
            wait_p95_seconds=bucket.wait.p95,
            wait_p99_seconds=bucket.wait.p99,
            run_p50_seconds=bucket.run.p50,
            run_p95_seconds=bucket.run.p95,
            run_p99_seconds=bucket.run.p99,
        )


class MarkOut(Out):
    """A line to draw into the charts."""

    at: datetime
    kind: str = Field(description="deployed, started, worker_lost or paused")
    text: str


class HistoryOut(Out):
    """Buckets without a gap, the oldest first; the last one is still filling."""

    resolution_seconds: int
    buckets: list[BucketOut]
    marks: list[MarkOut]


@router.read("/history", needs=Permission.STATS_READ)
async def show_history(
    asking: Asking,
    span: Annotated[Literal["1h", "24h", "7d", "90d"], Query(alias="range")] = "1h",
    queue: Annotated[str | None, Query(min_length=1, max_length=500)] = None,
) -> HistoryOut:
    """Outcomes of all queues or of one, by the minute, ten minutes, the hour or the day."""
    if queue is not None:
        asking.who.demand_queue(queue)
    allowed = asking.queues_allowed
    queues = [queue] if queue is not None else None if allowed is None else sorted(allowed)
    found = await read_history(asking.database, RANGES[span], queues)
    return HistoryOut(
        resolution_seconds=found.resolution_seconds,
        buckets=[BucketOut.of(bucket) for bucket in found.buckets],
        # That a queue was paused names the queue.
        marks=[MarkOut.model_validate(one) for one in found.moments if allowed is None or one.kind != "paused"],
    )
