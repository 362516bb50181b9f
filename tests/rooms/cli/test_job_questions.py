"""``job why``, ``job logs``, progress in ``job show``, and the ``batch`` group: what people and programs read."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from holdfast import Holdfast, Job
from holdfast.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)

    def invoke(*arguments: str) -> tuple[int, str, str]:
        status = main(list(arguments))
        said = capsys.readouterr()
        return status, said.out, said.err

    return invoke


@pytest.fixture
def done(database_url: str) -> dict[str, Any]:
    """A job that has reported and ended, and two batches: one that has ended, one that waits."""
    app = Holdfast(database_url)

    @app.task
    async def talk(job: Job) -> None:
        logging.getLogger("shop").warning("hello")
        job.progress(300, 1000, "matching")

    @app.task(queue="mail")
    async def later() -> None: ...

    async def work() -> dict[str, Any]:
        async with app:
            job_id = await talk.enqueue()
            async with app.batch("october") as ended:
                ended.add(talk)
            await app.drain()
            async with app.batch("november") as waiting:
                waiting.add(later)
            return {"job": str(job_id), "ended": str(ended.id), "waiting": str(waiting.id), "later": waiting.job_ids[0]}

    return asyncio.run(work())


def test_why_is_a_sentence_for_people_and_fields_for_programs(run: Run, done: dict[str, Any]) -> None:
    status, out, err = run("job", "why", str(done["later"]))
    assert (status, out) == (0, 'ready: no worker listens to queue "mail": no worker is live\n')
    assert err == "  remedy: start one: holdfast worker --app … --queues mail\n"
    assert run("queue", "pause", "mail", "--reason", "provider")[0] == 0
    answer = json.loads(run("job", "why", str(done["later"]), "--json")[1])
    assert [reason["code"] for reason in answer["reasons"]] == ["queue_paused", "no_worker_listens"]
    assert "@" in answer["reasons"][0]["by"]
    assert run("job", "why", done["job"])[1].startswith("completed ")
    assert run("job", "why", "1")[0] == 3


def test_log_lines_are_printed_followed_and_given_to_programs(run: Run, done: dict[str, Any]) -> None:
    status, out, _ = run("job", "logs", done["job"])
    assert status == 0
    assert out.endswith("warning shop  hello\n")
    assert run("job", "logs", done["job"], "--follow")[1] == out
    line = json.loads(run("job", "logs", done["job"], "--json")[1])
    assert (line["level"], line["logger"], line["message"], line["attempt"]) == ("warning", "shop", "hello", 1)
    assert run("job", "logs", "1")[0] == 3
    assert run("job", "logs", "1", "--follow")[0] == 3


def test_progress_and_batch_stand_on_the_page_of_a_job(run: Run, done: dict[str, Any]) -> None:
    page = run("job", "show", done["job"])[1]
    assert "of 1\N{NARROW NO-BREAK SPACE}000 (30 %), matching, " in page
    shown = json.loads(run("job", "show", done["job"], "--json")[1])
    assert (shown["progress"]["done"], shown["progress"]["total"]) == (300, 1000)
    assert done["waiting"] in run("job", "show", str(done["later"]))[1]


def test_batches_are_listed_shown_waited_for_and_cancelled(run: Run, done: dict[str, Any]) -> None:
    listed = json.loads(run("batch", "list", "--json")[1])
    assert [(info["name"], info["state"]) for info in listed] == [("november", "running"), ("october", "completed")]
    assert "november" in run("batch", "list", "--unfinished")[1]
    assert "october" not in run("batch", "list", "--unfinished")[1]
    assert "completed" in run("batch", "show", done["ended"])[1]
    assert run("batch", "wait", done["ended"])[0] == 0
    assert run("batch", "wait", done["waiting"], "--timeout", "0")[0] == 6
    assert run("batch", "cancel", done["waiting"], "--reason", "wrong month")[0] == 0
    assert json.loads(run("batch", "show", done["waiting"], "--json")[1])["cancel_reason"] == "wrong month"
    assert run("batch", "show", "1")[0] == 3
    assert run("batch", "cancel", done["ended"])[0] == 3
    assert run("batch", "--help")[0] == 0
