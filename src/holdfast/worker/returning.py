"""The way back for jobs that wait in this process while another worker is idle.

It has a thread and a connection of its own, because the event loop may be held up by the very handler they wait for:
as long as the process can run Python, nobody is kept from a job that could run elsewhere. The connection is made when
the first job has waited too long.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, load_statements
from holdfast.errors import DatabaseUnavailable
from holdfast.jobs import Exit, HotPath, Left, leave_apart
from holdfast.telemetry import get_logger
from holdfast.worker.runners import Runners

log = get_logger("worker")

_SQL = load_statements("holdfast.jobs", "hot.sql")
_LOOK_SECONDS = 0.05
_STALE_SECONDS = 0.1
_ANSWER_SECONDS = 5.0
_AFTER_FAULT_SECONDS = 0.5


class Returning:
    """Gives back what has waited for a tenth of a second, if somebody else is idle.

    A job is handed to exactly one of {runner, return}: both take it out of the same queue. Between being taken and
    being told about in the event loop it is ``under_way``. ``settled`` and ``unsure`` are called in the loop that
    called ``start``: with what has left and who of it was refused, and with what may have left (leaving twice is
    harmless, so it can be repeated).
    """

    def __init__(
        self,
        database: Database,
        hot: HotPath,
        runners: Runners,
        queues: Sequence[str],
        own_session: Callable[[], int | None],
        *,
        settled: Callable[[list[Left], list[int]], None],
        unsure: Callable[[list[Left]], None],
    ) -> None:
        """``own_session``: the backend whose idle locks are this worker's own, and count for nothing."""
        self._url, self._pooled = database.url, database.pooled
        self._hot = hot
        self._runners = runners
        self._queues = list(queues)
        self._own_session = own_session
        self._settled = settled
        self._unsure = unsure
        self._database: Database | None = None
        self._lock = threading.Lock()
        self._taken: list[list[Left]] = []
        self._ending = threading.Event()
        self._ended: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def under_way(self) -> bool:
        """Whether jobs are being given back at this moment. Ask it after looking at what waits, not before."""
        with self._lock:
            return bool(self._taken)

    def start(self) -> None:
        """Begin to watch."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, name="holdfast-returning", daemon=True).start()

    async def close(self, deadline_seconds: float) -> None:
        """End it; what it could not tell about in time goes to ``unsure``."""
        if self._loop is None:
            return
        self._ending.set()
        self._runners.fed.set()
        await asyncio.wait([asyncio.ensure_future(asyncio.wrap_future(self._ended))], timeout=deadline_seconds)
        for left in tuple(self._taken):
            self._tell_unsure(left)

    def _run(self) -> None:
        """The thread's life."""
        try:
            with asyncio.Runner() as runner:
                while self._until_stale():
                    try:
                        runner.run(self._return())
                    except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
                        log.warning("waiting jobs could not be given back now: %s", error)
                        self._ending.wait(_AFTER_FAULT_SECONDS)
                    except Exception:  # without this thread a handler could keep jobs from everybody
                        log.exception("giving back stumbled and goes on")
                        self._ending.wait(_AFTER_FAULT_SECONDS)
                if self._database is not None:
                    runner.run(self._database.close(0.5))
        finally:
            self._ended.set_result(None)

    def _until_stale(self) -> bool:
        """Sleep until a job has waited too long; false: the worker ends."""
        runners = self._runners
        while not self._ending.wait(_LOOK_SECONDS):
            if runners.oldest_wait_seconds() >= _STALE_SECONDS:
                return True
            if runners.running and self._hot.asking.overdue(_STALE_SECONDS):
                return True
            if runners.quiet:
                if not runners.fed.is_set():
                    runners.fed.wait()
                # Not at once: between the queue and the runner a job is seen in neither.
                runners.fed.clear()
        return False

    async def _return(self) -> None:
        database = await self._connected()
        own = self._own_session() or 0
        if not await database.fetchval(
            _SQL["anyone_idle"], self._queues, own, pool="control", timeout_seconds=_ANSWER_SECONDS
        ):
            return
        left = self._take()
        if left:
            await self._leave(database, left)
        unread = await self._hot.take_back_unread(database, _STALE_SECONDS, timeout_seconds=_ANSWER_SECONDS)
        if not left and not unread:
            return
        # Our own session may still say that it is idle, and be rung in vain: its loop is not listening.
        await database.execute(_SQL["ring_another"], self._queues, own, pool="control", timeout_seconds=_ANSWER_SECONDS)

    async def _leave(self, database: Database, left: list[Left]) -> None:
        try:
            refused = await leave_apart(database, left, timeout_seconds=_ANSWER_SECONDS)
        except BaseException:
            self._deliver(partial(self._tell_unsure, left))
            raise
        self._deliver(partial(self._tell_settled, left, refused))

    async def _connected(self) -> Database:
        if self._database is None:
            database = Database(
                self._url, application_name="holdfast returning", pooled=self._pooled, control_size=1, user_size=1
            )
            await database.open(_ANSWER_SECONDS)
            self._database = database
        return self._database

    def _take(self) -> list[Left]:
        with self._lock:
            now = monotonic()
            left = [Left(claimed, Exit.RETURN, 0.0, claimed.attempt, now) for claimed in self._runners.take_back()]
            if left:
                self._taken.append(left)
            return left

    def _deliver(self, tell: Callable[[], None]) -> None:
        assert self._loop is not None  # noqa: S101
        try:
            self._loop.call_soon_threadsafe(tell)
        except RuntimeError:
            log.debug("jobs were given back after the loop had been closed")

    def _tell_settled(self, left: list[Left], refused: list[int]) -> None:
        if self._told(left):
            self._settled(left, refused)

    def _tell_unsure(self, left: list[Left]) -> None:
        if self._told(left):
            self._unsure(left)

    def _told(self, left: list[Left]) -> bool:
        """Whether this is news: about each job the loop is told once."""
        with self._lock:
            others = [taken for taken in self._taken if taken is not left]
            news, self._taken = len(others) < len(self._taken), others
            return news
