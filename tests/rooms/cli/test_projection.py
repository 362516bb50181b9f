"""``holdfast projection``: what people see and do, against a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from holdfast.cli import main
from tests.rooms.events.projections.serving import Log

Run = Callable[..., tuple[int, str, str]]

APP = """
from holdfast import Holdfast, Retry
app = Holdfast()

@app.projection("totals", tables="total", retry=Retry(max_attempts=1))
async def totals(tx, event):
    if event.data.get("bad"):
        raise ValueError("cannot bear it")
    await tx.execute(
        "insert into total values ($1, 1) on conflict (stream) do update set n = total.n + 1", event.stream)
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)

    def invoke(*arguments: str) -> tuple[int, str, str]:
        status = main(["projection", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return invoke


@pytest.fixture
def app_file(tmp_path: Path) -> str:
    path = tmp_path / "shop_projections.py"
    path.write_text(APP)
    return str(path)


def data(answer: tuple[int, str, str], status: int = 0) -> Any:
    assert answer[0] == status, answer
    return json.loads(answer[1])


def in_database(url: str, work: Callable[[Log], Any]) -> Any:
    async def do() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await work(Log(connection))
        finally:
            await connection.close()

    return asyncio.run(do())


async def some_events(log: Log) -> None:
    await log.connection.execute("create table total (stream text primary key, n int not null)")
    for n in range(4):
        await log.append(f"order-{n}", {"n": n}, {"bad": n == 3}, {"n": n})


async def total(log: Log) -> Any:
    return await log.connection.fetchval("select sum(n) from total")


def test_run_drains_and_every_question_has_an_answer(run: Run, app_file: str, database_url: str) -> None:
    assert data(run("health", "--json"), 5) | {"version": ""} == {
        "status": "unhealthy",
        "db": "up",
        "version": "",
        "lag": 0,
        "threshold": 5000,
        "error": "no projection is known: no worker has ever started",
    }
    in_database(database_url, some_events)
    assert run("run", "--app", app_file, "--drain")[0] == 0
    assert in_database(database_url, total) == 10
    (listed,) = data(run("list", "--json"))
    assert (listed["name"], listed["state"], listed["lag_events"], listed["parked"]) == ("totals", "unserved", 0, 1)
    assert "totals: 1 streams are parked and wait for a person" in run("list")[2]
    assert len(data(run("lag", "totals", "--json"))) == 64
    assert "nothing waits" in run("lag")[1]
    assert "order-3" in run("parked", "totals")[1]
    assert "totals is unserved: nobody serves it" in data(run("health", "--json"), 5)["error"]

    assert run("unpark", "totals", "order-3", "--skip")[0] == 2
    answer = data(run("unpark", "totals", "order-3", "--skip", "--reason", "a test booking", "--json"))
    assert answer == {"projection": "totals", "streams": 1, "skipped_position": 11}
    assert run("run", "--app", app_file, "--drain", "--name", "totals")[0] == 0
    assert in_database(database_url, total) == 11
    assert data(run("parked", "totals", "--json")) == []


def test_pause_resume_retire_reset_and_park(run: Run, app_file: str, database_url: str) -> None:
    in_database(database_url, some_events)
    run("run", "--app", app_file, "--drain")
    assert data(run("pause", "totals", "--reason", "repair", "--json")) == {
        "projection": "totals",
        "state": "paused",
        "changed": True,
    }
    assert "was paused already" in run("pause", "totals")[2]
    assert data(run("resume", "totals", "--json"))["changed"]
    assert run("reset", "totals")[0] == 2
    assert run("reset", "totals", "--yes")[0] == 0
    assert in_database(database_url, total) is None
    run("park", "totals", "order-1", "--reason", "disputed")
    run("run", "--app", app_file, "--drain")
    assert in_database(database_url, total) == 7
    assert "2 streams are handled again" in run("unpark", "totals", "--all")[2]
    assert data(run("retire", "totals", "--json"))["changed"]
    assert data(run("health", "--json"))["status"] == "healthy"
    assert run("pause", "nothing")[0] == 3


def test_a_rebuild_is_begun_given_up_and_switched_to(run: Run, app_file: str, database_url: str) -> None:
    in_database(database_url, some_events)
    run("run", "--app", app_file, "--drain")
    assert run("switch", "totals")[0] == 3
    assert data(run("rebuild", "totals", "--app", app_file, "--json")) == {
        "projection": "totals",
        "model": 2,
        "state": "building",
    }
    assert run("rebuild", "totals")[0] == 3
    assert data(run("rebuild", "totals", "--abandon", "--json"))["state"] == "abandoned"
    run("rebuild", "totals")
    run("run", "--app", app_file, "--drain")
    assert data(run("switch", "totals", "--json")) == {"projection": "totals", "model": 2, "state": "live"}
    assert in_database(database_url, total) == 10
    assert data(run("roll-back", "totals", "--json"))["model"] == 1


@pytest.mark.parametrize(
    ("variables", "status", "says"),
    [
        ({"TOTAL_PARTITIONS": "4"}, 2, "PARTITION_KEY is not set in this process"),
        ({"PARTITION_KEY": "4", "TOTAL_PARTITIONS": "4"}, 2, "out of range"),
        ({"PARTITION_KEY": "0", "TOTAL_PARTITIONS": "4", "WORKERS": "2"}, 2, "belongs to one process"),
        ({"PROJECTION_NAME": "nothing"}, 3, "declares no projection 'nothing'"),
    ],
)
def test_what_the_environment_says_is_looked_at_before_anything_runs(
    run: Run, app_file: str, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], status: int, says: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    answer = run("run", "--app", app_file)
    assert answer[0] == status
    assert says in answer[2]


def test_health_says_when_the_database_is_down(run: Run) -> None:
    found = data(run("health", "--json", "--database-url", "postgresql://nobody@127.0.0.1:1/nothing"), 5)
    assert (found["status"], found["db"], found["lag"]) == ("unhealthy", "down", None)
