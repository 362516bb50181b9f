"""``holdfast worker --processes n``: several worker processes under one supervisor, as real processes."""

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

APP = """
import os
from pathlib import Path
import time
from holdfast import Holdfast

with (Path(__file__).parent / "imports.log").open("a") as log:
    log.write(f"{os.getpid()} ")

app = Holdfast()

@app.task
def where() -> int:
    time.sleep(0.05)
    return os.getpid()
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def admin(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Iterator[Start]:
    (tmp_path / "shop.py").write_text(APP)
    begun: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        begun.append(
            subprocess.Popen(
                [sys.executable, "-m", "holdfast.cli", "worker", "--app", "shop.py", *arguments],
                cwd=tmp_path,
                env={**os.environ, "HOLDFAST_DATABASE_URL": database_url},
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


def imports(folder: Path) -> list[str]:
    log = folder / "imports.log"
    return log.read_text().split() if log.exists() else []


def enqueue(admin: psycopg.Connection, count: int) -> None:
    admin.execute(
        "SELECT holdfast.enqueue('where', queue => 'default') FROM generate_series(1, %s)",
        (count,),
    )


def live(admin: psycopg.Connection) -> list[int]:
    return [row[0] for row in admin.execute("SELECT pid FROM holdfast.worker WHERE state = 'live' ORDER BY id")]


def completed(admin: psycopg.Connection) -> int:
    row = admin.execute("SELECT count(*) FROM holdfast.outcome WHERE state = 1").fetchone()
    assert row is not None
    return int(row[0])


def test_one_worker_imports_the_application_once(start: Start, admin: psycopg.Connection, tmp_path: Path) -> None:
    enqueue(admin, 3)
    process = start("--drain")
    _, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    assert completed(admin) == 3
    assert len(imports(tmp_path)) == 1


def test_several_processes_share_the_work_and_one_that_is_killed_is_replaced(
    start: Start, admin: psycopg.Connection, tmp_path: Path
) -> None:
    process = start("--processes", "2", "--concurrency", "1")
    eventually_sync(lambda: len(live(admin)) == 2, within_seconds=30)
    first, second = live(admin)
    assert {str(first), str(second)} == set(imports(tmp_path))

    enqueue(admin, 12)
    eventually_sync(lambda: completed(admin) == 12, within_seconds=30)
    pids = {row[0] for row in admin.execute("SELECT result::integer FROM holdfast.outcome")}
    assert pids == {first, second}

    os.kill(first, signal.SIGKILL)
    eventually_sync(lambda: len(live(admin)) == 2 and first not in live(admin), within_seconds=30)
    assert second in live(admin), "the other one does not notice"

    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    assert live(admin) == []


def test_a_drain_of_several_processes_ends_when_all_are_done(
    start: Start, admin: psycopg.Connection, tmp_path: Path
) -> None:
    enqueue(admin, 20)
    process = start("--processes", "2", "--drain", "--concurrency", "2")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert completed(admin) == 20
    assert len(imports(tmp_path)) == 2
