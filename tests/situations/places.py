"""The parts that bad situations are made of: applications with workers in threads and processes, and a moved clock."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from holdfast import Holdfast
from holdfast.db import DatabaseClock
from holdfast.observe import Sight, look
from tests.waiting import eventually

ROOT = Path(__file__).parent.parent.parent


async def later(url: str, seconds: float) -> None:
    """Let it be later by the database's clock; workers' own clocks go on as they did."""
    await asyncio.to_thread(lambda: DatabaseClock(url).set_ahead(seconds))


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Holdfast]:
    """An application on the database."""
    async with Holdfast(url) as app:
        yield app


async def seen(app: Holdfast, holds: Callable[[Sight], bool]) -> None:
    """Wait until a look at the database finds it so."""

    async def so() -> bool:
        return holds(await look(app.database))

    await eventually(so, within_seconds=20)


class WorkerThread:
    """A worker with an event loop of its own, so that a handler may block it."""

    def __init__(self, app: Holdfast, queue: str, *, name: str) -> None:
        self._app, self._queue, self._name = app, queue, name
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], object] = lambda: None

    def start(self) -> None:
        self._thread.start()

    async def end(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop)
        await asyncio.to_thread(self._thread.join, 20)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with self._app as app:
            worker = app.worker([self._queue], name=self._name)
            self._stop = worker.stop
            await worker.run()


@contextlib.asynccontextmanager
async def at_work(app: Holdfast, queue: str, *, name: str) -> AsyncIterator[None]:
    """A worker of an open application, with its services, until the block ends."""
    worker = app.worker([queue], name=name)
    serving = asyncio.create_task(worker.run())
    try:
        await seen(app, lambda sight: any(one.name == name for one in sight.live))
        yield
    finally:
        worker.stop()
        await asyncio.wait_for(serving, 20)


class WorkerProcess:
    """A worker as an operator starts it, to be killed."""

    def __init__(self, url: str, folder: Path, *arguments: str) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "DATABASE_"))},
            "HOLDFAST_DATABASE_URL": url,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        }
        with (folder / "worker.log").open("ab") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "holdfast.cli", "worker", *arguments],
                env=environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def kill(self) -> None:
        """The process, its supervisor and all: as when the machine goes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
