"""What a running handler is given: its job, whether it should stop, and a transaction that completes it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Fault, adopt, classify, load_statements
from holdfast.errors import ConfigurationError, LeaseLost
from holdfast.jobs.batches import Batch
from holdfast.jobs.checkpoints import NOTHING, as_text
from holdfast.jobs.console import JobInfo, Jobs
from holdfast.jobs.iterate import check, iterate, iterate_sync
from holdfast.jobs.log_lines import LogCapture, storable
from holdfast.jobs.new_job import SOLO
from holdfast.jobs.outcome_text import result_text
from holdfast.jobs.records import Claimed
from holdfast.jobs.reports import Reports

if TYPE_CHECKING:
    from holdfast.jobs.task import Call

T = TypeVar("T")

_SQL = load_statements("holdfast.jobs", "hot.sql")
_REPORTS_SQL = load_statements("holdfast.jobs", "reports.sql")
_LONGEST_CALL_FROM_A_THREAD_SECONDS = 60.0
_LONGEST_MESSAGE = 500
_current: contextvars.ContextVar[Job | None] = contextvars.ContextVar("holdfast_job", default=None)


class JobTransaction:
    """A transaction whose commit completes the job. Statements as with asyncpg; ``result`` goes with the outcome."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.result: Any = None

    async def execute(self, sql: str, *args: Any) -> str:
        """Run a statement (``$1``, ``$2`` …), return its status line."""
        return str(await self.connection.execute(sql, *args))

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        """Run a query, return its rows."""
        return list(await self.connection.fetch(sql, *args))

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        """Run a query, return its first row or None."""
        return await self.connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """Run a query, return the first column of its first row or None."""
        return await self.connection.fetchval(sql, *args)


class Job:
    """One attempt of a job, as its handler sees it."""

    __slots__ = (
        "_batches",
        "_database",
        "_iterating",
        "_kept",
        "_lease_seconds",
        "_lines",
        "_on_completed",
        "_reports",
        "cancel_reason",
        "claimed",
        "completed",
        "late",
        "lost",
        "over",
        "started_at",
        "stopping",
    )

    def __init__(
        self,
        claimed: Claimed,
        database: Database | None,
        lease_seconds: float,
        on_completed: Callable[[Claimed], None],
        reports: Reports | None = None,
    ) -> None:
        """``reports``: where what the job says goes; without it nobody listens, and checkpoints go with the attempt."""
        self.claimed = claimed
        self._reports = reports
        self._lines = 0
        self._iterating = False
        self._kept: Any = NOTHING
        self._batches: tuple[str, ...] = ()
        self._database = database
        self._lease_seconds = lease_seconds
        self._on_completed = on_completed
        self.cancel_reason: str | None = None
        self.stopping = False
        self.completed = False
        self.lost = False
        self.late = False
        self.over = False
        self.started_at = monotonic()

    @property
    def id(self) -> int:
        """The job's id."""
        return self.claimed.id

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.claimed.task or ""

    @property
    def queue(self) -> str:
        """The queue it waited in."""
        return self.claimed.queue

    @property
    def attempt(self) -> int:
        """1 for the first attempt; snoozes and lost workers do not count."""
        return self.claimed.attempt

    @property
    def fence(self) -> int:
        """A number that grows with every lease a worker takes; pass it to systems that can refuse an older one."""
        return self.claimed.lease

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this job: pass it to services that recognise a repeated request."""
        return f"holdfast-job-{self.claimed.id}"

    @property
    def database(self) -> Database:
        """The worker's database. Raises ``ConfigurationError`` where there is none: inline, in a child process."""
        if self._database is None:
            raise ConfigurationError(
                f"job {self.id} runs without its worker's database: inline, in a child process or on an engine",
                remedy="run the task in the worker, on its event loop or in its threads; in tests, with app.drain()",
            )
        return self._database

    @property
    def should_stop(self) -> bool:
        """Whether the job was cancelled, is past its soft timeout, lost its lease, or its worker ends: finish soon."""
        return self.stopping or self.late or self.lost or self.cancel_reason is not None

    def progress(self, done: int, total: int | None = None, message: str | None = None) -> None:
        """Say how far the job is: ``job.progress(300, 1000, "matching")``. Call it as often as you like.

        It costs an assignment; what was said last is written about once a second. Also from threads.
        """
        if self._reports is not None:
            text = None if message is None else storable(str(message)[:_LONGEST_MESSAGE])
            self._reports.progress(self.claimed, int(done), None if total is None else int(total), text)

    async def checkpoint(self, value: Any, *, using: Any = None) -> None:
        """Keep a JSON value for the next attempt (``last_checkpoint``); returns when it is durable.

        ``using``: a connection of yours. Then the checkpoint commits with what you wrote there, or not at all; for
        tasks declared ``transactional=True``, whose jobs have a lease of their own. Raises ``LeaseLost`` when another
        attempt has taken over, ``ResultNotStorable``.
        """
        claimed = self.claimed
        if self._reports is None:
            as_text(value)
            self._kept = value
            return
        if using is not None:
            if not claimed.flags & SOLO:
                raise ConfigurationError(
                    f"job.checkpoint(using=…) holds the job's lease, and task {self.task!r} shares leases with others",
                    remedy="declare it with @app.task(transactional=True)",
                )
            params = ([claimed.lease], [claimed.id], [as_text(value)])
            rows = await adopt(using).fetch(_REPORTS_SQL["save_checkpoints"], params)
            saved = not rows[0][0]
        else:
            saved = await self._reports.checkpoints.save(claimed, value)
        if not saved:
            self.lost = True
            raise LeaseLost(
                f"job {claimed.id} is no longer this worker's: its checkpoint was not saved",
                remedy="nothing to do: another attempt has taken over",
            )

    async def last_checkpoint(self, default: Any = None) -> Any:
        """What an earlier attempt (or this one) saved last; ``default`` when nothing was."""
        reports = self._reports
        value = self._kept if reports is None else await reports.checkpoints.last(self.claimed.id)
        return default if value is NOTHING else value

    def checkpoint_sync(self, value: Any) -> None:
        """``checkpoint`` for plain functions, which run in threads."""
        self.from_thread(self.checkpoint(value))

    def last_checkpoint_sync(self, default: Any = None) -> Any:
        """``last_checkpoint`` for plain functions, which run in threads."""
        return self.from_thread(self.last_checkpoint(default))

    def iterate(
        self,
        source: Iterable[T] | AsyncIterable[T] | Callable[[Any], Iterable[T] | AsyncIterable[T]],
        *,
        cursor: Callable[[T], Any] | None = None,
        every_seconds: float = 1.0,
    ) -> AsyncIterator[T]:
        """A loop that the next attempt goes on with: ``async for row in job.iterate(rows): …``.

        Over items that come in the same order every time it goes on by position. Over a function it goes on by cursor:
        ``job.iterate(lambda last: rows_after(last), cursor=lambda row: row.id)``; the function is given the cursor of
        the last item done, at first None. A checkpoint is saved every ``every_seconds`` and when the job is to stop;
        items done since the last one are done again. One such loop a job.
        """
        self._begin_loop(source, cursor)
        return iterate(self, source, cursor, every_seconds)

    def iterate_sync(
        self,
        source: Iterable[T] | Callable[[Any], Iterable[T]],
        *,
        cursor: Callable[[T], Any] | None = None,
        every_seconds: float = 1.0,
    ) -> Iterator[T]:
        """``iterate`` for plain functions, which run in threads."""
        self._begin_loop(source, cursor)
        return iterate_sync(self, source, cursor, every_seconds)

    def batch(
        self,
        name: str = "children",
        *,
        on_success: Call | None = None,
        on_failure: Call | None = None,
        on_finish: Call | None = None,
        using: Any = None,
    ) -> Batch:
        """Children of this job: ``async with job.batch(on_success=combine.with_args()) as batch: batch.add(part, 1)``.

        The job does not wait for them: the callback goes on, and finds their results with ``job.children()``. A job
        opens a batch of a name once: a later attempt finds what the first has stored (``batch.existing``). If this job
        is a member of a batch itself, that one ends after this one. Cancelling the job cancels its children.
        """
        if name in self._batches:
            raise ConfigurationError(
                f"this attempt has opened a batch named {name!r} already",
                remedy="give each batch of a job its own name",
            )
        self._batches = (*self._batches, name)
        return Batch(
            _JobHome(self),
            name,
            on_success=on_success,
            on_failure=on_failure,
            on_finish=on_finish,
            parent=self.id,
            using=using,
        )

    async def children(self) -> AsyncIterator[JobInfo]:
        """The jobs of the batches that this job opened, or was called back for, with their results."""
        async for info in Jobs(self.database).children(self.id):
            yield info

    def transaction(self) -> AbstractAsyncContextManager[JobTransaction]:
        """Effects and completion in one commit: ``async with job.transaction() as tx: await tx.execute(…)``.

        The last statement before the commit is the fence: if the lease is lost, everything rolls back and ``LeaseLost``
        is raised. For tasks declared ``transactional=True``.
        """
        if not self.claimed.flags & SOLO:
            raise ConfigurationError(
                f"job.transaction() completes the job, and task {self.task!r} is not declared for that",
                remedy="declare it with @app.task(transactional=True)",
            )
        if self.completed:
            raise ConfigurationError("the job has completed in its transaction already; open one transaction per job")
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[JobTransaction]:
        claimed, database = self.claimed, self.database
        async with database.connection("user") as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                # A worker that freezes in here must not keep its locks longer than its lease can last.
                await connection.fetchval(_SQL["bound_idle_transaction"].sql, str(int(self._lease_seconds * 1000)))
                effects = JobTransaction(connection)
                yield effects
                took = int((monotonic() - self.started_at) * 1_000_000)
                mine = await connection.fetchval(
                    _SQL["finish_solo"].sql,
                    claimed.lease,
                    claimed.id,
                    claimed.attempt,
                    took,
                    result_text(effects.result),
                    claimed.queue,
                    claimed.flags,
                )
                if not mine:
                    self.lost = True
                    raise LeaseLost(
                        f"job {claimed.id} is no longer this worker's: its transaction was rolled back",
                        remedy="nothing to do: another attempt has taken over",
                    )
            except BaseException:
                await _roll_back(transaction)
                raise
            try:
                await transaction.commit()
            except DRIVER_ERRORS as error:
                if classify(error) is not Fault.CONNECTION_LOST or not await self._committed_after_all():
                    raise
        self.completed = True
        self._on_completed(claimed)

    def hear(self, record: logging.LogRecord) -> None:
        """Take a log record of this job's code, from any thread."""
        reports = self._reports
        if reports is None or reports.log.level is None or record.levelno < reports.log.level:
            return
        self._lines += 1
        reports.log.hear(self.claimed, self._lines, record)

    def _begin_loop(self, source: Any, cursor: Callable[[Any], Any] | None) -> None:
        check(source, cursor)
        if self._iterating:
            raise ConfigurationError(
                "a second loop would go on where the first one stopped",
                remedy="iterate once a job; make two jobs of it, or keep your own job.checkpoint",
            )
        self._iterating = True

    def from_thread(self, call: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the worker's event loop, for the job's thread. Raises ``ConfigurationError`` elsewhere."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self._reports is None:
                return asyncio.run(call)
            loop = self._reports.loop
            return asyncio.run_coroutine_threadsafe(call, loop).result(_LONGEST_CALL_FROM_A_THREAD_SECONDS)
        call.close()
        raise ConfigurationError(
            "a synchronous call would block the event loop it was made on", remedy="await the async form of this call"
        )

    async def _committed_after_all(self) -> bool:
        """The connection died under COMMIT: only the outcome can tell. Waits for the server to be back."""
        return bool(
            await self.database.fetchval(
                _SQL["outcome_is_mine"], self.claimed.id, self.claimed.lease, timeout_seconds=self._lease_seconds
            )
        )

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.task} attempt {self.attempt}>"


class _JobHome:
    """A batch is stored from a running job."""

    def __init__(self, job: Job) -> None:
        self._job = job

    async def run(self, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
        return await work(self._job.database)

    def run_sync(self, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
        return self._job.from_thread(work(self._job.database))


def current_job() -> Job | None:
    """The job that the calling code runs in, or None: in the handler, what it awaits, and its threads.

    None as well in what a handler has left behind, once its attempt is over.
    """
    job = _current.get()
    return None if job is None or job.over else job


def enter_job(job: Job) -> None:
    """From here on this context runs the job, until ``job.over``; so do the tasks and threads that come of it."""
    _current.set(job)


@contextmanager
def as_current(job: Job) -> Iterator[None]:
    """Let ``current_job`` be this one for the length of a ``with``; then its attempt is over."""
    token = _current.set(job)
    try:
        yield
    finally:
        job.over = True
        _current.reset(token)


def _route(record: logging.LogRecord) -> None:
    job = current_job()
    if job is not None:
        job.hear(record)


log_capture = LogCapture(_route)
"""Listens to the process's logging for as long as a worker runs in it."""


async def _roll_back(transaction: Any) -> None:
    with suppress(*DRIVER_ERRORS):  # the server rolls back what a dead connection left
        await transaction.rollback()
