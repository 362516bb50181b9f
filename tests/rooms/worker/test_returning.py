"""F19: jobs that wait behind a handler go to an idle worker, also when that handler holds the event loop up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.clock import monotonic
from holdfast.jobs import leave_apart
from holdfast.worker import returning
from holdfast.worker.returning import Returning
from tests.rooms.jobs.hand import assert_conserved
from tests.rooms.working import make_worker, working
from tests.waiting import eventually

WARMING_UP, BEHIND = 20, 30
_LONGEST_SECONDS = 20.0


@dataclass
class Held:
    """What happens around one handler that holds its loop up until another worker has run what waits behind it."""

    began: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    waiting: int = 0
    ran_elsewhere: list[int] = field(default_factory=list)


@contextmanager
def worker_elsewhere(url: str, held: Held, *, within_seconds: float) -> Iterator[None]:
    """A second worker, on a loop and a thread of its own, from the moment at which the first one is held up."""

    async def serve() -> None:
        async with Holdfast(url) as app:

            @app.task
            async def quick(n: int) -> None:
                held.ran_elsewhere.append(n)

            async with working(app):
                give_up_at = monotonic() + within_seconds
                while len(held.ran_elsewhere) < held.waiting and monotonic() < give_up_at:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    def run() -> None:
        try:
            if held.began.wait(_LONGEST_SECONDS):
                asyncio.run(serve())
        finally:
            held.over.set()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join(_LONGEST_SECONDS)


async def hold_the_loop_up(app: Holdfast, url: str, *, within_seconds: float = _LONGEST_SECONDS) -> Held:
    """One runner, a handler in pure Python that never waits, and thirty jobs claimed ahead behind it."""
    held = Held()

    @app.task
    async def quick(n: int) -> None: ...

    @app.task
    async def hog() -> None:
        held.waiting = worker._runners.waiting
        held.began.set()
        while not held.over.is_set():
            pass

    ids = await quick.enqueue_many([(n,) for n in range(WARMING_UP)])
    ids += [await hog.enqueue()]
    ids += await quick.enqueue_many([(n,) for n in range(BEHIND)])
    worker = make_worker(app, concurrency=1, prefetch_seconds=30.0)
    with worker_elsewhere(url, held, within_seconds=within_seconds):
        serving = asyncio.create_task(worker.run())
        await eventually(held.over.is_set, within_seconds=2 * _LONGEST_SECONDS)

    async def all_ended() -> bool:
        return all([(await app.jobs.show(job_id)).state == "completed" for job_id in ids])

    await eventually(all_ended, within_seconds=20)
    worker.stop()
    report = await asyncio.wait_for(serving, 20)
    assert report.refused == 0
    assert report.completed + len(held.ran_elsewhere) == len(ids)
    assert held.waiting > 0, "nothing was claimed ahead, so nothing was tested"
    return held


async def assert_nothing_lost(app: Holdfast, outsider: Any) -> None:
    await assert_conserved(app.database)
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.lease") == 0
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.loss") == 0


async def test_jobs_behind_a_handler_that_holds_the_loop_up_run_elsewhere(
    app: Holdfast, database_url: str, outsider: Any
) -> None:
    held = await hold_the_loop_up(app, database_url)

    assert len(held.ran_elsewhere) >= held.waiting
    await assert_nothing_lost(app, outsider)


async def test_a_return_whose_answer_was_lost_is_repeated_and_doubles_nothing(
    app: Holdfast, database_url: str, outsider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose_the_answer(*args: Any, **options: Any) -> list[int]:
        await leave_apart(*args, **options)
        raise ConnectionResetError

    monkeypatch.setattr(returning, "leave_apart", lose_the_answer)

    held = await hold_the_loop_up(app, database_url)

    assert len(held.ran_elsewhere) >= held.waiting
    await assert_nothing_lost(app, outsider)


async def test_a_return_that_never_reached_the_server_is_made_by_the_pump(
    app: Holdfast, database_url: str, outsider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never_arrive(*_args: Any, **_options: Any) -> list[int]:
        raise ConnectionResetError

    monkeypatch.setattr(returning, "leave_apart", never_arrive)

    await hold_the_loop_up(app, database_url, within_seconds=1.0)

    await assert_nothing_lost(app, outsider)


async def test_a_worker_that_returns_only_from_its_loop_is_caught(
    app: Holdfast, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Returning, "start", lambda _: None)

    held = await hold_the_loop_up(app, database_url, within_seconds=2.0)

    assert held.ran_elsewhere == []


async def test_jobs_that_nobody_else_could_run_stay_where_they_are(app: Holdfast, outsider: Any) -> None:
    go_on = asyncio.Event()

    @app.task
    async def first() -> None:
        await go_on.wait()

    @app.task
    async def quick(n: int) -> None: ...

    await quick.enqueue_many([(n,) for n in range(WARMING_UP)])
    await first.enqueue()
    await quick.enqueue_many([(n,) for n in range(BEHIND)])
    async with working(app, concurrency=1, prefetch_seconds=30.0) as worker:
        await eventually(lambda: worker._runners.oldest_wait_seconds() > 0.5)
        assert await outsider.fetchval("SELECT count(*) FROM holdfast.lease_exit") == 0
        go_on.set()
        await eventually(lambda: worker.report.completed == WARMING_UP + 1 + BEHIND)
