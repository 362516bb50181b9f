"""Dramatiq on Redis: sync actors in threads, acknowledged after they ran."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import dramatiq
import redis
from contract import DSN, QUEUE, Adapter
from dramatiq.brokers.redis import RedisBroker
from measures import main
from tally import current_tally


def make_actor(dsn: str) -> dramatiq.Actor[[dict[str, Any]], None]:
    """The actor on its broker, the same for producer and worker."""
    broker = RedisBroker(url=dsn)
    dramatiq.set_broker(broker)
    return dramatiq.actor(_noop, actor_name="noop", queue_name=QUEUE, broker=broker)


class Dramatiq(Adapter):
    blocking = True
    uvloop = False
    defaults: ClassVar[dict[str, Any]] = {
        "threads": 8,
        "processes": 1,
        "actor": "sync",
        "broker": "Valkey, append-only file synced every second",
        "keeps_history": False,
    }

    async def install(self) -> None:
        """Nothing to create: the runner emptied the server."""

    async def connect(self, connections: int) -> None:
        self._actor = make_actor(self.dsn)
        self._redis = redis.Redis.from_url(self.dsn)

    async def close(self) -> None:
        self._redis.close()

    def enqueue_blocking(self, payload: dict[str, Any]) -> None:
        self._actor.send(payload)

    async def unfinished(self) -> int:
        # Every message stays in this hash until it is acknowledged.
        return int(self._redis.hlen(f"dramatiq:{QUEUE}.msgs"))

    def worker_command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "dramatiq", Path(__file__).stem),
            *("--processes", str(self.settings["processes"]), "--threads", str(self.settings["threads"])),
        ]


def _noop(payload: dict[str, Any]) -> None:
    current_tally().hit(payload)


if DSN in os.environ:
    noop = make_actor(os.environ[DSN])

if __name__ == "__main__":
    main(Dramatiq)
