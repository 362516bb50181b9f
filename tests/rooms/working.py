"""A worker in the background of a test, stopped at the end whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from holdfast import Holdfast
from holdfast.app import limits_of, worker_options
from holdfast.worker import Service, ThreadLifeline, Worker


def make_worker(
    app: Holdfast, queues: tuple[str, ...] = ("default",), *, services: Sequence[Service] = (), **changes: Any
) -> Worker:
    """A worker of the app; ``changes`` are fields of ``WorkerOptions``."""
    options = replace(worker_options(app.settings, queues=queues, concurrency=8), **changes)
    lifeline = ThreadLifeline(app.database.url, limits=limits_of(app.settings), max_losses=options.max_losses)
    return Worker(app.database, app.tasks, lifeline, options, services)


@asynccontextmanager
async def working(app: Holdfast, queues: tuple[str, ...] = ("default",), **changes: Any) -> AsyncIterator[Worker]:
    """A worker that serves for the length of the ``with``."""
    worker = make_worker(app, queues, **changes)
    serving = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(serving, 20)
