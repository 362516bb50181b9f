"""PgQueuer: asyncpg, batched claims and completions."""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

import asyncpg
from contract import QUEUE, Adapter, sql
from measures import main
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from tally import Tally


class PgQueuerAdapter(Adapter):
    defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 500,
        "driver": "asyncpg",
        "event_loop": "uvloop",
        "durability": "durable",
        # A log row per transition, folded into statistics; the job itself is deleted.
        "keeps_history": "log only",
    }

    async def install(self) -> None:
        connection = await asyncpg.connect(self.dsn)
        await Queries(AsyncpgDriver(connection)).install()
        await connection.close()

    async def connect(self, connections: int) -> None:
        self._pool = await asyncpg.create_pool(self.dsn, min_size=connections, max_size=connections)
        if connections == 1:
            # A plain connection is the documented producer; the pool costs a checkout per job.
            self._single = await self._pool.acquire()
            self._queries = Queries(AsyncpgDriver(self._single))
        else:
            self._single = None
            self._queries = Queries(AsyncpgPoolDriver(self._pool))

    async def close(self) -> None:
        if self._single is not None:
            await self._pool.release(self._single)
        await self._pool.close()

    async def enqueue(self, payload: dict[str, Any]) -> None:
        await self._queries.enqueue(QUEUE, json.dumps(payload).encode())

    async def enqueue_many(self, payloads: list[dict[str, Any]]) -> None:
        encoded: list[bytes | None] = [json.dumps(payload).encode() for payload in payloads]
        await self._queries.enqueue([QUEUE] * len(encoded), encoded, [0] * len(encoded))

    async def unfinished(self) -> int:
        connection = await asyncpg.connect(self.dsn)
        try:
            return int(await connection.fetchval(sql("pgqueuer_unfinished")))
        finally:
            await connection.close()

    async def work(self, tally: Tally, stop: asyncio.Event) -> None:
        connection = await asyncpg.connect(self.dsn)
        app = PgQueuer(AsyncpgDriver(connection))

        @app.entrypoint(QUEUE)
        async def noop(job: Job) -> None:
            tally.hit(json.loads(job.payload or b"{}"))

        worker = asyncio.create_task(app.run(batch_size=self.settings["batch_size"]))
        await asyncio.wait([worker, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        app.shutdown.set()
        await worker
        await connection.close()


if __name__ == "__main__":
    main(PgQueuerAdapter)
