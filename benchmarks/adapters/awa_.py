"""Awa: a Rust core with its queue storage; Python handlers."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import awa
from contract import QUEUE, Adapter, percent_encoded, sql
from measures import main
from psycopg import AsyncConnection
from tally import Tally


@dataclass
class Noop:
    """The argument of the job that does nothing."""

    number: int
    sent: float
    padding: str


class AwaAdapter(Adapter):
    defaults: ClassVar[dict[str, Any]] = {
        "max_workers": 256,
        "claimers": 1,
        "claim_batch_size": None,
        "poll_interval_ms": 200,
        "storage": "queue storage",
        "driver": "sqlx (Rust)",
        "keeps_history": True,
    }

    def _client(self, connections: int) -> awa.AsyncClient:
        return awa.AsyncClient(percent_encoded(self.dsn), connections)

    async def install(self) -> None:
        async with self._client(2) as client:
            await client.migrate()
            await client.install_queue_storage()

    async def connect(self, connections: int) -> None:
        self._producer = self._client(connections)

    async def close(self) -> None:
        await self._producer.close()

    async def enqueue(self, payload: dict[str, Any]) -> None:
        await self._producer.insert(Noop(**payload), queue=QUEUE)

    async def enqueue_many(self, payloads: list[dict[str, Any]]) -> None:
        await self._producer.enqueue_many_copy([Noop(**payload) for payload in payloads], queue=QUEUE)

    async def unfinished(self) -> int:
        async with await AsyncConnection.connect(self.dsn) as connection:
            row = await (await connection.execute(sql("awa_unfinished"))).fetchone()
        return int(row[0]) if row else 0

    async def work(self, tally: Tally, stop: asyncio.Event) -> None:
        client = self._client(20)

        @client.task(Noop, queue=QUEUE)
        async def noop(job: awa.Job[Noop]) -> None:
            tally.hit(asdict(job.args))

        queue: dict[str, Any] = {"name": QUEUE, "max_workers": self.settings["max_workers"]}
        queue["claimers"] = self.settings["claimers"]
        if self.settings["claim_batch_size"]:
            queue["claim_batch_size"] = self.settings["claim_batch_size"]
        await client.start([queue], poll_interval_ms=self.settings["poll_interval_ms"])
        await stop.wait()
        await client.shutdown()
        await client.close()


if __name__ == "__main__":
    main(AwaAdapter)
