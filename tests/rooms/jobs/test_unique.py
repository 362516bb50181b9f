"""Unique keys among jobs that are not finished: who gets which id, and what a duplicate may rely on."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from holdfast import Holdfast
from holdfast.jobs import KEYED, Keeper, Promoter, Task
from tests.rooms.jobs.hand import Hand, assert_conserved
from tests.waiting import eventually


@pytest.fixture
def work(app: Holdfast) -> Task[..., Any]:
    @app.task
    async def work(n: int = 0) -> None: ...

    return work


async def test_a_duplicate_gets_the_id_of_the_job_that_is_not_finished(app: Holdfast, work: Task[..., Any]) -> None:
    keyed = work.options(unique="k")
    hand = await Hand.registered(app.database)
    later = await keyed.options(run_in="1h").enqueue()
    assert not later.existing
    while_scheduled = await keyed.enqueue()
    assert (while_scheduled, while_scheduled.existing) == (later, True)
    await app.jobs.retry(later)
    assert await keyed.enqueue() == later  # ready
    claimed = await hand.claim_one()
    assert await keyed.enqueue() == later  # running
    await hand.retry_later(claimed)
    assert await keyed.enqueue() == later  # between two attempts
    await app.jobs.retry(later)
    await hand.complete(await hand.claim_one())
    successor = await keyed.enqueue()
    assert successor != later
    assert not successor.existing
    await assert_conserved(app.database)


async def test_keys_of_different_tasks_are_different(app: Holdfast, work: Task[..., Any]) -> None:
    @app.task
    async def other() -> None: ...

    assert await work.options(unique="k").enqueue() != await other.options(unique="k").enqueue()


async def test_the_arguments_may_be_the_key(work: Task[..., Any]) -> None:
    keyed = work.options(unique=True)
    first, same, different = await keyed.enqueue(1), await keyed.enqueue(n=1), await keyed.enqueue(2)
    assert first == same != different


@pytest.mark.parametrize("ending", ["fail", "cancel"])
async def test_a_job_that_ended_badly_gives_its_key_up_too(app: Holdfast, work: Task[..., Any], ending: str) -> None:
    keyed = work.options(unique="k")
    first = await keyed.enqueue()
    hand = await Hand.registered(app.database)
    if ending == "fail":
        await hand.fail(await hand.claim_one())
    else:
        await app.jobs.cancel(first)
    assert await keyed.enqueue() != first


async def test_a_key_repeated_in_one_call_is_one_job(app: Holdfast, work: Task[..., Any]) -> None:
    keyed = work.options(unique="k")
    ids = await keyed.enqueue_many([(n,) for n in range(5)])
    assert len(set(ids)) == 1
    assert [job_id.existing for job_id in ids[1:]] == [True] * 4 or not any(job_id.existing for job_id in ids)
    assert (await app.jobs.show(ids[0])).args == {"n": 0}


async def test_overlapping_keys_in_opposite_order_do_not_deadlock(app: Holdfast, work: Task[..., Any]) -> None:
    """Twenty rounds of two callers whose keys come in opposite order; each key is one job."""
    keyed = work.options(unique=True)
    numbers = list(range(30))
    for turn in range(20):
        calls = [(turn * 100 + n,) for n in numbers]
        forth, back = await asyncio.gather(keyed.enqueue_many(calls), keyed.enqueue_many(calls[::-1]))
        assert forth == back[::-1]
    assert await app.queues.backlog(["default"]) == 20 * 30


async def test_keys_in_opposite_order_on_open_transactions_wait_and_do_not_deadlock(
    app: Holdfast, work: Task[..., Any], database_url: str
) -> None:
    """One holds all its keys uncommitted; the other waits at its first, not holding what the first still needs."""
    keyed = work.options(unique=True)
    one, two = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        first = one.transaction()
        await first.start()
        ids = await keyed.using(one).enqueue_many([(1,), (2,), (3,)])
        async with two.transaction():
            waiting = asyncio.create_task(keyed.using(two).enqueue_many([(3,), (2,), (1,)]))
            await eventually(lambda: blocked(one, two))
            await first.commit()
            assert await waiting == ids[::-1]
    finally:
        await one.close()
        await two.close()


async def blocked(one: Any, two: Any) -> bool:
    return bool(
        await one.fetchval("SELECT $1 = ANY (pg_blocking_pids($2))", one.get_server_pid(), two.get_server_pid())
    )


async def test_a_duplicate_whose_first_is_rolled_back_becomes_the_job(
    app: Holdfast, work: Task[..., Any], outsider: Any
) -> None:
    keyed = work.options(unique="k")
    first = outsider.transaction()
    await first.start()
    never = await keyed.using(outsider).enqueue(1)
    second = asyncio.create_task(keyed.enqueue(2))
    await first.rollback()
    job_id = await second
    assert job_id != never
    assert (await app.jobs.show(job_id)).args == {"n": 2}


@pytest.mark.parametrize("place", ["ready", "scheduled"])
async def test_a_duplicate_holds_the_waiting_job_back_until_its_own_data_is_there(
    app: Holdfast, work: Task[..., Any], outsider: Any, place: str
) -> None:
    keyed = work.options(unique="k")
    job_id = await (keyed.options(run_in=0.05) if place == "scheduled" else keyed).enqueue()
    hand = await Hand.registered(app.database)
    promoter = Promoter(app.database)

    async def due() -> bool:
        return bool(await outsider.fetchval("SELECT bool_and(due_at < holdfast.now()) FROM holdfast.scheduled"))

    if place == "scheduled":
        await eventually(due)
    async with outsider.transaction():
        told = await keyed.using(outsider).enqueue()
        assert (told, told.existing) == (job_id, True)
        await promoter.promote()
        assert await hand.claim() == []
    await promoter.promote()
    assert [job.id for job in await hand.claim()] == [job_id]
    await assert_conserved(app.database)


async def test_a_job_held_back_for_long_gets_a_successor(
    app: Holdfast, work: Task[..., Any], database_url: str
) -> None:
    """Duplicates that overlap for ever would hold it back for ever."""
    keyed = work.options(unique="k")
    first = await keyed.enqueue()
    one, two = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        async with one.transaction():
            assert await keyed.using(one).enqueue() == first
            await two.execute("SET holdfast.clock_offset = '6 seconds'")
            # Held by nobody but a sharer: a third would share too. A worker's look is exclusive.
            async with two.transaction():
                second = await keyed.using(two).enqueue()
                assert second != first
        third = await keyed.enqueue()
        assert third == second
    finally:
        await one.close()
        await two.close()


async def test_a_retried_job_takes_its_key_back(app: Holdfast, work: Task[..., Any]) -> None:
    keyed = work.options(unique="k")
    first = await keyed.enqueue()
    hand = await Hand.registered(app.database)
    await hand.fail(await hand.claim_one())
    await app.jobs.retry(first)
    assert await keyed.enqueue() == first
    assert (await hand.claim_one()).flags & KEYED


async def test_a_retried_job_whose_key_was_taken_runs_again_without_it(app: Holdfast, work: Task[..., Any]) -> None:
    keyed = work.options(unique="k")
    first = await keyed.enqueue()
    hand = await Hand.registered(app.database)
    await hand.fail(await hand.claim_one())
    second = await keyed.enqueue()
    await app.jobs.retry(first)
    assert await keyed.enqueue() == second
    claimed = {job.id: job.flags & KEYED for job in await hand.claim()}
    assert claimed == {first: 0, second: KEYED}
    await hand.die()
    assert await keyed.enqueue() == second
    await assert_conserved(app.database)


async def test_a_sweep_removes_stale_keys_and_no_others(app: Holdfast, work: Task[..., Any], outsider: Any) -> None:
    hand = await Hand.registered(app.database)
    for n in range(3):
        await work.options(unique=f"k{n}").enqueue()
    done, *_ = await hand.claim(1)
    await hand.complete(done)
    await Keeper(app.database, retention_days=30).tidy()
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.unique_key") == 2
    assert await work.options(unique="k0").enqueue() != done.id


async def test_a_sweep_beside_a_take_over_does_not_let_two_jobs_hold_the_key(
    app: Holdfast, work: Task[..., Any], outsider: Any
) -> None:
    """The sweep forgets the newest generation while its successor is not committed: numbering must not begin anew."""
    keyed = work.options(unique="k")
    hand = await Hand.registered(app.database)
    await keyed.enqueue()
    await hand.complete(await hand.claim_one())
    async with outsider.transaction():
        successor = await keyed.using(outsider).enqueue()
        await Keeper(app.database, retention_days=30).tidy()
        another = asyncio.create_task(keyed.enqueue())
        await eventually(lambda: another.done() or waits_for(app, outsider))
    assert await another == successor


async def waits_for(app: Holdfast, outsider: Any) -> bool:
    return bool(await outsider.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"))


async def test_a_sweep_beside_a_retry_leaves_the_retried_job_its_key(
    app: Holdfast, work: Task[..., Any], outsider: Any
) -> None:
    keyed = work.options(unique="k")
    hand = await Hand.registered(app.database)
    first = await keyed.enqueue()
    await hand.fail(await hand.claim_one())
    async with outsider.transaction():
        assert await outsider.fetchval("SELECT holdfast.retry_v1($1)", first) == "moved"
        await Keeper(app.database, retention_days=30).tidy()
    assert await keyed.enqueue() == first
