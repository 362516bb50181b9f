"""The verbs of people on jobs with gates: nobody runs without his slots, nobody keeps what he does not need."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Holdfast, Limit
from holdfast.errors import JobNotFound
from holdfast.jobs import Task, declare_tasks
from tests.rooms.jobs.hand import Hand, admit, assert_conserved, assert_gates_kept

_SIDE_TABLES = ("progress", "checkpoint", "job_log", "batch_member", "slot", "blocked")


@pytest.fixture
async def hand(app: Holdfast, work: Task[..., Any]) -> Hand:
    await declare_tasks(app.database, app.tasks.values())
    return await Hand.registered(app.database)


@pytest.fixture
def work(app: Holdfast) -> Task[..., Any]:
    @app.task
    async def work(n: int = 0) -> None: ...

    @app.task(limits=[Limit("api", 1)])
    async def call(n: int = 0) -> None: ...

    return work


async def in_lane(work: Task[..., Any], count: int) -> list[int]:
    return [int(await work.options(lane="a").enqueue(n)) for n in range(count)]


async def standing(app: Holdfast, jobs: list[int]) -> list[str]:
    return [(await app.jobs.show(job)).state for job in jobs]


async def assert_sound(app: Holdfast) -> None:
    await assert_conserved(app.database)
    await assert_gates_kept(app.database)


async def test_a_head_that_is_put_off_gives_up_its_lane_and_comes_anew(
    app: Holdfast, work: Task[..., Any], hand: Hand, outsider: Any
) -> None:
    jobs = await in_lane(work, 3)
    await admit(app)
    assert await app.jobs.reschedule(jobs[0], run_in="1h") == {jobs[0]: "moved"}
    await admit(app)
    assert await standing(app, jobs) == ["scheduled", "ready", "blocked"]
    await assert_sound(app)
    await outsider.execute("SET holdfast.clock_offset = '2 hours'")
    assert await outsider.fetchval("SELECT promoted FROM holdfast.promote_v1('-infinity', 10)") == 1
    for job in (jobs[1], jobs[2], jobs[0]):
        await admit(app)
        claimed = await hand.claim_one()
        assert claimed.id == job
        await hand.complete(claimed)
        await admit(app, job)
    await assert_sound(app)


async def test_one_that_waits_for_a_limit_is_put_off_and_brought_back(app: Holdfast, hand: Hand) -> None:
    call = app.tasks["call"]
    jobs = await call.enqueue_many([(n,) for n in range(2)])
    await admit(app)
    assert await app.jobs.reschedule(*jobs, run_in="1h") == dict.fromkeys(jobs, "moved")
    assert await standing(app, list(jobs)) == ["scheduled", "scheduled"]
    await assert_sound(app)
    assert await app.jobs.reschedule(jobs[1], run_in=0) == {jobs[1]: "moved"}
    assert await standing(app, list(jobs)) == ["scheduled", "blocked"]
    await admit(app)
    assert await standing(app, list(jobs)) == ["scheduled", "ready"]
    await assert_sound(app)


async def test_who_is_to_run_now_keeps_its_slots_and_its_place_in_line(
    app: Holdfast, work: Task[..., Any], hand: Hand
) -> None:
    jobs = await in_lane(work, 3)
    await admit(app)
    assert await app.jobs.reschedule(*jobs[:2], run_in=0) == dict.fromkeys(jobs[:2], "moved")
    assert await standing(app, jobs) == ["ready", "blocked", "blocked"]
    await assert_sound(app)
    for job in jobs:
        await admit(app)
        claimed = await hand.claim_one()
        assert claimed.id == job
        await hand.complete(claimed)
        await admit(app, job)
    await assert_sound(app)


async def test_a_cancel_waits_for_whoever_holds_the_place_of_a_job_before_a_gate(
    app: Holdfast, work: Task[..., Any], hand: Hand, outsider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.jobs.console._PATIENCE_SECONDS", (0.01,) * 1000)
    jobs = await in_lane(work, 2)
    await admit(app)
    await hand.claim_one()
    async with outsider.transaction():
        answer = await outsider.fetchval("SELECT holdfast.edit_v1($1, $2, $3, NULL)", jobs[1], '{"n": 1}', '{"n": 7}')
        assert answer == "moved"
        cancelling = asyncio.create_task(app.jobs.cancel(jobs[1]))
        await asyncio.wait([cancelling], timeout=0.2)
        assert not cancelling.done()

    assert await cancelling == {jobs[1]: "cancelled"}
    assert await standing(app, jobs[1:]) == ["cancelled"]


async def test_a_priority_counts_before_a_limit_and_not_within_a_lane(
    app: Holdfast, work: Task[..., Any], hand: Hand
) -> None:
    call = app.tasks["call"]
    calls = await call.enqueue_many([(n,) for n in range(3)])
    jobs = await in_lane(work, 3)
    await admit(app)
    last = [calls[2], jobs[2], calls[0], jobs[0]]
    assert await app.jobs.prioritize(*last, priority=0) == dict.fromkeys(last, "moved")
    assert await standing(app, [*calls, *jobs]) == ["ready", "blocked", "blocked"] * 2
    await assert_sound(app)
    order: list[int] = []
    while claimed := await hand.claim():
        for job in claimed:
            order.append(job.id)
            await hand.complete(job)
        await admit(app, *(job.id for job in claimed))
    assert [job for job in order if job in calls] == [calls[0], calls[2], calls[1]]
    assert [job for job in order if job in jobs] == jobs
    await assert_sound(app)


async def test_who_was_held_by_an_edit_while_its_gate_opened_passes_afterwards(
    app: Holdfast, work: Task[..., Any], hand: Hand, outsider: Any
) -> None:
    jobs = await in_lane(work, 2)
    await admit(app)
    first = await hand.claim_one()
    async with outsider.transaction():
        answer = await outsider.fetchval("SELECT holdfast.edit_v1($1, $2, $3, NULL)", jobs[1], '{"n": 1}', '{"n": 7}')
        assert answer == "moved"
        await hand.complete(first)
        await admit(app, first.id)
        assert await standing(app, jobs) == ["completed", "blocked"]
    await admit(app)
    assert (await hand.claim_one()).args == '{"n": 7}'
    await assert_sound(app)


async def test_a_purge_opens_the_gates_for_others(
    app: Holdfast, work: Task[..., Any], hand: Hand, outsider: Any
) -> None:
    jobs = await in_lane(work, 3)
    await admit(app)
    assert await app.jobs.purge(jobs[0], jobs[1]) == {jobs[0]: "purged", jobs[1]: "purged"}
    await admit(app)
    assert await standing(app, [jobs[2]]) == ["ready"]
    with pytest.raises(JobNotFound):
        await app.jobs.show(jobs[1])
    for table in _SIDE_TABLES:
        count = await outsider.fetchval(f"SELECT count(*) FROM holdfast.{table} WHERE job_id = ANY ($1)", jobs[:2])
        assert count == 0
    await assert_sound(app)


async def test_a_batch_ends_when_its_last_open_member_is_purged(
    app: Holdfast, work: Task[..., Any], hand: Hand, outsider: Any
) -> None:
    async with app.batch("b") as batch:
        batch.add_many(work, [(1,), (2,)])
    stays, goes = await hand.claim()
    await hand.complete(stays)
    await hand.give_back(goes)
    assert await app.jobs.purge(goes.id) == {goes.id: "purged"}
    assert await outsider.fetch("SELECT * FROM holdfast.audit_batches_v1()") == []
    assert await outsider.fetchval("SELECT holdfast.settle_batches_v1(100)") == 1
    assert await outsider.fetch("SELECT * FROM holdfast.audit_batches_v1()") == []
    await assert_conserved(app.database)


async def test_a_filter_finds_who_is_blocked(app: Holdfast, work: Task[..., Any]) -> None:
    jobs = await in_lane(work, 2)
    assert set(await app.jobs.where("state=blocked").ids()) == set(jobs)
    assert await app.jobs.where("state=blocked args.n=1").ids() == [jobs[1]]
