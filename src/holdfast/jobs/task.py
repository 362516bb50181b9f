"""A task: a function that does work, and every way to ask for it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from holdfast.db import Database
from holdfast.errors import ArgumentsInvalid, ConfigurationError
from holdfast.jobs.batches import Batch, Into, call_text
from holdfast.jobs.durations import seconds_of
from holdfast.jobs.effects import effects_suppressed
from holdfast.jobs.execution import Execution
from holdfast.jobs.job import Job, JobTransaction
from holdfast.jobs.limits import GateNames, Limit, Rate, declared_gates
from holdfast.jobs.new_job import LATER, SOLO, JobId, NewJob
from holdfast.jobs.producer import Producer, enqueue_on, enqueue_on_sync
from holdfast.jobs.retry import Retry
from holdfast.jobs.signature import Signature
from holdfast.jobs.unique import Unique, as_unique

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


class AppHome:
    """A batch is stored from an application."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def run(self, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
        """Run on the database of the running event loop."""
        self._require_database()
        return await work((await self._host.producer()).database)

    def run_sync(self, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
        """Run for a caller without an event loop."""
        self._require_database()
        return self._host.run_sync(lambda producer: work(producer.database))

    def _require_database(self) -> None:
        if self._host.interception is not None:
            raise ConfigurationError(
                "jobs run inline here, one by one: there are no batches",
                remedy="test it on a database: the fixture holdfast_database, and app.drain()",
            )


class Options(Struct, frozen=True):
    """How a job of a task is to be stored. ``None`` means: as the task says."""

    queue: str
    priority: int = 5
    max_attempts: int | None = None
    timeout_seconds: float | None = None
    delay_us: int | None = None
    due_at: datetime | None = None
    unique: bool | str | Unique | None = None
    lane: str | None = None


class Call(Struct, frozen=True):
    """A task with its arguments, checked, and not enqueued: what a batch calls back."""

    job: NewJob

    def as_text(self) -> str:
        """As it is kept until its batch ends."""
        return call_text(self.job)


class Request(Generic[P, R]):
    """A task together with options, or with a connection of the caller's: what ``enqueue`` is called on."""

    def __init__(self, task: Task[P, R], options: Options, connection: Any = None, into: Into | None = None) -> None:
        self._task = task
        self._options = options
        self._connection = connection
        self._into = into

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
        unique: bool | str | Unique | None = None,
        lane: str | None = None,
        max_attempts: int | None = None,
        timeout_seconds: float | None = None,
    ) -> Request[P, R]:
        """The same request with other options.

        ``run_in``: seconds, a timedelta, or text such as ``"10m"`` or ``"2h"``. ``run_at``: an aware datetime.
        ``priority``: 0 runs first, 9 last. ``unique``: a key, or True for the arguments as the key; while a job of the
        task with that key is not finished, its id is returned and nothing is inserted; ``Unique(...)`` says more.
        ``lane``: jobs with the same lane, of whatever task, run one at a time, in the order of their enqueues.
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
        if lane == "":
            raise ConfigurationError("the name of a lane cannot be empty")
        changes: dict[str, Any] = {
            "queue": queue,
            "priority": priority,
            "delay_us": None if run_in is None else round(seconds_of(run_in) * 1_000_000),
            "due_at": run_at,
            "unique": unique,
            "lane": lane,
            "max_attempts": max_attempts,
            "timeout_seconds": timeout_seconds,
        }
        chosen = {name: value for name, value in changes.items() if value is not None}
        return Request(self._task, replace(self._options, **chosen), self._connection, self._into)

    def using(self, connection: Any) -> Request[P, R]:
        """Enqueue in the transaction of this connection: with it, or not at all.

        A connection of asyncpg or psycopg; a SQLAlchemy Session or Connection, sync or async; Django's ``connection``;
        the ``tx`` of ``job.transaction()``.
        """
        if isinstance(connection, JobTransaction):
            connection = connection.connection
        return Request(self._task, self._options, connection, self._into)

    def into(self, batch: int | Batch | Job) -> Request[P, R]:
        """Enqueue into a batch that has not ended: its id, the batch itself, or the running job whose batch it is.

        From inside a member that is always possible: the batch does not end before the member.
        """
        if isinstance(batch, Job):
            return Request(self._task, self._options, self._connection, Into(beside=batch.id))
        batch_id = batch.id if isinstance(batch, Batch) else batch
        if batch_id is None:
            raise ConfigurationError(
                "this batch is not stored yet", remedy="use batch.add(…) inside its `with` block, into(…) after it"
            )
        return Request(self._task, self._options, self._connection, Into(batch=batch_id))

    def with_args(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """The task with these arguments, not enqueued: for ``app.batch(on_success=report.with_args("october"))``."""
        return Call(self._new(args, kwargs))

    def with_calls(self, calls: Iterable[Any]) -> list[Call]:
        """Many such calls: tuples or lists of positional arguments, or dicts of named ones."""
        return [Call(self._new_call(call)) for call in calls]

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobId:
        """Store one job and return its id. Raises ``ArgumentsInvalid``; then nothing was inserted."""
        job = self._new(args, kwargs)
        if self._goes_elsewhere:
            return (await self._enqueue_elsewhere([job]))[0]
        producer = await self._task.host.producer()
        if self._into is not None:
            return (await producer.enqueue_into(self._into, [job]))[0]
        return await producer.enqueue(job)

    async def enqueue_many(self, calls: Iterable[Any]) -> list[JobId]:
        """Store many jobs in one statement; ids in the order of ``calls``.

        A call is a tuple or list of positional arguments, or a dict of named ones; all are checked first.
        """
        jobs = [self._new_call(call) for call in calls]
        if not jobs:
            return []
        if self._goes_elsewhere:
            return await self._enqueue_elsewhere(jobs)
        producer = await self._task.host.producer()
        return await (producer.enqueue_into(self._into, jobs) if self._into else producer.enqueue_many(jobs))

    def enqueue_sync(self, *args: P.args, **kwargs: P.kwargs) -> JobId:
        """``enqueue`` for callers without an event loop: scripts, Flask, Django, threads."""
        job = self._new(args, kwargs)
        if self._goes_elsewhere:
            return self._enqueue_elsewhere_sync([job])[0]
        into = self._into
        if into is not None:
            return self._task.host.run_sync(lambda producer: producer.enqueue_into(into, [job]))[0]
        return self._task.host.run_sync(lambda producer: producer.enqueue(job))

    def enqueue_many_sync(self, calls: Iterable[Any]) -> list[JobId]:
        """``enqueue_many`` for callers without an event loop."""
        jobs = [self._new_call(call) for call in calls]
        if not jobs:
            return []
        if self._goes_elsewhere:
            return self._enqueue_elsewhere_sync(jobs)
        into = self._into
        return self._task.host.run_sync(
            lambda producer: producer.enqueue_into(into, jobs) if into else producer.enqueue_many(jobs)
        )

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
        return await enqueue_on(self._connection, jobs, self._into)

    def _enqueue_elsewhere_sync(self, jobs: Sequence[NewJob]) -> list[JobId]:
        if effects_suppressed():
            return [JobId(0) for _ in jobs]
        interception = self._task.host.interception
        if interception is not None:
            return interception.take_sync(self._task, jobs, self._connection)
        return enqueue_on_sync(self._connection, jobs, self._into)

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
        task = self._task
        unique = as_unique(options.unique)
        gates = None
        if task.gates or options.lane is not None:
            gates = task.gate_names.of(options.lane, task.signature.by_name(args, kwargs), text)
        return NewJob(
            task=task.name,
            queue=options.queue,
            args=text,
            priority=options.priority,
            flags=task.flags if options.delay_us is None and options.due_at is None else task.flags | LATER,
            delay_us=options.delay_us,
            due_at=options.due_at,
            max_attempts=options.max_attempts,
            timeout_seconds=options.timeout_seconds,
            unique_key=f"{task.name}:{unique.key_of(text, task.signature.names)}" if unique else None,
            gates=gates,
            covered=unique.covered if unique else 15,
            period_us=unique.period_us if unique else None,
            conflict=unique.conflict if unique else 0,
        )


class Task(Request[P, R]):
    """A registered function. Calling it runs it here and now; ``enqueue`` asks a worker to.

    ``retry`` says what becomes of failures, ``limits`` and ``rate`` how many of its jobs run at once or start within a
    time. ``transactional`` tasks complete inside ``job.transaction()``, with their effects. ``executor`` says where it
    runs; unless said otherwise plain functions run in threads, coroutine functions on the worker's event loop.
    """

    def __init__(  # noqa: PLR0913 - the options of ``app.task``
        self,
        handler: Callable[..., Any],
        host: Host,
        *,
        name: str,
        queue: str,
        retry: Retry,
        priority: int,
        transactional: bool,
        execution: Execution,
        limits: Iterable[Limit] = (),
        rate: Rate | Iterable[Rate] | None = None,
    ) -> None:
        super().__init__(self, Options(queue=queue, priority=priority))
        self.handler = handler
        self.host = host
        self.name = name
        self.retry = retry
        self.transactional = transactional
        self.flags = SOLO if transactional else 0
        self.signature = Signature(handler, name, Job)
        self.gates = declared_gates(name, limits, rate)
        self.gate_names = GateNames(name, self.gates, handler, self.signature.names)
        self.is_async = inspect.iscoroutinefunction(handler)
        self.executor = execution.executor_for(name, handler)
        self.timeout_seconds = execution.timeout_seconds
        self.soft_timeout_seconds = execution.soft_timeout_seconds
        self.plain = self.executor == "async" and self.soft_timeout_seconds is None
        self.memory_limit_mib = execution.memory_limit_mib
        self.executor_options = dict(execution.executor_options or {})
        self.__doc__ = handler.__doc__
        self.__wrapped__ = handler
        if transactional and not self.signature.wants_job:
            raise ConfigurationError(
                f"task {name!r} is transactional but does not take the job",
                remedy=f"write def {name}(job: Job, …) and use job.transaction()",
            )
        if transactional and self.executor != "async":
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
