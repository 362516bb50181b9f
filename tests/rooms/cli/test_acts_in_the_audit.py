"""Whatever a command changes stands in the audit, committed with the change or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast import Holdfast, Limit
from holdfast.cli import main
from holdfast.cli.whoever import who

Run = Callable[..., tuple[int, str, str]]
Row = tuple[str, str | None, str | None, str]

APP = """
from holdfast import Holdfast
app = Holdfast()

@app.task(queue="mail")
async def greet(name: str) -> None: ...
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    asyncio.run(declare(database_url))

    def invoke(*arguments: str) -> tuple[int, str, str]:
        status = main(list(arguments))
        said = capsys.readouterr()
        return status, said.out, said.err

    return invoke


async def declare(database_url: str) -> None:
    app = Holdfast(database_url)

    @app.schedule(every="1h", misfire="all", overlap="allow", task_options={"queue": "mail"})
    async def hourly(occurrence: datetime) -> None: ...

    @app.task(limits=[Limit("api", 5)])
    async def call() -> None: ...

    async with app:
        await app.declare()


@pytest.fixture
def rows(database_url: str) -> Callable[[], list[Row]]:
    """The rows of the audit since they were asked for last: action, kind and name of the target, result."""
    seen = [0]

    def new() -> list[Row]:
        with psycopg.connect(database_url) as connection:
            found = connection.execute(
                "select id, action, target_kind, target, result, actor, actor_kind from holdfast.audit where id > %s "
                "order by id",
                [seen[0]],
            ).fetchall()
        seen[0] = found[-1][0] if found else seen[0]
        assert {(row[5], row[6]) for row in found} <= {(who(), "cli")}
        return [(row[1], row[2], row[3], row[4]) for row in found]

    return new


def enqueued(run: Run, *more: str) -> str:
    return run("job", "enqueue", "greet", "name=Ada", "--queue", "mail", *more)[1].strip()


def test_acts_on_jobs_leave_a_row_for_each_job(run: Run, rows: Callable[[], list[Row]]) -> None:
    one, other = enqueued(run), enqueued(run, "--run-in", "1h")
    assert rows() == [("job.enqueue", "job", one, "done"), ("job.enqueue", "job", other, "done")]

    assert run("job", "cancel", one, other, "--reason", "wrong import")[0] == 0
    assert rows() == [("job.cancel", "job", one, "done"), ("job.cancel", "job", other, "done")]
    assert run("job", "cancel", one)[0] == 3
    assert rows() == [("job.cancel", "job", one, "failed")]
    assert run("job", "retry", one, "4711")[0] == 3
    assert rows() == [("job.retry", "job", one, "done"), ("job.retry", "job", "4711", "failed")]
    for words, action in (
        (["job", "reschedule", one, "--in", "2h"], "job.reschedule"),
        (["job", "priority", one, "--to", "1"], "job.priority"),
        (["job", "edit", one, "name=Bob", "--unchecked"], "job.edit"),
        (["job", "purge", one], "job.purge"),
    ):
        assert run(*words)[0] == 0, words
        assert rows() == [(action, "job", one, "done")]


def test_an_enqueue_with_the_application_leaves_a_row(run: Run, rows: Callable[[], list[Row]], tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text(APP)
    job = run("job", "enqueue", "greet", "name=Ada", "--app", str(file))[1].strip()

    assert rows() == [("job.enqueue", "job", job, "done")]
    assert json.loads(run("job", "list", "--json")[1])[0]["id"] == int(job)


def test_a_verb_on_many_jobs_says_that_it_began_and_how_it_ended(
    run: Run, rows: Callable[[], list[Row]], database_url: str
) -> None:
    for _ in range(3):
        enqueued(run)
    rows()
    for words in (["cancel", "--yes"], ["redrive", "--cancelled"], ["priority", "--to", "1"], ["purge", "--yes"]):
        assert run("job", words[0], "--filter", "queue=mail", *words[1:])[0] == 0, words
        found = rows()
        assert [(row[0], row[1], row[3]) for row in found] == [
            (f"job.{'retry' if words[0] == 'redrive' else words[0]}", "filter", result) for result in ("begun", "done")
        ]
    with psycopg.connect(database_url) as connection:
        last = connection.execute("select after from holdfast.audit order by id desc limit 1").fetchone()
    assert last == ({"purged": 3},)


def test_acts_on_other_nouns_leave_a_row(run: Run, rows: Callable[[], list[Row]]) -> None:
    acts: list[tuple[list[str], Row]] = [
        (["queue", "pause", "mail"], ("queue.pause", "queue", "mail", "done")),
        (["queue", "resume", "mail"], ("queue.resume", "queue", "mail", "done")),
        (["limit", "set", "api", "7"], ("limit.set", "limit", "api", "done")),
        (["limit", "reset", "api"], ("limit.reset", "limit", "api", "done")),
        (["schedule", "pause", "hourly"], ("schedule.pause", "schedule", "hourly", "done")),
        (["schedule", "resume", "hourly"], ("schedule.resume", "schedule", "hourly", "done")),
        (["schedule", "trigger", "hourly"], ("schedule.trigger", "schedule", "hourly", "done")),
        (["schedule", "edit", "hourly", "priority=1"], ("schedule.edit", "schedule", "hourly", "done")),
        (["schedule", "edit", "hourly", "--reset"], ("schedule.reset", "schedule", "hourly", "done")),
        (["event", "append", "order-1", "OrderPlaced"], ("event.append", "stream", "order-1", "done")),
        (["projection", "pause", "nothing"], ("projection.pause", "projection", "nothing", "failed")),
        (["projection", "reset", "nothing", "--yes"], ("projection.reset", "projection", "nothing", "failed")),
        (["batch", "cancel", "4711"], ("batch.cancel", "batch", "4711", "failed")),
        (["operation", "cancel", "4711"], ("operation.cancel", "operation", "4711", "failed")),
        (["failure", "mark", "0" * 16, "seen"], ("failure.mark", "failure", "0" * 16, "failed")),
        (["db", "terminate", "4711"], ("database.terminate", "backend", "4711", "failed")),
    ]
    for words, row in acts:
        status, _, said = run(*words)
        assert (rows(), status == 0) == ([row], row[3] == "done"), (words, said)


def test_an_operation_leaves_a_row_with_what_it_does(run: Run, rows: Callable[[], list[Row]]) -> None:
    enqueued(run)
    rows()
    began = run("job", "cancel", "--filter", "queue=mail", "--in-background", "--yes", "--json")
    operation = str(json.loads(began[1])["id"])
    assert rows() == [("operation.start", "operation", operation, "done")]
    assert run("operation", "cancel", operation)[0] == 0
    assert rows() == [("operation.cancel", "operation", operation, "done")]


def test_looks_leave_no_row(run: Run, rows: Callable[[], list[Row]]) -> None:
    for words in (
        ["queue", "list"],
        ["limit", "list"],
        ["schedule", "list"],
        ["schedule", "backfill", "hourly", "--since", "2026-01-01", "--until", "2026-01-02", "--preview"],
        ["job", "cancel", "--filter", "queue=mail", "--preview"],
        ["event", "read"],
        ["audit", "list"],
    ):
        assert run(*words)[0] == 0, words
    assert rows() == []


def test_what_cannot_be_written_down_is_not_done(run: Run, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("alter table holdfast.audit add check (action not in ('queue.pause', 'job.enqueue'))")
        assert run("queue", "pause", "mail")[0] != 0
        assert run("job", "enqueue", "greet", "name=Ada", "--queue", "mail")[0] != 0
        assert connection.execute("select count(*) from holdfast.every_job").fetchone() == (0,)
        assert connection.execute("select count(*) from holdfast.queue_pause").fetchone() == (0,)


def test_the_page_shows_who_did_it(run: Run) -> None:
    run("queue", "pause", "mail", "--reason", "provider is down")
    status, out, _ = run("audit", "list", "--action", "queue.pause")

    assert status == 0
    assert "queue.pause" in out
    row: Any = json.loads(run("audit", "list", "--json")[1])[0]
    assert (row["actor"], row["actor_kind"], row["reason"]) == (who(), "cli", "provider is down")
