"""Celery on Redis: sync tasks, acknowledged before they run (its default)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import redis
from celery import Celery
from contract import DSN, QUEUE, Adapter, settings_from_environment
from measures import main
from tally import current_tally


def make_app(dsn: str, settings: dict[str, Any]) -> Celery:
    """The application, the same for producer and worker."""
    celery = Celery("bench", broker=dsn.replace("unix://", "redis+socket://"))
    celery.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        worker_prefetch_multiplier=settings["prefetch_multiplier"],
        worker_disable_rate_limits=True,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
    )
    return celery


class CeleryAdapter(Adapter):
    blocking = True
    uvloop = False
    defaults: ClassVar[dict[str, Any]] = {
        "pool": "prefork",
        "concurrency": 1,
        "prefetch_multiplier": 128,
        "options": "--without-gossip --without-mingle --without-heartbeat -O fair",
        "task": "sync, results ignored",
        "broker": "Valkey, append-only file synced every second",
        "keeps_history": False,
    }

    async def install(self) -> None:
        """Nothing to create: the runner emptied the server."""

    async def connect(self, connections: int) -> None:
        self._task = make_app(self.dsn, self.settings).task(_noop, name="noop", bind=False)
        self._redis = redis.Redis.from_url(self.dsn)

    async def close(self) -> None:
        self._redis.close()

    def enqueue_blocking(self, payload: dict[str, Any]) -> None:
        self._task.apply_async((payload,))

    async def unfinished(self) -> int:
        return int(self._redis.llen(QUEUE)) + int(self._redis.hlen("unacked"))

    def worker_command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "celery", "-A", f"{Path(__file__).stem}:app", "worker", "--loglevel", "WARNING"),
            *("--pool", self.settings["pool"], "--concurrency", str(self.settings["concurrency"])),
            *self.settings["options"].split(),
        ]


def _noop(payload: dict[str, Any]) -> None:
    current_tally().hit(payload)


if DSN in os.environ:
    app = make_app(os.environ[DSN], settings_from_environment())
    noop = app.task(_noop, name="noop")

if __name__ == "__main__":
    main(CeleryAdapter)
