"""The service in a real worker: it declares and decides, and what is wrong with one schedule holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.errors import ScheduleUnknown
from tests.waiting import eventually


@asynccontextmanager
async def serving(app: Holdfast) -> AsyncIterator[None]:
    """A worker with all its services, for the length of the ``with``."""
    worker = app.worker(concurrency=4)
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await asyncio.wait_for(running, 20)


async def states(app: Holdfast, name: str) -> list[tuple[str, str | None]]:
    """Of every occurrence, oldest first; none before the schedule is declared."""
    try:
        found = await app.schedules.occurrences(name)
    except ScheduleUnknown:
        return []
    return [(one.state, one.because) for one in reversed(found)]


async def test_jobs_come_by_themselves_and_each_is_told_its_own_moment(app: Holdfast) -> None:
    seen: list[datetime] = []

    @app.schedule("* * * * * *", overlap="allow")
    async def tick(occurrence: datetime) -> None:
        seen.append(occurrence)

    async with serving(app):
        await eventually(lambda: len(seen) >= 3, within_seconds=20)

    assert len(set(seen)) == len(seen)
    assert all(at.microsecond == 0 for at in seen)
    found = await app.schedules.occurrences("tick")
    assert {one.at for one in found if one.state == "started"} >= set(seen)


async def test_queued_occurrences_run_one_after_the_other(app: Holdfast) -> None:
    running, most, ended = 0, 0, 0

    @app.schedule(every="1s", overlap="queue")
    async def slow() -> None:
        nonlocal running, most, ended
        running += 1
        most = max(most, running)
        await eventually(waiting.is_set, within_seconds=20)
        running -= 1
        ended += 1

    waiting = asyncio.Event()

    async def two_wait() -> bool:
        return ("waiting", None) in await states(app, "slow")

    async with serving(app):
        await eventually(two_wait, within_seconds=20)
        waiting.set()
        await eventually(lambda: ended >= 2, within_seconds=20)
    assert most == 1


async def test_a_source_that_does_not_answer_holds_up_its_own_schedule_alone(app: Holdfast) -> None:
    answer, ticks = asyncio.Event(), 0

    async def stuck() -> str:
        await answer.wait()
        return "v1"

    @app.schedule(every="1s", probe=stuck, overlap="allow")
    async def fetch() -> None: ...

    @app.schedule(every="1s", overlap="allow")
    async def tick() -> None:
        nonlocal ticks
        ticks += 1

    async def unchanged() -> bool:
        found = await states(app, "fetch")
        return found[:1] == [("started", None)] and ("skipped", "unchanged") in found

    async with serving(app):
        await eventually(lambda: ticks >= 2, within_seconds=20)
        assert await app.schedules.occurrences("fetch") == []
        answer.set()
        await eventually(unchanged, within_seconds=20)


async def test_a_probe_that_fails_keeps_no_job_from_running_and_is_told(app: Holdfast) -> None:
    def broken() -> str:
        raise OSError("no route to host")

    @app.schedule(every="1s", probe=broken, overlap="allow")
    async def fetch() -> None: ...

    async def done() -> bool:
        return bool(await app.jobs.list(state="completed"))

    async with serving(app):
        await eventually(done, within_seconds=20)
    first = (await app.schedules.occurrences("fetch"))[-1]
    assert first.detail == "its probe failed: OSError: no route to host"


@pytest.mark.parametrize(
    ("edited", "words"),
    [
        ('{"timezone": "Nowhere"}', "cannot be read here: there is no time zone 'Nowhere'"),
        ('{"misfire_limit": null}', None),
    ],
)
async def test_a_schedule_that_cannot_be_decided_about_holds_up_no_other(
    app: Holdfast, outsider: Any, caplog: Any, edited: str, words: str | None
) -> None:
    @app.task
    async def tick() -> None: ...

    app._declarations.add(tick, every="1s", name="broken", overlap="allow")
    app._declarations.add(tick, every="1s", name="well", overlap="allow")
    await app.declare()
    await outsider.execute("UPDATE holdfast.schedule SET edited = $1 WHERE name = 'broken'", edited)

    async def well() -> bool:
        return len(await app.schedules.occurrences("well")) >= 2

    async with serving(app):
        await eventually(well, within_seconds=20)
    assert await app.schedules.occurrences("broken") == []
    if words is not None:
        assert (await app.schedules.show("broken")).words == words
    assert any("schedule broken cannot be decided about" in record.getMessage() for record in caplog.records)


async def test_a_drain_runs_what_is_there_and_fires_nothing(app: Holdfast, outsider: Any) -> None:
    @app.schedule(every="1s", overlap="allow")
    async def tick() -> None: ...

    await app.declare()
    await outsider.execute(
        "UPDATE holdfast.schedule SET next_at = now() - interval '1 hour', due_at = now() - interval '1 hour'"
    )
    await tick.enqueue()

    report = await app.drain()

    assert report.completed == 1
    assert await app.schedules.occurrences("tick") == []
