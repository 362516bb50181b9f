"""Cancelling jobs wherever they stand, and pausing queues."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from holdfast import Holdfast, Job, Retry, Snooze
from holdfast.errors import JobFailed
from tests.rooms.jobs.hand import Hand, assert_conserved
from tests.rooms.working import working
from tests.waiting import eventually


async def test_jobs_that_wait_are_cancelled_at_once_with_the_reason(app: Holdfast) -> None:
    @app.task
    async def work() -> None: ...

    ready, later = await work.enqueue(), await work.options(run_in="1h").enqueue()
    assert await app.jobs.cancel(ready, later, 17, reason="not needed") == {
        ready: "cancelled",
        later: "cancelled",
        17: "unknown",
    }
    assert (await app.jobs.cancel(ready))[ready] == "finished"
    for job_id in (ready, later):
        info = await app.jobs.show(job_id)
        assert (info.state, info.error) == ("cancelled", {"type": "Cancelled", "message": "not needed"})
    with pytest.raises(JobFailed, match="cancelled: Cancelled not needed"):
        await app.jobs.result(ready)
    assert (await app.drain()).finished == 0
    await assert_conserved(app.database)


async def test_an_async_handler_is_cancelled_where_it_waits(app: Holdfast, outsider: Any) -> None:
    cleaned_up = []

    @app.task
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.append(True)

    job_id = await work.enqueue()
    async with working(app) as worker:
        await until_running(app, job_id)
        assert await app.jobs.cancel(job_id, reason="enough") == {job_id: "requested"}
        info = await app.jobs.wait(job_id, timeout_seconds=10)
        assert cleaned_up == [True]
        assert (info.state, info.error) == ("cancelled", {"type": "Cancelled", "message": "enough"})
        assert worker.report.cancelled == 1
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.cancel_request") == 0
    await assert_conserved(app.database)


async def test_a_thread_sees_that_it_should_stop(app: Holdfast) -> None:
    @app.task(retry=Retry(max_attempts=5))
    def work(job: Job) -> None:
        while not job.should_stop:
            time.sleep(0.005)
        raise InterruptedError(job.cancel_reason)

    job_id = await work.enqueue()
    async with working(app):
        await until_running(app, job_id)
        await app.jobs.cancel(job_id, reason="enough")
        info = await app.jobs.wait(job_id, timeout_seconds=10)
    assert info.state == "cancelled"
    assert info.error is not None
    assert (info.error["type"], info.error["message"]) == ("InterruptedError", "enough")


async def test_a_handler_that_finishes_all_the_same_has_completed(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done before you asked"
        return "never"

    job_id = await work.enqueue()
    async with working(app):
        await until_running(app, job_id)
        await app.jobs.cancel(job_id)
        assert await app.jobs.result(job_id, timeout_seconds=10) == "done before you asked"
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.cancel_request") == 0


@pytest.mark.parametrize("way", ["retry", "snooze"])
async def test_a_cancel_that_races_with_a_retry_ends_in_cancelled(app: Holdfast, way: str) -> None:
    go_on = threading.Event()

    @app.task(retry=Retry(max_attempts=5, delay_seconds=3600))
    def work(job: Job) -> Snooze:
        go_on.wait(10)
        if way == "snooze":
            return Snooze(3600)
        raise ValueError

    job_id = await work.enqueue()
    async with working(app):
        await until_running(app, job_id)
        await app.jobs.cancel(job_id)
        go_on.set()
        assert (await app.jobs.wait(job_id, timeout_seconds=10)).state == "cancelled"
    await assert_conserved(app.database)


@pytest.mark.parametrize("order", ["cancel first", "exit first"])
async def test_a_cancel_and_an_exit_in_open_transactions_end_in_cancelled(
    app: Holdfast, outsider: Any, order: str
) -> None:
    """Neither sees the other's rows, whoever commits first: then the next claim drops the job."""

    @app.task
    async def work() -> None: ...

    job_id = await work.enqueue()
    hand = await Hand.registered(app.database)
    claimed = await hand.claim_one()
    cancelling = outsider.transaction()
    await cancelling.start()
    await outsider.fetch("SELECT * FROM holdfast.cancel_v1($1, NULL)", [job_id])
    if order == "exit first":
        assert await hand.retry_later(claimed, delay_seconds=0.0) == []
        await cancelling.commit()
    else:
        await cancelling.commit()
        assert await hand.retry_later(claimed, delay_seconds=0.0) == []
    assert await hand.claim() == []
    assert (await app.jobs.show(job_id)).state == "cancelled"
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.cancel_request") == 0
    await assert_conserved(app.database)


async def test_a_request_that_came_too_late_does_not_cancel_a_later_retry(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work() -> None: ...

    job_id = await work.enqueue()
    hand = await Hand.registered(app.database)
    claimed = await hand.claim_one()
    async with outsider.transaction():
        await outsider.fetch("SELECT * FROM holdfast.cancel_v1($1, NULL)", [job_id])
        assert await hand.fail(claimed) == []
    assert (await app.jobs.show(job_id)).state == "failed"
    await app.jobs.retry(job_id)
    assert [job.id for job in await hand.claim()] == [job_id]


async def test_a_cancelled_job_among_others_is_dropped_by_the_claim_alone(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work() -> None: ...

    ids = await work.enqueue_many([()] * 10)
    # As if the cancel had come while its row was locked: only the request stands.
    await outsider.execute("INSERT INTO holdfast.cancel_request VALUES ($1, now(), 'late')", ids[3])
    hand = await Hand.registered(app.database)
    assert [job.id for job in await hand.claim()] == ids[:3] + ids[4:]
    assert (await app.jobs.show(ids[3])).state == "cancelled"
    await assert_conserved(app.database)


async def test_a_paused_queue_is_not_claimed_from_until_it_is_resumed(app: Holdfast) -> None:
    @app.task(queue="mail")
    async def work() -> None: ...

    @app.task
    async def other() -> None: ...

    assert await app.queues.pause("mail", reason="the provider is down")
    assert not await app.queues.pause("mail")
    job_id, free = await work.enqueue(), await other.enqueue()
    async with working(app, ("mail", "default")):
        await app.jobs.wait(free, timeout_seconds=10)
        assert (await app.jobs.show(job_id)).state == "ready"
        (mail,) = [queue for queue in await app.queues.list() if queue.name == "mail"]
        assert (mail.ready, mail.pause_reason) == (1, "the provider is down")
        assert await app.queues.resume("mail")
        assert (await app.jobs.wait(job_id, timeout_seconds=10)).state == "completed"
    assert not await app.queues.resume("mail")


async def test_a_drain_does_not_wait_for_a_paused_queue(app: Holdfast) -> None:
    @app.task
    async def work() -> None: ...

    await work.enqueue()
    await app.queues.pause("default")
    assert (await app.drain()).finished == 0


async def until_running(app: Holdfast, job_id: int) -> None:
    async def running() -> bool:
        return (await app.jobs.show(job_id)).worker is not None

    await eventually(running)
