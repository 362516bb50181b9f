"""Batches: jobs whose end somebody waits for, without holding a worker.

app.batch(on_success=…) ─ add, add … ─ one transaction: batch and members ─ members run ─ the last one ends ─ callback
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, Protocol, Self, TypeVar

import msgspec
from msgspec import Struct

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Fault, Statement, adopt, classify, load_statements
from holdfast.errors import ArgumentsInvalid, BatchNotFound, ConfigurationError, IllegalMove, TimedOut
from holdfast.jobs.effects import effects_suppressed
from holdfast.jobs.ids import IdSupply
from holdfast.jobs.new_job import JobId, NewJob, columns, unique_columns, wanted_at_once

if TYPE_CHECKING:
    from holdfast.jobs.console import JobInfo, Jobs
    from holdfast.jobs.task import Call, Request

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_SQL = load_statements("holdfast.jobs", "batches.sql")
_RING = load_statements("holdfast.jobs", "enqueue.sql")["ring"]
_TOGETHER: Final = 5_000
_PAGE: Final = 500
_NEWEST: Final = 2**63 - 1
_REPEAT_FOR_SECONDS: Final = 25.0
_WORTH_REPEATING: Final = (Fault.CONNECTION_LOST, Fault.NOT_THERE_YET, Fault.CONTENDED)


class Into(Struct, frozen=True):
    """Which batch new jobs join: a batch, or that of a running job."""

    batch: int | None = None
    beside: int | None = None


class BatchInfo(Struct, frozen=True):
    """A batch as people see it. ``open``: members (and batches they opened) that have not ended."""

    id: int
    name: str | None
    state: str
    parent_job: int | None
    created_at: datetime
    finished_at: datetime | None
    members: int
    open: int
    completed: int
    failed: int
    cancelled: int
    retried: int
    cancel_reason: str | None
    callbacks: tuple[int, ...]


class Home(Protocol):
    """Where a batch is stored from: an application, or a running job."""

    async def run(self, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
        """Run on the database of the running event loop."""
        ...

    def run_sync(self, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
        """Run for a caller without an event loop."""
        ...


class Batch:
    """Jobs that are stored together when the ``with`` block ends, in one transaction: the batch and all, or nothing."""

    def __init__(
        self,
        home: Home,
        name: str | None,
        *,
        on_success: Call | None,
        on_failure: Call | None,
        on_finish: Call | None,
        parent: int | None = None,
        using: Any = None,
    ) -> None:
        self.id: int | None = None
        self.existing = False
        self.job_ids: list[JobId] = []
        self._home = home
        self._name = name
        self._callbacks = (on_success, on_failure, on_finish)
        self._parent = parent
        self._connection = using
        self._jobs: list[NewJob] = []

    def add(self, request: Request[P, R], *args: P.args, **kwargs: P.kwargs) -> None:
        """One more member: ``batch.add(resize, 42)``, ``batch.add(resize.options(priority=0), 42)``."""
        self._jobs.append(request.with_args(*args, **kwargs).job)

    def add_many(self, request: Request[..., Any], calls: Iterable[Any]) -> None:
        """Members from calls: tuples of positional arguments, or dicts of named ones."""
        self._jobs += [call.job for call in request.with_calls(calls)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_rest: object) -> None:
        if kind is not None or effects_suppressed():
            return
        if self._connection is not None:
            await self._store_on(self._connection)
        else:
            await self._home.run(self._store)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_rest: object) -> None:
        if kind is not None or effects_suppressed():
            return
        if self._connection is not None:
            self._store_on_sync(self._connection)
        else:
            self._home.run_sync(self._store)

    async def _store(self, database: Database) -> None:
        """The batch's id is drawn before, so that after a lost answer nobody has to guess whether it exists."""
        (batch_id,) = await IdSupply(database).take(1)
        give_up_at, delay, unsure = monotonic() + _REPEAT_FOR_SECONDS, 0.02, False
        while True:
            try:
                if unsure and await database.fetchval(_SQL["batch_exists"], batch_id):
                    await self._find(database, batch_id)
                    return
                async with database.connection("user") as connection, connection.transaction():

                    async def run(statement: Statement, params: tuple[Any, ...], on: Any = connection) -> Any:
                        return await on.fetchval(statement.sql, *params)

                    await self._write(run, batch_id)
            except DRIVER_ERRORS as error:
                fault = classify(error)
                if fault in (Fault.ROW, Fault.REPEATED):
                    raise _unstorable(error) from error
                if fault not in _WORTH_REPEATING or monotonic() > give_up_at:
                    raise
                unsure = unsure or fault is Fault.CONNECTION_LOST
            else:
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, 1.0)

    async def _find(self, database: Database, batch_id: int) -> None:
        """It was committed after all."""
        self._opened(batch_id)
        while page := await page_of(database, "members", batch_id, self.job_ids[-1] if self.job_ids else 0):
            self._stored(page)

    async def _store_on(self, connection: Any) -> None:
        """In the caller's transaction. A repeat is the caller's to decide."""
        adopted = adopt(connection)

        async def run(statement: Statement, params: tuple[Any, ...]) -> Any:
            return (await adopted.fetch(statement, params))[0][0]

        await self._write(run, None)
        adopted.at_commit(_RING, wanted_at_once(self._jobs))

    def _store_on_sync(self, connection: Any) -> None:
        adopted = adopt(connection)
        self._opened(adopted.fetch_sync(_SQL["open_batch"], self._open_params(None))[0][0])
        for part in self._parts():
            self._stored(adopted.fetch_sync(_SQL["enqueue_into"], self._params(part))[0][0])
        adopted.at_commit(_RING, wanted_at_once(self._jobs))

    async def _write(self, run: Callable[[Statement, tuple[Any, ...]], Awaitable[Any]], batch_id: int | None) -> None:
        self._opened(await run(_SQL["open_batch"], self._open_params(batch_id)))
        for part in self._parts():
            self._stored(await run(_SQL["enqueue_into"], self._params(part)))

    def _open_params(self, batch_id: int | None) -> tuple[Any, ...]:
        calls = (None if call is None else call.as_text() for call in self._callbacks)
        return (batch_id, self._name, self._parent, *calls)

    def _params(self, part: Sequence[NewJob]) -> tuple[Any, ...]:
        return (self.id, None, *columns(part, None), *unique_columns(part))

    def _opened(self, stored: int) -> None:
        self.id, self.existing, self.job_ids = abs(stored), stored < 0, []

    def _stored(self, ids: Sequence[int]) -> None:
        self.job_ids += [JobId(abs(job_id), existing=job_id < 0) for job_id in ids]

    def _parts(self) -> Iterable[Sequence[NewJob]]:
        """Portions of a statement each; none for a batch that an earlier attempt has stored."""
        if not self.existing:
            for start in range(0, len(self._jobs), _TOGETHER):
                yield self._jobs[start : start + _TOGETHER]


class Batches:
    """``app.batches``: batches that exist."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self._database = database
        self._jobs = jobs

    async def show(self, batch_id: int) -> BatchInfo:
        """One batch. Raises ``BatchNotFound``."""
        found = await self._fetch([batch_id], _NEWEST, 1)
        if not found:
            raise _unknown(batch_id)
        return found[0]

    async def list(
        self, *, unfinished: bool = False, before: int | None = None, limit: int = 50
    ) -> Sequence[BatchInfo]:
        """The newest batches first; ``before``: the id to go on from."""
        return await self._fetch(None, before or _NEWEST, limit, unfinished=unfinished)

    async def members(self, batch_id: int) -> AsyncIterator[JobInfo]:
        """The jobs of a batch, with their results, oldest id first; read in portions."""
        async for info in self._jobs.pages("members", batch_id):
            yield info

    async def wait(self, batch_id: int, *, timeout_seconds: float | None = None) -> BatchInfo:
        """Wait until a batch has ended (its callbacks are enqueued then). Raises ``BatchNotFound``, ``TimedOut``."""
        give_up_at = None if timeout_seconds is None else monotonic() + timeout_seconds
        pause = 0.02
        while True:
            info = await self.show(batch_id)
            if info.finished_at is not None:
                return info
            if give_up_at is not None and monotonic() >= give_up_at:
                raise TimedOut(
                    f"batch {batch_id}: {info.open} of {info.members} are open after {timeout_seconds:g} s",
                    remedy=f"look at it: holdfast batch show {batch_id}",
                )
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    async def ids(
        self, what: Literal["members", "children"], owner: int, *, after: int = 0, limit: int = 50
    ) -> Sequence[int]:
        """The next ids of the ``members`` of a batch, or of the ``children`` of a job, the oldest first."""
        return await page_of(self._database, what, owner, after, limit)

    async def is_within(self, batch_id: int, queues: Collection[str], *, most: int | None = None) -> bool:
        """Whether the members of a batch, the first ``most`` or all of them, are in these queues alone."""
        return bool(await self._database.fetchval(_SQL["is_within"], batch_id, list(queues), most))

    async def cancel(self, batch_id: int, *, reason: str | None = None) -> bool:
        """Cancel a batch, its members and what they opened; its callbacks are not called.

        False: it was cancelled already. Raises ``BatchNotFound``, ``IllegalMove`` for one that has ended.
        """
        answer = await self._database.fetchval(_SQL["cancel"], batch_id, reason)
        if answer is None:
            raise _unknown(batch_id)
        if answer == "finished":
            raise IllegalMove(f"batch {batch_id} has ended and cannot be cancelled", remedy="nothing to do")
        return bool(answer == "cancelled")

    async def settle(self, most: int = 10_000) -> int:
        """End the batches of which nothing is open; workers do it by themselves. Returns how many."""
        return int(await self._database.fetchval(_SQL["settle"], most, pool="control"))

    async def _fetch(
        self, ids: Sequence[int] | None, before: int, limit: int, *, unfinished: bool = False
    ) -> Sequence[BatchInfo]:
        return [_info(row) for row in await self._database.fetch(_SQL["show"], ids, before, unfinished, limit)]


async def page_of(database: Database, what: str, owner: int, after: int, limit: int = _PAGE) -> Sequence[int]:
    """The next ids of the ``members`` of a batch, or the ``children`` of a job."""
    return [row[0] for row in await database.fetch(_SQL[what], owner, after, limit)]


def raise_if_over(error: BaseException) -> None:
    """Raises ``IllegalMove`` where the server says that nobody can join the batch."""
    if getattr(error, "sqlstate", None) == "HF012":
        told = (str(error).splitlines() or [""])[0]
        raise IllegalMove(told, remedy="open a new batch; members can join from inside a member") from None


def call_text(job: NewJob) -> str:
    """A callback as it is kept with its batch. Raises ``ConfigurationError`` for what a callback cannot have."""
    if job.unique_key is not None or job.delay_us is not None or job.due_at is not None:
        raise ConfigurationError(
            f"the callback {job.task!r} is to run when its batch has ended: it has no key and no time of its own",
            remedy="leave out unique=, run_in= and run_at=",
        )
    # Refused now, and not when the batch has ended and nobody is there to hear it.
    if any(limit is not None and limit <= 0 for limit in (job.max_attempts, job.timeout_seconds)):
        raise ConfigurationError(f"the callback {job.task!r} has a limit that is not above 0")
    return msgspec.json.encode(
        {
            "task": job.task,
            "queue": job.queue,
            "args": msgspec.Raw(job.args.encode()),
            "priority": job.priority,
            "flags": job.flags,
            "max_attempts": job.max_attempts,
            "timeout_seconds": job.timeout_seconds,
            "gates": job.gates,
        }
    ).decode()


def _info(row: Any) -> BatchInfo:
    ended = row["completed"] + row["failed"] + row["cancelled"] - row["reopened"]
    well = row["completed"] == row["members"] and not row["inner_unwell"]
    if row["cancelled_at"] is not None:
        state = "cancelled"
    elif row["finished_at"] is None:
        state = "running"
    else:
        state = "completed" if well else "failed"
    return BatchInfo(
        id=row["id"],
        name=row["name"],
        state=state,
        parent_job=row["parent_job"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
        members=row["members"],
        open=row["members"] - ended + row["inner_open"],
        completed=row["completed"],
        failed=row["failed"],
        cancelled=row["cancelled"],
        retried=row["reopened"],
        cancel_reason=row["cancel_reason"],
        callbacks=tuple(row["callbacks"]),
    )


def _unstorable(error: BaseException) -> ArgumentsInvalid:
    return ArgumentsInvalid(
        f"a member cannot be stored, so nothing of the batch was: {error}",
        remedy="look at the arguments (JSON cannot hold NaN), queues, priorities and limits",
    )


def _unknown(batch_id: int) -> BatchNotFound:
    return BatchNotFound(f"there is no batch {batch_id}", remedy="it was never stored, or retention has let go of it")
