"""F21: a transaction that enqueues while its worker goes to sleep rings nobody; polling finds the job all the same.

And a ring that comes while the server looks, after its snapshot, is not taken for answered by that look.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from holdfast import Holdfast
from holdfast.clock import monotonic
from holdfast.jobs import Answer, HotPath
from holdfast.settings import Settings
from holdfast.worker.idleness import Idleness
from holdfast.worker.pump import Pump
from tests.interleavings.stage import Stage
from tests.waiting import eventually


async def seconds_until_run(url: str, *, within_seconds: float) -> float | None:
    """From the commit of a job that was enqueued before anybody was idle, to its end; None: not within the time."""
    app = Holdfast(settings=Settings(database_url=url))
    ran = asyncio.Event()

    @app.task
    async def ring() -> None:
        ran.set()

    async with app, Stage(url) as stage:
        application = await stage.session("application")
        await application.begin()
        await application.value("enqueue", "ring", "{}", "default")
        worker = app.worker(concurrency=1)
        running = asyncio.create_task(worker.run())
        await eventually(lambda: asks_whether_idle(stage.watch))
        await application.commit()
        committed_at = monotonic()
        try:
            async with asyncio.timeout(within_seconds):
                await ran.wait()
            return monotonic() - committed_at
        except TimeoutError:
            return None
        finally:
            worker.stop()
            worker.stop()
            await running


async def asks_whether_idle(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    return bool(await connection.fetchval("select holdfast.anyone_idle_v1(array['default'], 0)"))


async def test_a_job_enqueued_while_its_worker_went_idle_runs_by_polling(database_url: str) -> None:
    took = await seconds_until_run(database_url, within_seconds=10)

    assert took is not None
    assert took < 3.0


@pytest.fixture
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has said that it is idle looks again only when it is rung for."""
    usual = Idleness.nothing

    async def nothing_and_sleep(idleness: Idleness) -> None:
        await usual(idleness)
        if idleness._holding and idleness._next_look_at:
            idleness._next_look_at = monotonic() + 600.0

    monkeypatch.setattr(Idleness, "nothing", nothing_and_sleep)


@pytest.mark.usefixtures("no_polling")
async def test_a_worker_that_trusts_its_wake_up_is_caught(database_url: str) -> None:
    assert await seconds_until_run(database_url, within_seconds=2) is None


@pytest.mark.usefixtures("no_polling")
async def test_a_ring_while_the_server_looks_is_heard(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Holdfast(settings=Settings(database_url=database_url))
    enqueued, rung, ran = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @app.task
    async def called() -> None:
        ran.set()

    usual_work, usual_ring = HotPath.work, Pump.ring

    def ring(pump: Pump) -> None:
        usual_ring(pump)
        rung.set()

    async with app, Stage(database_url) as stage:

        async def work(hot: HotPath, *arguments: Any, **options: Any) -> Answer:
            answer = await usual_work(hot, *arguments, **options)
            if not enqueued.is_set() and await asks_whether_idle(stage.watch):
                enqueued.set()
                await called.enqueue()
                await rung.wait()  # the answer, older than the job, reaches the worker after the ring
            return answer

        monkeypatch.setattr(Pump, "ring", ring)
        monkeypatch.setattr(HotPath, "work", work)
        worker = app.worker(concurrency=1)
        running = asyncio.create_task(worker.run())
        try:
            async with asyncio.timeout(20):
                await ran.wait()
        finally:
            worker.stop()
            await running
