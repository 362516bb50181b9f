"""``holdfast schedule`` against a real database."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast import Holdfast
from holdfast.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    asyncio.run(declare(database_url))

    def invoke(*arguments: str) -> tuple[int, str, str]:
        status = main(["schedule", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return invoke


async def declare(database_url: str) -> None:
    app = Holdfast(database_url)

    @app.schedule("0 7 * * mon-fri", timezone="Europe/Zurich", task_options={"queue": "reports"})
    async def morning_report() -> None: ...

    @app.schedule(every="1h", misfire="all", overlap="allow")
    async def hourly(occurrence: datetime) -> None: ...

    async with app:
        await app.declare()


def data(answer: tuple[int, str, str], status: int = 0) -> Any:
    assert answer[0] == status, answer
    return json.loads(answer[1])


def test_schedules_are_listed_and_shown_in_words(run: Run) -> None:
    listed = data(run("list", "--json"))
    assert [one["name"] for one in listed] == ["hourly", "morning_report"]
    assert listed[1]["words"] == "At 07:00 on Monday through Friday, Europe/Zurich"
    status, out, _ = run("list")
    assert status == 0
    assert re.search(
        r"morning_report +At 07:00 on Monday through Friday, Europe/Zurich +\w+ \d+ \w+ \d+ 07:00 CES?T", out
    )

    _, out, _ = run("show", "hourly")
    assert "Every 1 h" in out
    assert "misfire   all, after 60 s, at most 100" in out
    assert out.count(", in ") == 3


def test_next_says_when_on_the_wall_of_the_zone_and_how_soon(run: Run) -> None:
    coming = data(run("next", "morning_report", "--count", "2", "--json"))
    assert len(coming) == 2
    assert all(one["timezone"] == "Europe/Zurich" for one in coming)
    _, out, _ = run("next", "--count", "3")
    assert len(out.splitlines()) == 7
    assert "in 60 min" in out or "in 1 h" in out


def test_a_schedule_is_triggered_and_overlap_is_respected_unless_forced(run: Run, database_url: str) -> None:
    status, out, err = run("trigger", "morning_report")
    assert (status, err.strip()) == (0, "schedule morning_report was triggered")
    job_id = int(out)
    status, _, err = run("trigger", "morning_report")
    assert status == 3
    assert f"job {job_id} of " in err
    assert data(run("trigger", "morning_report", "--force", "--reason", "again", "--json"))["detail"] == "again"
    with psycopg.connect(database_url) as connection:
        assert (
            connection.execute("SELECT queue, task FROM holdfast.job").fetchall() == [("reports", "morning_report")] * 2
        )

    shown = data(run("show", "morning_report", "--json"))["occurrences"]
    assert [(one["origin"], one["state"], one["because"]) for one in reversed(shown)] == [
        ("trigger", "started", None),
        ("trigger", "skipped", "overlap"),
        ("trigger", "started", None),
    ]
    assert "skipped: overlap" in run("show", "morning_report")[1]


def test_a_schedule_is_paused_and_resumed_and_both_may_be_repeated(run: Run) -> None:
    assert [run("pause", "hourly", "--reason", "source is moving")[0] for _ in range(2)] == [0, 0]
    shown = data(run("show", "hourly", "--json"))
    assert (shown["state"], shown["pause_reason"], shown["next"]) == ("paused", "source is moving", [])
    assert "source is moving" in run("list")[1]
    assert data(run("resume", "hourly", "--json")) == {"schedule": "hourly", "state": "resumed", "changed": True}
    assert run("resume", "hourly")[0] == 0


def test_a_schedule_is_edited_and_reset(run: Run) -> None:
    edited = data(run("edit", "morning_report", "cron=30 8 * * *", "jitter_seconds=60", "--json"))
    assert (edited["words"], edited["jitter_seconds"]) == ("At 08:30 every day, Europe/Zurich", 60)
    assert "edited" in run("list")[1]
    assert data(run("edit", "morning_report", "--reset", "--json"))["edited"] == {}


def test_a_backfill_is_previewed_and_done_once(run: Run) -> None:
    begin = datetime.now(UTC) - timedelta(days=3)
    span = ("--since", begin.isoformat(), "--until", (begin + timedelta(days=2)).isoformat())
    assert run("edit", "hourly", "cron=0 */6 * * *")[0] == 0

    preview = data(run("backfill", "hourly", *span, "--preview", "--json"))
    assert len(preview) in (8, 9)
    assert all(step["runs"] for step in preview)
    status, _, err = run("backfill", "hourly", *span)
    assert status == 2
    assert f"{len(preview)} jobs would be enqueued" in err

    made = data(run("backfill", "hourly", *span, "--yes", "--json"))
    assert [one["at"] for one in made] == [step["at"] for step in preview]
    assert {one["origin"] for one in made} == {"backfill"}
    assert all(one["job_id"] for one in made)
    assert [step["runs"] for step in data(run("backfill", "hourly", *span, "--yes", "--json"))] == [False] * len(
        preview
    )


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("show", "morning_rapport"), 3, "did you mean 'morning_report'?"),
        (("pause", "nothing"), 3, "there is no schedule 'nothing'"),
        (("trigger", "nothing"), 3, "there is no schedule 'nothing'"),
        (("edit", "hourly"), 2, "nothing to change"),
        (("edit", "hourly", "task=other"), 2, "cannot be edited"),
        (("edit", "hourly", "cron=nonsense"), 2, "no cron expression"),
        (("backfill", "hourly", "--since", "yesterday", "--until", "now"), 2, "is no moment"),
        (("backfill", "hourly", "--since", "2026-02-02", "--until", "2026-02-01"), 2, "ends before it begins"),
        (("backfill", "hourly", "--since", "2020-02-02", "--until", "2026-02-01"), 0, "no occurrence lies there"),
    ],
)
def test_what_is_wrong_is_said_with_its_status(run: Run, arguments: tuple[str, ...], status: int, told: str) -> None:
    got, _, err = run(*arguments)

    assert got == status
    assert told in err
    assert "Traceback" not in err


def test_status_names_a_schedule_that_nobody_decides_about(
    run: Run, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 0
    capsys.readouterr()
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE holdfast.schedule SET due_at = now() - interval '3 hours' WHERE name = 'hourly'")

    assert main(["status"]) == 5
    assert "schedule hourly: due 3 h ago, and no worker has decided about it" in capsys.readouterr().out


def test_help_shows_examples(run: Run) -> None:
    status, out, _ = run("backfill", "--help")

    assert status == 0
    assert "$ holdfast schedule backfill daily_figures" in out


def test_nothing_is_said_of_no_schedules(
    capsys: pytest.CaptureFixture[str], database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    assert main(["schedule", "list"]) == 0
    assert "a worker of an application that has some declares them" in capsys.readouterr().err
