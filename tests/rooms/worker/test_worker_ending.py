"""How a worker ends: what it gives back, what it waits for, and that nothing hangs it."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

from holdfast import Holdfast, Job, Retry
from holdfast.clock import monotonic
from tests.rooms.jobs.hand import Hand, assert_conserved
from tests.rooms.working import make_worker
from tests.waiting import eventually


async def test_a_stopped_worker_finishes_what_runs_and_gives_back_what_waits(app: Holdfast, outsider: Any) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    @app.task
    async def work() -> None:
        running.set()
        await go_on.wait()

    ids = await work.enqueue_many([()] * 5)
    worker = make_worker(app, concurrency=2)
    serving = asyncio.create_task(worker.run())
    await asyncio.wait_for(running.wait(), 10)
    worker.stop()
    go_on.set()
    report = await asyncio.wait_for(serving, 15)
    assert report.completed >= 1
    states = [(await app.jobs.show(job_id)).state for job_id in ids]
    assert states.count("completed") == report.completed
    assert set(states) <= {"completed", "ready"}
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.lease") == 0
    await assert_conserved(app.database)


async def test_a_handler_that_waits_too_long_is_interrupted_and_its_job_goes_back_at_once(
    app: Holdfast, outsider: Any
) -> None:
    running = asyncio.Event()

    @app.task(retry=Retry(max_attempts=1))
    async def work() -> None:
        running.set()
        await asyncio.Event().wait()

    job_id = await work.enqueue()
    worker = make_worker(app, shutdown_soft_seconds=0.1, shutdown_hard_seconds=5.0)
    serving = asyncio.create_task(worker.run())
    await asyncio.wait_for(running.wait(), 10)
    worker.stop()
    report = await asyncio.wait_for(serving, 15)
    assert (report.interrupted, report.exit_status) == (1, 8)
    info = await app.jobs.show(job_id)
    assert (info.state, info.attempt) == ("ready", 1)
    assert await app.jobs.history(job_id) == []
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.lease") == 0


async def test_the_end_waits_for_a_write_that_is_on_its_way(app: Holdfast, outsider: Any) -> None:
    running = asyncio.Event()

    @app.task
    async def work() -> None:
        running.set()
        await asyncio.Event().wait()

    async def a_write_waits() -> bool:
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'holdfast.lease_exit'::regclass"
        return bool(await outsider.fetchval(blocked))

    job_id = await work.enqueue()
    worker = make_worker(app, shutdown_soft_seconds=0.1, shutdown_hard_seconds=5.0)
    serving = asyncio.create_task(worker.run())
    await asyncio.wait_for(running.wait(), 10)
    slow = outsider.transaction()
    await slow.start()
    await outsider.execute("LOCK TABLE holdfast.lease_exit IN EXCLUSIVE MODE")
    worker.stop()
    await eventually(a_write_waits)
    await slow.rollback()
    report = await asyncio.wait_for(serving, 15)
    assert (report.interrupted, report.exit_status) == (1, 8)
    assert await app.jobs.history(job_id) == []
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.lease") == 0


async def test_a_thread_that_does_not_stop_is_left_behind_and_its_late_result_is_refused(
    app: Holdfast, outsider: Any
) -> None:
    running, go_on = threading.Event(), threading.Event()

    @app.task
    def work(job: Job) -> str:
        running.set()
        go_on.wait(30)
        return "too late"

    job_id = await work.enqueue()
    worker = make_worker(app, shutdown_soft_seconds=0.1, shutdown_hard_seconds=0.2)
    serving = asyncio.create_task(worker.run())
    await eventually(running.is_set)
    begun_at = monotonic()
    worker.stop()
    try:
        await asyncio.wait_for(serving, 20)
        assert monotonic() - begun_at < 15
        assert (await app.jobs.show(job_id)).state == "ready"
    finally:
        go_on.set()
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.outcome") == 0
    await assert_conserved(app.database)


async def test_a_handler_that_swallows_its_cancellation_does_not_hang_the_worker(app: Holdfast) -> None:
    running, stubborn = asyncio.Event(), True

    @app.task
    async def work() -> None:
        running.set()
        while stubborn:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    job_id = await work.enqueue()
    worker = make_worker(app, shutdown_soft_seconds=0.1, shutdown_hard_seconds=0.2)
    serving = asyncio.create_task(worker.run())
    await asyncio.wait_for(running.wait(), 10)
    worker.stop()
    await asyncio.wait_for(serving, 20)
    assert (await app.jobs.show(job_id)).state == "ready"
    stubborn = False
    for task in asyncio.all_tasks():
        if task.get_name() == "holdfast runner":
            task.cancel()


async def test_connections_cut_under_load_lose_nothing(app: Holdfast, outsider: Any) -> None:
    """Every session of the worker is terminated again and again while 2000 jobs run; each ends exactly once."""

    @app.task
    async def work(n: int) -> int:
        await asyncio.sleep(0)
        return n

    ids = await work.enqueue_many([(n,) for n in range(2000)])
    worker = make_worker(app, drain=True, concurrency=20, prefetch_seconds=0.01, max_prefetch=20)
    serving = asyncio.create_task(worker.run())

    def went_on(seen: int) -> bool:
        return serving.done() or worker.report.completed > seen

    for _ in range(4):
        seen = worker.report.completed
        await eventually(partial(went_on, seen))
        await outsider.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ 'holdfast.work_v1'"
        )
    report = await asyncio.wait_for(serving, 50)
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.outcome WHERE state = 1") == 2000
    assert [await app.jobs.result(ids[n]) for n in (0, 999, 1999)] == [0, 999, 1999]
    assert not report.fenced
    await assert_conserved(app.database)


async def test_a_worker_beside_a_dead_one_takes_its_jobs_over(app: Holdfast) -> None:
    @app.task
    async def work() -> str:
        return "done"

    ids = await work.enqueue_many([()] * 10)
    hand = await Hand.registered(app.database)
    assert len(await hand.claim()) == 10
    assert await hand.die() == 10
    report = await app.drain()
    assert report.completed == 10
    assert {await app.jobs.result(job_id) for job_id in ids} == {"done"}
    assert [event["what"] for event in await app.jobs.history(ids[0])] == ["lost"]


async def test_a_job_that_keeps_losing_its_workers_is_given_up(app: Holdfast) -> None:
    @app.task
    async def work() -> None: ...

    job_id = await work.enqueue()
    for _ in range(4):
        hand = await Hand.registered(app.database)
        await hand.claim_one()
        await hand.die(max_losses=3)
    info = await app.jobs.show(job_id)
    assert info.error is not None
    assert (info.state, info.error["type"]) == ("failed", "LostTooOften")
    assert [event["counted"] for event in await app.jobs.history(job_id)] == [False, True, True, True]
    await assert_conserved(app.database)
