"""Background tasks that somebody holds on to, whose errors are heard, and that end when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from holdfast.db import DRIVER_ERRORS
from holdfast.errors import DatabaseUnavailable
from holdfast.telemetry import get_logger

log = get_logger("worker")

_FIRST_TROUBLE_PAUSE_SECONDS, _LONGEST_TROUBLE_PAUSE_SECONDS = 0.05, 5.0


class Background:
    """The side tasks of one worker."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run something beside everything else; an error is logged, and harms nobody."""
        task = asyncio.create_task(work, name=f"holdfast {name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def every(self, seconds: float, work: Callable[[], Awaitable[float | None]], *, name: str) -> asyncio.Task[Any]:
        """Repeat something; it may return how long to pause before the next time. An error only delays it."""
        return self.start(_repeat(seconds, work, name), name=name)

    async def close(self, deadline_seconds: float) -> None:
        """Cancel everything and wait; what swallows its cancellation is left behind after the deadline."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=deadline_seconds)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended with an error", task.get_name(), exc_info=error)


async def _repeat(seconds: float, work: Callable[[], Awaitable[float | None]], name: str) -> None:
    trouble_pause = _FIRST_TROUBLE_PAUSE_SECONDS
    while True:
        try:
            pause = await work()
        except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
            log.warning("%s could not be done now: %s", name, error)
        except Exception:  # ended here, it would never be done again, and the worker would look well
            log.exception("%s stumbled and goes on", name)
        else:
            trouble_pause = _FIRST_TROUBLE_PAUSE_SECONDS
            await asyncio.sleep(seconds if pause is None else pause)
            continue
        # What names its own pauses has none to name now: a database in trouble is not asked in a tight loop.
        await asyncio.sleep(max(seconds, trouble_pause))
        trouble_pause = min(trouble_pause * 2, _LONGEST_TROUBLE_PAUSE_SECONDS)
