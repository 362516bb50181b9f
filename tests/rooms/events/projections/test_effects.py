"""What events set off: jobs that commit with the checkpoint, messages to the outside; and none of it a second time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from holdfast import Holdfast, Retry
from holdfast.events.projections import Delivery, judge
from tests.rooms.events.projections.serving import Log, drain, note, serving
from tests.waiting import eventually


@dataclass
class Registered:
    user: int


async def jobs_of(log: Log) -> list[int]:
    rows = await log.connection.fetch("select (args ->> 'user')::int as u from holdfast.every_job order by id")
    return [row["u"] for row in rows]


async def test_a_trigger_starts_one_job_an_event_that_it_wants_one_for(app: Holdfast, log: Log) -> None:
    app.event(Registered)

    @app.task
    async def welcome(user: int) -> None: ...

    @app.trigger(welcome)
    def welcoming(event: Registered) -> tuple[int] | None:
        return None if event.user == 2 else (event.user,)

    await log.append("user-0", {"user": 0}, type="Registered")
    await drain(app)
    assert await jobs_of(log) == [], "it begins with what comes after it was declared"
    await log.append("user-1", {"user": 1}, {"user": 2}, {"user": 3}, type="Registered")
    await log.append("user-1", {"user": 4}, type="Other")
    await drain(app)
    await drain(app)
    assert await jobs_of(log) == [1, 3]


async def test_jobs_that_a_handler_enqueues_are_not_enqueued_again_by_a_rebuild_or_a_reset(
    app: Holdfast, log: Log
) -> None:
    app.event(Registered)
    await log.connection.execute("create table registered (id int primary key)")

    @app.task
    async def welcome(user: int) -> None: ...

    @app.projection("registered", tables="registered")
    async def registered(tx: Any, event: Registered) -> None:
        await tx.execute("insert into registered values ($1)", event.user)
        await welcome.using(tx).enqueue(event.user)

    await log.append("user-1", {"user": 1}, {"user": 2}, type="Registered")
    async with serving(app):
        await eventually(lambda: _jobs(log, [1, 2]))
        await app.projections.reset("registered")
        await app.projections.models.rebuild("registered")
        await app.projections.models.switch("registered")
        await log.append("user-2", {"user": 3}, type="Registered")
        await eventually(lambda: _jobs(log, [1, 2, 3]))

        async def both() -> bool:
            kept = await log.connection.fetchval("select count(*) from holdfast_registered_1.registered")
            return (kept, await log.connection.fetchval("select count(*) from registered")) == (3, 3)

        await eventually(both)
    assert await jobs_of(log) == [1, 2, 3]


async def _jobs(log: Log, users: list[int]) -> bool:
    return await jobs_of(log) == users


async def test_an_outbox_publishes_in_order_and_parks_what_the_other_side_refuses(app: Holdfast, log: Log) -> None:
    published: list[tuple[str, int]] = []
    refused = {"b-1"}

    @app.outbox("broker", retry=Retry(max_attempts=1), from_start=True)
    async def publish(event: Any, delivery: Delivery) -> None:
        if event.stream in refused:
            raise ConnectionRefusedError("not today")
        published.append((event.stream, event.version))

    for n in range(3):
        for stream in ("a-1", "b-1", "c-1"):
            await log.append(stream, {"n": n})
    await drain(app)
    assert sorted(published) == [("a-1", 1), ("a-1", 2), ("a-1", 3), ("c-1", 1), ("c-1", 2), ("c-1", 3)]
    refused.clear()
    await app.projections.unpark("broker")
    await drain(app)
    assert [each for each in published if each[0] == "b-1"] == [("b-1", 1), ("b-1", 2), ("b-1", 3)]
    assert len(published) == 9, "nothing was published twice"


async def test_health_is_no_when_nothing_runs_and_yes_when_all_is_served(app: Holdfast, log: Log) -> None:
    assert judge(await app.projections.list()).error == "no projection is known: no worker has ever started"
    app.projection("history")(note)
    app.projection("old")(note)
    await drain(app)
    dead = judge(await app.projections.list())
    assert not dead.ok
    assert "history is unserved: nobody serves it" in (dead.error or "")
    await app.projections.retire("old")
    async with serving(app, *app.declared_projections(["history"])):

        async def healthy() -> bool:
            return judge(await app.projections.list()).ok

        await eventually(healthy)
        verdict = judge(await app.projections.list(), 5)
        assert (verdict.status, verdict.db, verdict.lag, verdict.threshold, verdict.error) == (
            "healthy",
            "up",
            0,
            5,
            None,
        )
    await log.fill(streams=4, events=3)
    found = await app.projections.list("history")
    served = [replace(each, state="running", problems=[]) for each in found]
    assert judge(served, 11).error == "history is 12 events behind"
    assert judge(served, 12).ok


async def test_a_worker_serves_the_projections_of_its_application(app: Holdfast, log: Log) -> None:
    app.projection("history")(note)
    worker = app.worker()
    running = asyncio.create_task(worker.run())
    try:

        async def served() -> bool:
            found = await app.projections.list()
            return bool(found) and found[0].partitions_held == 64

        await eventually(served)
        await log.fill(streams=3, events=2)

        async def handled() -> bool:
            return len(await log.seen()) == 6

        await eventually(handled)
    finally:
        worker.stop()
        await asyncio.wait_for(running, 20)
    assert await log.connection.fetchval("select count(*) from holdfast.projector") == 0
