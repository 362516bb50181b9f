"""DBOS: every job is a workflow; SQLAlchemy on psycopg, polled queues."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import psycopg
import sqlalchemy
from contract import QUEUE, Adapter, sql
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions
from measures import main
from tally import Tally, current_tally

VERSION = "bench"


@DBOS.workflow(name="noop")
async def noop(payload: dict[str, Any]) -> None:
    """The workflow that does nothing."""
    current_tally().hit(payload)


class Dbos(Adapter):
    blocking = True
    uvloop = False
    defaults: ClassVar[dict[str, Any]] = {
        "worker_concurrency": 500,
        "polling_interval_sec": 0.05,
        "sys_db_pool_size": 20,
        "driver": "sqlalchemy+psycopg",
        "bulk": "enqueue_in_transaction, one commit per call",
        "keeps_history": True,
    }

    def _launch(self, pool: int) -> None:
        config: DBOSConfig = {
            "name": "bench",
            "system_database_url": self.dsn,
            "application_version": VERSION,
            "sys_db_pool_size": pool,
            "run_admin_server": False,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=self.settings["worker_concurrency"],
            polling_interval_sec=self.settings["polling_interval_sec"],
        )

    async def install(self) -> None:
        await asyncio.to_thread(self._launch, 2)
        await asyncio.to_thread(DBOS.destroy)

    async def connect(self, connections: int) -> None:
        self._client = DBOSClient(
            system_database_url=self.dsn, system_database_pool_size=connections, application_name="bench"
        )
        url = sqlalchemy.make_url(self.dsn).set(drivername="postgresql+psycopg")
        self._engine = sqlalchemy.create_engine(url, pool_size=1)
        self._options: EnqueueOptions = {"workflow_name": "noop", "queue_name": QUEUE, "app_version": VERSION}

    async def close(self) -> None:
        self._client.destroy()
        self._engine.dispose()

    def enqueue_blocking(self, payload: dict[str, Any]) -> None:
        self._client.enqueue(self._options, payload)

    async def enqueue_many(self, payloads: list[dict[str, Any]]) -> None:
        with self._engine.begin() as connection:
            for payload in payloads:
                self._client.enqueue_in_transaction(connection, self._options, payload)

    async def unfinished(self) -> int:
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute(sql("dbos_unfinished")).fetchone()
        return int(row[0]) if row else 0

    async def work(self, tally: Tally, stop: asyncio.Event) -> None:
        await asyncio.to_thread(self._launch, self.settings["sys_db_pool_size"])
        await stop.wait()
        await asyncio.to_thread(DBOS.destroy)


if __name__ == "__main__":
    main(Dbos)
