"""Oban for Python: psycopg, batched claims, one update per completion."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from contract import QUEUE, Adapter, sql
from measures import main
from oban import Oban, worker
from oban.job import Job
from oban.schema import install
from psycopg import AsyncConnection
from tally import Tally, current_tally


@worker(queue=QUEUE)
class Noop:
    """The job that does nothing."""

    async def process(self, job: Job) -> None:
        current_tally().hit(job.args)


def _new(payload: dict[str, Any]) -> Job:
    job: Job = Noop.new(payload)  # type: ignore[attr-defined]  # the decorator adds it
    return job


class ObanAdapter(Adapter):
    defaults: ClassVar[dict[str, Any]] = {
        "limit": 200,
        "pool": 10,
        "driver": "psycopg",
        "event_loop": "uvloop",
        "keeps_history": True,
    }

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
        await self._oban.enqueue(_new(payload))

    async def enqueue_many(self, payloads: list[dict[str, Any]]) -> None:
        await self._oban.enqueue_many([_new(payload) for payload in payloads])

    async def unfinished(self) -> int:
        async with await AsyncConnection.connect(self.dsn) as connection:
            row = await (await connection.execute(sql("oban_unfinished"))).fetchone()
        return int(row[0]) if row else 0

    async def work(self, tally: Tally, stop: asyncio.Event) -> None:
        pool = await Oban.create_pool(self.dsn, min_size=2, max_size=self.settings["pool"])
        async with Oban(pool=pool, queues={QUEUE: self.settings["limit"]}):
            await stop.wait()
        await pool.close()


if __name__ == "__main__":
    main(ObanAdapter)
