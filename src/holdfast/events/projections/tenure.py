"""The thread that renews the leases of this process.

A thread with an event loop and a connection of its own: a handler that computes keeps the main loop busy, and must not
look dead. A process that is frozen stops here, too: then its leases run out, and its next checkpoint is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from holdfast.db import load_statements
from holdfast.telemetry import get_logger

log = get_logger("events")
_SQL = load_statements("holdfast.events.projections", "leases.sql")


class Tenure:
    """Renews the projectors of this process, every quarter of a lease, until closed."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], lease_seconds: float) -> None:
        """``connect`` makes a connection on the thread's own event loop."""
        self.lease = timedelta(seconds=lease_seconds)
        self._connect = connect
        self._every_seconds = lease_seconds / 4
        self._projectors: set[int] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._lock = threading.Lock()

    def add(self, projector: int) -> None:
        """Renew this one from now on."""
        with self._lock:
            self._projectors.add(projector)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=lambda: asyncio.run(self._renew()), name="holdfast-tenure", daemon=True
                )
                self._thread.start()

    def remove(self, projector: int) -> None:
        """Not this one any more."""
        with self._lock:
            self._projectors.discard(projector)

    async def close(self, deadline_seconds: float = 2.0) -> None:
        """End the thread; after the deadline it is left behind, as a daemon."""
        thread, loop, ending = self._thread, self._loop, self._ending
        if thread is None:
            return
        if loop is not None and ending is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(ending.set)
        await asyncio.to_thread(thread.join, deadline_seconds)

    async def _renew(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        connection: Any | None = None
        while not self._ending.is_set():
            with self._lock:
                projectors = sorted(self._projectors)
            try:
                if projectors:
                    connection = connection or await self._connect()
                    await connection.execute(
                        _SQL["renew"].sql, projectors, self.lease, timeout=self.lease.total_seconds()
                    )
            except Exception as error:  # noqa: BLE001 - a thread that ended would let every lease run out
                log.warning("the leases of this process could not be renewed now: %s", error)
                if connection is not None:
                    connection.terminate()
                connection = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_seconds if connection or not projectors else 0.5):
                    await self._ending.wait()
        if connection is not None:
            connection.terminate()
