"""Publishing how far the log may be read.

Any process may tick, none must: what it keeps between two looks (the position it waits to publish, and the writers it
waits for) is its own, and whatever it publishes is right whoever else does. Workers leave ticking to the one of the
lowest number that does it, so that many workers look no more often than one.
"""

from __future__ import annotations

import random
from typing import Final, Literal

from msgspec import Struct

from holdfast.clock import monotonic
from holdfast.db import Database, load_statements
from holdfast.telemetry import emit
from holdfast.worker import Surroundings

_SQL = load_statements("holdfast.events", "events.sql")

BUSY_SECONDS: Final = 0.01
IDLE_SECONDS: Final = 0.05
_LONGEST_IDLE_SECONDS = 1.0
_STANDBY_SECONDS = 0.25
_SILENT_SECONDS = 1.0
_STALL_LOOK_SECONDS = 0.1
_COUNT_WORKERS_EVERY_SECONDS = 10.0
_TIDY_EVERY_SECONDS = 3600.0
_FORGET_AT_ONCE = 10_000


class Holder(Struct, frozen=True):
    """A session, or a prepared transaction, whose open append holds readers back."""

    pid: int | None
    application: str | None
    username: str | None
    client: str | None
    state: str | None
    age_seconds: float | None
    query: str | None
    prepared: str | None

    def __str__(self) -> str:
        age = "" if self.age_seconds is None else f", open for {self.age_seconds:.1f} s"
        if self.prepared is not None:
            return f"prepared transaction {self.prepared!r}{age}"
        return f"pid {self.pid} ({self.application or 'unnamed'}, {self.state}{age}): {self.query}"


class Tick(Struct, frozen=True):
    """What one look at the log found."""

    settled: int
    pending: int | None
    """A position that cannot be published yet, because somebody who may have drawn a lower one still writes."""
    moved: bool
    last_ticker: int | None
    last_age_seconds: float | None


class Ticker:
    """The looks of one process."""

    def __init__(self, database: Database, number: int = 0, pool: Literal["control", "user"] = "user") -> None:
        """``number``: the worker's, or 0 for a reader that ticks for itself."""
        self._database = database
        self._number = number
        self._pool: Literal["control", "user"] = pool
        self._pending: int | None = None
        self._fence: list[str] | None = None

    async def tick(self) -> Tick:
        """Look once, and publish what is settled since the last look."""
        row = await self._database.fetchrow(
            _SQL["tick"], self._number, self._pending, self._fence, pool=self._pool, timeout_seconds=10.0
        )
        self._pending, self._fence = row["pending"], row["fence"]
        return Tick(row["settled"], row["pending"], row["moved"], row["last_ticker"], row["last_age_seconds"])

    async def stalled_by(self) -> list[Holder]:
        """Who has an open append now, oldest first."""
        return [Holder(*row) for row in await self._database.fetch(_SQL["stalled_by"], pool=self._pool)]


class TickerService:
    """Ticks for as long as a worker lives, says who stalls it, and keeps ticks and keys from growing for ever."""

    name = "event ticker"

    def __init__(self, *, stall_seconds: float = 5.0, key_days: int = 30) -> None:
        self._stall_seconds = stall_seconds
        self._key_days = key_days
        self._surroundings: Surroundings | None = None
        self._ticker: Ticker | None = None
        self._workers = 1
        self._counted_at = -_COUNT_WORKERS_EVERY_SECONDS
        self._waiting_for: int | None = None
        self._waiting_since = 0.0
        self._stalled = False

    async def start(self, surroundings: Surroundings) -> None:
        """Begin to tick."""
        self._surroundings = surroundings
        self._ticker = Ticker(surroundings.database, surroundings.worker, "control")
        surroundings.every(BUSY_SECONDS, self._turn, name="event ticks")
        if not surroundings.draining:
            surroundings.every(_TIDY_EVERY_SECONDS, self._tidy, name="event housekeeping")

    async def stop(self) -> None:
        """Nothing to hand back: another process goes on from where the sequence stands."""

    async def _turn(self) -> float:
        if self._ticker is None or self._surroundings is None:
            return _LONGEST_IDLE_SECONDS
        tick = await self._ticker.tick()
        await self._watch(tick)
        if tick.pending is not None and monotonic() - self._waiting_since > _SILENT_SECONDS:
            return _STALL_LOOK_SECONDS
        if self._is_standby(tick):
            return _STANDBY_SECONDS * random.uniform(0.8, 1.2)
        if tick.moved or tick.pending is not None:
            return BUSY_SECONDS
        if tick.settled == 0:  # nobody has appended yet: an application without events hardly pays for them
            return _LONGEST_IDLE_SECONDS
        return min(IDLE_SECONDS * await self._live_workers(), _LONGEST_IDLE_SECONDS)

    def _is_standby(self, tick: Tick) -> bool:
        """Whether a worker of a lower number ticks already."""
        if self._surroundings is None or tick.last_age_seconds is None or tick.last_age_seconds > _SILENT_SECONDS:
            return False
        return bool(tick.last_ticker) and (tick.last_ticker or 0) < self._surroundings.worker

    async def _watch(self, tick: Tick) -> None:
        """Name those who hold the watermark back for longer than a few seconds, once, and say when it goes on."""
        if tick.pending is None or tick.pending != self._waiting_for:
            if self._stalled:
                self._stalled = False
                emit("events.watermark.resumed", settled=tick.settled)
            self._waiting_for, self._waiting_since = tick.pending, monotonic()
        elif not self._stalled and monotonic() - self._waiting_since >= self._stall_seconds and self._ticker:
            self._stalled = True
            holders = await self._ticker.stalled_by()
            oldest = holders[0] if holders else None
            emit(
                "events.watermark.stalled",
                settled=tick.settled,
                waiting_for=tick.pending,
                pid=oldest and oldest.pid,
                application=oldest and oldest.application,
                age_seconds=oldest and round(oldest.age_seconds or 0.0, 1),
                query=oldest and oldest.query,
                prepared=oldest and oldest.prepared,
                holders=len(holders),
            )

    async def _live_workers(self) -> int:
        if self._surroundings is not None and monotonic() - self._counted_at > _COUNT_WORKERS_EVERY_SECONDS:
            self._counted_at = monotonic()
            self._workers = await self._surroundings.database.fetchval(_SQL["live_workers"], pool="control")
        return max(self._workers, 1)

    async def _tidy(self) -> None:
        if self._surroundings is not None:
            database = self._surroundings.database
            await database.execute(_SQL["thin_ticks"], pool="control")
            await database.execute(_SQL["forget_append_keys"], self._key_days, _FORGET_AT_ONCE, pool="control")
