"""How attempts run: retries, delays, timeouts, threads, contexts."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from typing import Any

import pytest

from holdfast import Holdfast, Job, Retry, RetryAfter, Snooze
from holdfast.errors import ConfigurationError
from holdfast.jobs import GiveUp, LeftToRun, current_job
from holdfast.worker import Worker
from tests.rooms.jobs.hand import assert_conserved
from tests.rooms.working import working
from tests.waiting import eventually

SOON = Retry(max_attempts=3, delay_seconds=0.01, jitter=0)
LEFT: contextvars.ContextVar[str] = contextvars.ContextVar("left_behind", default="nothing")


async def test_a_failing_job_is_tried_again_and_every_error_is_kept(app: Holdfast) -> None:
    @app.task(retry=SOON)
    async def work(job: Job) -> None:
        raise ValueError(f"attempt {job.attempt}")

    job_id = await work.enqueue()
    report = await app.drain()
    info = await app.jobs.show(job_id)
    assert (report.retried, report.failed, info.state, info.attempt) == (2, 1, "failed", 3)
    history = await app.jobs.history(job_id)
    assert [(e["attempt"], e["error"]["message"]) for e in history] == [(1, "attempt 1"), (2, "attempt 2")]
    assert all("Traceback" in e["error"]["traceback"] for e in history)
    assert info.error is not None
    assert info.error["message"] == "attempt 3"
    await assert_conserved(app.database)


async def test_a_drain_does_not_trust_an_answer_that_was_overtaken(
    app: Holdfast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it asks whether anything is left, a job comes, fails and is scheduled anew: the answer missed it."""
    ids: list[int] = []
    asked = Worker._left_to_run

    @app.task(retry=SOON)
    async def work() -> None:
        raise ValueError

    async def overtaken(worker: Worker) -> LeftToRun:
        answer = await asked(worker)
        if not ids:
            ids.append(await work.enqueue())
            await eventually(lambda: worker.report.retried)
        return answer

    monkeypatch.setattr(Worker, "_left_to_run", overtaken)
    report = await app.drain()
    assert (report.retried, report.failed) == (2, 1)
    await assert_conserved(app.database)


async def test_a_job_that_is_due_is_left_to_run_also_before_it_was_promoted(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work() -> None: ...

    await work.options(run_in="1h").enqueue()
    assert not any(await app.queues.left_to_run(["default"], horizon_seconds=300))
    await outsider.execute("UPDATE holdfast.scheduled SET due_at = holdfast.now()")
    assert any(await app.queues.left_to_run(["default"], horizon_seconds=0))


async def test_a_job_that_recovers_completes_and_keeps_its_history(app: Holdfast) -> None:
    @app.task(retry=SOON)
    def work(job: Job) -> int:
        if job.attempt < 3:
            raise ValueError("not yet")
        return job.attempt

    job_id = await work.enqueue()
    assert (await app.drain()).ok
    assert await app.jobs.result(job_id) == 3
    assert len(await app.jobs.history(job_id)) == 2


async def test_the_delay_before_a_retry_is_the_one_of_the_policy(app: Holdfast) -> None:
    @app.task(retry=Retry(delay_seconds=100, factor=3, ceiling_seconds=500, jitter=0))
    async def work() -> None:
        raise ValueError

    job_id = await work.enqueue()
    delays = []
    for _ in range(3):
        await app.drain(horizon_seconds=0)
        info = await app.jobs.show(job_id)
        assert info.due_at is not None
        at = (await app.jobs.history(job_id))[-1]["at"]
        delays.append((info.due_at - at).total_seconds())
        await app.jobs.retry(job_id)
    assert delays == [pytest.approx(expected, abs=2) for expected in (100, 300, 500)]


async def test_an_exception_class_may_have_a_policy_of_its_own(app: Holdfast) -> None:
    policy = Retry(
        max_attempts=2,
        delay_seconds=0,
        on={ConnectionError: Retry(max_attempts=4, delay_seconds=0)},
        give_up_on=(KeyError,),
    )
    kinds = {"reset": ConnectionResetError, "value": ValueError, "key": KeyError, "give up": GiveUp}

    @app.task(retry=policy)
    async def work(kind: str) -> None:
        raise kinds[kind](kind)

    ids = await work.enqueue_many([(kind,) for kind in kinds])
    await app.drain()
    attempts = [(await app.jobs.show(job_id)).attempt for job_id in ids]
    assert attempts == [4, 2, 1, 1]


async def test_max_attempts_of_the_job_wins_over_the_policy(app: Holdfast) -> None:
    @app.task(retry=Retry(max_attempts=5, delay_seconds=0))
    async def work() -> None:
        raise ValueError

    fewer, more = await work.options(max_attempts=1).enqueue(), await work.options(max_attempts=7).enqueue()
    await app.drain()
    assert [(await app.jobs.show(job_id)).attempt for job_id in (fewer, more)] == [1, 7]


async def test_retry_after_says_when(app: Holdfast) -> None:
    @app.task(retry=Retry(max_attempts=2, delay_seconds=0.01))
    async def work(seconds: float) -> None:
        raise RetryAfter(seconds)

    late, past = await work.enqueue(1234), await work.enqueue(-5)
    await app.drain(horizon_seconds=0)
    info = await app.jobs.show(late)
    assert info.due_at is not None
    assert (info.due_at - (await app.jobs.history(late))[0]["at"]).total_seconds() == pytest.approx(1234, abs=2)
    assert (await app.jobs.show(past)).state == "failed"


async def test_a_snooze_uses_no_attempt(app: Holdfast) -> None:
    rounds = 0

    @app.task(retry=Retry(max_attempts=1))
    async def work(job: Job) -> Any:
        nonlocal rounds
        rounds += 1
        return job.attempt if rounds == 4 else Snooze(0.01)

    job_id = await work.enqueue()
    async with working(app):
        assert await app.jobs.result(job_id, timeout_seconds=20) == 1
    assert rounds == 4
    assert await app.jobs.history(job_id) == []


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_a_snooze_or_delay_that_is_no_duration_is_refused_where_it_is_said(seconds: float) -> None:
    with pytest.raises(ConfigurationError):
        Snooze(seconds)


def test_no_number_of_attempts_overflows_a_policy_without_a_ceiling() -> None:
    policy = Retry(max_attempts=32_000, factor=1e10, ceiling_seconds=float("inf"), jitter=0)
    for attempt in (1, 2, 30, 40, 31_999):
        delay = policy.next_delay(ValueError(), attempt)
        assert delay is not None
        assert delay.total_seconds() <= 1e9


@pytest.mark.parametrize("threaded", [False, True])
async def test_an_attempt_that_takes_too_long_is_ended(app: Holdfast, *, threaded: bool) -> None:
    if threaded:

        @app.task(name="work", timeout_seconds=0.1, retry=Retry(max_attempts=1))
        def task(job: Job) -> None:
            while not job.should_stop:
                time.sleep(0.005)

    else:

        @app.task(name="work", timeout_seconds=0.1, retry=Retry(max_attempts=1))
        async def task(job: Job) -> None:
            await asyncio.Event().wait()

    job_id = await task.enqueue()
    await app.drain()
    info = await app.jobs.show(job_id)
    assert info.error is not None
    assert (info.state, info.error["type"]) == ("failed", "JobTimeout")
    assert "took longer than 0.1 s" in info.error["message"]


async def test_a_timeout_of_the_job_wins_over_that_of_the_task(app: Holdfast) -> None:
    @app.task(timeout_seconds=60, retry=Retry(max_attempts=1))
    async def work() -> None:
        await asyncio.Event().wait()

    job_id = await work.options(timeout_seconds=0.05).enqueue()
    await app.drain()
    assert (await app.jobs.show(job_id)).state == "failed"


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_timeout_error_of_the_handlers_own_is_no_timeout_of_the_job(app: Holdfast, *, threaded: bool) -> None:
    def fail() -> None:
        raise TimeoutError("the other side")

    if threaded:
        task = app.task(name="work", timeout_seconds=30, retry=Retry(max_attempts=1))(fail)
    else:

        @app.task(name="work", timeout_seconds=30, retry=Retry(max_attempts=1))
        async def task() -> None:
            fail()

    job_id = await task.enqueue()
    await app.drain()
    error = (await app.jobs.show(job_id)).error
    assert error is not None
    assert (error["type"], error["message"]) == ("TimeoutError", "the other side")


async def test_threads_run_side_by_side_and_know_their_job(app: Holdfast) -> None:
    meeting = threading.Barrier(4)

    @app.task
    def work() -> int | None:
        meeting.wait(10)
        job = current_job()
        return None if job is None else job.id

    ids = await work.enqueue_many([()] * 4)
    assert (await app.drain(concurrency=4)).ok
    assert [await app.jobs.result(job_id) for job_id in ids] == ids


async def test_a_handler_and_what_it_awaits_know_their_job(app: Holdfast) -> None:
    async def deeper() -> int | None:
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        job = current_job()
        return None if job is None else job.id

    @app.task
    async def work() -> list[int | None]:
        return [await deeper(), await asyncio.create_task(deeper()), await asyncio.to_thread(lambda: current_job().id)]  # type: ignore[union-attr]

    ids = await work.enqueue_many([()] * 20)
    assert (await app.drain(concurrency=4)).ok
    for job_id in ids:
        assert await app.jobs.result(job_id) == [job_id] * 3
    assert current_job() is None


@pytest.mark.parametrize("threaded", [False, True])
async def test_context_variables_do_not_leak_from_job_to_job(app: Holdfast, *, threaded: bool) -> None:
    def leak() -> str:
        found = LEFT.get()
        LEFT.set("something")
        return found

    if threaded:
        task = app.task(name="work")(leak)
    else:

        @app.task(name="work")
        async def task() -> str:
            return leak()

    ids = await task.enqueue_many([()] * 30)
    assert (await app.drain(concurrency=2)).ok
    assert {await app.jobs.result(job_id) for job_id in ids} == {"nothing"}


async def test_priorities_are_obeyed_and_equals_keep_their_order(app: Holdfast) -> None:
    ran: list[str] = []

    @app.task
    async def work(name: str) -> None:
        ran.append(name)

    for priority in (9, 5, 0, 7):
        await work.options(priority=priority).enqueue_many([(f"{priority}{n}",) for n in range(3)])
    await app.drain(concurrency=1)
    assert ran == [f"{priority}{n}" for priority in (0, 5, 7, 9) for n in range(3)]


async def test_a_job_enqueued_by_a_handler_runs_in_the_same_drain(app: Holdfast) -> None:
    @app.task
    async def work(n: int) -> None:
        if n:
            await work.enqueue(n - 1)

    await work.enqueue(5)
    report = await app.drain()
    assert (report.completed, report.exit_status) == (6, 0)


async def test_a_drain_leaves_what_is_scheduled_for_later(app: Holdfast) -> None:
    @app.task
    async def work() -> None: ...

    later = await work.options(run_in="1h").enqueue()
    assert (await app.drain()).finished == 0
    assert (await app.jobs.show(later)).state == "scheduled"


async def test_results_are_seen_before_the_worker_stops(app: Holdfast) -> None:
    @app.task
    async def work(n: int) -> int:
        return n * n

    async with working(app):
        ids = await asyncio.gather(*(work.enqueue(n) for n in range(50)))

        async def all_there() -> bool:
            return len(await app.jobs.list(state="completed", limit=100)) == 50

        await eventually(all_there)
        assert [await app.jobs.result(job_id) for job_id in ids] == [n * n for n in range(50)]
