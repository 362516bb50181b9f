"""Services of higher floors: what else a worker process does beside jobs, without knowing what it is.

A room above hands objects of this shape to the worker. Each gets its surroundings when the worker starts, and time to
put things in order when it ends; everything it began is cancelled after that, whatever it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

from msgspec import Struct

from holdfast.db import Database, Listener
from holdfast.telemetry import get_logger
from holdfast.worker.background import Background

log = get_logger("worker")


class Surroundings(Struct, frozen=True):
    """What a worker lends to a service of its process."""

    worker: int
    """The number of the worker, never used twice."""
    database: Database
    listener: Listener
    """The one LISTEN session of the process."""
    may_work: Callable[[], bool]
    """False while the worker is cut off from the database or was declared dead: begin nothing then."""
    draining: bool
    """The worker ends as soon as no job is runnable; a service that serves for ever has nothing to do here."""
    stopping: asyncio.Event
    """Set when the worker begins to end."""
    background: Background
    """Starts and repeats work of this service; what it holds is cancelled after ``stop``."""

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run something beside everything else; an error is logged, and harms nobody."""
        return self.background.start(work, name=name)

    def every(self, seconds: float, work: Callable[[], Awaitable[float | None]], *, name: str) -> asyncio.Task[Any]:
        """Repeat something; it may return how long to pause before the next time. A database fault only delays it."""
        return self.background.every(seconds, work, name=name)


class Service(Protocol):
    """Something that a worker process keeps running."""

    @property
    def name(self) -> str:
        """As people know it: ``events ticker``."""
        ...

    async def start(self, surroundings: Surroundings) -> None:
        """Begin. What it raises keeps the worker from starting."""
        ...

    async def stop(self) -> None:
        """Put in order what is unfinished, hand back what is held.

        Jobs finish at the same time; when their time is over, this is cut short.
        """
        ...


class ServiceGroup:
    """The services of one worker, started in order and stopped together."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = tuple(services)
        self._started: list[tuple[Service, Background]] = []
        self._stopping = asyncio.Event()
        self._stops: list[asyncio.Task[None]] = []

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` was called and every service has put itself in order."""
        return self._stopping.is_set() and all(stop.done() for stop in self._stops)

    async def start(
        self, worker: int, database: Database, listener: Listener, may_work: Callable[[], bool], *, draining: bool
    ) -> None:
        """Start every service."""
        for service in self._services:
            background = Background()
            self._started.append((service, background))
            surroundings = Surroundings(worker, database, listener, may_work, draining, self._stopping, background)
            await service.start(surroundings)

    def stop(self) -> None:
        """Tell every service to put itself in order; ``stopped`` says when they have."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._stops = [asyncio.create_task(_stop(service)) for service, _ in self._started]

    async def close(self, deadline_seconds: float) -> None:
        """Cut short what has not stopped, and cancel everything the services began. Never hangs, never raises."""
        for (service, _), stop in zip(self._started, self._stops, strict=False):
            if not stop.done():
                log.warning("service %s did not stop in time and was cut short", service.name)
                stop.cancel()
        started, self._started = self._started, []
        await asyncio.gather(*(background.close(deadline_seconds) for _, background in started))


async def _stop(service: Service) -> None:
    try:
        await service.stop()
    except Exception:
        log.exception("service %s failed to stop", service.name)
