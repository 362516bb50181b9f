"""Taskiq on Redis: async tasks from a list; a message is gone once it is received."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import redis.asyncio as redis
from contract import DSN, QUEUE, Adapter, settings_from_environment
from measures import main
from tally import current_tally
from taskiq import AsyncTaskiqDecoratedTask
from taskiq_redis import ListQueueBroker


def make_task(dsn: str, settings: dict[str, Any]) -> tuple[ListQueueBroker, AsyncTaskiqDecoratedTask[Any, None]]:
    """The broker and the task on it, the same for producer and worker."""
    broker = ListQueueBroker(dsn, queue_name=QUEUE, max_connection_pool_size=settings["pool"])
    return broker, broker.register_task(_noop, task_name="noop")


class TaskiqAdapter(Adapter):
    defaults: ClassVar[dict[str, Any]] = {
        "pool": 10,
        "max_async_tasks": 100,
        "options": "--no-parse --log-level WARNING --ack-type when_received",
        "task": "async, results ignored",
        "broker": "Valkey, append-only file synced every second",
        "keeps_history": False,
    }

    async def install(self) -> None:
        """Nothing to create: the runner emptied the server."""

    async def connect(self, connections: int) -> None:
        self._broker, self._task = make_task(self.dsn, self.settings)
        await self._broker.startup()
        self._redis = redis.Redis.from_url(self.dsn)

    async def close(self) -> None:
        await self._broker.shutdown()
        await self._redis.aclose()

    async def enqueue(self, payload: dict[str, Any]) -> None:
        await self._task.kiq(payload)

    async def unfinished(self) -> int:
        return int(await self._redis.llen(QUEUE))

    def worker_command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "taskiq", "worker", f"{Path(__file__).stem}:broker", "--workers", "1"),
            *("--max-async-tasks", str(self.settings["max_async_tasks"])),
            *self.settings["options"].split(),
        ]


async def _noop(payload: dict[str, Any]) -> None:
    current_tally().hit(payload)


if DSN in os.environ:
    broker, noop = make_task(os.environ[DSN], settings_from_environment() or TaskiqAdapter.defaults)

if __name__ == "__main__":
    main(TaskiqAdapter)
