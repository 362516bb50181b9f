"""A worker starts nothing while it cannot be sure to be live, and can be stopped before it has a number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import monotonic

import pytest

from holdfast import Holdfast
from holdfast.leases import WorkerFacts
from holdfast.worker import Lifeline, ThreadLifeline, Worker
from tests.waiting import eventually


class Gate:
    """A real lifeline whose ``may_work`` a test can close."""

    def __init__(self, url: str) -> None:
        self.open = True
        self._real = ThreadLifeline(url)
        self.set_callbacks = self._real.set_callbacks
        self.start = self._real.start
        self.close = self._real.close

    def may_work(self) -> bool:
        return self.open and self._real.may_work()


class Unanswered:
    """A lifeline whose supervisor never gets through to the database."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def set_callbacks(self, **_callbacks: Callable[..., None]) -> None: ...

    def may_work(self) -> bool:
        return False

    async def start(self, facts: WorkerFacts) -> int:
        self.asked.set()
        never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        return await never

    async def close(self, deadline_seconds: float) -> None: ...


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[Holdfast]:
    async with Holdfast(database_url) as application:
        yield application


def worker_on(app: Holdfast, lifeline: Lifeline, *, drain: bool = False) -> Worker:
    return app.worker(concurrency=2, drain=drain, lifeline=lifeline)


async def test_nothing_is_claimed_or_started_while_the_worker_may_not_work(app: Holdfast, database_url: str) -> None:
    ran: list[int] = []
    entered, leave = asyncio.Event(), asyncio.Event()

    @app.task
    async def first() -> None:
        entered.set()
        await leave.wait()

    @app.task
    async def note(n: int) -> None:
        ran.append(n)

    gate = Gate(database_url)
    worker = worker_on(app, gate)
    serving = asyncio.create_task(worker.run())
    await first.enqueue()
    await first.enqueue()
    await entered.wait()
    await eventually(lambda: len(worker._runners.running) == 2)
    # Both runners are busy: these two are claimed ahead, or not at all.
    await note.enqueue_many([(1,), (2,)])

    gate.open = False
    leave.set()
    await eventually(lambda: worker.report.completed == 2)
    late = await note.enqueue(3)
    await eventually(lambda: worker._pump is not None and not worker._pump.unwritten)
    assert (await app.jobs.show(late)).state == "ready"
    assert ran == []

    gate.open = True
    await eventually(lambda: sorted(ran) == [1, 2, 3])
    worker.stop()
    await serving


async def test_a_worker_is_stopped_before_it_has_a_number(app: Holdfast) -> None:
    lifeline = Unanswered()
    worker = worker_on(app, lifeline)
    serving = asyncio.create_task(worker.run())
    await lifeline.asked.wait()
    began = monotonic()
    worker.stop()

    report = await asyncio.wait_for(serving, 10)

    assert monotonic() - began < 3
    assert report.exit_status == 0
    assert worker.id == 0
