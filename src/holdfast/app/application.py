"""``Holdfast``: the application's registry and front door. It wires the rooms and has no logic of its own."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, Unpack, overload

from holdfast.access import AccessKeeper
from holdfast.app.handed_down import limits_of, worker_options
from holdfast.app.opening import connect
from holdfast.app.pages import ProjectPage
from holdfast.app.rooms import Rooms
from holdfast.db import Database, migrate
from holdfast.errors import ConfigurationError, TaskUnknown
from holdfast.events import EventLog, EventTypes, TickerService, Upcaster
from holdfast.events import projections as projecting
from holdfast.jobs import (
    AppHome,
    Batch,
    Batches,
    Call,
    Execution,
    Failures,
    Interception,
    Job,
    Jobs,
    Limit,
    LimitConsole,
    Operations,
    Portal,
    Producer,
    Queues,
    Rate,
    Retry,
    Signature,
    Task,
    agree,
    declare_tasks,
    surrounded,
)
from holdfast.observe import HistoryService
from holdfast.schedules import Declarations, ScheduleOptions, Scheduler, Schedules, declare_schedules
from holdfast.settings import Settings, load_settings
from holdfast.worker import Lifeline, Report, Service, ThreadLifeline, Worker

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class TaskDecorator(Protocol):
    """What ``@app.task(...)`` is: it makes a task of a function, with or without the leading ``job``."""

    @overload
    def __call__(self, handler: Callable[Concatenate[Job, P], R], /) -> Task[P, R]: ...
    @overload
    def __call__(self, handler: Callable[P, R], /) -> Task[P, R]: ...


class Holdfast:
    """Tasks and the database they live in.

    ``database_url`` wins over ``HOLDFAST_DATABASE_URL`` and ``DATABASE_URL``; without any the project's embedded
    server is used, and started if it is not running. Nothing is connected before it is needed.
    """

    def __init__(
        self, database_url: str | None = None, *, direct_url: str | None = None, settings: Settings | None = None
    ) -> None:
        self.tasks: dict[str, Task[..., Any]] = {}
        self.event_types = EventTypes()
        self._services: list[Callable[[], Service]] = [TickerService, self._scheduler, self._history]
        self._declarations = Declarations(self.tasks)
        self._urls = {"database_url": database_url, "database_direct_url": direct_url}
        self._settings = settings
        self._rooms: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Rooms] = weakref.WeakKeyDictionary()
        self._opening: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()
        self.interception: Interception | None = None
        self._portal = Portal()
        self._around: list[Callable[[], AbstractContextManager[Any]]] = []
        self.pages: list[ProjectPage] = []
        self._projections = declared = projecting.Registry(self.event_types, self._projections_console)
        self.projection, self.trigger = declared.projection, declared.trigger
        self.outbox, self.feed = declared.outbox, declared.feed
        self._services += [declared.service, self._access_keeper]

    @property
    def settings(self) -> Settings:
        """The settings of this process, read when first asked for."""
        if self._settings is None:
            self._settings = load_settings(self._urls)
        return self._settings

    @property
    def database(self) -> Database:
        """The pools of the running event loop. Raises ``ConfigurationError`` before ``open``."""
        return self._here().database

    @property
    def jobs(self) -> Jobs:
        """Jobs that exist: show, list, wait, and the verbs that move them."""
        return self._here().jobs

    @property
    def queues(self) -> Queues:
        """Queues: depth, pause, resume."""
        return self._here().queues

    @property
    def schedules(self) -> Schedules:
        """Schedules: list, show, next, trigger, pause, resume, edit, backfill."""
        return self._here().schedules

    @property
    def projections(self) -> projecting.Projections:
        """Projections: list, lag, pause, resume, reset, park, rebuild, and waiting for one to catch up."""
        return self._here().projections

    @property
    def events(self) -> EventLog:
        """The event log: append, read, follow, order."""
        return self._here().events

    @overload
    def event(self, cls: type[T], /) -> type[T]: ...
    @overload
    def event(
        self, *, name: str | None = None, version: int = 1, upcasters: Mapping[int, Upcaster] | None = None
    ) -> Callable[[type[T]], type[T]]: ...
    def event(self, *classes: type[Any], **options: Any) -> Any:
        """Register a dataclass, msgspec Struct or pydantic model as an event type: ``@app.event`` above it.

        It is stored under ``name`` (the class's own) with schema version ``version``; ``upcasters[n]`` lifts stored
        data of version n to n + 1. Raises ``ConfigurationError`` for a name that is taken and a chain with a hole.
        """
        if not classes:
            return lambda cls: self.event_types.register(cls, **options)
        return self.event_types.register(classes[0])

    @property
    def limits(self) -> LimitConsole:
        """Limits and rates: show, set, reset."""
        return self._here().limits

    @property
    def batches(self) -> Batches:
        """Batches: show, list, wait, cancel."""
        return self._here().batches

    @property
    def failures(self) -> Failures:
        """Failures in groups: list, show, mark."""
        return self._here().failures

    @property
    def operations(self) -> Operations:
        """Verbs on everything that a filter finds: preview, start, list, show, cancel."""
        return self._here().operations

    def batch(
        self,
        name: str | None = None,
        *,
        on_success: Call | None = None,
        on_failure: Call | None = None,
        on_finish: Call | None = None,
        using: Any = None,
    ) -> Batch:
        """Jobs with one end: ``async with app.batch(on_success=report.with_args()) as batch: batch.add(resize, 42)``.

        They are stored when the block ends, all or none; an error in the block stores nothing. When the last member
        has ended, ``on_success`` is enqueued if all completed, otherwise ``on_failure``, and ``on_finish`` either way.
        ``using``: a connection whose transaction it all belongs to. A plain ``with`` does for callers without a loop.
        """
        return Batch(
            AppHome(self), name, on_success=on_success, on_failure=on_failure, on_finish=on_finish, using=using
        )

    @overload
    def task(self, handler: Callable[Concatenate[Job, P], R], /) -> Task[P, R]: ...
    @overload
    def task(self, handler: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(
        self,
        *,
        name: str | None = None,
        queue: str = "default",
        retry: Retry | None = None,
        priority: int = 5,
        timeout_seconds: float | None = None,
        transactional: bool = False,
        soft_timeout_seconds: float | None = None,
        executor: str | None = None,
        memory_limit_mib: int | None = None,
        executor_options: Mapping[str, Any] | None = None,
        limits: Sequence[Limit] = (),
        rate: Rate | Sequence[Rate] | None = None,
    ) -> TaskDecorator: ...
    def task(self, *handlers: Callable[..., Any], **options: Any) -> Any:
        """Register a function as a task: ``@app.task`` or ``@app.task(queue="mail", retry=Retry(max_attempts=3))``.

        Coroutine functions run on the worker's event loop, plain functions in threads, unless ``executor`` says
        "process", "dask" or "aws-batch". A first parameter annotated ``Job`` is given the running job. Raises
        ``ConfigurationError`` for a name that is taken.
        """
        if not handlers:
            return lambda function: self._register(function, **options)
        return self._register(handlers[0], **options)

    def schedule(
        self, cron: str | None = None, *, task_options: Mapping[str, Any] | None = None, **when: Unpack[ScheduleOptions]
    ) -> TaskDecorator:
        """Enqueue a task again and again: ``@app.schedule("0 7 * * mon-fri", timezone="Europe/Zurich")``.

        ``cron`` has five fields, or six with the seconds first; or say ``every="15m"``. A function becomes a task, with
        ``task_options`` as ``app.task`` takes them; a task (``@app.task`` below) stays what it is. A parameter
        ``occurrence: datetime`` is given the moment that the job is for. See ``ScheduleOptions`` for the policies.
        Raises ``ConfigurationError`` for what cannot be.
        """

        def declare(handler: Any) -> Any:
            task = handler if isinstance(handler, Task) else self._register(handler, **(task_options or {}))
            self._declarations.add(task, cron, **when)
            return task

        return declare

    def declared_projections(self, names: Sequence[str] | None = None) -> list[projecting.Projection]:
        """The projections of these names, or all. Raises ``ProjectionUnknown``."""
        return self._projections.select(names)

    def around(self, enter: Callable[[], AbstractContextManager[Any]]) -> None:
        """Run every handler, of tasks registered before and after, inside ``with enter():``; the last one is outermost.

        For what a framework needs around work: Flask's ``app_context``, Django's connections.
        """
        self._around.append(enter)
        for task in self.tasks.values():
            task.handler = surrounded(task.handler, enter)

    def page(self, path: str, title: str, module: Path, *, routes: Any = None) -> None:
        """Add a page to the dashboard: ``app.page("/graph", "Dependencies", Path(__file__).parent / "graph/page.js")``.

        ``module`` is an ES module that exports ``mount``; its folder is served beside it. ``routes`` is a
        ``holdfast.api.NounRouter`` with what the page asks, below ``/api/v1/project``. Raises ``ConfigurationError``.
        """
        page = ProjectPage(path, title, module, routes)
        page.check()
        if any(known.path == path for known in self.pages):
            raise ConfigurationError(f"there are two pages at {path}", remedy="give one of them another path")
        self.pages.append(page)

    def find_task(self, name: str) -> Task[..., Any]:
        """The task of that name. Raises ``TaskUnknown`` with the nearest names."""
        if name in self.tasks:
            return self.tasks[name]
        known = ", ".join(sorted(self.tasks)) or "none"
        raise TaskUnknown(f"there is no task {name!r}", remedy=f"registered tasks: {known}")

    def configure(self, database_url: str | None = None, *, direct_url: str | None = None) -> None:
        """Choose another database, and read the settings anew; for what is opened from now on."""
        self._urls = {"database_url": database_url, "database_direct_url": direct_url}
        self._settings = None

    async def open(self, deadline_seconds: float = 30.0, *, bring_up: bool = False) -> Self:
        """Connect for the running event loop; waits for a server that is not there yet. Opening twice is once.

        The embedded server gets its schema by itself, a configured one with ``bring_up``. Raises ``MigrationError``
        when the schema of a configured database is missing or older, ``DatabaseUnavailable`` when no server comes.
        """
        loop = asyncio.get_running_loop()
        async with self._opening.setdefault(loop, asyncio.Lock()):
            if loop not in self._rooms:
                database = await connect(self.settings, deadline_seconds, bring_up=bring_up)
                self._rooms[loop] = self.rooms_over(database)
        return self

    def rooms_over(self, database: Database) -> Rooms:
        """The consoles of this application over another handle on its database, one transaction for example."""
        return Rooms.over(
            database,
            signature_of=self._signature_of,
            event_types=self.event_types,
            event_max_bytes=self.settings.event_max_bytes,
        )

    async def close(self, deadline_seconds: float = 5.0) -> None:
        """Close what ``open`` opened for the running event loop, and the connections of sync callers. Never hangs."""
        rooms = self._rooms.pop(asyncio.get_running_loop(), None)
        if rooms is not None:
            await rooms.producer.close(deadline_seconds)
            await rooms.events.close()
            await rooms.database.close(deadline_seconds)
        await asyncio.to_thread(self._portal.close, self.close)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def producer(self) -> Producer:
        """The way into the queue on the running event loop; opens the application if it is not open yet."""
        loop = asyncio.get_running_loop()
        if loop not in self._rooms:
            await self.open()
        return self._rooms[loop].producer

    def run_sync(self, work: Callable[[Producer], Awaitable[T]]) -> T:
        """Run a piece of async work for a caller without an event loop, on a loop in a thread of its own."""

        async def with_producer() -> T:
            return await work(await self.producer())

        return self._portal.run(with_producer)

    def worker(
        self,
        queues: Sequence[str] | None = None,
        *,
        concurrency: int | None = None,
        name: str = "",
        drain: bool = False,
        horizon_seconds: float = 300.0,
        lifeline: Lifeline | None = None,
    ) -> Worker:
        """A worker of this application on the running event loop; ``run`` it. The application must be open."""
        options = worker_options(
            self.settings,
            queues=queues,
            concurrency=concurrency,
            name=name,
            drain=drain,
            horizon_seconds=horizon_seconds,
        )
        database = self._here().database
        if lifeline is None:
            lifeline = ThreadLifeline(
                database.url,
                direct_url=database.direct_url,
                pooled=database.pooled,
                limits=limits_of(self.settings),
                max_losses=options.max_losses,
            )
        services = [make() for make in self._services]
        return Worker(database, self.tasks, lifeline, options, services)

    async def drain(
        self, queues: Sequence[str] | None = None, *, concurrency: int | None = None, horizon_seconds: float = 300.0
    ) -> Report:
        """Run jobs here until nothing is runnable in these queues; retries due within the horizon are waited for.

        Returns what was done. Jobs that fail are in ``report.failures``; they do not raise.
        """
        await self.open()
        return await self.worker(queues, concurrency=concurrency, drain=True, horizon_seconds=horizon_seconds).run()

    async def declare(self) -> None:
        """Tell the database about tasks and schedules; a worker does so when it starts. Opens the application."""
        await self.open()
        await declare_tasks(self.database, self.tasks.values())
        await declare_schedules(self.database, self._declarations)

    async def migrate(self) -> None:
        """Bring the schema up to date; opens the application, which it would otherwise refuse without a schema."""
        await self.open(bring_up=True)
        connection = await self._here().database.connect_apart()
        try:
            await migrate(connection)
        finally:
            await connection.close()

    async def _projections_console(self) -> projecting.Projections:
        return projecting.Projections((await self.open()).database)

    def _register(
        self,
        handler: Callable[..., Any],
        *,
        name: str | None = None,
        queue: str = "default",
        retry: Retry | None = None,
        priority: int = 5,
        transactional: bool = False,
        limits: Sequence[Limit] = (),
        rate: Rate | Sequence[Rate] | None = None,
        **execution: Any,
    ) -> Task[..., Any]:
        name = name or handler.__name__
        if name in self.tasks:
            raise ConfigurationError(f"there are two tasks named {name!r}", remedy="give one of them another name=")
        if not 0 <= priority <= 9:
            raise ConfigurationError(f"task {name!r}: priority is a number from 0 (first) to 9 (last), not {priority}")
        task: Task[..., Any] = Task(
            handler,
            self,
            name=name,
            queue=queue,
            retry=retry or Retry(),
            priority=priority,
            transactional=transactional,
            execution=Execution(**execution),
            limits=limits,
            rate=rate,
        )
        agree(self.tasks.values(), task)
        for enter in self._around:
            task.handler = surrounded(task.handler, enter)
        self.tasks[name] = task
        return task

    def _signature_of(self, task: str) -> Signature | None:
        return self.tasks[task].signature if task in self.tasks else None

    def _access_keeper(self) -> Service:
        return AccessKeeper(audit_days=self.settings.audit_days)

    def _scheduler(self) -> Service:
        return Scheduler(self._declarations, retention_days=self.settings.retention_days)

    def _history(self) -> Service:
        return HistoryService(app_version=self.settings.app_version)

    def _here(self) -> Rooms:
        rooms = self._rooms.get(asyncio.get_running_loop())
        if rooms is None:
            raise ConfigurationError(
                "the application is not open", remedy="use `async with app:` or `await app.open()`"
            )
        return rooms
