"""One answer for everybody who asks within a moment: for what strangers may ask although the database must answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from holdfast.clock import monotonic

T = TypeVar("T")


class SharedAnswer(Generic[T]):
    """Asks once, however many want to know: they wait for one flight, and what it brought is good for some seconds."""

    def __init__(self, ask: Callable[[], Awaitable[T]], *, fresh_seconds: float) -> None:
        self._ask = ask
        self._fresh_seconds = fresh_seconds
        self._flight: asyncio.Task[T] | None = None
        self._landed_at = 0.0

    async def get(self) -> T:
        """The answer, at most so many seconds old. Raises what asking raised."""
        if self._flight is None or self._is_over(self._flight):
            self._flight = asyncio.create_task(self._fly(), name="holdfast shared answer")
        # Whoever goes away does not take the answer of the others along.
        return await asyncio.shield(self._flight)

    def _is_over(self, flight: asyncio.Task[T]) -> bool:
        if flight.get_loop() is not asyncio.get_running_loop():
            return True  # an API that is served by several loops: a task belongs to one
        return flight.done() and monotonic() - self._landed_at >= self._fresh_seconds

    async def _fly(self) -> T:
        try:
            return await self._ask()
        finally:
            self._landed_at = monotonic()
