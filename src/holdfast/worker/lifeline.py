"""The worker's line to those who keep it alive in the eyes of others: a thread of its own, or its supervisor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Protocol

from holdfast.errors import DatabaseUnavailable
from holdfast.jobs import rescue as rescue_jobs
from holdfast.leases import Limits, Liveness, Rescue, Station, WorkerFacts
from holdfast.telemetry import get_logger

log = get_logger("worker")

_SUBMIT_SECONDS = 1.0


def rescuing(max_losses: int) -> Rescue:
    """What is done about the jobs of a dead worker, if the caller does not say otherwise."""
    return partial(rescue_jobs, max_losses=max_losses)


class Lifeline(Protocol):
    """What the worker loop knows of liveness.

    Callbacks are delivered on the event loop that awaited ``start``. ``may_work`` is right without any of them: ask it
    before a job starts and before anything is written, also from other threads.
    """

    def set_callbacks(
        self,
        *,
        on_lost: Callable[[str], None],
        on_cut_off: Callable[[], None],
        on_restored: Callable[[], None],
    ) -> None:
        """``on_lost(reason)``: stop for good; ``on_cut_off``: start nothing, cancel what runs; then ``on_restored``."""

    async def start(self, facts: WorkerFacts) -> int:
        """Register; returns the worker's number."""

    def may_work(self) -> bool:
        """Whether this process may take itself for live at this very moment; cheap, from any thread."""

    async def close(self, deadline_seconds: float) -> None:
        """Leave for good, after everything was given back. Never hangs, never raises."""


class Callbacks:
    """The worker loop's callbacks, delivered to its event loop from whatever thread they happen in."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_lost: Callable[[str], None] = lambda _: None
        self._on_cut_off: Callable[[], None] = lambda: None
        self._on_restored: Callable[[], None] = lambda: None

    def set(
        self,
        *,
        on_lost: Callable[[str], None],
        on_cut_off: Callable[[], None],
        on_restored: Callable[[], None],
    ) -> None:
        """From now on these."""
        self._on_lost, self._on_cut_off, self._on_restored = on_lost, on_cut_off, on_restored

    def bind(self) -> None:
        """Deliver to the loop that runs now."""
        self._loop = asyncio.get_running_loop()

    def lost(self, reason: str) -> None:
        """Deliver ``on_lost``."""
        self._deliver(lambda: self._on_lost(reason))

    def cut_off(self) -> None:
        """Deliver ``on_cut_off``."""
        self._deliver(self._on_cut_off)

    def restored(self) -> None:
        """Deliver ``on_restored``."""
        self._deliver(self._on_restored)

    def _deliver(self, call: Callable[[], None]) -> None:
        loop = self._loop
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(call)
        except RuntimeError:
            log.debug("a callback of the lifeline came after the loop was closed")


class ThreadLifeline:
    """Liveness and observer in a thread of this process, with an event loop and connections of its own.

    For workers without a supervisor (``app.drain``). A C call that holds the interpreter stops this thread, too: then
    the session says that the worker lives, up to the silence limit.
    """

    def __init__(
        self,
        url: str,
        *,
        direct_url: str | None = None,
        pooled: bool | None = None,
        limits: Limits | None = None,
        max_losses: int = 3,
        rescue: Rescue | None = None,
        open_seconds: float = 30.0,
    ) -> None:
        """``rescue`` runs in the thread's loop, on its database; without one it is that of the jobs."""
        self._station = Station(
            url, direct_url=direct_url, pooled=pooled, limits=limits, rescue=rescue or rescuing(max_losses)
        )
        self._limits = limits or Limits()
        self._open_seconds = open_seconds
        self._callbacks = Callbacks()
        self._liveness: Liveness | None = None
        self._started: Future[int] = Future()
        self._ended: Future[None] = Future()
        self._thread: threading.Thread | None = None
        self._thread_loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None
        self._leave_seconds = 3.0
        self._closing = False

    def set_callbacks(
        self,
        *,
        on_lost: Callable[[str], None],
        on_cut_off: Callable[[], None],
        on_restored: Callable[[], None],
    ) -> None:
        """See ``Lifeline``."""
        self._callbacks.set(on_lost=on_lost, on_cut_off=on_cut_off, on_restored=on_restored)

    async def start(self, facts: WorkerFacts) -> int:
        """Connect, observe, register. Raises ``DatabaseUnavailable`` when the server does not come in time."""
        if self._thread is not None:
            raise RuntimeError("a lifeline is started once")
        self._callbacks.bind()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(facts)), name="holdfast-lifeline", daemon=True
        )
        self._thread.start()
        started = asyncio.wrap_future(self._started)
        started.add_done_callback(lambda done: done.cancelled() or done.exception())  # heard, whoever still waits
        try:
            # Shielded: the thread tells its number whether or not anybody waits for it, and leaves in order.
            return await asyncio.shield(started)
        except asyncio.CancelledError:
            await self.close(0.0)
            raise

    def may_work(self) -> bool:
        """See ``Lifeline``."""
        liveness = self._liveness
        return liveness is not None and not self._closing and liveness.may_work()

    async def close(self, deadline_seconds: float) -> None:
        """Declare this worker's end and close the connections, within the deadline and a moment."""
        self._closing = True  # from here on nothing may be started
        if self._thread is None or not self._thread.is_alive():
            return
        self._leave_seconds = max(deadline_seconds, 0.0)
        loop, leave = self._thread_loop, self._leave
        if loop is not None and leave is not None:
            try:
                loop.call_soon_threadsafe(leave.set)
            except RuntimeError:
                return
        await asyncio.wait([asyncio.ensure_future(asyncio.wrap_future(self._ended))], timeout=self._leave_seconds + 1.0)

    async def _live(self, facts: WorkerFacts) -> None:
        """The thread's life."""
        self._thread_loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        if self._closing:  # told before there was anything to tell
            self._leave.set()
        station = self._station
        try:
            liveness = await self._register(station, facts)
            self._started.set_result(liveness.worker)
            await self._leave.wait()
            if await liveness.retire("stopped", self._leave_seconds * 0.6):
                # What could not be given back in order goes back now, even if nobody else is there to see it.
                station.observer.begin_rescue(liveness.worker)
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)
        finally:
            await station.close(max(self._leave_seconds * 0.3, 0.1))
            self._ended.set_result(None)

    async def _register(self, station: Station, facts: WorkerFacts) -> Liveness:
        async with asyncio.timeout(self._open_seconds + 5.0):
            await station.open(self._open_seconds)
            liveness = Liveness(
                station.session,
                self._limits,
                on_lost=self._callbacks.lost,
                on_cut_off=self._callbacks.cut_off,
                on_restored=self._callbacks.restored,
            )
            while True:
                try:
                    await liveness.register(facts)
                except DatabaseUnavailable:
                    await asyncio.sleep(0.1)
                else:
                    self._liveness = liveness
                    return liveness
