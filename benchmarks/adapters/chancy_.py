"""Chancy: psycopg, batched claims, completions written once per interval."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

from chancy import Chancy, Queue, Worker, job
from contract import QUEUE, Adapter, sql
from measures import main
from psycopg import AsyncConnection
from tally import Tally, current_tally


@job(queue=QUEUE)
async def noop(*, payload: dict[str, Any]) -> None:
    """The job that does nothing."""
    current_tally().hit(payload)


class ChancyAdapter(Adapter):
    defaults: ClassVar[dict[str, Any]] = {
        "concurrency": 5000,
        "polling_interval": 1,
        "eager_polling": False,
        "executor": "async",
        "send_outgoing_interval": 1,
        "log_level": "WARNING",
        "driver": "psycopg",
        "event_loop": "uvloop",
        "keeps_history": True,
    }

    def _app(self, connections: int) -> Chancy:
        # The default logger writes a line per job at INFO.
        log = logging.getLogger("bench")
        log.setLevel(self.settings["log_level"])
        return Chancy(self.dsn, max_connection_pool_size=connections, log=log)

    async def install(self) -> None:
        async with self._app(2) as app:
            await app.migrate()
            await app.declare(
                Queue(
                    QUEUE,
                    concurrency=self.settings["concurrency"],
                    polling_interval=self.settings["polling_interval"],
                    eager_polling=self.settings["eager_polling"],
                    executor=Chancy.Executor.Async,
                )
            )

    async def connect(self, connections: int) -> None:
        self._client = self._app(connections)
        await self._client.pool.open()

    async def close(self) -> None:
        await self._client.pool.close()

    async def enqueue(self, payload: dict[str, Any]) -> None:
        await self._client.push(noop.job.with_kwargs(payload=payload))

    async def enqueue_many(self, payloads: list[dict[str, Any]]) -> None:
        async for _ in self._client.push_many([noop.job.with_kwargs(payload=payload) for payload in payloads]):
            pass

    async def unfinished(self) -> int:
        async with await AsyncConnection.connect(self.dsn) as connection:
            row = await (await connection.execute(sql("chancy_unfinished"))).fetchone()
        return int(row[0]) if row else 0

    async def work(self, tally: Tally, stop: asyncio.Event) -> None:
        async with self._app(10) as app, Worker(app, register_signal_handlers=False) as worker:
            worker.send_outgoing_interval = self.settings["send_outgoing_interval"]
            await stop.wait()


if __name__ == "__main__":
    main(ChancyAdapter)
