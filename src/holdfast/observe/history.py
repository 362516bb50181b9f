"""How it went: outcomes by the minute and by the hour, how long jobs waited and ran, and moments worth a line.

Workers write it (``HistoryService``), so charts work without anything that scrapes. Percentiles come from counts in
intervals, which add up over minutes and queues; they are counted from a sample of up to two thousand jobs a look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from holdfast.db import Database, load_statements
from holdfast.worker import Surroundings

_SQL = load_statements("holdfast.observe", "history.sql")
_ROLL_UP_EVERY_SECONDS: Final = 10.0
_MOST_MOMENTS: Final = 100
_ORIGIN: Final = datetime(2024, 1, 1, tzinfo=UTC)
_COUNTERS: Final = ("enqueued", "completed", "failed", "cancelled", "retried", "lost")


class Range(Struct, frozen=True):
    """How far back, and how fine."""

    seconds: int
    resolution_seconds: int
    by_hour: bool = False


RANGES: Final[Mapping[str, Range]] = {
    "1h": Range(3600, 60),
    "24h": Range(86_400, 600),
    "7d": Range(7 * 86_400, 3600, by_hour=True),
    "90d": Range(90 * 86_400, 86_400, by_hour=True),
}


class Percentiles(Struct, frozen=True):
    """Seconds that half, and 95 and 99 of a hundred jobs did not exceed; None: no job was timed."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class Bucket(Struct, frozen=True):
    """What happened from ``at`` on, for as long as the resolution says."""

    at: datetime
    enqueued: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0
    lost: int = 0
    wait: Percentiles = Percentiles()
    run: Percentiles = Percentiles()


class Moment(Struct, frozen=True):
    """Something that may explain what a chart shows: another version, workers started or lost, a queue paused."""

    kind: str
    at: datetime
    text: str


class History(Struct, frozen=True):
    """Buckets without a gap, the oldest first; the last one is still filling."""

    resolution_seconds: int
    buckets: list[Bucket]
    moments: list[Moment]


async def read_history(database: Database, span: Range, queues: Sequence[str] | None = None) -> History:
    """The history of these queues, or of all."""
    now = await database.fetchrow(_SQL["bounds"])
    step = timedelta(seconds=span.resolution_seconds)
    last = _ORIGIN + (now["at"] - _ORIGIN) // step * step
    first = last - timedelta(seconds=span.seconds) + step
    of = None if queues is None else list(queues)
    source = "hour" if span.by_hour else "minute"
    counted = await database.fetch(_SQL[f"{source}s"], first, span.resolution_seconds, of)
    paced = await database.fetch(_SQL[f"{source}_paces"], first, span.resolution_seconds, of)
    moments = await database.fetch(_SQL["moments"], first, _MOST_MOMENTS)
    known: dict[datetime, dict[str, Any]] = {}
    for row in counted:
        known.setdefault(row["at"], {}).update({name: row[name] for name in _COUNTERS})
    for row in paced:
        known.setdefault(row["at"], {}).update(
            wait=percentiles(row["waits"], now["bounds"]), run=percentiles(row["runs"], now["bounds"])
        )
    ats = [first + n * step for n in range(int((last - first) / step) + 1)]
    return History(
        span.resolution_seconds,
        [Bucket(at, **known.get(at, {})) for at in ats],
        [Moment(row["kind"], row["at"], row["text"]) for row in moments],
    )


def percentiles(counts: Sequence[float | None] | None, bounds: Sequence[float]) -> Percentiles:
    """Of counts in intervals (the last: above every bound), as if jobs lay evenly within each."""
    known = [count or 0.0 for count in counts or ()]  # NULL: hours in which nothing was timed
    total = sum(known)
    if total <= 0:
        return Percentiles()
    return Percentiles(*(_quantile(known, bounds, share * total) for share in (0.5, 0.95, 0.99)))


def _quantile(counts: Sequence[float], bounds: Sequence[float], rank: float) -> float:
    below = 0.0
    for index, count in enumerate(counts):
        if count > 0 and below + count >= rank:
            low = bounds[index - 1] if index > 0 else 0.0
            high = bounds[index] if index < len(bounds) else low
            return round(low + (high - low) * (rank - below) / count, 6)
        below += count
    return bounds[-1]


class HistoryService:
    """Keeps the history up to date for as long as a worker lives, one worker at a time."""

    name = "history"

    def __init__(self, *, app_version: str | None = None) -> None:
        """``app_version``: of the code that runs here; its first worker draws a line into the charts."""
        self._surroundings: Surroundings | None = None
        self._version_to_note = app_version

    async def start(self, surroundings: Surroundings) -> None:
        """Begin."""
        self._surroundings = surroundings
        surroundings.every(_ROLL_UP_EVERY_SECONDS, self._roll_up, name="history")

    async def stop(self) -> None:
        """A last look: a worker that drains may not live until the next one."""
        await self._roll_up()

    async def _roll_up(self) -> None:
        if self._surroundings is None:
            return
        if self._version_to_note is not None and not self._surroundings.draining:
            await note_version(self._surroundings.database, self._version_to_note)
            self._version_to_note = None
        await roll_up(self._surroundings.database)


async def note_version(database: Database, version: str) -> None:
    """Say that code of this version runs from now on. May be repeated."""
    await database.execute(_SQL["note_version"], version, pool="control")


async def roll_up(database: Database) -> bool:
    """Bring the history up to date. False: another worker is at it."""
    return bool(await database.fetchval(_SQL["roll_up"], pool="control"))
