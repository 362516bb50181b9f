"""A stop at any moment of a worker's start ends it in order: exit status 0, nobody left who is said to live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.waiting import eventually_sync

# Stops itself at the moment that it is told: first the supervisor, which must know that it is a stop, then itself.
APP = """
import asyncio
import os
import signal
import time

from holdfast import Holdfast
from holdfast.cli import worker_process
from holdfast.db import Listener
from holdfast.worker import PipeLifeline, Worker

MOMENT, _, TURNS = os.environ["MOMENT"].partition("+")

def stop() -> None:
    os.kill(os.getppid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)

def stop_after(kind, name, moment):
    real = getattr(kind, name)

    async def then_stop(self, *args, **kwargs):
        answer = await real(self, *args, **kwargs)
        if MOMENT == moment:
            stop()
            for _ in range(int(TURNS or 0)):
                await asyncio.sleep(0)  # so many turns of the loop until it is known that this is done
        return answer

    setattr(kind, name, then_stop)

class Shop(Holdfast):
    def worker(self, *args, **kwargs):
        if MOMENT == "made":
            stop()
        return super().worker(*args, **kwargs)

stop_after(Shop, "open", "opened")
stop_after(PipeLifeline, "start", "registered")
stop_after(Listener, "start", "listening")
stop_after(Worker, "_start", "started")

if MOMENT == "slow":
    worker_process._LAST_SECONDS = 0.2
    stop_after(PipeLifeline, "start", "slow")

    async def close(self, deadline_seconds: float = 5.0) -> None:
        time.sleep(30)  # a machine that has no time for it

    Shop.close = close

app = Shop()

@app.task
def nothing() -> None:
    pass

if MOMENT == "imported":
    stop()
"""
Start = Callable[..., subprocess.Popen[str]]
MOMENTS = (
    "imported",
    *(f"opened+{turns}" for turns in range(4)),
    "made",
    *(f"registered+{turns}" for turns in range(3)),
    "listening",
    "started",
    "slow",
)


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Iterator[Start]:
    (tmp_path / "shop.py").write_text(APP)
    begun: list[subprocess.Popen[str]] = []

    def begin(moment: str, *arguments: str) -> subprocess.Popen[str]:
        begun.append(
            subprocess.Popen(
                [sys.executable, "-m", "holdfast.cli", "worker", "--app", "shop.py", *arguments],
                cwd=tmp_path,
                env={**os.environ, "HOLDFAST_DATABASE_URL": database_url, "MOMENT": moment},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def live(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM holdfast.worker WHERE state = 'live'").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_stop_while_a_worker_starts_ends_it_in_order(start: Start, database_url: str, moment: str) -> None:
    process = start(moment)
    _, err = process.communicate(timeout=50)

    assert process.returncode == 0, err
    assert live(database_url) == 0


@pytest.mark.parametrize("moment", ["imported", "opened+1", "started"])
def test_a_drain_that_is_stopped_while_it_starts_was_interrupted(start: Start, database_url: str, moment: str) -> None:
    process = start(moment, "--drain")
    _, err = process.communicate(timeout=50)

    assert process.returncode == 8, err
    assert live(database_url) == 0


def test_a_stop_while_the_application_is_imported_ends_the_command_in_order(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import pathlib, time\npathlib.Path('begun').touch()\ntime.sleep(600)\n")
    process = start("never")
    eventually_sync((tmp_path / "begun").exists, within_seconds=30)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 0, err
