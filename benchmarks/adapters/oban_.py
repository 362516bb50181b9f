"""Oban for Python: psycopg, batched claims, one update per completion."""

from __future__ import annotations

import asyncio
from typing import Any

from contract import QUEUE, Adapter, sql
from measures import main
from oban import Oban, worker
from oban.job import Job
from oban.schema import install
from psycopg import AsyncConnection
from tally import Tally

_tally: Tally | None = None


@worker(queue=QUEUE)
class Noop:
    """The job that does nothing."""

    async def process(self, job: Job) -> None:
        assert _tally is not None
        _tally.hit(job.args)


class ObanAdapter(Adapter):
    defaults = {"limit": 200, "pool": 10, "driver": "psycopg", "event_loop": "uvloop", "keeps_history": True}

    async def install(self) -> None:
        pool = await Oban.create_pool(self.dsn, min_size=1, max_size=1)
        await install(pool)
        await pool.close()

    async def connect(self, connections: int) -> None:
        self._pool = await Oban.create_pool(self.dsn, min_size=connections, max_size=connections)
        self._oban = Oban(pool=self._pool)

    async def close(self) -> None:
        await self._pool.close()

    async def enqueue(self, payload: dict[str, Any]) -> None:
        await self._oban.enqueue(Noop.new(payload))

    async def enqueue_many(self, payloads: list[dict[str, Any]]) -> None:
        await self._oban.enqueue_many([Noop.new(payload) for payload in payloads])

    async def unfinished(self) -> int:
        async with await AsyncConnection.connect(self.dsn) as connection:
            row = await (await connection.execute(sql("oban_unfinished"))).fetchone()
        return int(row[0]) if row else 0

    async def work(self, tally: Tally, stop: asyncio.Event) -> None:
        global _tally
        _tally = tally
        pool = await Oban.create_pool(self.dsn, min_size=2, max_size=self.settings["pool"])
        async with Oban(pool=pool, queues={QUEUE: self.settings["limit"]}):
            await stop.wait()
        await pool.close()


if __name__ == "__main__":
    main(ObanAdapter)
