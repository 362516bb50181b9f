"""Absurd: stored procedures, a polled queue, one psycopg connection per client."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import absurdctl
from absurd_sdk import AsyncAbsurd
from contract import QUEUE, Adapter, sql
from measures import main
from psycopg import AsyncConnection
from tally import Tally


class AbsurdAdapter(Adapter):
    defaults: ClassVar[dict[str, Any]] = {
        "concurrency": 100,
        "batch_size": 100,
        "poll_interval": 0.25,
        "driver": "psycopg",
        "event_loop": "uvloop",
        "keeps_history": True,
    }

    async def install(self) -> None:
        async with await AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            await connection.execute(absurdctl.BUNDLED_SCHEMA_SQL)
        client = AsyncAbsurd(self.dsn, queue_name=QUEUE)
        await client.create_queue(QUEUE)
        await client.close()

    async def connect(self, connections: int) -> None:
        # A client owns one connection, so concurrent callers take turns on several clients.
        self._clients: asyncio.Queue[AsyncAbsurd] = asyncio.Queue()
        for _ in range(connections):
            self._clients.put_nowait(AsyncAbsurd(self.dsn, queue_name=QUEUE))

    async def close(self) -> None:
        while not self._clients.empty():
            await self._clients.get_nowait().close()

    async def enqueue(self, payload: dict[str, Any]) -> None:
        client = await self._clients.get()
        try:
            await client.spawn("noop", payload, queue=QUEUE)
        finally:
            self._clients.put_nowait(client)

    async def unfinished(self) -> int:
        async with await AsyncConnection.connect(self.dsn) as connection:
            row = await (await connection.execute(sql("absurd_unfinished"))).fetchone()
        return int(row[0]) if row else 0

    async def work(self, tally: Tally, stop: asyncio.Event) -> None:
        client = AsyncAbsurd(self.dsn, queue_name=QUEUE)

        @client.register_task("noop", queue=QUEUE)
        async def noop(payload: dict[str, Any], context: Any) -> None:
            tally.hit(payload)

        worker = asyncio.create_task(
            client.start_worker(
                concurrency=self.settings["concurrency"],
                batch_size=self.settings["batch_size"],
                poll_interval=self.settings["poll_interval"],
            )
        )
        await asyncio.wait([worker, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        client.stop_worker()
        await worker
        await client.close()


if __name__ == "__main__":
    main(AbsurdAdapter)
