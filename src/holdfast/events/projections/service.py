"""Projections as a service of the worker process, and as a process of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from msgspec.structs import replace

from holdfast.db import Database, Listener
from holdfast.errors import ConfigurationError
from holdfast.events.projections.declaration import PARTITIONS, Projection
from holdfast.events.projections.projector import FixedPartitions, Projector, ProjectorOptions, declare
from holdfast.events.projections.tenure import Tenure
from holdfast.events.ticker import BUSY_SECONDS, IDLE_SECONDS, Ticker
from holdfast.telemetry import get_logger
from holdfast.worker import Background, Surroundings

log = get_logger("events")
TICK_CHANNEL: Final = "holdfast_tick"


class Projectors:
    """The projectors of one process, with the thread that renews their leases."""

    def __init__(
        self,
        database: Database,
        projections: Iterable[Projection],
        options: ProjectorOptions,
        *,
        may_work: Callable[[], bool] = lambda: True,
    ) -> None:
        """See ``Projector``."""
        self._database = database
        self._tenure = Tenure(database.connect_apart, options.lease_seconds)
        self.projectors = [
            Projector(
                database,
                projection if options.batch is None else replace(projection, batch=options.batch),
                self._tenure,
                options,
                may_work=may_work,
            )
            for projection in projections
        ]

    async def declare(self) -> None:
        """Make all of them known to the database, and say which have no model of their code."""
        for projector in self.projectors:
            projection = projector.projection
            if not await declare(self._database, projection):
                log.warning(
                    "projection %s: no model of version %d of its code; `holdfast projection rebuild %s` makes one",
                    projection.name,
                    projection.version,
                    projection.name,
                )

    def wake(self, *_: Any) -> None:
        """There may be something to read."""
        for projector in self.projectors:
            projector.wake.set()

    def stop(self) -> None:
        """Every projector finishes its batch and gives back what it holds."""
        for projector in self.projectors:
            projector.stop()

    async def run(self) -> None:
        """Serve until stopped, or until one of them must not serve; raises what it raised."""
        running = [
            asyncio.create_task(p.run(), name=f"holdfast projection {p.projection.name}") for p in self.projectors
        ]
        try:
            await asyncio.gather(*running)
        finally:
            self.stop()
            if running:
                await asyncio.wait(running)
            await self._tenure.close()


class ProjectionService:
    """What a worker process runs for its application's projections."""

    name = "projections"

    def __init__(self, projections: Sequence[Projection], *, lease_seconds: float = 10.0) -> None:
        """Nothing happens before ``start``."""
        self._projections = tuple(projections)
        self._lease_seconds = lease_seconds
        self._projectors: Projectors | None = None
        self._running: asyncio.Task[None] | None = None

    async def start(self, surroundings: Surroundings) -> None:
        """Declare and serve; a worker that only drains queues serves none."""
        if not self._projections or surroundings.draining:
            return
        options = ProjectorOptions(self._lease_seconds, worker=surroundings.worker)
        self._projectors = Projectors(surroundings.database, self._projections, options, may_work=surroundings.may_work)
        await self._projectors.declare()
        await surroundings.listener.listen(TICK_CHANNEL, self._projectors.wake)
        self._running = surroundings.start(self._projectors.run(), name="projections")

    async def stop(self) -> None:
        """Finish the batches in hand and give back every partition."""
        if self._projectors is not None and self._running is not None:
            self._projectors.stop()
            await asyncio.wait([self._running])


@asynccontextmanager
async def serving_apart(
    database: Database, projections: Sequence[Projection], options: ProjectorOptions
) -> AsyncIterator[Projectors]:
    """The projectors of a process without a worker: with a listener of its own, and publishing what is settled."""
    projectors = Projectors(database, projections, options)
    listener = Listener(database)
    await listener.start()
    background = Background()
    ticker = Ticker(database)

    async def tick() -> float:
        found = await ticker.tick()
        return BUSY_SECONDS if found.moved or found.pending is not None else IDLE_SECONDS

    try:
        await tick()  # whoever only drains begins with what is there
        background.every(BUSY_SECONDS, tick, name="event ticks")
        await listener.listen(TICK_CHANNEL, projectors.wake)
        await projectors.declare()
        yield projectors
    finally:
        await background.close(1.0)
        await listener.stop()


def fixed_partitions(key: int | None, total: int | None) -> FixedPartitions | None:
    """The two settings, looked at together. Raises ``ConfigurationError`` for one without the other, or out of range.

    A key that was not exported to this process is the commonest way to have every replica serve partition 0.
    """
    if key is None and total is None:
        return None
    if total is None:
        raise ConfigurationError(
            f"PARTITION_KEY is {key}, but TOTAL_PARTITIONS is not set",
            remedy="set both, or none: without them partitions are shared out among the workers that live",
        )
    if key is None:
        raise ConfigurationError(
            f"TOTAL_PARTITIONS is {total}, but PARTITION_KEY is not set in this process",
            remedy="export a key from 0 to TOTAL_PARTITIONS - 1 to every replica, or unset TOTAL_PARTITIONS",
        )
    if not 1 <= total <= PARTITIONS:
        raise ConfigurationError(f"TOTAL_PARTITIONS is between 1 and {PARTITIONS}, not {total}")
    if not 0 <= key < total:
        raise ConfigurationError(
            f"PARTITION_KEY {key} is out of range: of {total} partitions the keys are 0 to {total - 1}",
            remedy="correct PARTITION_KEY, or raise TOTAL_PARTITIONS everywhere",
        )
    return FixedPartitions(key, total)
