"""Processes that project, and writers to the log, for tests that kill the one while the other goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg

from tests.acceptance.fleet import HERE, ROOT
from tests.waiting import eventually

LEASE_SECONDS = 1.0


class ProjectorFleet:
    """``holdfast projection run`` in as many processes as a test wants."""

    def __init__(self, url: str, folder: Path, *, name: str = "history") -> None:
        self.url = url
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self._name = name

    def start(self, count: int = 1, *arguments: str, **environment: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "DATABASE_"))}
        command = [sys.executable, "-m", "holdfast.cli", "projection", "run", f"--name={self._name}"]
        command += [f"--app={HERE / 'projections_under_test.py'}", f"--lease-seconds={LEASE_SECONDS}", *arguments]
        for _ in range(count):
            with (self.folder / "projectors.log").open("ab") as said:
                process = subprocess.Popen(
                    command,
                    env={
                        **kept,
                        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
                        "HOLDFAST_DATABASE_URL": self.url,
                        "HOLDFAST_TEST_FOLDER": str(self.folder),
                        **environment,
                    },
                    stdout=said,
                    stderr=said,
                )
            self.processes.append(process)

    @property
    def said(self) -> str:
        return (self.folder / "projectors.log").read_text(encoding="utf-8")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait(10)
        self.processes.remove(process)

    def leave(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        self.processes.remove(process)

    async def freeze(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
        for process in self.processes:
            process.wait(10)


class Writers:
    """Sessions that append to the log, some with transactions that stay open for a while, some rolled back."""

    def __init__(self, url: str, dice: random.Random) -> None:
        self._url = url
        self._dice = dice
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, count: int, *, pause_seconds: float = 0.005) -> None:
        self._tasks += [asyncio.create_task(self._write(pause_seconds)) for _ in range(count)]

    async def enough(self) -> None:
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            assert ended is None or isinstance(ended, asyncio.CancelledError), ended

    async def _write(self, pause_seconds: float) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            while True:
                transaction = connection.transaction()
                await transaction.start()
                count = self._dice.randint(1, 3)
                await connection.fetch(
                    "select * from holdfast.append_events($1, $2::text::jsonb)",
                    f"s-{self._dice.randint(0, 199)}",
                    json.dumps([{"type": "Counted", "data": {"n": n}} for n in range(count)]),
                )
                await asyncio.sleep(self._dice.random() * 0.01)
                await (transaction.rollback() if self._dice.random() < 0.1 else transaction.commit())
                await asyncio.sleep(pause_seconds)
        finally:
            with contextlib.suppress(Exception):
                connection.terminate()


async def everything_handled(url: str, *, within_seconds: float = 30) -> asyncpg.Connection[asyncpg.Record]:
    """Wait until nothing is left to handle, as long as something moves; the connection is the caller's to close."""
    connection = await asyncpg.connect(url)
    reached = (
        "select coalesce(sum(checkpoint), 0)::bigint from holdfast.projection_partition where projection = 'history'"
    )
    before = -1

    async def moved() -> bool:
        return int(await connection.fetchval(reached)) > before or await caught_up()

    async def caught_up() -> bool:
        last = await connection.fetchval("select coalesce(max(position), 0) from holdfast.event")
        return bool(await connection.fetchval("select holdfast.has_caught_up_v1('history', $1)", last))

    while not await caught_up():
        await eventually(moved, within_seconds=within_seconds)
        before = int(await connection.fetchval(reached))
    return connection
