"""Holdfast itself.

INTERIM: the rooms are put together by hand here, because the application object and the command for workers are not
there yet. Then this becomes `Holdfast(database_url=…)`, `@app.task`, and `holdfast worker --app … --queues …`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import asyncpg
from contract import QUEUE, Adapter, Unsupported, sql
from measures import main
from tally import Tally, current_tally

from holdfast.db import Database, migrate
from holdfast.jobs import Job, Producer, Retry, Task
from holdfast.worker import ThreadLifeline
from holdfast.worker.options import WorkerOptions
from holdfast.worker.worker import Worker

T = TypeVar("T")


async def noop(payload: dict[str, Any]) -> None:
    """The job that does nothing."""
    current_tally().hit(payload)


async def noop_alone(job: Job, payload: dict[str, Any]) -> None:
    """The same with an outcome that commits in a transaction of its own."""
    async with job.transaction():
        current_tally().hit(payload)


class Application:
    """What a task needs to enqueue."""

    def __init__(self) -> None:
        self._producer: Producer | None = None

    def open(self, database: Database) -> None:
        self._producer = Producer(database)

    async def producer(self) -> Producer:
        assert self._producer is not None
        return self._producer

    def run_sync(self, work: Callable[[Producer], Awaitable[T]]) -> T:
        raise Unsupported("only coroutines enqueue here")

    def task(self, function: Callable[..., Any], *, transactional: bool) -> Task[..., Any]:
        return Task(
            function,
            self,
            name="noop",
            queue=QUEUE,
            retry=Retry(),
            priority=5,
            timeout_seconds=None,
            transactional=transactional,
        )


class HoldfastAdapter(Adapter):
    defaults: ClassVar[dict[str, Any]] = {
        "concurrency": 50,
        "max_prefetch": 500,
        "driver": "asyncpg",
        "event_loop": "uvloop",
        "lifeline": "thread",
        "keeps_history": True,
    }

    def _task(self) -> Task[..., Any]:
        alone = self.measure == "transactional"
        return self._application.task(noop_alone if alone else noop, transactional=alone)

    async def install(self) -> None:
        connection = await asyncpg.connect(self.dsn)
        await migrate(connection)
        await connection.close()

    async def connect(self, connections: int) -> None:
        self._database = Database(self.dsn, user_size=connections)
        await self._database.open()
        self._application = Application()
        self._application.open(self._database)
        self._noop = self._task()

    async def close(self) -> None:
        await self._database.close()

    async def enqueue(self, payload: dict[str, Any]) -> None:
        await self._noop.enqueue(payload)

    async def enqueue_many(self, payloads: list[dict[str, Any]]) -> None:
        await self._noop.enqueue_many([(payload,) for payload in payloads])

    async def unfinished(self) -> int:
        connection = await asyncpg.connect(self.dsn)
        try:
            return int(await connection.fetchval(sql("holdfast_unfinished")))
        finally:
            await connection.close()

    async def work(self, tally: Tally, stop: asyncio.Event) -> None:
        database = Database(self.dsn)
        await database.open()
        self._application = Application()
        task = self._task()
        options = replace(
            WorkerOptions(queues=(QUEUE,)),
            concurrency=self.settings["concurrency"],
            max_prefetch=self.settings["max_prefetch"],
        )
        worker = Worker(database, {task.name: task}, ThreadLifeline(self.dsn), options)
        running = asyncio.create_task(worker.run())
        await asyncio.wait([running, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        worker.stop()
        report = await running
        if not report.ok:
            raise RuntimeError(f"the worker reports {report}")
        await database.close()


if __name__ == "__main__":
    main(HoldfastAdapter)
