"""The processes behind a page: the API and workers, with the command lines of anybody, and ended with the test."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.browser.nursery import Forked
from tests.waiting import eventually

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
APPLICATION = HERE / "application.py"


class Processes:
    """Everything that runs on one database for a test. Their words stand in ``folder``/<name>.log."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.database_url = database_url
        self.folder = folder
        self._running: list[Forked] = []
        self._apis: dict[str, Forked] = {}

    def worker(self, queues: str, *arguments: str) -> Forked:
        """A worker that serves these queues, with its supervisor."""
        return self._start("worker", ["worker", "--app", str(APPLICATION), "--queues", queues, *arguments])

    async def api(self, application: str = str(APPLICATION), **settings: str) -> str:
        """An API process that answers; its address without a slash at the end."""
        port = free_port()
        name, url = f"api-{port}", f"http://127.0.0.1:{port}"
        process = self._apis[url] = self._start(name, ["api", application, "--port", str(port)], **settings)

        async def answers() -> bool:
            assert process.poll() is None, self.said(name)
            try:
                return (await client.get(f"{url}/readyz", timeout=5)).status_code == 200
            except httpx.TransportError:
                return False

        async with httpx.AsyncClient() as client:
            await eventually(answers, within_seconds=30)
        return url

    async def stop_api(self, url: str) -> None:
        """End an API process in order, as a deploy does; returns when it has ended."""
        os.kill(self._apis[url].pid, signal.SIGTERM)
        await eventually(lambda: self._apis[url].poll() is not None, within_seconds=15)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8")

    def tell(self, what: str) -> None:
        """Say something to the handlers of tests/browser/application.py."""
        (self.folder / what).touch()

    def take_back(self, what: str) -> None:
        (self.folder / what).unlink(missing_ok=True)

    def end(self) -> None:
        """End all of them; a group each, so that a supervisor's child goes too."""
        for process in self._running:
            if process.poll() is None:
                process.kill()
        for process in self._running:
            process.wait(10)

    def _start(self, name: str, arguments: list[str], **settings: str) -> Forked:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "DATABASE_"))}
        environment = {
            **kept,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "HOLDFAST_DATABASE_URL": self.database_url,
            "HOLDFAST_TEST_FOLDER": str(self.folder),
            "HOLDFAST_APP_VERSION": "2026.11",
            **{f"HOLDFAST_{name.upper()}": value for name, value in settings.items()},
        }
        process = Forked(arguments, environment, self.folder / f"{name}.log")
        self._running.append(process)
        return process


@contextmanager
def running_on(database_url: str, folder: Path) -> Iterator[Processes]:
    """Processes on this database that end with the block."""
    processes = Processes(database_url, folder)
    try:
        yield processes
    finally:
        processes.end()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
