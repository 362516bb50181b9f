"""Named sessions whose steps a schedule puts in order, in the manner of PostgreSQL's own isolation tester.

A step is started and comes back either done or waiting; whether it waits is asked of the server (``pg_blocking_pids``),
not guessed from time. What a schedule finds wrong it collects as troubles, so that one and the same schedule can be
asked to find nothing in the real build and something in a broken one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import asyncpg

from holdfast.db import DRIVER_ERRORS
from tests.queue_calls import QueueCalls
from tests.waiting import eventually

T = TypeVar("T")
_LONGEST_STEP_SECONDS = 10.0
_LOOK_EVERY_SECONDS, _SURE_AFTER_LOOKS = 0.1, 3
_WAITS_FOR_IDLE_SESSIONS = """
    select bool_and(coalesce(a.state = 'idle in transaction', false))
    from unnest(pg_blocking_pids($1)) as b (pid) left join pg_stat_activity a using (pid)"""


@dataclass(frozen=True)
class Mutation:
    """A broken build: a function of the schema with one piece of its text replaced."""

    name: str
    changes: tuple[tuple[str, str, str], ...]
    """Each: the function, what stands there, what stands there instead."""

    def __str__(self) -> str:
        return self.name


class Step:
    """One call under way in a session."""

    def __init__(self, stage: Stage, session: Session, task: asyncio.Task[Any]) -> None:
        self._stage = stage
        self._session = session
        self._task = task
        self.waits = False

    async def settle(self) -> Self:
        """Returns once the step is done or the server says that it waits for a lock."""

        async def settled() -> bool:
            self.waits = not self._task.done() and await self._stage.is_blocked(self._session.pid)
            return self.waits or self._task.done()

        await eventually(settled, within_seconds=_LONGEST_STEP_SECONDS)
        return self

    async def result(self) -> Any:
        """What it answered. An error of the server is a trouble, and answers None."""
        try:
            async with asyncio.timeout(_LONGEST_STEP_SECONDS):
                await self._done_or_hopeless()
                return await self._task
        except TimeoutError:
            self._stage.troubles.append(f"a step of {self._session.name} hangs")
        except DRIVER_ERRORS as error:
            self._stage.troubles.append(f"a step of {self._session.name} failed: {type(error).__name__}: {error}")
        return None

    async def _done_or_hopeless(self) -> None:
        """Raises TimeoutError when it waits for nobody but sessions that do nothing: it is we who would go on there."""
        hopeless = 0
        while hopeless < _SURE_AFTER_LOOKS:
            await asyncio.wait([self._task], timeout=_LOOK_EVERY_SECONDS)
            if self._task.done():
                return
            hopeless = hopeless + 1 if await self._stage.waits_for_idle_sessions(self._session.pid) else 0
        self._task.cancel()
        await asyncio.wait([self._task])
        raise TimeoutError

    async def abandoned(self) -> None:
        """Its caller is dead: whatever it answers, nobody hears it."""
        with suppress(*DRIVER_ERRORS):
            await self._task


class Session(QueueCalls):
    """One connection with a name, in autocommit until ``begin``."""

    def __init__(self, stage: Stage, name: str, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        super().__init__(connection)
        self.name = name
        self.pid = connection.get_server_pid()
        self._stage = stage

    async def begin(self) -> None:
        await self.connection.execute("begin")

    async def commit(self) -> None:
        await self.connection.execute("commit")

    async def rollback(self) -> None:
        await self.connection.execute("rollback")

    async def start(self, call: Coroutine[Any, Any, Any]) -> Step:
        """Begin a call of this session; comes back when it is done or waits."""
        return await Step(self._stage, self, asyncio.ensure_future(call)).settle()


class Stage:
    """A database, the sessions that play on it, and what was found wrong."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.troubles: list[str] = []
        self._sessions: list[Session] = []
        self._watch: asyncpg.Connection[asyncpg.Record] | None = None

    async def __aenter__(self) -> Self:
        self._watch = await asyncpg.connect(self.url)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for session in self._sessions:
            session.connection.terminate()
        await self.watch.close()

    @property
    def watch(self) -> asyncpg.Connection[asyncpg.Record]:
        """A connection that plays no part."""
        assert self._watch is not None
        return self._watch

    @property
    def truth(self) -> QueueCalls:
        """The queue as somebody sees it who plays no part."""
        return QueueCalls(self.watch)

    async def session(self, name: str) -> Session:
        session = Session(self, name, await asyncpg.connect(self.url))
        self._sessions.append(session)
        return session

    async def sessions(self, *names: str) -> list[Session]:
        return [await self.session(name) for name in names]

    async def is_blocked(self, pid: int) -> bool:
        return bool(await self.watch.fetchval("select cardinality(pg_blocking_pids($1)) > 0", pid))

    async def waits_for_idle_sessions(self, pid: int) -> bool:
        return bool(await self.watch.fetchval(_WAITS_FOR_IDLE_SESSIONS, pid))

    def expect(self, holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads like an assert
        """Note a trouble unless it holds."""
        if not holds:
            self.troubles.append(otherwise)

    async def expect_places(self, **places: list[int]) -> None:
        """Every job of ``ready=[…], running=[…]`` … stands there, and the conservation law holds."""
        self.troubles += await self.truth.audit()
        found = await self.truth.places([job for jobs in places.values() for job in jobs])
        for place, jobs in places.items():
            for job in jobs:
                self.expect(found.get(job) == place, f"job {job} stands in {found.get(job)}, not in {place}")

    async def install(self, mutation: Mutation) -> None:
        """Break the build of this database."""
        for function, there, instead in mutation.changes:
            source = await self.watch.fetchval("select pg_get_functiondef(('holdfast.' || $1)::regproc)", function)
            assert there in source, f"{function} does not hold {there!r} any more"
            await self.watch.execute(source.replace(there, instead))


Schedule = Callable[[Stage], Awaitable[None]]
