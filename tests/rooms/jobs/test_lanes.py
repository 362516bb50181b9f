"""Lanes: one job of a key at a time, in the order of their enqueues, whatever becomes of the head."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.jobs import Gatekeeper, Promoter, Task
from tests.rooms.jobs.hand import Hand, admit, assert_conserved, assert_gates_kept, in_lane
from tests.waiting import eventually


async def places(app: Holdfast, jobs: list[int]) -> list[str]:
    return [(await app.jobs.show(job)).state for job in jobs]


async def test_one_of_a_lane_runs_at_a_time_in_the_order_of_enqueue(app: Holdfast, work: Task[..., Any]) -> None:
    jobs = await in_lane(work, 4)
    hand = await Hand.registered(app.database)
    order: list[int] = []
    for n in range(4):
        await admit(app)
        claimed = await hand.claim_one()
        await admit(app)
        assert await hand.claim() == []
        assert await places(app, jobs) == ["completed"] * n + ["running"] + ["blocked"] * (3 - n)
        await assert_gates_kept(app.database)
        await hand.complete(claimed)
        await admit(app, claimed.id)
        order.append(claimed.id)
    assert order == jobs
    await assert_conserved(app.database)


async def test_lanes_do_not_wait_for_each_other(app: Holdfast, work: Task[..., Any]) -> None:
    first, _ = await in_lane(work, 2, "a")
    other, _ = await in_lane(work, 2, "b")
    plain = await work.enqueue()
    await admit(app)
    claimed = await (await Hand.registered(app.database)).claim()
    assert {job.id for job in claimed} == {first, other, plain}


async def test_tasks_and_queues_share_a_lane(app: Holdfast, work: Task[..., Any]) -> None:
    @app.task(queue="other")
    async def more() -> None: ...

    first, second = await work.options(lane="a").enqueue(), await more.options(lane="a").enqueue()
    await admit(app)
    assert await places(app, [first, second]) == ["ready", "blocked"]


@pytest.mark.parametrize("ending", ["complete", "fail", "cancel"])
async def test_when_the_head_ends_the_next_one_goes(app: Holdfast, work: Task[..., Any], ending: str) -> None:
    head, following = await in_lane(work, 2)
    await admit(app)
    hand = await Hand.registered(app.database)
    if ending == "cancel":
        assert (await app.jobs.cancel(head))[head] == "cancelled"
    else:
        claimed = await hand.claim_one()
        await (hand.complete(claimed) if ending == "complete" else hand.fail(claimed))
    await admit(app, sweep=True)
    assert (await hand.claim_one()).id == following
    await assert_gates_kept(app.database)


@pytest.mark.parametrize("way", ["retry", "return", "rescue", "release"])
async def test_a_head_that_has_not_ended_stays_head(
    app: Holdfast, work: Task[..., Any], outsider: Any, way: str
) -> None:
    head, following = await in_lane(work, 2)
    await admit(app)
    hand = await Hand.registered(app.database)
    claimed = await hand.claim_one()
    if way == "retry":
        await hand.retry_later(claimed)
        await admit(app, head, sweep=True)
        assert await places(app, [head, following]) == ["scheduled", "blocked"]
        await app.jobs.retry(head)
    elif way == "return":
        await hand.give_back(claimed)
    elif way == "rescue":
        await hand.die()
    else:
        await outsider.fetchval("SELECT holdfast.release_lease_v1($1)", claimed.lease)
    later = await work.options(lane="a").enqueue()
    await admit(app, head, sweep=True)
    other = await Hand.registered(app.database)
    assert [job.id for job in await other.claim()] == [head]
    assert await places(app, [following, later]) == ["blocked", "blocked"]
    await assert_gates_kept(app.database)
    await assert_conserved(app.database)


async def test_a_head_cancelled_between_two_attempts_lets_the_next_one_go(app: Holdfast, work: Task[..., Any]) -> None:
    head, following = await in_lane(work, 2)
    await admit(app)
    hand = await Hand.registered(app.database)
    await hand.retry_later(await hand.claim_one())
    await app.jobs.cancel(head)
    await admit(app, sweep=True)
    assert (await hand.claim_one()).id == following


async def test_a_blocked_job_that_is_cancelled_leaves_its_lane(app: Holdfast, work: Task[..., Any]) -> None:
    head, second, third = await in_lane(work, 3)
    await admit(app)
    assert await app.jobs.cancel(second) == {second: "cancelled"}
    hand = await Hand.registered(app.database)
    await hand.complete(await hand.claim_one())
    await admit(app, head)
    assert (await hand.claim_one()).id == third


async def test_a_scheduled_job_enters_its_lane_when_it_is_due(app: Holdfast, work: Task[..., Any]) -> None:
    due = await work.options(lane="a", run_in=0.05).enqueue()
    first = await work.options(lane="a").enqueue()
    await admit(app)
    promoter = Promoter(app.database)

    async def promoted() -> bool:
        await promoter.promote()
        return (await app.jobs.show(due)).state == "blocked"

    await eventually(promoted)
    last = await work.options(lane="a").enqueue()
    hand = await Hand.registered(app.database)
    order = []
    for _ in range(3):
        await admit(app, sweep=True)
        claimed = await hand.claim_one()
        order.append(claimed.id)
        await hand.complete(claimed)
    assert order == [first, due, last]


async def test_a_job_run_again_by_an_operator_enters_its_lane_at_the_end(app: Holdfast, work: Task[..., Any]) -> None:
    first, second = await in_lane(work, 2)
    await admit(app)
    hand = await Hand.registered(app.database)
    await hand.fail(await hand.claim_one())
    await admit(app, first)
    await app.jobs.retry(first)
    await admit(app)
    assert await places(app, [first, second]) == ["blocked", "ready"]


async def test_a_lane_of_a_keyed_job_held_by_a_duplicate_lets_nobody_overtake(
    app: Holdfast, work: Task[..., Any], outsider: Any
) -> None:
    """A duplicate's open transaction holds the first of the lane: the second waits behind it, other lanes do not."""
    held = await work.options(lane="a", unique="k").enqueue()
    behind = await work.options(lane="a").enqueue()
    other = await work.options(lane="b").enqueue()
    async with outsider.transaction():
        assert await work.options(lane="a", unique="k").using(outsider).enqueue() == held
        await admit(app, sweep=True)
        assert await places(app, [held, behind, other]) == ["blocked", "blocked", "ready"]
    await admit(app)
    assert await places(app, [held, behind]) == ["ready", "blocked"]


async def test_a_keyed_job_in_line_is_found_by_its_duplicate(app: Holdfast, work: Task[..., Any]) -> None:
    await in_lane(work, 1)
    waiting = await work.options(lane="a", unique="k").enqueue()
    assert await work.options(lane="a", unique="k").enqueue() == waiting  # just arrived
    await admit(app)
    assert await work.options(lane="a", unique="k").enqueue() == waiting  # in line


async def test_a_long_lane_costs_the_others_nothing(app: Holdfast, work: Task[..., Any], outsider: Any) -> None:
    """Letting in the next of another lane reads no more rows because ten thousand wait in this one."""
    await work.options(lane="long").enqueue_many([(n,) for n in range(10_000)])
    await outsider.execute("SELECT holdfast.admit_v1('{}', NULL, 0, NULL, 20000)")
    await in_lane(work, 2, "b")
    hand = await Hand.registered(app.database)
    await admit(app)
    (job,) = [claimed for claimed in await hand.claim() if (await app.jobs.show(claimed.id)).args == {"n": 0}][-1:]
    await hand.complete(job)
    fetched = """SELECT sum(coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0))::bigint
                 FROM pg_stat_xact_user_tables WHERE schemaname = 'holdfast'"""
    async with outsider.transaction():
        before = await outsider.fetchval(fetched)
        row = await outsider.fetchrow("SELECT * FROM holdfast.admit_v1($1, NULL, 0, NULL, 1000)", [job.id])
        assert await outsider.fetchval(fetched) - before < 100
        assert row["seated"] == 1


async def test_only_one_worker_looks_at_a_time_and_the_other_comes_back(
    app: Holdfast, work: Task[..., Any], outsider: Any
) -> None:
    (job,) = await in_lane(work, 1)
    keeper = Gatekeeper(app.database)
    async with outsider.transaction():
        assert (await outsider.fetchrow("SELECT * FROM holdfast.admit_v1('{}', NULL, 99, NULL, 1)"))["is_mine"]
        queues, pause = await keeper.look()
        assert queues == []
        assert pause < 0.01
    assert (await keeper.look())[0] == ["default"]
    assert await places(app, [job]) == ["ready"]


async def test_fifty_lanes_run_in_order_on_real_workers(app: Holdfast) -> None:
    ran: dict[str, list[int]] = {}
    inside: set[str] = set()
    together: list[str] = []

    @app.task
    async def step(lane: str, n: int) -> None:
        if lane in inside:
            together.append(lane)
        inside.add(lane)
        await asyncio.sleep(0)
        ran.setdefault(lane, []).append(n)
        inside.discard(lane)

    for n in range(6):
        for lane in range(50):
            await step.options(lane=f"l{lane}").enqueue(f"l{lane}", n)
    await asyncio.gather(app.drain(concurrency=20), app.drain(concurrency=20))
    assert together == []
    assert ran == {f"l{lane}": list(range(6)) for lane in range(50)}
    await assert_conserved(app.database)
    await assert_gates_kept(app.database)
