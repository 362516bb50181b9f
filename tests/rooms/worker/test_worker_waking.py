"""How soon a job starts: rung for, polled for, or exactly when it is due."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from holdfast import Holdfast, Job
from holdfast.clock import monotonic
from holdfast.db import Listener
from tests.rooms.jobs.hand import assert_conserved
from tests.rooms.working import working
from tests.waiting import eventually

IDLE = """
    SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1212567 AND granted AND mode = 'ShareLock'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


async def until_idle(outsider: Any, workers: int = 1) -> None:
    async def idle() -> bool:
        return bool(await outsider.fetchval(IDLE) == workers)

    await eventually(idle)


def stamping(app: Holdfast) -> tuple[Any, dict[int, float]]:
    started: dict[int, float] = {}

    @app.task
    async def work(job: Job) -> None:
        started[job.id] = monotonic()

    return work, started


async def test_an_idle_worker_is_rung_for_and_does_not_wait_for_its_poll(app: Holdfast, outsider: Any) -> None:
    work, started = stamping(app)
    async with working(app, poll_max_seconds=30.0):
        await until_idle(outsider)
        for _ in range(3):
            begun_at = monotonic()
            job_id = await work.enqueue()
            await eventually(partial(started.__contains__, job_id))
            assert started[job_id] - begun_at < 5  # far below any poll
            await until_idle(outsider)


async def test_an_enqueue_in_sql_rings_with_the_commit(app: Holdfast, outsider: Any) -> None:
    work, started = stamping(app)
    async with working(app, poll_max_seconds=30.0):
        await until_idle(outsider)
        async with outsider.transaction():
            job_id = await work.using(outsider).enqueue()
            assert job_id not in started
        await eventually(lambda: job_id in started, within_seconds=5)


async def test_a_job_runs_although_every_notification_is_lost(
    app: Holdfast, outsider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf(*_args: Any) -> None: ...

    monkeypatch.setattr(Listener, "listen", deaf)
    work, started = stamping(app)
    async with working(app, poll_max_seconds=0.3):
        await until_idle(outsider)
        job_id = await work.enqueue()
        await eventually(lambda: job_id in started, within_seconds=5)
    await assert_conserved(app.database)


async def test_a_scheduled_job_starts_when_it_is_due_and_not_before(app: Holdfast, outsider: Any) -> None:
    work, started = stamping(app)
    async with working(app, poll_max_seconds=30.0):
        await until_idle(outsider)
        begun_at = monotonic()
        job_id = await work.options(run_in=0.5).enqueue()
        await eventually(lambda: job_id in started)
        assert 0.49 <= started[job_id] - begun_at < 5


async def test_a_job_due_long_after_it_was_stored_starts_when_the_clock_says_so(
    app: Holdfast, outsider: Any, database_url: str
) -> None:
    work, started = stamping(app)
    job_id = await work.options(run_in="3d").enqueue()
    name = await outsider.fetchval("SELECT current_database()")
    await outsider.execute(f"ALTER DATABASE {name} SET holdfast.clock_offset = '3 days 1 second'")
    async with Holdfast(database_url) as later:
        later.tasks.update(app.tasks)
        async with working(later):
            await eventually(lambda: job_id in started)
    await assert_conserved(app.database)


async def test_one_ring_wakes_one_of_two_workers(app: Holdfast, outsider: Any) -> None:
    work, started = stamping(app)
    async with working(app, poll_max_seconds=30.0), working(app, poll_max_seconds=30.0):
        await until_idle(outsider, 2)
        await asyncio.gather(*(work.enqueue() for _ in range(20)))
        await eventually(lambda: len(started) == 20)
        await until_idle(outsider, 2)
    await assert_conserved(app.database)


async def test_a_worker_that_can_take_no_more_is_not_rung_for(app: Holdfast, outsider: Any) -> None:
    go_on = asyncio.Event()

    @app.task
    async def long() -> None:
        await go_on.wait()

    work, started = stamping(app)
    async with (
        working(app, poll_max_seconds=30.0, concurrency=1),
        working(app, poll_max_seconds=30.0, concurrency=1),
    ):
        await until_idle(outsider, 2)
        await long.enqueue()
        await until_idle(outsider, 1)
        for _ in range(5):  # each would wait half a minute for a poll if the busy one were rung for
            job_id = await work.enqueue()
            await eventually(partial(started.__contains__, job_id), within_seconds=10)
        go_on.set()
    await assert_conserved(app.database)


async def test_a_worker_that_is_told_to_stop_is_not_rung_for(app: Holdfast, outsider: Any) -> None:
    go_on = asyncio.Event()

    @app.task
    async def long() -> None:
        await go_on.wait()

    async with working(app) as worker:
        await until_idle(outsider)
        await long.enqueue()
        worker.stop()
        await until_idle(outsider, 0)
        go_on.set()


async def test_a_resumed_queue_rings(app: Holdfast, outsider: Any) -> None:
    work, started = stamping(app)
    await app.queues.pause("default")
    job_id = await work.enqueue()
    async with working(app, poll_max_seconds=30.0):
        await until_idle(outsider)
        await app.queues.resume("default")
        await eventually(lambda: job_id in started, within_seconds=5)


async def test_a_retried_job_rings(app: Holdfast, outsider: Any) -> None:
    work, started = stamping(app)
    job_id = await work.enqueue()
    await app.jobs.cancel(job_id)
    async with working(app, poll_max_seconds=30.0):
        await until_idle(outsider)
        await app.jobs.retry(job_id)
        await eventually(lambda: job_id in started, within_seconds=5)


async def test_an_idle_worker_that_lost_its_session_is_rung_for_again(app: Holdfast, outsider: Any) -> None:
    work, started = stamping(app)
    async with working(app, poll_max_seconds=2.0):
        await until_idle(outsider)
        await outsider.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1212567"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        job_id = await work.enqueue()
        await eventually(lambda: job_id in started)
        await until_idle(outsider)
        second = await work.enqueue()
        await eventually(lambda: second in started)
