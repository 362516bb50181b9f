"""The one LISTEN connection of a process: hints come in here, and the locks that say "I am here" are held here.

Notifications are hints (DESIGN, idea 4): everything that listens also polls, so losing this connection costs latency
and never work. What matters is to notice a loss, to come back, and to say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import Callable
from typing import Any, Literal

import asyncpg

from holdfast.db.database import Database
from holdfast.db.faults import classify_connect
from holdfast.db.statements import load_statements
from holdfast.telemetry import emit, get_logger

log = get_logger("db.listener")

_STATEMENTS = load_statements("holdfast.db", "listener.sql")
_ANSWER = load_statements("holdfast.db", "database.sql")["answer"]
_LONGEST_PAUSE_SECONDS = 1.0

Hint = Callable[[str], object]
Notice = Callable[[], object]
Mode = Literal["notify", "poll"]


class Listener:
    """Keeps one session on the direct URL that listens, holds shared advisory locks, and comes back when it is lost.

    ``mode`` is "notify" while hints arrive, and "poll" when they cannot be relied on: there is no direct URL, the
    session is lost at the moment, or a probe (a NOTIFY sent over the ordinary pool) did not come through, which is
    what a pooler in transaction mode does without any error.
    """

    def __init__(
        self,
        database: Database,
        *,
        probe_seconds: float = 2.0,
        keepalive_seconds: float = 10.0,
        reprobe_seconds: float = 60.0,
        statement_seconds: float = 5.0,
    ) -> None:
        self._database = database
        self._probe_seconds = probe_seconds
        self._keepalive_seconds = keepalive_seconds
        self._reprobe_seconds = reprobe_seconds
        self._statement_seconds = statement_seconds
        self._hints: dict[str, list[Hint]] = {}
        self._wanted: set[tuple[int, int]] = set()
        self._held: set[tuple[int, int]] = set()
        self._on_reconnect: list[Notice] = []
        self._on_lost: list[Notice] = []
        self._connection: Any | None = None
        self._lost = asyncio.Event()
        # asyncpg forbids two operations at once on one connection.
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._first_round = asyncio.Event()
        self._sessions = 0
        self._said: str | None = None

    @property
    def mode(self) -> Mode:
        """Notify while hints arrive; poll when whoever listens must look for itself."""
        return "notify" if self._connection is not None else "poll"

    @property
    def backend_pid(self) -> int | None:
        """The server's process id of the session; ``None`` while there is none."""
        return int(self._connection.get_server_pid()) if self._connection is not None else None

    @property
    def held(self) -> frozenset[tuple[int, int]]:
        """The (class, key) locks that the session holds now; empty while there is no session."""
        return frozenset(self._held)

    def on_reconnect(self, notice: Notice) -> None:
        """Call ``notice`` whenever a new session listens and its locks are taken again: hints may have been missed."""
        self._on_reconnect.append(notice)

    def on_lost(self, notice: Notice) -> None:
        """Call ``notice`` whenever the session is lost, and with it every lock that was held."""
        self._on_lost.append(notice)

    async def start(self, deadline_seconds: float = 10.0) -> None:
        """Start; returns when the first attempt has decided the mode, at the latest after the deadline.

        A server that is away is no error: the mode is "poll" until it is back.
        """
        if self._task is not None:
            return
        self._first_round.clear()
        self._task = asyncio.create_task(self._run(), name="holdfast-listener")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_seconds):
                await self._first_round.wait()

    async def stop(self, deadline_seconds: float = 2.0) -> None:
        """Stop and end the session, which frees its locks. Never hangs: after the deadline the socket is cut."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        # Not awaited directly: a task that does not end must not keep the shutdown waiting.
        await asyncio.wait([task], timeout=deadline_seconds)
        connection, self._connection = self._connection, None
        self._held.clear()
        if connection is not None:
            connection.terminate()

    async def listen(self, channel: str, hint: Hint) -> None:
        """Call ``hint(payload)`` for every notification on ``channel``; may be called before or after ``start``."""
        listeners = self._hints.setdefault(channel, [])
        listeners.append(hint)
        if len(listeners) == 1:
            await self._on_session(lambda connection: connection.add_listener(channel, self._dispatch))

    async def unlisten(self, channel: str, hint: Hint) -> None:
        """Stop calling ``hint`` for ``channel``; unknown pairs are ignored."""
        listeners = self._hints.get(channel, [])
        if hint in listeners:
            listeners.remove(hint)
        if not listeners and self._hints.pop(channel, None) is not None:
            await self._on_session(lambda connection: connection.remove_listener(channel, self._dispatch))

    async def hold_shared(self, class_id: int, key: int) -> bool:
        """Hold a shared advisory lock for as long as a session exists; taken again by every new session.

        Says whether it is held now. It is not while the mode is "poll", nor while somebody holds it exclusively; it is
        then tried again at the next keepalive and on the next session.
        """
        self._wanted.add((class_id, key))
        await self._on_session(lambda connection: self._take(connection, (class_id, key)))
        return (class_id, key) in self._held

    async def release(self, class_id: int, key: int) -> None:
        """Let go of a lock taken with ``hold_shared``; unknown ones are ignored."""
        self._wanted.discard((class_id, key))
        # In its turn, whether it is held yet or not: it may be on its way.
        await self._on_session(lambda connection: self._let_go(connection, (class_id, key)))

    async def _run(self) -> None:
        """Session after session until stopped. A session that lived for a while resets the pause between two."""
        delay = 0.05
        while True:
            pause = delay = min(delay * 2, _LONGEST_PAUSE_SECONDS)
            try:
                connection = await self._open()
                if connection is None:
                    pause = self._reprobe_seconds
                else:
                    delay = 0.05
                    await self._serve(connection)
                    pause = delay
            except Exception as error:  # noqa: BLE001  (see below)
                # Whatever it was, a process without hints still polls, and tries again to get them back.
                self._say("none", f"no listening session ({classify_connect(error).value}): {error!r}")
            finally:
                self._first_round.set()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def _open(self) -> Any | None:
        """A session that is proven to get hints, listening on everything; ``None`` when hints cannot get through."""
        connection = await self._database.connect_direct()
        if connection is None:
            self._say("no url", "no direct URL is known: polling instead of listening")
            return None
        try:
            if not await self._probe(connection):
                self._say(
                    "swallowed",
                    f"a NOTIFY did not come back within {self._probe_seconds:g} s: polling instead of listening. "
                    "A pooler in transaction mode does that; give the server itself as HOLDFAST_DATABASE_DIRECT_URL",
                )
                connection.terminate()
                return None
            self._lost.clear()
            connection.add_termination_listener(self._terminated)
            async with self._turn, asyncio.timeout(self._statement_seconds):
                for channel in tuple(self._hints):
                    await connection.add_listener(channel, self._dispatch)
                for lock in sorted(self._wanted):
                    await self._take(connection, lock)
                self._connection = connection
        except BaseException:
            self._held.clear()
            connection.terminate()
            raise
        return connection

    async def _probe(self, connection: Any) -> bool:
        """Whether hints get through: listen on a channel nobody knows, and send to it on the way real hints take.

        The sender must be another session. A session notified by itself gets the message even through a pooler.
        """
        channel = f"holdfast_probe_{secrets.token_hex(8)}"
        token = secrets.token_hex(8)
        arrived = asyncio.Event()

        def hint(_connection: Any, _pid: int, _channel: str, payload: str) -> None:
            if payload == token:
                arrived.set()

        async with asyncio.timeout(self._statement_seconds):
            await connection.add_listener(channel, hint)
            await self._database.fetch(
                _STATEMENTS["notify"], channel, token, pool="control", timeout_seconds=self._statement_seconds
            )
        try:
            async with asyncio.timeout(self._probe_seconds):
                await arrived.wait()
        except TimeoutError:
            return False
        async with asyncio.timeout(self._statement_seconds):
            await connection.remove_listener(channel, hint)
        return True

    async def _serve(self, connection: Any) -> None:
        """Look after a session until it is lost."""
        self._sessions += 1
        self._said = None
        self._first_round.set()
        if self._sessions == 1:
            emit("db.listener.started", mode=self.mode, backend_pid=self.backend_pid)
        else:
            emit("db.listener.restored", backend_pid=self.backend_pid)
            self._tell(self._on_reconnect)
        try:
            while not self._lost.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._keepalive_seconds):
                        await self._lost.wait()
                        return
                await self._keep_alive(connection)
        finally:
            self._connection = None
            self._held.clear()
            connection.terminate()
            if self._task is not None:
                emit("db.listener.lost")
                self._tell(self._on_lost)

    async def _keep_alive(self, connection: Any) -> None:
        try:
            async with self._turn, asyncio.timeout(self._statement_seconds):
                await connection.execute(_ANSWER.sql)
                for lock in sorted(self._wanted - self._held):
                    await self._take(connection, lock)
        except TimeoutError:
            log.warning("the listening session did not answer within %g s", self._statement_seconds)
            self._lost.set()

    async def _on_session(self, operation: Callable[[Any], Any]) -> None:
        """Do something on the session if there is one. If it fails the session is given up; the next one catches up."""
        async with self._turn:
            connection = self._connection
            if connection is None:
                return
            try:
                async with asyncio.timeout(self._statement_seconds):
                    await operation(connection)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("the listening session is given up: %s", error or type(error).__name__)
                self._lost.set()

    async def _take(self, connection: Any, lock: tuple[int, int]) -> None:
        if lock not in self._held and await connection.fetchval(_STATEMENTS["hold_shared"].sql, *lock):
            self._held.add(lock)

    async def _let_go(self, connection: Any, lock: tuple[int, int]) -> None:
        if lock in self._held and lock not in self._wanted:
            await connection.fetchval(_STATEMENTS["release_shared"].sql, *lock)
            self._held.discard(lock)

    def _terminated(self, _connection: Any) -> None:
        self._lost.set()

    def _dispatch(self, _connection: Any, _pid: int, channel: str, payload: str) -> None:
        for hint in tuple(self._hints.get(channel, ())):
            try:
                hint(payload)
            except Exception:
                # One careless listener must not cost the others their hint.
                log.exception("a listener on %s failed", channel)

    def _tell(self, notices: list[Notice]) -> None:
        for notice in notices:
            try:
                notice()
            except Exception:
                log.exception("a notice about the listening session failed")

    def _say(self, state: str, what: str) -> None:
        """Log a state once, not at every attempt."""
        if self._said == state:
            return
        self._said = state
        log.warning("%s", what)
        if state != "none":
            emit("db.listener.started", mode="poll")
