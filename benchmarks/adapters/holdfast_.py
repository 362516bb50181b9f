"""Holdfast itself, through its front door."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import asyncpg
from contract import QUEUE, Adapter, sql
from measures import main
from tally import Tally, current_tally

from holdfast import Holdfast, Job
from holdfast.jobs import Task


async def noop(payload: dict[str, Any]) -> None:
    """The job that does nothing."""
    current_tally().hit(payload)


async def noop_alone(job: Job, payload: dict[str, Any]) -> None:
    """The same with an outcome that commits in a transaction of its own."""
    async with job.transaction():
        current_tally().hit(payload)


class HoldfastAdapter(Adapter):
    defaults: ClassVar[dict[str, Any]] = {
        "concurrency": 50,
        "driver": "asyncpg",
        "event_loop": "uvloop",
        "lifeline": "thread",
        "keeps_history": True,
    }

    def _open_app(self) -> None:
        self._app = Holdfast(self.dsn)
        self._noop: Task[..., Any]
        if self.measure == "transactional":
            self._noop = self._app.task(name="noop", queue=QUEUE, transactional=True)(noop_alone)
        else:
            self._noop = self._app.task(name="noop", queue=QUEUE)(noop)

    async def install(self) -> None:
        app = Holdfast(self.dsn)
        await app.open(bring_up=True)
        await app.close()

    async def connect(self, connections: int) -> None:
        self._open_app()
        await self._app.open()

    async def close(self) -> None:
        await self._app.close()

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
        self._open_app()
        async with self._app:
            worker = self._app.worker([QUEUE], concurrency=self.settings["concurrency"])
            running = asyncio.create_task(worker.run())
            await asyncio.wait([running, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
            worker.stop()
            report = await running
        if not report.ok:
            raise RuntimeError(f"the worker reports {report}")


if __name__ == "__main__":
    main(HoldfastAdapter)
