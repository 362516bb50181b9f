"""The command ``holdfast worker`` as real processes: drains, fails, is stopped, is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.waiting import eventually_sync

APP = """
import asyncio
from holdfast import Holdfast, Job, Retry

app = Holdfast()

@app.task
async def add(a: int, b: int = 1) -> int:
    return a + b

@app.task(retry=Retry(max_attempts=1))
async def boom() -> None:
    raise ValueError("no reason")

@app.task
async def hang() -> None:
    await asyncio.sleep(600)

@app.task
async def hang_at_first(job: Job) -> None:
    async with app.database.connection() as connection:
        row = await connection.fetchrow("INSERT INTO started DEFAULT VALUES RETURNING n")
    if row["n"] == 1:
        await asyncio.sleep(600)
"""


@pytest.fixture
def admin(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    (tmp_path / "shop.py").write_text(APP)
    processes = []

    def begin(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "holdfast.cli", *arguments],
            cwd=tmp_path,
            env={**os.environ, "HOLDFAST_DATABASE_URL": database_url, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def enqueue(admin: psycopg.Connection, task: str, args: str = "{}") -> int:
    row = admin.execute("SELECT holdfast.enqueue(%s, %s::jsonb, queue => 'default')", (task, args)).fetchone()
    assert row is not None
    return int(row[0])


def place(admin: psycopg.Connection, job: int) -> str:
    row = admin.execute("SELECT place FROM holdfast.places_v1(ARRAY[%s::bigint])", (job,)).fetchone()
    return str(row[0]) if row else "nowhere"


def told(process: subprocess.Popen[str], status: int) -> tuple[str, str]:
    out, err = process.communicate(timeout=40)
    assert process.returncode == status, err
    return out, err


def test_a_drain_ends_with_0_when_all_is_well(
    start: Callable[..., subprocess.Popen[str]], admin: psycopg.Connection
) -> None:
    jobs = [enqueue(admin, "add", json.dumps({"a": n})) for n in range(20)]

    out, _ = told(start("worker", "--app", "shop", "--drain", "--json"), 0)

    report: dict[str, Any] = json.loads(out)
    assert report["completed"] == 20
    assert {place(admin, job) for job in jobs} == {"completed"}


def test_a_drain_ends_with_1_when_a_job_failed(
    start: Callable[..., subprocess.Popen[str]], admin: psycopg.Connection
) -> None:
    job = enqueue(admin, "boom")

    _, err = told(start("worker", "--app", "shop.py:app", "--drain"), 1)

    assert f"failed: job {job} boom: ValueError: no reason" in err


def test_a_drain_that_is_stopped_gives_its_jobs_back_and_ends_with_8(
    start: Callable[..., subprocess.Popen[str]], admin: psycopg.Connection
) -> None:
    job = enqueue(admin, "hang")
    process = start("worker", "--app", "shop", "--drain", HOLDFAST_SHUTDOWN_SOFT_SECONDS="0")
    eventually_sync(lambda: place(admin, job) == "running", within_seconds=30)
    process.send_signal(signal.SIGTERM)

    told(process, 8)

    assert place(admin, job) == "ready"


def test_a_worker_that_is_stopped_in_order_ends_with_0(
    start: Callable[..., subprocess.Popen[str]], admin: psycopg.Connection
) -> None:
    job = enqueue(admin, "add", '{"a": 1}')
    process = start("worker", "--app", "shop", "--name", "w-1")
    eventually_sync(lambda: place(admin, job) == "completed", within_seconds=30)
    process.send_signal(signal.SIGINT)

    told(process, 0)


@pytest.mark.alone
def test_a_killed_workers_job_runs_again_within_two_seconds(
    start: Callable[..., subprocess.Popen[str]], admin: psycopg.Connection
) -> None:
    admin.execute("CREATE TABLE started (n serial, at timestamptz DEFAULT clock_timestamp())")
    job = enqueue(admin, "hang_at_first")
    process = start("worker", "--app", "shop")

    def worker_pid() -> int | None:
        row = admin.execute(
            "SELECT pid FROM holdfast.worker WHERE state = 'live' AND EXISTS (TABLE started)"
        ).fetchone()
        return int(row[0]) if row else None

    pid = eventually_sync(worker_pid, within_seconds=30)
    assert pid is not None
    assert pid != process.pid
    row = admin.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    os.kill(pid, signal.SIGKILL)

    eventually_sync(lambda: place(admin, job) == "completed", within_seconds=30)
    again = admin.execute("SELECT at - %s FROM started WHERE n = 2", row).fetchone()
    assert again is not None
    assert again[0].total_seconds() < 2.0


def test_a_broken_application_is_told_and_nothing_is_started(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")

    _, err = told(start("worker", "--app", "broken"), 2)

    assert "broken cannot be imported: ModuleNotFoundError" in err
    assert "broken.py, line 1" in err
    assert "Traceback" not in err


def test_up_and_down_bring_an_embedded_server(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").touch()
    nothing = {"HOLDFAST_DATABASE_URL": "", "DATABASE_URL": ""}
    try:
        up = start("up", "shop.py", **nothing)
        assert any("Ctrl-C" in line for line in up.stderr or ())
        out, _ = told(start("job", "enqueue", "add", "a=2", "b=3", "--app", "shop.py", "--wait", **nothing), 0)
        assert out.strip() == "5"
        up.send_signal(signal.SIGINT)
        _, err = told(up, 0)
        assert "holdfast down ends it" in err
        told(start("status", **nothing), 0)
    finally:
        told(start("down", "--delete-data", "--yes", **nothing), 0)
    told(start("status", **nothing), 5)


def test_a_failure_is_told_with_its_type_and_its_place(
    start: Callable[..., subprocess.Popen[str]], admin: psycopg.Connection
) -> None:
    enqueue(admin, "boom")
    _, err = start("worker", "--app", "shop.py", "--drain").communicate(timeout=40)

    (line,) = (line for line in err.splitlines() if "worker.job.failed" in line)
    assert "error=ValueError" in line
    assert "at=shop:boom" in line
    assert "no reason" not in line


def test_a_drain_of_a_queue_that_nobody_has_used_points_it_out(
    start: Callable[..., subprocess.Popen[str]], admin: psycopg.Connection
) -> None:
    enqueue(admin, "add", '{"a": 1}')
    process = start("worker", "--app", "shop.py", "--drain", "--queues", "defualt")
    _, err = process.communicate(timeout=40)

    assert process.returncode == 0
    assert "nobody has used a queue defualt yet; did you mean default?" in err


def test_a_database_without_schema_is_no_riddle(
    start: Callable[..., subprocess.Popen[str]], empty_database_url: str
) -> None:
    process = start("worker", "--app", "shop.py", "--drain", HOLDFAST_DATABASE_URL=empty_database_url)
    _, err = process.communicate(timeout=40)

    assert process.returncode == 5
    assert "remedy: run `holdfast db migrate`" in err
    assert "Traceback" not in err
