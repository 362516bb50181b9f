"""Jobs that run at once, where they are enqueued: in the caller's thread, task and transaction."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

import msgspec
from msgspec.structs import replace

from holdfast import clock
from holdfast.app import Holdfast
from holdfast.db import Database, adopt
from holdfast.jobs import Claimed, Job, JobId, JobTransaction, NewJob, Place, Snooze, Task, as_current, result_text
from holdfast.testing.seen import Enqueued

T = TypeVar("T")


class Inline:
    """While it is entered, the application's jobs run where they are enqueued, and nothing is stored.

    Arguments go through JSON and back, as they would. What a handler raises is raised where the job was enqueued,
    unless ``raise_errors`` is False: then it stands in the job's ``error``. There are no retries. Jobs for later, and
    snoozed ones, wait for ``run_scheduled``. A unique key is held by a job that waits or runs.

    ``point_at_database`` is called before a job opens a transaction of its own: it sees to it that the application's
    database is one that a test may write to. The fixture ``holdfast_inline`` brings the test's own.
    """

    def __init__(
        self, app: Holdfast, *, raise_errors: bool = True, point_at_database: Callable[[], object] | None = None
    ) -> None:
        self.seen: list[Enqueued] = []
        self.raise_errors = raise_errors
        self._app = app
        self._point_at_database = point_at_database
        self._ids = itertools.count(1)
        self._later: dict[int, tuple[Task[..., Any], NewJob, Any]] = {}
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before, self._app.interception = self._app.interception, self
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._app.interception = self._before

    async def take(self, task: Task[..., Any], jobs: Sequence[NewJob], connection: Any) -> list[JobId]:
        """Run jobs that were just enqueued; what ``enqueue`` calls instead of storing them."""
        return [await self._take_one(task, job, connection) for job in jobs]

    def take_sync(self, task: Task[..., Any], jobs: Sequence[NewJob], connection: Any) -> list[JobId]:
        """The same for ``enqueue_sync``."""
        return self._wait_for(lambda: self.take(task, jobs, connection), needs_loop=task.is_async)

    async def open(self) -> Database:
        """The application's database, for a job that opens a transaction of its own."""
        if self._point_at_database is not None:
            self._point_at_database()
        return (await self._app.open()).database

    async def run_scheduled(self) -> int:
        """Run the jobs that wait for later, the earliest first; returns how many. New ones wait for the next call."""
        return await self._run_all(self._waiting())

    def run_scheduled_sync(self) -> int:
        """``run_scheduled`` for tests without an event loop."""
        waiting = self._waiting()
        needs_loop = any(self._later[job.id][0].is_async for job in waiting)
        return self._wait_for(lambda: self._run_all(waiting), needs_loop=needs_loop)

    def _waiting(self) -> list[Enqueued]:
        first = [job for job in self.seen if job.id in self._later]
        return sorted(first, key=lambda job: (job.due_at, job.id))

    async def _run_all(self, waiting: Sequence[Enqueued]) -> int:
        for job in waiting:
            task, new, connection = self._later.pop(job.id)
            await self._run(task, new, job, connection)
        return len(waiting)

    async def _take_one(self, task: Task[..., Any], new: NewJob, connection: Any) -> JobId:
        unfinished = (Place.SCHEDULED, Place.RUNNING)
        for other in self.seen if new.unique_key is not None else ():
            if other.unique_key == new.unique_key and other.state in unfinished:
                return JobId(other.id, existing=True)
        job = Enqueued(
            id=next(self._ids),
            task=task.name,
            queue=new.queue,
            state=str(Place.SCHEDULED),
            priority=new.priority,
            args=msgspec.json.decode(new.args),
            due_at=_due_at(new),
            unique_key=new.unique_key,
        )
        self.seen.append(job)
        if job.due_at is not None and job.due_at > clock.now():
            self._later[job.id] = (task, new, connection)
        else:
            await self._run(task, new, job, connection)
        return JobId(job.id)

    async def _run(self, task: Task[..., Any], new: NewJob, job: Enqueued, connection: Any) -> None:
        job.state, job.due_at = str(Place.RUNNING), None
        view = InlineJob(self, task, new, job.id, connection)
        try:
            with as_current(view):
                arguments = task.signature.load(new.args)
                result = task.handler(view, **arguments) if task.signature.wants_job else task.handler(**arguments)
                if inspect.isawaitable(result):
                    result = await result
            result = view.result if view.completed else result
            if isinstance(result, Snooze):
                job.state, job.due_at = str(Place.SCHEDULED), clock.now() + timedelta(seconds=result.seconds)
                self._later[job.id] = (task, replace(new, delay_us=None, due_at=job.due_at), connection)
                return
            text = result_text(result)
            job.state, job.result = str(Place.COMPLETED), None if text is None else msgspec.json.decode(text)
        except Exception as error:
            job.state, job.error = str(Place.FAILED), error
            if self.raise_errors:
                raise

    def _wait_for(self, work: Callable[[], Coroutine[Any, Any, T]], *, needs_loop: bool) -> T:
        """Run a coroutine for a caller without await. Handlers that are plain functions stay in the caller's thread."""
        if not needs_loop:
            return _result_of(work())

        async def on_a_loop_of_its_own() -> T:
            try:
                return await work()
            finally:
                await self._app.close()  # if a handler opened it for this loop

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(on_a_loop_of_its_own())
        context = contextvars.copy_context()
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(context.run, asyncio.run, on_a_loop_of_its_own()).result()


class InlineJob(Job):
    """What a handler that runs inline is given: the first attempt of a job, by nobody's worker."""

    __slots__ = ("_connection", "_inline", "result")

    def __init__(self, inline: Inline, task: Task[..., Any], new: NewJob, id: int, connection: Any) -> None:
        claimed = Claimed(
            id=id,
            lease=id,
            queue=new.queue,
            priority=new.priority,
            attempt=1,
            flags=new.flags,
            task=task.name,
            args=new.args,
            max_attempts=new.max_attempts,
            timeout_seconds=new.timeout_seconds,
            trace=new.trace,
            claimed_at=clock.monotonic(),
        )
        super().__init__(claimed, None, 60.0, lambda _: None)
        self._inline = inline
        self._connection = connection
        self.result: Any = None

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[JobTransaction]:
        """A savepoint in the caller's transaction if that is asyncpg's; else a transaction of its own, committed."""
        if self._connection is not None and adopt(self._connection).driver == "asyncpg":
            async with self._connection.transaction():
                effects = JobTransaction(self._connection)
                yield effects
        else:
            database = await self._inline.open()
            async with database.connection("user") as connection, connection.transaction():
                effects = JobTransaction(connection)
                yield effects
        self.completed, self.result = True, effects.result


def _due_at(new: NewJob) -> datetime | None:
    if new.due_at is not None or new.delay_us is None:
        return new.due_at
    return clock.now() + timedelta(microseconds=new.delay_us)


def _result_of(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits for anything, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a handler that is a plain function waited for something")
