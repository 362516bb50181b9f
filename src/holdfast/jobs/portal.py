"""An event loop in a thread, for callers that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from holdfast.errors import ConfigurationError

T = TypeVar("T")


class Portal:
    """Runs coroutines for synchronous callers, from any number of threads, in a thread that keeps nobody alive."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="holdfast-portal", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run to the end and return the result. Raises ``ConfigurationError`` where it would block an event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run_coroutine_threadsafe(work(), self._loop).result()
        raise ConfigurationError(
            "a synchronous call would block the event loop it was made on", remedy="await the async form of this call"
        )

    def close(self, farewell: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``farewell`` on the loop, stop it, and wait a moment for the thread."""
        try:
            asyncio.run_coroutine_threadsafe(farewell(), self._loop).result(timeout=6)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=1)
