"""Services of higher floors: they live with the worker, are given time at its end, and cannot hold it up."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from holdfast import Holdfast
from holdfast.app import limits_of, worker_options
from holdfast.worker import Service, Surroundings, ThreadLifeline, Worker
from tests.waiting import eventually


class Recorder:
    """A service that writes down what happens to it."""

    name = "recorder"

    def __init__(self, *, deaf: bool = False, raises: bool = False) -> None:
        self.surroundings: Surroundings | None = None
        self.beats = 0
        self.stopped = False
        self._deaf = deaf
        self._raises = raises
        self.beating: asyncio.Task[None] | None = None

    async def start(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.beating = surroundings.every(0.001, self._beat, name="beat")

    async def stop(self) -> None:
        assert self.surroundings is not None
        assert self.surroundings.stopping.is_set()
        if self._deaf:
            await asyncio.Event().wait()
        if self._raises:
            message = "cannot stop"
            raise RuntimeError(message)
        self.stopped = True

    async def _beat(self) -> None:
        self.beats += 1


def worker_with(app: Holdfast, *services: Service, **changes: float) -> Worker:
    options = replace(worker_options(app.settings, concurrency=2), **changes)
    lifeline = ThreadLifeline(app.database.url, limits=limits_of(app.settings), max_losses=options.max_losses)
    return Worker(app.database, app.tasks, lifeline, options, services)


async def test_a_service_lives_as_long_as_its_worker(app: Holdfast) -> None:
    service = Recorder()
    worker = worker_with(app, service)
    serving = asyncio.create_task(worker.run())

    await eventually(lambda: service.beats > 3)
    surroundings = service.surroundings
    assert surroundings is not None
    assert surroundings.worker == worker.id
    assert surroundings.may_work()
    assert not surroundings.draining
    worker.stop()
    await asyncio.wait_for(serving, 10)

    assert service.stopped
    assert service.beating is not None
    assert service.beating.done()


async def test_a_service_that_does_not_stop_is_cut_short(app: Holdfast, caplog: pytest.LogCaptureFixture) -> None:
    service = Recorder(deaf=True)
    worker = worker_with(app, service, shutdown_soft_seconds=0.1, shutdown_hard_seconds=0.3)
    serving = asyncio.create_task(worker.run())
    await eventually(lambda: service.beats)

    worker.stop()
    await asyncio.wait_for(serving, 10)

    assert "recorder did not stop in time" in caplog.text
    assert service.beating is not None
    assert service.beating.done()


async def test_a_service_that_fails_to_stop_harms_nobody(app: Holdfast, caplog: pytest.LogCaptureFixture) -> None:
    broken, well = Recorder(raises=True), Recorder()
    worker = worker_with(app, broken, well)
    serving = asyncio.create_task(worker.run())
    await eventually(lambda: well.beats)

    worker.stop()
    await asyncio.wait_for(serving, 10)

    assert "recorder failed to stop" in caplog.text
    assert well.stopped


async def test_a_draining_worker_says_so_to_its_services(app: Holdfast) -> None:
    service = Recorder()

    await worker_with(app, service, drain=True).run()

    assert service.surroundings is not None
    assert service.surroundings.draining
    assert service.stopped
