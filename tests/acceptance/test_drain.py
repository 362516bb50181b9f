"""``holdfast worker --drain`` as real processes: queue after queue, out of time, after dead workers."""

from __future__ import annotations

import json
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
import asyncio
from holdfast import Holdfast, Job, Retry

app = Holdfast()

async def note(what: str) -> int:
    async with app.database.connection() as connection:
        return await connection.fetchval("INSERT INTO noted (what) VALUES ($1) RETURNING n", what)

@app.task(queue="crawl")
async def crawl(n: int) -> None:
    await note("crawl")
    if n == 0:
        await figures.enqueue(1)

@app.task(queue="figures")
async def figures(n: int) -> None:
    await note("figures")

@app.task(queue="crawl", retry=Retry(max_attempts=1))
async def boom(text: str) -> None:
    raise ValueError(text)

@app.task(queue="crawl")
async def hang_at_first() -> None:
    if await note("hang") == 1:
        await asyncio.sleep(600)

@app.task(queue="crawl")
async def die_at_first() -> None:
    import os, signal
    if await note("die") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
"""
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def admin(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE noted (n serial, what text)")
        yield connection


@pytest.fixture
def start(tmp_path: Path, database_url: str, admin: psycopg.Connection) -> Iterator[Start]:
    (tmp_path / "shop.py").write_text(APP)
    processes = []

    def begin(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "holdfast.cli", "worker", "--app", "shop", *arguments],
            cwd=tmp_path,
            env={**os.environ, "HOLDFAST_DATABASE_URL": database_url, "GITHUB_STEP_SUMMARY": "", **variables},
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


def enqueue(admin: psycopg.Connection, task: str, args: str = "{}", queue: str = "crawl") -> int:
    row = admin.execute("SELECT holdfast.enqueue(%s, %s::jsonb, queue => %s)", (task, args, queue)).fetchone()
    assert row is not None
    return int(row[0])


def place(admin: psycopg.Connection, job: int) -> str:
    row = admin.execute("SELECT place FROM holdfast.places_v1(ARRAY[%s::bigint])", (job,)).fetchone()
    return str(row[0]) if row else "nowhere"


def noted(admin: psycopg.Connection) -> list[str]:
    return [row[0] for row in admin.execute("SELECT what FROM noted ORDER BY n").fetchall()]


def told(process: subprocess.Popen[str], status: int) -> tuple[str, str]:
    out, err = process.communicate(timeout=50)
    assert process.returncode == status, err
    return out, err


def test_queues_are_drained_one_after_the_other(start: Start, admin: psycopg.Connection) -> None:
    enqueue(admin, "figures", '{"n": 0}', "figures")
    for n in range(3):
        enqueue(admin, "crawl", json.dumps({"n": n}))

    out, _ = told(start("--drain", "--queues", "crawl,figures", "--sequential", "--json"), 0)

    assert noted(admin) == ["crawl"] * 3 + ["figures"] * 2
    report = json.loads(out)
    assert report["completed"] == 5
    assert {work["task"]: work["completed"] for work in report["tasks"]} == {"crawl": 3, "figures": 2}
    assert admin.execute("SELECT count(*) FROM holdfast.worker").fetchone() == (2,)


def test_the_summary_is_made_from_rows_and_says_what_failed(
    start: Start, admin: psycopg.Connection, tmp_path: Path
) -> None:
    enqueue(admin, "crawl", '{"n": 1}')
    jobs = [enqueue(admin, "boom", json.dumps({"text": "no | <b>reason</b>\nat all"})) for _ in range(2)]
    summary = tmp_path / "summary.md"
    summary.write_text("# Before\n")

    _, err = told(start("--drain", "--queues", "crawl", GITHUB_STEP_SUMMARY=str(summary)), 1)

    page = summary.read_text()
    assert page.startswith("# Before\n## Holdfast drain: failed\n")
    assert "1 completed, 2 failed in " in page
    assert "| crawl | crawl | 1 | 0 | 0 |" in page
    assert f"| crawl | boom | 2 | ValueError: no \\| &lt;b&gt;reason&lt;/b&gt; | {jobs[0]}, {jobs[1]} |" in page
    assert "failed: 2 jobs of boom: ValueError: no | <b>reason</b>" in err


def test_out_of_time_it_hands_back_what_is_unfinished_and_says_what_is_left(
    start: Start, admin: psycopg.Connection, tmp_path: Path
) -> None:
    job = enqueue(admin, "hang_at_first")
    later = enqueue(admin, "figures", '{"n": 0}', "figures")
    page = tmp_path / "page.md"
    process = start(
        *("--drain", "--queues", "crawl,figures", "--sequential", "--max-runtime", "10s", "--summary", str(page)),
        HOLDFAST_SHUTDOWN_SOFT_SECONDS="0",
    )

    _, err = told(process, 8)

    assert noted(admin) == ["hang"]
    assert [place(admin, job), place(admin, later)] == ["ready", "ready"]
    assert "its time of 10 s was over" in err
    assert "| crawl | 1 ready |" in page.read_text()
    assert "| figures | 1 ready |" in page.read_text()
    told(start("--drain", "--queues", "crawl,figures"), 0)
    assert [place(admin, job), place(admin, later)] == ["completed", "completed"]


def test_jobs_of_a_worker_that_died_with_its_supervisor_run_again_in_the_next_drain(
    start: Start, admin: psycopg.Connection
) -> None:
    """As when a CI runner is taken away in the middle of a job, and the next run starts at once."""
    job = enqueue(admin, "hang_at_first")
    first = start("--drain", "--queues", "crawl")
    eventually_sync(lambda: noted(admin) == ["hang"], within_seconds=30)
    row = admin.execute("SELECT pid FROM holdfast.worker WHERE state = 'live'").fetchone()
    assert row is not None
    first.kill()
    os.kill(row[0], signal.SIGKILL)

    _, err = told(start("--drain", "--queues", "crawl"), 0)

    assert place(admin, job) == "completed"
    assert noted(admin) == ["hang", "hang"]
    assert "1 completed, 1 lost with a worker and put back" in err
    assert admin.execute("SELECT count(*) FROM holdfast.every_outcome WHERE state = 2").fetchone() == (0,)


def test_a_drain_goes_on_after_its_worker_was_killed(start: Start, admin: psycopg.Connection) -> None:
    """As when the kernel kills it for its memory: the job runs again, and the status tells the truth."""
    job = enqueue(admin, "die_at_first")

    _, err = told(start("--drain", "--queues", "crawl"), 0)

    assert place(admin, job) == "completed"
    assert noted(admin) == ["die", "die"]
    assert "1 completed, 1 lost with a worker and put back" in err
