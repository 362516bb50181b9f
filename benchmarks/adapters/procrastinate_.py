"""Procrastinate: psycopg, one function call per claim and per completion."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import procrastinate
from contract import QUEUE, Adapter, sql
from measures import main
from psycopg import AsyncConnection
from tally import Tally


class Procrastinate(Adapter):
    defaults: ClassVar[dict[str, Any]] = {
        "concurrency": 10,
        # The default keeps finished jobs; "always" was measured 1.1-1.3 times faster.
        "delete_jobs": "never",
        "listen_notify": True,
        "driver": "psycopg",
        "event_loop": "uvloop",
        "keeps_history": True,
    }

    def _app(self, connections: int) -> procrastinate.App:
        connector = procrastinate.PsycopgConnector(conninfo=self.dsn, min_size=1, max_size=connections)
        return procrastinate.App(connector=connector)

    async def install(self) -> None:
        async with self._app(1).open_async() as app:
            await app.schema_manager.apply_schema_async()

    async def connect(self, connections: int) -> None:
        self._client = self._app(connections)
        await self._client.open_async()
        self._task = self._client.configure_task("noop", queue=QUEUE)

    async def close(self) -> None:
        await self._client.close_async()

    async def enqueue(self, payload: dict[str, Any]) -> None:
        await self._task.defer_async(payload=payload)

    async def enqueue_many(self, payloads: list[dict[str, Any]]) -> None:
        await self._task.batch_defer_async(*({"payload": payload} for payload in payloads))

    async def unfinished(self) -> int:
        async with await AsyncConnection.connect(self.dsn) as connection:
            row = await (await connection.execute(sql("procrastinate_unfinished"))).fetchone()
        return int(row[0]) if row else 0

    async def work(self, tally: Tally, stop: asyncio.Event) -> None:
        app = self._app(self.settings["concurrency"] + 5)

        @app.task(name="noop", queue=QUEUE)
        async def noop(payload: dict[str, Any]) -> None:
            tally.hit(payload)

        async with app.open_async():
            worker = asyncio.create_task(
                app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=self.settings["concurrency"],
                    delete_jobs=self.settings["delete_jobs"],
                    listen_notify=self.settings["listen_notify"],
                    install_signal_handlers=False,
                )
            )
            await asyncio.wait([worker, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
            worker.cancel()
            await asyncio.wait([worker])


if __name__ == "__main__":
    main(Procrastinate)
