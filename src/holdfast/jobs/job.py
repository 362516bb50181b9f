"""What a running handler is given: its job, whether it should stop, and a transaction that completes it."""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import Any

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Fault, classify, load_statements
from holdfast.errors import ConfigurationError, LeaseLost
from holdfast.jobs.new_job import SOLO
from holdfast.jobs.outcome_text import result_text
from holdfast.jobs.records import Claimed

_SQL = load_statements("holdfast.jobs", "hot.sql")
_current: contextvars.ContextVar[list[Job | None]] = contextvars.ContextVar("holdfast_job")


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
        "_database",
        "_lease_seconds",
        "_on_completed",
        "cancel_reason",
        "claimed",
        "completed",
        "lost",
        "started_at",
        "stopping",
    )

    def __init__(
        self, claimed: Claimed, database: Database, lease_seconds: float, on_completed: Callable[[Claimed], None]
    ) -> None:
        self.claimed = claimed
        self._database = database
        self._lease_seconds = lease_seconds
        self._on_completed = on_completed
        self.cancel_reason: str | None = None
        self.stopping = False
        self.completed = False
        self.lost = False
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
    def should_stop(self) -> bool:
        """Whether somebody cancelled the job, the worker is shutting down, or its lease is lost: finish soon."""
        return self.stopping or self.lost or self.cancel_reason is not None

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
        claimed = self.claimed
        async with self._database.connection("user") as connection:
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

    async def _committed_after_all(self) -> bool:
        """The connection died under COMMIT: only the outcome can tell. Waits for the server to be back."""
        return bool(
            await self._database.fetchval(
                _SQL["outcome_is_mine"], self.claimed.id, self.claimed.lease, timeout_seconds=self._lease_seconds
            )
        )

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.task} attempt {self.attempt}>"


def current_job() -> Job | None:
    """The job that the calling code runs in, or None: in the handler, what it awaits, and its threads."""
    holder = _current.get(None)
    return holder[0] if holder else None


@contextmanager
def as_current(job: Job) -> Iterator[None]:
    """Let ``current_job`` be this one for the length of a ``with``."""
    token = _current.set([job])
    try:
        yield
    finally:
        _current.reset(token)


def job_holder() -> list[Job | None]:
    """A cell for the current job of this context. A runner swaps its content: cheaper than a new context a job."""
    holder: list[Job | None] = [None]
    _current.set(holder)
    return holder


async def _roll_back(transaction: Any) -> None:
    with suppress(*DRIVER_ERRORS):  # the server rolls back what a dead connection left
        await transaction.rollback()
