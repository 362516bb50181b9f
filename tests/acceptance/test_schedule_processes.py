"""Several worker processes and a schedule that is due every second: each occurrence has one job, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from tests.waiting import eventually_sync

APP = """
from datetime import datetime
from holdfast import Holdfast

app = Holdfast()

@app.schedule("* * * * * *", overlap="allow", misfire="all")
async def tick(occurrence: datetime) -> None:
    async with app.database.connection() as connection:
        await connection.execute("INSERT INTO ticked (at) VALUES ($1)", occurrence)
"""
PROCESSES = 4


@pytest.fixture
def admin(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE ticked (at timestamptz NOT NULL)")
        yield connection


@pytest.fixture
def workers(tmp_path: Path, database_url: str, admin: psycopg.Connection) -> Iterator[list[subprocess.Popen[bytes]]]:
    (tmp_path / "shop.py").write_text(APP)
    with (tmp_path / "said.log").open("wb") as said:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "holdfast.cli", "worker", "--app", "shop"],
                cwd=tmp_path,
                env={**os.environ, "HOLDFAST_DATABASE_URL": database_url},
                stdout=said,
                stderr=said,
            )
            for _ in range(PROCESSES)
        ]
        yield processes
        for process in processes:
            process.kill()
            process.wait(10)


def count(admin: psycopg.Connection, query: str) -> int:
    row = admin.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_each_occurrence_has_one_job_while_workers_die(
    workers: list[subprocess.Popen[bytes]], admin: psycopg.Connection
) -> None:
    eventually_sync(
        lambda: (
            count(admin, "SELECT count(*) FROM holdfast.worker WHERE state = 'live'") == PROCESSES
            and count(admin, "SELECT count(*) FROM ticked") >= 2
        ),
        within_seconds=40,
    )
    for _ in range(3):
        seen = count(admin, "SELECT count(*) FROM ticked")
        row = admin.execute("SELECT pid FROM holdfast.worker WHERE state = 'live' ORDER BY random() LIMIT 1").fetchone()
        assert row is not None
        os.kill(row[0], signal.SIGKILL)
        eventually_sync(lambda seen=seen: count(admin, "SELECT count(*) FROM ticked") >= seen + 2, within_seconds=30)  # type: ignore[misc]
    for process in workers:
        process.send_signal(signal.SIGTERM)
    for process in workers:
        process.wait(30)

    rows = admin.execute("SELECT at, state, job_id FROM holdfast.occurrence ORDER BY at").fetchall()
    moments = [row[0] for row in rows]
    assert [later - earlier for earlier, later in pairwise(moments)] == [timedelta(seconds=1)] * (len(moments) - 1)
    assert {row[1] for row in rows} == {"started"}
    assert len({row[2] for row in rows}) == len(rows) == count(admin, "SELECT count(*) FROM holdfast.every_job")
    told = "SELECT (args ->> 'occurrence')::timestamptz FROM holdfast.every_job"
    assert count(admin, f"SELECT count(DISTINCT at) FROM ({told}) AS t(at)") == len(rows)
