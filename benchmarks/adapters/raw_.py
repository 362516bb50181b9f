"""The raw limit: hand-written SQL through asyncpg, no framework, no handlers."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
import time
from typing import Any

import asyncpg
from contract import QUEUE, Adapter, sql
from measures import main
from tally import Tally


def statement(name: str) -> str:
    """A section of `raw.sql`."""
    return sql(name, "raw.sql")


class Raw(Adapter):
    defaults = {"batch": 500, "connections": 1, "driver": "asyncpg", "event_loop": "uvloop", "keeps_history": True}

    async def install(self) -> None:
        connection = await asyncpg.connect(self.dsn)
        await connection.execute(statement("install"))
        await connection.close()

    async def connect(self, connections: int) -> None:
        self._pool = await asyncpg.create_pool(self.dsn, min_size=connections, max_size=connections)
        self._one = await self._pool.acquire() if connections == 1 else None
        self._notify = statement("notify")
        self._insert_one = statement("insert_one")
        self._enqueue_many = statement("enqueue_many")

    async def close(self) -> None:
        if self._one is not None:
            await self._pool.release(self._one)
        await self._pool.close()

    async def enqueue(self, payload: dict[str, Any]) -> None:
        on = self._one or self._pool
        if self.measure == "latency":
            await on.execute(self._notify, json.dumps(payload))
        elif self.measure == "produce_and_drain":
            await on.execute(self._enqueue_many, QUEUE, [json.dumps(payload)])
        else:
            await on.execute(self._insert_one, QUEUE, json.dumps(payload))

    async def enqueue_many(self, payloads: list[dict[str, Any]]) -> None:
        await (self._one or self._pool).execute(self._enqueue_many, QUEUE, [json.dumps(p) for p in payloads])

    async def unfinished(self) -> int:
        connection = await asyncpg.connect(self.dsn)
        try:
            return int(await connection.fetchval(sql("raw_unfinished")))
        finally:
            await connection.close()

    async def work(self, tally: Tally, stop: asyncio.Event) -> None:
        if self.measure == "latency":
            await self._listen(tally, stop)
            return
        async with asyncio.TaskGroup() as group:
            for _ in range(self.settings["connections"]):
                group.create_task(self._claim(tally, stop))

    async def _listen(self, tally: Tally, stop: asyncio.Event) -> None:
        connection = await asyncpg.connect(self.dsn)
        await connection.add_listener("raw_wake", lambda *received: tally.hit(json.loads(received[3])))
        await stop.wait()
        await connection.close()

    async def _claim(self, tally: Tally, stop: asyncio.Event) -> None:
        connection = await asyncpg.connect(self.dsn)
        merged = await connection.prepare(statement("complete_and_claim"))
        payloads = await connection.prepare(statement("payloads"))
        # One sequence value stands for a whole range of lease ids, so drawing one costs nothing per batch.
        block = await connection.fetchval(statement("lease_id"))
        leases = (block * 1_000_000 + n for n in itertools.count())
        held: list[int] = []
        watermark, lease, batch_started = 0, 0, 0.0
        while not stop.is_set() or held:
            # The measure starts with the first claim that finds something.
            started, following = time.monotonic(), next(leases)
            now = datetime.datetime.now(datetime.UTC)
            rows = await merged.fetch(QUEUE, lease, held, now, watermark, self.settings["batch"], following)
            if held:
                tally.add(len(held), batch_started)
            held, lease = [row["job_id"] for row in rows], following
            if held:
                batch_started = started
                watermark = max(watermark, max(row["seq"] for row in rows))
                for row in await payloads.fetch(held, min(held), max(held)):
                    json.loads(row["args"])
            else:
                await asyncio.sleep(0.001)
        await connection.close()


if __name__ == "__main__":
    main(Raw)
