"""The liveness session of a process: one connection past any pooler, kept for as long as the process lives.

Its advisory locks are seen by everybody in pg_locks, so its end is news within milliseconds. Everything about liveness
(beats, looks, declarations) travels on it; it never runs a statement that could wait for somebody.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any

from holdfast.clock import monotonic
from holdfast.db import Database, Fault, Statement, classify, load_statements
from holdfast.errors import DatabaseUnavailable
from holdfast.telemetry import get_logger

log = get_logger("leases")

LIVENESS_LOCK_CLASS = 1212568
"""Of the lock that a worker holds while it lives; its key is the worker."""

STATEMENTS = load_statements("holdfast.leases", "leases.sql")

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.01, 0.2
_RETAKE_SECONDS = 2.0
_SAY_EVERY_SECONDS = 10.0
_GIVE_UP_ON = (Fault.CONNECTION_LOST, Fault.NOT_THERE_YET, Fault.READ_ONLY, Fault.STALE_PLAN, Fault.POOLER)

Notice = Callable[[], None]


class LivenessSession:
    """Keeps the session, comes back within milliseconds when it is lost, and takes its locks again before it says so.

    Without a direct URL there is none: then statements go over the control pool, and no lock can be held.
    """

    def __init__(self, database: Database, *, answer_seconds: float) -> None:
        self._database = database
        self._answer_seconds = answer_seconds
        self._connection: Any | None = None
        self._generation = 0
        self._wanted: set[tuple[int, int]] = set()
        self._lost = asyncio.Event()
        self._back = asyncio.Event()
        # asyncpg forbids two operations at once on one connection.
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._on_lost: list[Notice] = []
        self._on_back: list[Notice] = []
        self._say_again_at = 0.0

    @property
    def direct(self) -> bool:
        """Whether there is a session at all, or only the pool of a pooler."""
        return self._database.direct_url is not None

    @property
    def connected(self) -> bool:
        """Whether a statement can be sent now, as far as is known."""
        return self._connection is not None or not self.direct

    @property
    def generation(self) -> int:
        """The how-manieth session this is; a lock taken with ``try_take`` is gone when it changes."""
        return self._generation

    @property
    def backend_pid(self) -> int | None:
        """The server's process id of the session; ``None`` while there is none."""
        return int(self._connection.get_server_pid()) if self._connection is not None else None

    def on_change(self, *, lost: Notice, back: Notice) -> Callable[[], None]:
        """Call ``lost`` when the session ends, ``back`` when it stands again with its locks. Returns the way out."""
        self._on_lost.append(lost)
        self._on_back.append(back)

        def forget() -> None:
            self._on_lost.remove(lost)
            self._on_back.remove(back)

        return forget

    async def start(self, deadline_seconds: float) -> None:
        """Connect; comes back when it stands. Raises ``DatabaseUnavailable`` after the deadline."""
        if not self.direct or self._task is not None:
            return
        self._task = asyncio.create_task(self._run(), name="holdfast-liveness-session")
        try:
            async with asyncio.timeout(deadline_seconds):
                await self._back.wait()
        except TimeoutError:
            await self.stop(0)
            raise DatabaseUnavailable(
                f"no liveness session within {deadline_seconds:g} s",
                remedy="check HOLDFAST_DATABASE_DIRECT_URL; it must lead to the server itself",
            ) from None

    async def stop(self, deadline_seconds: float) -> None:
        """End the session, which frees its locks. Never hangs, never raises."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=max(deadline_seconds, 0.1))
        connection, self._connection = self._connection, None
        if connection is not None:
            await _end(connection, deadline_seconds)

    async def call(self, statement: str, *params: Any) -> Any:
        """Run a statement of leases.sql, return its rows.

        Raises ``DatabaseUnavailable`` when the session is away, or went away: whether the statement was done is then
        unknown. Waits no longer than the answer is waited for.
        """
        if not self.direct:
            return await self._call_pooled(STATEMENTS[statement], params)
        async with self._turn:
            connection = self._connection
            if connection is None:
                raise _away()
            return await self._ask(connection, STATEMENTS[statement], params)

    async def value(self, statement: str, *params: Any) -> Any:
        """Run a statement, return the first column of its first row; raises like ``call``."""
        rows = await self.call(statement, *params)
        return rows[0][0] if rows else None

    async def hold(self, class_id: int, key: int) -> None:
        """Hold a lock that is ours alone by right, now and in every later session; somebody who has it is evicted."""
        self._wanted.add((class_id, key))
        if self.direct:
            async with self._turn:
                if self._connection is None:
                    return  # the next session takes it
                await self._take_back(self._connection, class_id, key)

    async def let_go(self, class_id: int, key: int) -> None:
        """Let go of a lock; if the session is away it is gone already."""
        if (class_id, key) not in self._wanted:
            return
        self._wanted.discard((class_id, key))
        if self.direct:
            with contextlib.suppress(DatabaseUnavailable):
                await self.call("let_go", class_id, key)

    async def try_take(self, class_id: int, key: int) -> bool:
        """Take a lock that others may hold; it is held until the generation changes."""
        return bool(await self.value("take", class_id, key))

    async def _run(self) -> None:
        delay = _FIRST_PAUSE_SECONDS
        while True:
            born = monotonic()
            try:
                connection = await self._open()
            except Exception as error:  # noqa: BLE001  (whatever it was, the worker has to come back)
                self._say(error)
            else:
                await self._serve(connection)
                if monotonic() - born > 1.0:
                    delay = _FIRST_PAUSE_SECONDS
            # Short pauses: there is one grace to come back in. Jitter: after a restart nobody comes in step.
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, _LONGEST_PAUSE_SECONDS)

    async def _open(self) -> Any:
        connection = await self._database.connect_direct(timeout_seconds=self._answer_seconds)
        assert connection is not None  # noqa: S101  (there is a direct URL, or we would not be here)
        try:
            # One event per connection: late news about an old one must not end the new one.
            self._lost = lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            taken: set[tuple[int, int]] = set()
            while taken != self._wanted:  # again, should somebody want another meanwhile
                for lock in sorted(self._wanted - taken):
                    await self._take_back(connection, *lock)
                    taken.add(lock)
                for lock in sorted(taken - self._wanted):
                    await self._ask(connection, STATEMENTS["let_go"], lock)
                    taken.discard(lock)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _serve(self, connection: Any) -> None:
        self._connection = connection
        self._generation += 1
        self._back.set()
        if self._generation > 1:
            log.warning("the liveness session is back (%d)", self._generation)
        _tell(self._on_back)
        try:
            await self._lost.wait()
        finally:
            if self._task is not None:  # else stop() ends it, gently
                self._connection = None
                self._back.clear()
                connection.terminate()
                log.warning("the liveness session was lost")
                _tell(self._on_lost)

    async def _take_back(self, connection: Any, class_id: int, key: int) -> None:
        """Take what nobody else may have. Who still has it is our own past session, whose end the server missed."""
        give_up_at = monotonic() + _RETAKE_SECONDS
        while not (await self._ask(connection, STATEMENTS["take"], (class_id, key)))[0][0]:
            if monotonic() > give_up_at:
                self._lost.set()
                raise DatabaseUnavailable(f"the past session does not let go of lock ({class_id}, {key})")
            await self._ask(connection, STATEMENTS["evict"], (class_id, key))
            await asyncio.sleep(0.01)

    async def _ask(self, connection: Any, statement: Statement, params: tuple[Any, ...]) -> Any:
        lost = self._lost
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await connection.fetch(statement.sql, *params)
        except Exception as error:
            if isinstance(error, OSError | TimeoutError) or classify(error) in _GIVE_UP_ON:
                lost.set()
                raise _away() from error
            raise

    async def _call_pooled(self, statement: Statement, params: tuple[Any, ...]) -> Any:
        try:
            return await self._database.fetch(statement, *params, pool="control", timeout_seconds=self._answer_seconds)
        except Exception as error:
            if isinstance(error, OSError | TimeoutError) or classify(error) in _GIVE_UP_ON:
                raise _away() from error
            raise

    def _say(self, error: Exception) -> None:
        if monotonic() >= self._say_again_at:
            self._say_again_at = monotonic() + _SAY_EVERY_SECONDS
            log.warning("no liveness session: %s", str(error) or type(error).__name__)


def signed(number: int) -> int:
    """A number as the signed 32 bits that advisory locks take."""
    low = number & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 else low


def _away() -> DatabaseUnavailable:
    return DatabaseUnavailable("the liveness session is away", remedy="wait: it comes back by itself")


def _tell(notices: list[Notice]) -> None:
    for notice in tuple(notices):
        try:
            notice()
        except Exception:
            log.exception("a notice about the liveness session failed")


async def _end(connection: Any, deadline_seconds: float) -> None:
    """Say goodbye, so that the server logs no lost client; cut the line if that takes too long."""
    try:
        async with asyncio.timeout(max(deadline_seconds, 0.0)):
            await connection.close()
    except Exception:  # noqa: BLE001  (it is over either way)
        connection.terminate()
