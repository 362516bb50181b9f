"""A task: a function that does work, and every way to ask for it."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from holdfast.errors import ArgumentsInvalid, ConfigurationError
from holdfast.jobs.durations import seconds_of
from holdfast.jobs.effects import effects_suppressed
from holdfast.jobs.job import Job, JobTransaction
from holdfast.jobs.new_job import SOLO, JobId, NewJob
from holdfast.jobs.producer import Producer, enqueue_on, enqueue_on_sync
from holdfast.jobs.retry import Retry
from holdfast.jobs.signature import Signature

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Interception(Protocol):
    """Who takes the jobs of an application instead of its database: ``holdfast.testing`` runs them at once."""

    async def take(self, task: Task[..., Any], jobs: Sequence[NewJob], connection: Any) -> list[JobId]:
        """Take jobs of a task, enqueued on a connection of the caller's or on None; ids in their order."""
        ...

    def take_sync(self, task: Task[..., Any], jobs: Sequence[NewJob], connection: Any) -> list[JobId]:
        """The same for a caller without an event loop."""
        ...


class Host(Protocol):
    """What a task needs of the application that registered it."""

    interception: Interception | None

    async def producer(self) -> Producer:
        """The way into the queue on the running event loop; opens the application if it is not open yet."""
        ...

    def run_sync(self, work: Callable[[Producer], Awaitable[T]]) -> T:
        """Run a piece of async work for a caller without an event loop."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """How a job of a task is to be stored. ``None`` means: as the task says."""

    queue: str
    priority: int = 5
    max_attempts: int | None = None
    timeout_seconds: float | None = None
    delay_us: int | None = None
    due_at: datetime | None = None
    unique: bool | str | None = None


class Request(Generic[P, R]):
    """A task together with options, or with a connection of the caller's: what ``enqueue`` is called on."""

    def __init__(self, task: Task[P, R], options: Options, connection: Any = None) -> None:
        self._task = task
        self._options = options
        self._connection = connection

    @property
    def registered(self) -> Task[P, R]:
        """The task that this is a request for."""
        return self._task

    @property
    def connection(self) -> Any:
        """The caller's connection that ``using`` was given, or None."""
        return self._connection

    @property
    def wanted(self) -> Options:
        """The options that jobs of this request get."""
        return self._options

    def options(
        self,
        *,
        queue: str | None = None,
        priority: int | None = None,
        run_in: float | str | timedelta | None = None,
        run_at: datetime | None = None,
        unique: bool | str | None = None,
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
    ) -> Request[P, R]:
        """The same request with other options.

        ``run_in``: seconds, a timedelta, or text such as ``"10m"`` or ``"2h"``. ``run_at``: an aware datetime.
        ``priority``: 0 runs first, 9 last. ``unique``: a key, or True for the arguments as the key; while a job of the
        task with that key is not finished, its id is returned and nothing is inserted.
        """
        if run_in is not None and run_at is not None:
            raise ConfigurationError("give run_in or run_at, not both")
        if run_at is not None and run_at.tzinfo is None:
            raise ConfigurationError(
                "run_at has no time zone", remedy="use an aware datetime, for example datetime.now(UTC)"
            )
        if priority is not None and not 0 <= priority <= 9:
            raise ConfigurationError(f"priority is a number from 0 (first) to 9 (last), not {priority}")
        if unique == "":
            raise ConfigurationError("a unique key cannot be empty")
        changes: dict[str, Any] = {
            "queue": queue,
            "priority": priority,
            "delay_us": None if run_in is None else round(seconds_of(run_in) * 1_000_000),
            "due_at": run_at,
            "unique": unique,
            "max_attempts": max_attempts,
            "timeout_seconds": timeout_seconds,
        }
        chosen = {name: value for name, value in changes.items() if value is not None}
        return Request(self._task, replace(self._options, **chosen), self._connection)

    def using(self, connection: Any) -> Request[P, R]:
        """Enqueue in the transaction of this connection: with it, or not at all.

        A connection of asyncpg or psycopg; a SQLAlchemy Session or Connection, sync or async; Django's ``connection``;
        the ``tx`` of ``job.transaction()``.
        """
        if isinstance(connection, JobTransaction):
            connection = connection.connection
        return Request(self._task, self._options, connection)

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobId:
        """Store one job and return its id. Raises ``ArgumentsInvalid``; then nothing was inserted."""
        job = self._new(args, kwargs)
        if self._goes_elsewhere:
            return (await self._enqueue_elsewhere([job]))[0]
        return await (await self._task.host.producer()).enqueue(job)

    async def enqueue_many(self, calls: Iterable[Any]) -> list[JobId]:
        """Store many jobs in one statement; ids in the order of ``calls``.

        A call is a tuple or list of positional arguments, or a dict of named ones; all are checked first.
        """
        jobs = [self._new_call(call) for call in calls]
        if not jobs:
            return []
        if self._goes_elsewhere:
            return await self._enqueue_elsewhere(jobs)
        return await (await self._task.host.producer()).enqueue_many(jobs)

    def enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> JobId:
        """``enqueue`` for callers without an event loop: scripts, Flask, Django, threads."""
        job = self._new(args, kwargs)
        if self._goes_elsewhere:
            return self._enqueue_elsewhere_sync([job])[0]
        return self._task.host.run_sync(lambda producer: producer.enqueue(job))

    def enqueue_many_sync(self, calls: Iterable[Any]) -> list[JobId]:
        """``enqueue_many`` for callers without an event loop."""
        jobs = [self._new_call(call) for call in calls]
        if not jobs:
            return []
        if self._goes_elsewhere:
            return self._enqueue_elsewhere_sync(jobs)
        return self._task.host.run_sync(lambda producer: producer.enqueue_many(jobs))

    @property
    def _goes_elsewhere(self) -> bool:
        """Whether jobs go to a connection of the caller's, to a test or nowhere, not through the app's producer."""
        elsewhere = self._connection is not None or self._task.host.interception is not None
        return elsewhere or effects_suppressed()

    async def _enqueue_elsewhere(self, jobs: Sequence[NewJob]) -> list[JobId]:
        if effects_suppressed():
            return [JobId(0) for _ in jobs]
        interception = self._task.host.interception
        if interception is not None:
            return await interception.take(self._task, jobs, self._connection)
        return await enqueue_on(self._connection, jobs)

    def _enqueue_elsewhere_sync(self, jobs: Sequence[NewJob]) -> list[JobId]:
        if effects_suppressed():
            return [JobId(0) for _ in jobs]
        interception = self._task.host.interception
        if interception is not None:
            return interception.take_sync(self._task, jobs, self._connection)
        return enqueue_on_sync(self._connection, jobs)

    def _new_call(self, call: Any) -> NewJob:
        if isinstance(call, Mapping):
            return self._new((), call)
        if isinstance(call, tuple | list):
            return self._new(tuple(call), {})
        raise ArgumentsInvalid(
            f"a call of {self._task.name!r} is a tuple or dict of its arguments, not {type(call).__name__}",
            remedy="write [(1,), (2,)] or [{'user_id': 1}, …]",
        )

    def _new(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NewJob:
        text = self._task.signature.dump(args, kwargs)
        options = self._options
        key = options.unique
        if key is True:
            key = hashlib.sha256(text.encode()).hexdigest()[:32]
        return NewJob(
            task=self._task.name,
            queue=options.queue,
            args=text,
            priority=options.priority,
            flags=self._task.flags,
            delay_us=options.delay_us,
            due_at=options.due_at,
            max_attempts=options.max_attempts,
            timeout_seconds=options.timeout_seconds,
            unique_key=f"{self._task.name}:{key}" if key else None,
        )


class Task(Request[P, R]):
    """A registered function. Calling it runs it here and now; ``enqueue`` asks a worker to.

    ``retry`` says what becomes of failures. ``transactional`` tasks complete inside ``job.transaction()``, with their
    effects. Plain functions run in threads, coroutine functions on the worker's event loop.
    """

    def __init__(
        self,
        handler: Callable[..., Any],
        host: Host,
        *,
        name: str,
        queue: str,
        retry: Retry,
        priority: int,
        timeout_seconds: float | None,
        transactional: bool,
    ) -> None:
        super().__init__(self, Options(queue=queue, priority=priority))
        self.handler = handler
        self.host = host
        self.name = name
        self.retry = retry
        self.timeout_seconds = timeout_seconds
        self.transactional = transactional
        self.flags = SOLO if transactional else 0
        self.signature = Signature(handler, name, Job)
        self.is_async = inspect.iscoroutinefunction(handler)
        self.__doc__ = handler.__doc__
        self.__wrapped__ = handler
        if transactional and not self.signature.wants_job:
            raise ConfigurationError(
                f"task {name!r} is transactional but does not take the job",
                remedy=f"write def {name}(job: Job, …) and use job.transaction()",
            )
        if transactional and not self.is_async:
            raise ConfigurationError(f"task {name!r} is transactional and must be a coroutine function (async def)")

    @property
    def queue(self) -> str:
        """The queue its jobs wait in unless options say otherwise."""
        return self._options.queue

    @property
    def priority(self) -> int:
        """The priority of its jobs unless options say otherwise."""
        return self._options.priority

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the handler directly, without any job."""
        result: R = self.handler(*args, **kwargs)
        return result

    def __repr__(self) -> str:
        return f"<Task {self.name} on queue {self.queue}>"
