"""Time limits and interruptions of handlers in threads, and what a handler leaves behind."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from holdfast import Holdfast, Job, Retry, current_job
from holdfast.errors import ConfigurationError
from holdfast.jobs import Execution
from tests.rooms.jobs.hand import assert_conserved
from tests.rooms.working import working
from tests.waiting import eventually


def spin_for_ever(began: threading.Event, seen: list[str]) -> None:
    """A loop that asks nobody."""
    began.set()
    try:
        while True:
            time.sleep(0.001)
    except Exception:
        seen.append("swallowed")
        raise
    finally:
        seen.append("cleaned up")


async def test_a_thread_that_does_not_look_is_interrupted_after_its_grace(app: Holdfast) -> None:
    began = threading.Event()
    seen: list[str] = []

    @app.task
    def work() -> None:
        spin_for_ever(began, seen)

    job_id = await work.enqueue()
    async with working(app, thread_grace_seconds=0.0):
        await eventually(began.is_set)
        await app.jobs.cancel(job_id, reason="enough")
        info = await app.jobs.wait(job_id, timeout_seconds=20)
    assert (info.state, info.error) == ("cancelled", {"type": "Cancelled", "message": "enough"})
    assert seen == ["cleaned up"], "except Exception does not swallow it"
    await assert_conserved(app.database)


async def test_a_thread_that_stops_within_its_grace_is_not_interrupted(app: Holdfast) -> None:
    seen: list[object] = []

    @app.task
    def work(job: Job) -> str:
        while not job.should_stop:
            time.sleep(0.001)
        seen.append("asked")
        return "ended well"

    @app.task
    def next_one() -> int:
        return sum(range(100_000))

    job_id = await work.enqueue()
    async with working(app, concurrency=1, thread_grace_seconds=0.05):
        await eventually(lambda: current_running(app, job_id))
        await app.jobs.cancel(job_id)
        assert await app.jobs.result(job_id, timeout_seconds=20) == "ended well"
        # Whoever runs next in that thread is not hit by the interruption that was meant for the first.
        ids = await next_one.enqueue_many([()] * 50)
        for one in ids:
            assert await app.jobs.result(one, timeout_seconds=20) == 4_999_950_000
    assert seen == ["asked"]


async def test_a_late_thread_is_interrupted_and_the_attempt_has_timed_out(app: Holdfast) -> None:
    began = threading.Event()
    seen: list[str] = []

    @app.task(timeout_seconds=0.2, retry=Retry(max_attempts=1))
    def work() -> None:
        spin_for_ever(began, seen)

    job_id = await work.enqueue()
    async with working(app):
        info = await app.jobs.wait(job_id, timeout_seconds=20)
    assert info.error is not None
    assert (info.state, info.error["type"]) == ("failed", "JobTimeout")
    assert "was interrupted and waited for" in info.error["message"]
    assert seen == ["cleaned up"]


async def test_at_the_end_of_the_worker_a_thread_is_interrupted_and_its_job_goes_back(app: Holdfast) -> None:
    began = threading.Event()
    seen: list[str] = []

    @app.task
    def work() -> None:
        spin_for_ever(began, seen)

    job_id = await work.enqueue()
    async with working(app, shutdown_soft_seconds=0.0) as worker:
        await eventually(began.is_set)
    assert (await app.jobs.show(job_id)).state == "ready"
    assert worker.report.interrupted == 1
    assert seen == ["cleaned up"]


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_the_soft_timeout_comes_first_and_a_handler_that_heeds_it_completes(app: Holdfast, kind: str) -> None:
    if kind == "async":

        @app.task(name="work", soft_timeout_seconds=0.05, timeout_seconds=30)
        async def work(job: Job) -> str:
            await eventually(lambda: job.should_stop)
            return f"late: {job.late}, stopping: {job.stopping}"

    else:

        @app.task(name="work", soft_timeout_seconds=0.05, timeout_seconds=30)
        def work(job: Job) -> str:
            while not job.should_stop:
                time.sleep(0.005)
            return f"late: {job.late}, stopping: {job.stopping}"

    job_id = await app.tasks["work"].enqueue()
    async with working(app):
        assert await app.jobs.result(job_id, timeout_seconds=20) == "late: True, stopping: False"


async def test_a_handler_cancelled_from_within_after_its_soft_timeout_has_failed(app: Holdfast) -> None:
    @app.task(soft_timeout_seconds=0.01, retry=Retry(max_attempts=1))
    async def work(job: Job) -> None:
        await eventually(lambda: job.should_stop)
        raise asyncio.CancelledError

    job_id = await work.enqueue()
    async with working(app):
        assert (await app.jobs.wait(job_id, timeout_seconds=20)).state == "failed"


async def test_what_a_handler_leaves_behind_sees_no_other_job(app: Holdfast) -> None:
    seen: list[Any] = []
    look, looked = asyncio.Event(), asyncio.Event()

    async def left_behind() -> None:
        seen.append(current_job())
        await look.wait()
        seen.append(current_job())
        looked.set()

    @app.task
    async def first() -> None:
        task = asyncio.create_task(left_behind())
        await asyncio.sleep(0)
        seen.append(task)

    @app.task
    async def second(job: Job) -> bool:
        look.set()
        await looked.wait()
        return current_job() is job

    one = await first.enqueue()
    async with working(app, concurrency=1):
        await app.jobs.wait(one, timeout_seconds=20)
        two = await second.enqueue()
        assert await app.jobs.result(two, timeout_seconds=20) is True
    during, _, after = seen
    assert during.id == one
    assert after is None


async def test_a_transaction_with_a_result_that_cannot_be_stored_fails_for_good(app: Holdfast, outsider: Any) -> None:
    await outsider.execute("CREATE TABLE effect (n integer)")

    @app.task(transactional=True, retry=Retry(max_attempts=5, delay_seconds=0))
    async def work(job: Job) -> None:
        async with job.transaction() as tx:
            await tx.execute("INSERT INTO effect VALUES (1)")
            tx.result = float("nan")

    job_id = await work.enqueue()
    async with working(app):
        info = await app.jobs.wait(job_id, timeout_seconds=20)
    assert info.error is not None
    assert (info.state, info.attempt, info.error["type"]) == ("failed", 1, "ResultNotStorable")
    assert await outsider.fetchval("SELECT count(*) FROM effect") == 0


@pytest.mark.parametrize(
    ("execution", "problem"),
    [
        ({"executor": "celery"}, "there is no executor 'celery'"),
        ({"executor": "async"}, "a plain function cannot run on the event loop"),
        ({"executor": "process"}, "is not found by name"),
        ({"memory_limit_mib": 64}, "memory_limit_mib is a positive number for a process"),
        ({"soft_timeout_seconds": 5, "timeout_seconds": 5}, "less than timeout_seconds"),
    ],
)
def test_what_does_not_fit_together_is_refused_where_it_is_declared(execution: dict[str, Any], problem: str) -> None:
    def work() -> None: ...

    with pytest.raises(ConfigurationError, match=problem) as error:
        Execution(**execution).executor_for("work", work)
    assert error.value.remedy


async def test_an_engine_that_is_not_configured_is_said_when_the_worker_starts(app: Holdfast) -> None:
    from tests.rooms.worker import elsewhere_tasks

    app.tasks["square"] = elsewhere_tasks.square
    with pytest.raises(ConfigurationError, match="no scheduler is named"):
        async with working(app, ("dask",)):
            pass
    async with working(app):  # another queue's tasks need nothing here
        pass


async def current_running(app: Holdfast, job_id: int) -> bool:
    return (await app.jobs.show(job_id)).worker is not None
