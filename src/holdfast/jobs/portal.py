"""An event loop in a thread, for callers that have none."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from holdfast.errors import ConfigurationError

T = TypeVar("T")


class Portal:
    """Runs coroutines for synchronous callers, from any number of threads.

    The loop is started when first needed, once for all of them; a process forked from this one gets its own. The thread
    is a daemon: it keeps nobody alive.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run to the end and return the result. Raises ``ConfigurationError`` where it would block an event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run_coroutine_threadsafe(work(), self._started()).result()
        raise ConfigurationError(
            "a synchronous call would block the event loop it was made on", remedy="await the async form of this call"
        )

    def close(self, farewell: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``farewell`` on the loop, stop it, wait a moment for the thread; nothing where none was started."""
        with self._turn:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None or self._pid != os.getpid():
            return
        try:
            asyncio.run_coroutine_threadsafe(farewell(), loop).result(timeout=6)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(timeout=1)
            if not thread.is_alive():
                loop.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._turn:
            # Threads do not survive a fork: whoever waited for the parent's would wait for ever.
            if self._loop is None or self._pid != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="holdfast-portal", daemon=True)
                self._thread.start()
                self._pid = os.getpid()
            return self._loop
