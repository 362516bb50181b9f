"""A worker that asks for many takes them straight from the line of their limit: in order, counted, only its own."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Holdfast, Job, Limit
from holdfast.db import Statement
from holdfast.jobs import Claimed, declare_tasks
from tests.rooms.jobs.hand import Hand, admit, assert_conserved, assert_gates_kept

_SLOTS = Statement("slots", "SELECT array_agg(job_id ORDER BY job_id) FROM holdfast.every_slot")
_MANY = 60


async def in_line(app: Holdfast, jobs: int, capacity: int, *, transactional: bool = False) -> tuple[Hand, list[int]]:
    """A worker, and jobs before a limit that was full until now: a line has formed, and its slots have come back."""

    async def handler(job: Job) -> None: ...

    call = app.task(limits=[Limit("api", 1)], transactional=transactional)(handler)
    await declare_tasks(app.database, app.tasks.values())
    hand = await Hand.registered(app.database)
    first, *line = await call.enqueue_many([()] * (jobs + 1))
    await admit(app)
    (running,) = await hand.claim()
    assert running.id == first
    await app.limits.set("api", capacity)
    await hand.complete(running)
    return hand, list[int](line)


def ids(claimed: list[Claimed]) -> list[int]:
    return [job.id for job in claimed]


async def test_the_line_is_taken_in_order_and_no_further_than_the_limit(app: Holdfast) -> None:
    hand, line = await in_line(app, 100, 70)
    assert ids(await hand.claim(_MANY)) == line[:60]
    assert ids(await hand.claim(_MANY)) == line[60:70]
    assert await app.database.fetchval(_SLOTS) == line[:70]
    assert await hand.claim(_MANY) == []
    await assert_gates_kept(app.database)
    await assert_conserved(app.database)


async def test_who_ends_makes_room_for_the_next(app: Holdfast) -> None:
    hand, line = await in_line(app, 100, 50)
    claimed = await hand.claim(_MANY)
    await hand.complete(*claimed)
    assert ids(await hand.claim(_MANY)) == line[50:100]
    assert await app.database.fetchval(_SLOTS) == line[50:100]
    await assert_gates_kept(app.database)


async def test_who_asks_for_few_waits_for_a_look(app: Holdfast) -> None:
    hand, line = await in_line(app, 30, 30)
    assert await hand.claim(5) == []
    await admit(app, sweep=True)
    assert ids(await hand.claim(5)) == line[:5]


async def test_what_is_ready_comes_first(app: Holdfast) -> None:
    hand, line = await in_line(app, 100, 100)

    @app.task
    async def plain() -> None: ...

    ready = await plain.enqueue_many([()] * 40)
    assert ids(await hand.claim(70)) == line[:30] + ready
    await assert_gates_kept(app.database)


async def test_a_line_that_a_worker_empties_is_left_to_it_for_a_moment(app: Holdfast, outsider: Any) -> None:
    hand, line = await in_line(app, 200, 200)
    assert ids(await hand.claim(_MANY)) == line[:60]
    await outsider.execute("UPDATE holdfast.gate SET opens_at = opens_at + interval '1 hour'")
    await admit(app, sweep=True)
    assert (await app.jobs.show(line[60])).state == "blocked"
    await outsider.execute("UPDATE holdfast.gate SET opens_at = opens_at - interval '2 hours'")
    await admit(app)
    assert (await app.jobs.show(line[60])).state == "ready"
    await assert_gates_kept(app.database)


async def test_jobs_of_a_queue_of_others_are_not_passed_by(app: Holdfast) -> None:
    hand, line = await in_line(app, 30, 60)

    @app.task(limits=[Limit("api", 1)], queue="elsewhere")
    async def other() -> None: ...

    @app.task(limits=[Limit("api", 1)])
    async def late() -> None: ...

    await Hand.registered(app.database, "elsewhere")
    await declare_tasks(app.database, [other, late])
    theirs = await other.enqueue()
    ours = await late.enqueue_many([()] * 5)
    assert ids(await hand.claim(_MANY)) == line
    await admit(app, sweep=True)
    assert (await app.jobs.show(theirs)).state == "ready"
    assert ids(await hand.claim(_MANY)) == ours


async def test_a_paused_queue_gets_nothing_from_the_line(app: Holdfast) -> None:
    hand, line = await in_line(app, 30, 30)
    await app.queues.pause("default")
    assert await hand.claim(_MANY) == []
    await app.queues.resume("default")
    assert ids(await hand.claim(_MANY)) == line


async def test_a_dead_worker_takes_nothing(app: Holdfast) -> None:
    hand, line = await in_line(app, 30, 30)
    await hand.die()
    assert await hand.claim(_MANY) == []
    assert await app.database.fetchval(_SLOTS) is None
    other = await Hand.registered(app.database)
    assert ids(await other.claim(_MANY)) == line


async def test_those_a_dead_worker_held_are_let_in_anew(app: Holdfast) -> None:
    hand, line = await in_line(app, 30, 30)
    assert ids(await hand.claim(_MANY)) == line
    await hand.die()
    assert await app.database.fetchval(_SLOTS) is None
    await assert_gates_kept(app.database)
    other = await Hand.registered(app.database)
    await admit(app, sweep=True)
    assert sorted(ids(await other.claim(_MANY))) == line
    await assert_conserved(app.database)


@pytest.mark.parametrize("cancelled", [0, 29])
async def test_a_cancelled_one_is_not_taken(app: Holdfast, cancelled: int) -> None:
    hand, line = await in_line(app, 30, 30)
    await app.jobs.cancel(line[cancelled])
    assert ids(await hand.claim(_MANY)) == [job for n, job in enumerate(line) if n != cancelled]
    await assert_gates_kept(app.database)


async def test_transactional_tasks_have_leases_of_their_own(app: Holdfast) -> None:
    hand, line = await in_line(app, 30, 30, transactional=True)
    claimed = await hand.claim(_MANY)
    assert ids(claimed) == line
    assert len({job.lease for job in claimed}) == len(line)
