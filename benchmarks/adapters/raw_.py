"""The raw limit: hand-written SQL through asyncpg, no framework, no handlers."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, ClassVar

import asyncpg
from contract import QUEUE, Adapter, sql
from measures import main
from tally import Tally

from holdfast.db import migrate

# The flag of jobs that get a lease of their own.
ALONE = 1


def statement(name: str) -> str:
    """A section of `raw.sql`."""
    return sql(name, "raw.sql")


class Raw(Adapter):
    defaults: ClassVar[dict[str, Any]] = {
        "batch": 500,
        "connections": 1,
        "driver": "asyncpg",
        "event_loop": "uvloop",
        "keeps_history": True,
    }

    async def install(self) -> None:
        connection = await asyncpg.connect(self.dsn)
        await migrate(connection)
        await connection.execute(statement("create_single"))
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
            await on.execute(self._enqueue_many, QUEUE, [json.dumps(payload)], 0)
        else:
            await on.execute(self._insert_one, QUEUE, json.dumps(payload))

    async def enqueue_many(self, payloads: list[dict[str, Any]]) -> None:
        flags = ALONE if self.measure == "transactional" else 0
        await (self._one or self._pool).execute(self._enqueue_many, QUEUE, [json.dumps(p) for p in payloads], flags)

    async def ready(self) -> None:
        # Another process becomes ready; there is no event of ours to wait for.
        while self.measure == "latency" and not await (self._one or self._pool).fetchval(statement("listening")):
            await asyncio.sleep(0.05)

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
        work = await connection.prepare(statement("work"))
        worker = await connection.fetchval(statement("register"), QUEUE)
        lease, mark, started = worker << 36, 0, 0.0
        jobs: list[int] = []
        while jobs or not stop.is_set():
            size, asked = len(jobs), time.monotonic()
            rows = await work.fetch(
                *([lease] * size, jobs, [1] * size, [1] * size, [0] * size, [0] * size, [None] * size),
                *(QUEUE, [lease] if jobs else [], worker, lease + 1, self.settings["batch"], mark),
            )
            if jobs:
                tally.add(size, started)
            if any(row["kind"] for row in rows):
                raise RuntimeError("a completion was refused")
            jobs, lease, started = [row["job_id"] for row in rows], lease + 1, asked
            if rows:
                mark = max(mark, max(row["seq"] for row in rows) + 1)
                for row in rows:
                    json.loads(row["args"])
                if self.measure == "transactional":
                    await self._finish_alone(connection, rows)
                    tally.add(len(jobs), started)
                    jobs, lease = [], lease + len(rows)
            else:
                await asyncio.sleep(0.001)
        await connection.close()

    async def _finish_alone(self, connection: asyncpg.Connection, rows: list[asyncpg.Record]) -> None:
        finish = statement("finish_alone")
        for row in rows:
            async with connection.transaction():
                if not await connection.fetchval(finish, row["lease"], row["job_id"], QUEUE):
                    raise RuntimeError("a lease was lost")


if __name__ == "__main__":
    main(Raw)
