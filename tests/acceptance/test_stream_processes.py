"""Streams of real API processes: one is stopped under its listeners, and they go on at another."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.browser.processes import ROOT, free_port
from tests.rooms.api.listening import Stream, open_stream
from tests.waiting import eventually

Serve = Callable[[], tuple[subprocess.Popen[bytes], int]]


@pytest.fixture
async def serve(tmp_path: Path, database_url: str) -> AsyncIterator[Serve]:
    """Starts an API process; its port."""
    started: list[subprocess.Popen[bytes]] = []
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "DATABASE_"))}
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    environment = {**kept, "PYTHONPATH": paths, "HOLDFAST_DATABASE_URL": database_url}

    def begin() -> tuple[subprocess.Popen[bytes], int]:
        port = free_port()
        with (tmp_path / f"api-{port}.log").open("ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "holdfast.cli", "api", "--port", str(port)],
                cwd=tmp_path,
                env=environment,
                stdout=said,
                stderr=said,
            )
        started.append(process)
        return process, port

    yield begin
    for process in started:
        process.kill()
        process.wait(10)


async def listening_to(port: int, *, last_id: str | None = None) -> Stream:
    """A stream of that process, as soon as it serves."""

    async def opened() -> Stream:
        try:
            return await open_stream(port, "stats,queues", last_id=last_id)
        except OSError as error:
            raise AssertionError("it does not serve yet") from error

    return await eventually(opened, within_seconds=30)


@pytest.mark.timeout(120)
async def test_listeners_hear_goodbye_at_once_and_begin_anew_at_another_process(serve: Serve) -> None:
    (first, first_port), (_, second_port) = serve(), serve()
    async with contextlib.AsyncExitStack() as closing:

        async def listen(port: int, last_id: str | None = None) -> Stream:
            stream = await listening_to(port, last_id=last_id)
            closing.push_async_callback(stream.close)
            return stream

        streams = [await listen(first_port) for _ in range(50)]
        await eventually(lambda: all(stream.of("stats") for stream in streams), within_seconds=30)
        first.send_signal(signal.SIGTERM)
        for stream in streams:
            await asyncio.wait_for(stream.ended.wait(), 10)
        assert {stream.heard[-1].event for stream in streams} == {"bye"}
        # In order, and then by the signal that it was asked with, as its parent expects.
        assert await asyncio.to_thread(first.wait, 10) in (0, -signal.SIGTERM)

        elsewhere = await listen(second_port, streams[0].last_id)
        await eventually(lambda: elsewhere.of("stats"), within_seconds=30)
        assert elsewhere.of("hello")[0]["resumed"] is False
        assert len(elsewhere.of("reset")) == 1
