"""Holdfast itself, through its public API and its own command for workers."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import asyncpg
from contract import DSN, QUEUE, Adapter, sql
from measures import main
from tally import current_tally

from holdfast import Holdfast

app = Holdfast(database_url=os.environ.get(DSN))


@app.task(queue=QUEUE)
async def noop(payload: dict[str, Any]) -> None:
    """The job that does nothing."""
    current_tally().hit(payload)


class HoldfastAdapter(Adapter):
    defaults: ClassVar[dict[str, Any]] = {
        "concurrency": 50,
        "driver": "asyncpg",
        "event_loop": "uvloop",
        "keeps_history": True,
    }

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "holdfast", *arguments]

    async def install(self) -> None:
        environment = {**os.environ, "HOLDFAST_DATABASE_URL": self.dsn}
        process = await asyncio.create_subprocess_exec(*self._command("db", "migrate"), env=environment)
        if await process.wait():
            raise RuntimeError("the migrations failed")

    async def connect(self, connections: int) -> None:
        await app.open()

    async def close(self) -> None:
        await app.close()

    async def enqueue(self, payload: dict[str, Any]) -> None:
        await noop.enqueue(payload)

    async def enqueue_many(self, payloads: list[dict[str, Any]]) -> None:
        await noop.enqueue_many(payloads)

    async def unfinished(self) -> int:
        connection = await asyncpg.connect(self.dsn)
        try:
            return int(await connection.fetchval(sql("holdfast_unfinished")))
        finally:
            await connection.close()

    def worker_command(self) -> list[str]:
        return self._command(
            "worker",
            *("--app", f"{Path(__file__).stem}:app", "--queues", QUEUE),
            *("--concurrency", str(self.settings["concurrency"])),
        )


if __name__ == "__main__":
    main(HoldfastAdapter)
