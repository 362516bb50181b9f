"""What becomes of a handler's answer: results, errors, and everything that is neither."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import Struct
from pydantic import BaseModel, computed_field

from holdfast import Holdfast, Retry
from holdfast.errors import JobFailed
from holdfast.jobs import Finished
from holdfast.worker.pump import Pump
from tests.rooms.jobs.hand import assert_conserved
from tests.rooms.working import make_worker
from tests.waiting import eventually

ONCE = Retry(max_attempts=1)


class Point(BaseModel):
    x: int
    at: datetime


@dataclass
class Pair:
    left: int
    right: str


class Fork(Struct):
    tines: list[Pair]


class Moody(BaseModel):
    @computed_field  # type: ignore[prop-decorator]
    @property
    def mood(self) -> str:
        raise KeyError("no mood")


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Unusual(BaseException):
    """Not an Exception, as those of test frameworks and greenlets."""


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def recursing(depth: int = 0) -> int:
    return recursing(depth + 1) + 1


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize(
    ("answer", "stored"),
    [
        (None, None),
        (42, 42),
        ("häßlich \\u0000 and and a backslash", "häßlich \\u0000 and and a backslash"),
        ({"a": [1, 2.5, None, True]}, {"a": [1, 2.5, None, True]}),
        (Point(x=1, at=datetime(2026, 1, 2, tzinfo=UTC)), {"x": 1, "at": "2026-01-02T00:00:00Z"}),
        (Pair(1, "r"), {"left": 1, "right": "r"}),
        ([Fork([Pair(1, "r")])], [{"tines": [{"left": 1, "right": "r"}]}]),
        ("NaN and Infinity are only words here", "NaN and Infinity are only words here"),
    ],
)
async def test_a_result_is_stored_as_json(app: Holdfast, answer: Any, stored: Any, *, threaded: bool) -> None:
    if threaded:
        task = app.task(name="work")(lambda: answer)
    else:

        @app.task(name="work")
        async def task() -> Any:
            return answer

    job_id = await task.enqueue()
    report = await app.drain()
    assert report.ok
    assert report.completed == 1
    assert await app.jobs.result(job_id) == stored


@pytest.mark.parametrize(
    "answer",
    [
        float("nan"),
        {"deep": [1.0, float("inf")]},
        "a\x00b",
        {"a\x00b": 1},
        "x" * 1_100_000,
        object(),
        Moody(),
        "\ud800",
        lambda: nested(900),
        lambda: nested(100_000),
    ],
    ids=["nan", "infinity", "nul", "nul key", "too big", "object", "raises", "surrogate", "deep", "very deep"],
)
async def test_a_result_that_cannot_be_stored_fails_its_job_for_good(app: Holdfast, answer: Any) -> None:
    @app.task
    async def work() -> Any:
        return answer() if callable(answer) else answer

    job_id = await work.enqueue()
    report = await app.drain()
    info = await app.jobs.show(job_id)
    if info.state == "completed":  # what JSON can hold after all is no failure
        assert info.result == answer()
        return
    assert report.failed == 1
    assert info.error is not None
    assert info.error["type"] == "ResultNotStorable"
    assert info.attempt == 1


async def test_one_bad_result_among_two_hundred_fails_alone(app: Holdfast) -> None:
    @app.task
    async def work(n: int) -> Any:
        return float("nan") if n == 77 else n

    ids = await work.enqueue_many([(n,) for n in range(200)])
    report = await app.drain(concurrency=50)
    assert (report.completed, report.failed) == (199, 1)
    assert [job.id for job in await app.jobs.list(state="failed")] == [ids[77]]


async def test_results_that_only_the_server_can_refuse_fail_alone(app: Holdfast, outsider: Any) -> None:
    """What slips through every check of ours: halving finds the rows at fault, and they fail instead of the batch."""

    @app.task
    async def work(n: int) -> int:
        return n

    partition = await outsider.fetchval(
        "SELECT 'holdfast.' || relname FROM pg_class WHERE relname ~ '^outcome_2' ORDER BY 1 LIMIT 1"
    )
    await outsider.execute(f"ALTER TABLE {partition} ADD CHECK (result IS NULL OR result::text NOT IN ('3', '151'))")
    ids = await work.enqueue_many([(n,) for n in range(200)])
    report = await app.drain(concurrency=50)
    failed = await app.jobs.list(state="failed")
    assert sorted(job.id for job in failed) == [ids[3], ids[151]]
    assert {job.error["type"] for job in failed if job.error} == {"ResultNotStorable"}
    assert await app.jobs.result(ids[199]) == 199
    assert report.finished == 200
    await assert_conserved(app.database)


async def test_a_worker_that_takes_the_batch_for_the_culprit_is_caught(
    app: Holdfast, outsider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken build sends the batch again as it is, for ever: one bad row holds two hundred strangers."""

    async def all_or_nothing(pump: Pump, finished: list[Finished]) -> None:
        await pump._hot.finish(finished, again=pump._again)

    @app.task
    async def work(n: int) -> int:
        return n

    partition = await outsider.fetchval(
        "SELECT 'holdfast.' || relname FROM pg_class WHERE relname ~ '^outcome_2' ORDER BY 1 LIMIT 1"
    )
    await outsider.execute(f"ALTER TABLE {partition} ADD CHECK (result IS NULL OR result::text <> '3')")
    monkeypatch.setattr(Pump, "_finish", all_or_nothing)
    await work.enqueue_many([(n,) for n in range(200)])
    worker = make_worker(app, drain=True, concurrency=200)
    serving = asyncio.create_task(worker.run())
    await eventually(lambda: worker.report.completed == 200)
    worker.stop()
    await asyncio.wait_for(serving, 30)
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.outcome") < 199


def raise_stop() -> None:
    raise StopIteration


def leave() -> None:
    raise SystemExit(3)


def be_unusual() -> None:
    raise Unusual("neither error nor exit")


def be_speechless() -> None:
    raise Speechless


def recurse() -> None:
    recursing()


def be_grouped() -> None:
    raise BaseExceptionGroup("several", [SystemExit(1), ValueError("x")])


def cancel_oneself() -> None:
    raise asyncio.CancelledError


def be_unspeakable() -> None:
    raise ValueError("nul \x00 and surrogate \ud800")


@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize(
    ("deed", "kind"),
    [
        (raise_stop, "RuntimeError"),
        (leave, "SystemExit"),
        (be_unusual, "Unusual"),
        (be_speechless, "Speechless"),
        (recurse, "RecursionError"),
        (be_grouped, "BaseExceptionGroup"),
        (cancel_oneself, "CancelledError"),
        (be_unspeakable, "ValueError"),
    ],
)
async def test_whatever_a_handler_raises_fails_its_job_and_not_the_worker(
    app: Holdfast, deed: Any, kind: str, *, threaded: bool
) -> None:
    if threaded:
        task = app.task(name="work", retry=ONCE)(deed)
    else:

        @app.task(name="work", retry=ONCE)
        async def task() -> None:
            deed()

    @app.task
    async def after() -> str:
        return "still here"

    job_id, later = await task.enqueue(), await after.options(priority=9).enqueue()
    report = await app.drain(concurrency=1)
    info = await app.jobs.show(job_id)
    assert info.state == "failed"
    assert info.error is not None
    assert info.error["type"] == kind
    assert (report.failed, report.completed) == (1, 1)
    assert await app.jobs.result(later) == "still here"


async def test_an_error_is_kept_with_message_and_traceback(app: Holdfast) -> None:
    @app.task(retry=ONCE)
    async def work() -> None:
        raise ValueError("the figure is wrong")

    job_id = await work.enqueue()
    await app.drain()
    error = (await app.jobs.show(job_id)).error
    assert error is not None
    assert error["message"] == "the figure is wrong"
    assert "test_worker_results.py" in error["traceback"]
    with pytest.raises(JobFailed, match="ValueError the figure is wrong"):
        await app.jobs.result(job_id)


async def test_arguments_that_no_longer_fit_fail_the_job_with_what_is_wrong(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work(n: int) -> None: ...

    await app.drain()  # declares the task
    job_id = await outsider.fetchval("""SELECT holdfast.enqueue('work', '{"m": 1}')""")
    report = await app.drain()
    info = await app.jobs.show(job_id)
    assert report.failed == 1
    assert info.error is not None
    assert "n: is missing" in info.error["message"]


async def test_a_job_of_an_unknown_task_waits_for_a_worker_that_knows_it(app: Holdfast, outsider: Any) -> None:
    job_id = await outsider.fetchval("SELECT holdfast.enqueue('stranger', queue => 'default')")
    report = await app.drain()
    info = await app.jobs.show(job_id)
    assert (info.state, info.attempt) == ("scheduled", 1)
    assert report.snoozed == 1
    await assert_conserved(app.database)
