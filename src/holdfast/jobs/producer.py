"""The way into the queue: single enqueues that share a commit, bulk, unique keys, and a caller's own transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Fault, HeldConnection, Statement, adopt, classify, load_statements
from holdfast.errors import ArgumentsInvalid, DatabaseUnavailable
from holdfast.jobs.batches import Into, raise_if_over
from holdfast.jobs.ids import IdSupply
from holdfast.jobs.new_job import JobId, NewJob, columns, one_keyed_row, one_row, unique_columns, wanted_at_once

_SQL = {**load_statements("holdfast.jobs", "enqueue.sql"), **load_statements("holdfast.jobs", "batches.sql")}
_ROWS = {"enqueue_one": one_row, "enqueue_one_keyed": one_keyed_row}
"""Statements for one job, each with what makes its parameters."""
_MOST_TOGETHER = 1000
_BULK = 10_000
_INTO_A_BATCH = 5_000
_REPEAT_FOR_SECONDS = 25.0
_WORTH_REPEATING = (Fault.CONNECTION_LOST, Fault.NOT_THERE_YET, Fault.CONTENDED)


class Producer:
    """Enqueues on the user pool of a database.

    Plain jobs of concurrent callers travel together: whoever comes while a statement is on its way waits for the next
    one, so a hundred callers pay for one commit. Each is told only when its job is durable.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held = database.hold("user")
        self._held_for_keyed = database.hold("user")
        self._keyed_under_way = False
        self._ids = IdSupply(database)
        self._drawing = asyncio.Lock()
        self._waiting: list[tuple[NewJob, asyncio.Future[JobId]]] = []
        self._sender: asyncio.Task[None] | None = None
        self._sending = False

    async def enqueue(self, job: NewJob) -> JobId:
        """Store one job; returns when it is durable. Raises ``ArgumentsInvalid``, ``DatabaseUnavailable``."""
        if job.unique_key is not None:
            return await self._enqueue_keyed(job)
        if not self._sending:
            # Nobody to share with: the caller sends its own, without a task, a future and arrays of one.
            self._sending = True
            try:
                return (await self._send("enqueue_one" if job.gates is None else "enqueue", [job]))[0]
            finally:
                self._sending = False
                self._start_sender()
        answer: asyncio.Future[JobId] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, answer))
        return await answer

    async def enqueue_many(self, jobs: Sequence[NewJob]) -> list[JobId]:
        """Store many jobs, ten thousand a statement; ids in the order of the jobs.

        Each statement is all or nothing; with more than ten thousand jobs an error can come after earlier statements.
        """
        ids: list[JobId] = []
        for start in range(0, len(jobs), _BULK):
            part = jobs[start : start + _BULK]
            keyed = any(job.unique_key is not None for job in part)
            ids += await self._send("enqueue_keyed" if keyed else "enqueue", part, on=self._database)
        return ids

    async def enqueue_into(self, into: Into, jobs: Sequence[NewJob]) -> list[JobId]:
        """Store jobs as members of a batch, five thousand a statement. Raises ``IllegalMove`` when it has ended."""
        ids: list[JobId] = []
        for start in range(0, len(jobs), _INTO_A_BATCH):
            part = jobs[start : start + _INTO_A_BATCH]
            ids += await self._send("enqueue_into", part, on=self._database, first=(into.batch, into.beside))
        return ids

    @property
    def database(self) -> Database:
        """Where it enqueues."""
        return self._database

    async def close(self, deadline_seconds: float = 5.0) -> None:
        """Wait for what is on its way; after the deadline its callers are told that it is unknown."""
        give_up_at = monotonic() + deadline_seconds
        if self._sender is not None and not self._sender.done():
            await asyncio.wait([self._sender], timeout=deadline_seconds)
            self._sender.cancel()
        # Those behind them were never sent: nobody would ever answer them.
        waiting, self._waiting = self._waiting, []
        _fail(waiting, DatabaseUnavailable("the application was closed before the job was sent: it was not stored"))
        for held in (self._held, self._held_for_keyed):
            await held.close(max(give_up_at - monotonic(), 0.0))

    async def _enqueue_keyed(self, job: NewJob) -> JobId:
        """A keyed job may wait for somebody's transaction: it shares neither statement nor connection with others."""
        name = "enqueue_one_keyed" if job.gates is None else "enqueue_keyed"
        if self._keyed_under_way:
            return (await self._send(name, [job], on=self._database))[0]
        self._keyed_under_way = True
        try:
            return (await self._send(name, [job], on=self._held_for_keyed))[0]
        finally:
            self._keyed_under_way = False

    def _start_sender(self) -> None:
        if self._waiting and not self._sending:
            self._sending = True
            self._sender = asyncio.create_task(self._send_waiting(), name="holdfast enqueue")

    async def _send_waiting(self) -> None:
        try:
            await self._send_batches()
        finally:
            self._sending = False
            self._start_sender()

    async def _send_batches(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_TOGETHER], self._waiting[_MOST_TOGETHER:]
            try:
                await self._send_shared(batch)
            finally:
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(
                            DatabaseUnavailable("the enqueue was cut off: whether the job was stored is unknown")
                        )

    async def _send_shared(self, batch: list[tuple[NewJob, asyncio.Future[JobId]]]) -> None:
        """Send jobs of strangers; one that cannot be stored is found by halving and fails alone."""
        try:
            ids = await self._send("enqueue", [job for job, _ in batch])
        except ArgumentsInvalid as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            middle = len(batch) // 2
            await self._send_shared(batch[:middle])
            await self._send_shared(batch[middle:])
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear it
            _fail(batch, error)
        else:
            for (_, answer), job_id in zip(batch, ids, strict=True):
                if not answer.done():
                    answer.set_result(job_id)

    async def _send(
        self,
        name: str,
        jobs: Sequence[NewJob],
        *,
        on: Database | HeldConnection | None = None,
        first: tuple[Any, ...] = (),
    ) -> list[JobId]:
        """One statement, repeated with the same ids while nobody knows whether it was committed.

        On the held connection statements go one after the other; bulk, and keyed jobs that may wait, go elsewhere
        (``on``).
        """
        async with self._drawing:
            ids = await self._ids.take(len(jobs))
        if name in _ROWS:
            params = _ROWS[name](jobs[0], ids[0])
        else:
            params = (*first, *columns(jobs, ids))
            if name in ("enqueue_keyed", "enqueue_into"):
                params += unique_columns(jobs)
        fetchval = (on or self._held).fetchval
        give_up_at, delay, unsure = monotonic() + _REPEAT_FOR_SECONDS, 0.02, False
        while True:
            try:
                stored = await fetchval(_SQL[name], *params)
                if name in _ROWS:
                    return [JobId(stored, existing=stored != ids[0])]
                return [JobId(abs(new), existing=new != drawn) for new, drawn in zip(stored, ids, strict=True)]
            except DRIVER_ERRORS as error:
                raise_if_over(error)
                fault = classify(error)
                if fault is Fault.REPEATED and unsure and await self._all_exist(ids):
                    return [JobId(job_id) for job_id in ids]
                if fault in (Fault.ROW, Fault.REPEATED):
                    raise _unstorable(jobs, error) from error
                if fault not in _WORTH_REPEATING or monotonic() > give_up_at:
                    raise
                unsure = unsure or fault is Fault.CONNECTION_LOST
            await asyncio.sleep(delay)
            delay = min(delay * 2, 1.0)

    async def _all_exist(self, ids: Sequence[int]) -> bool:
        return len(await self._database.fetch(_SQL["which_exist"], list(ids))) == len(ids)


async def enqueue_on(connection: Any, jobs: Sequence[NewJob], into: Into | None = None) -> list[JobId]:
    """Enqueue in the transaction of a connection that the caller owns; both commit or neither does."""
    adopted = adopt(connection)
    rows = await adopted.fetch(*_on_connection(jobs, into))
    adopted.at_commit(_SQL["ring"], wanted_at_once(jobs))
    return _fresh_ids(rows[0][0], jobs)


def enqueue_on_sync(connection: Any, jobs: Sequence[NewJob], into: Into | None = None) -> list[JobId]:
    """The same on a connection without await, without an event loop."""
    adopted = adopt(connection)
    rows = adopted.fetch_sync(*_on_connection(jobs, into))
    adopted.at_commit(_SQL["ring"], wanted_at_once(jobs))
    return _fresh_ids(rows[0][0], jobs)


def _on_connection(jobs: Sequence[NewJob], into: Into | None) -> tuple[Statement, tuple[Any, ...]]:
    if into is not None:
        return _SQL["enqueue_into"], (into.batch, into.beside, *columns(jobs, None), *unique_columns(jobs))
    if any(job.unique_key is not None for job in jobs):
        return _SQL["enqueue_keyed_told"], columns(jobs, None) + unique_columns(jobs)
    return _SQL["enqueue"], columns(jobs, None)


def _fresh_ids(stored: Sequence[int], jobs: Sequence[NewJob]) -> list[JobId]:
    """A negative id is the server's way to say that the job existed before."""
    return [JobId(abs(job_id), existing=job_id < 0) for job_id, _ in zip(stored, jobs, strict=True)]


def _fail(batch: list[tuple[NewJob, asyncio.Future[JobId]]], error: Exception) -> None:
    for _, answer in batch:
        if not answer.done():
            answer.set_exception(error)


def _unstorable(jobs: Sequence[NewJob], error: Exception) -> ArgumentsInvalid:
    who = f"a job of task {jobs[0].task!r}" if len(jobs) == 1 else f"one of {len(jobs)} jobs"
    return ArgumentsInvalid(
        f"{who} cannot be stored, so nothing was: {error}",
        remedy="look at its arguments (JSON cannot hold NaN), queue, priority (0 to 9) and limits",
    )
