"""Batches: all or none are stored, the callback comes once when all have ended, cancels cascade."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import psycopg
import pytest

from holdfast import Holdfast, Job
from holdfast.errors import ArgumentsInvalid, BatchNotFound, ConfigurationError, IllegalMove, TimedOut
from holdfast.jobs import Batch, Retry, audit
from tests.rooms.jobs.hand import Hand, assert_conserved
from tests.rooms.working import working

NEVER_AGAIN = Retry(max_attempts=1)


class Shop:
    """Tasks that note what they did."""

    def __init__(self, app: Holdfast) -> None:
        self.app = app
        self.done: list[Any] = []

        @app.task(retry=NEVER_AGAIN)
        async def part(n: int) -> int:
            if n < 0:
                raise ValueError(n)
            self.done.append(n)
            return n * n

        @app.task
        async def well(job: Job, name: str = "") -> list[int]:
            self.done.append(f"well {name}".strip())
            return [child.result async for child in job.children()]

        @app.task
        async def unwell() -> None:
            self.done.append("unwell")

        @app.task
        async def over() -> None:
            self.done.append("over")

        self.part, self.well, self.unwell, self.over = part, well, unwell, over

    def batch(self, **changes: Any) -> Any:
        calls = {
            "on_success": self.well.with_args("october"),
            "on_failure": self.unwell.with_args(),
            "on_finish": self.over.with_args(),
        }
        return self.app.batch("october", **{**calls, **changes})


@pytest.fixture
def shop(app: Holdfast) -> Shop:
    return Shop(app)


async def assert_sound(app: Holdfast) -> None:
    await assert_conserved(app.database)
    _, moving = await audit(app.database)
    assert [trouble for trouble in moving if trouble[1] == "batch"] == []


async def test_the_callback_comes_once_and_finds_the_results(app: Holdfast, shop: Shop) -> None:
    async with shop.batch() as batch:
        batch.add(shop.part, 1)
        batch.add(shop.part.options(priority=0), 2)
        batch.add_many(shop.part, [(3,), {"n": 4}])
    assert batch.id is not None
    info = await app.batches.show(batch.id)
    assert (info.state, info.members, info.open, info.name) == ("running", 4, 4, "october")
    assert (await app.jobs.show(batch.job_ids[0])).batch == batch.id
    await app.drain()
    assert sorted(shop.done[:4]) == [1, 2, 3, 4]
    assert sorted(shop.done[4:]) == ["over", "well october"]
    info = await app.batches.show(batch.id)
    assert (info.state, info.completed, info.open) == ("completed", 4, 0)
    results = [(await app.jobs.show(job_id)).result for job_id in info.callbacks]
    assert [1, 4, 9, 16] in results
    assert [member.result async for member in app.batches.members(batch.id)] == [1, 4, 9, 16]
    await assert_sound(app)


async def test_one_member_that_fails_or_is_cancelled_calls_the_other_callback(app: Holdfast, shop: Shop) -> None:
    async with shop.batch() as failing:
        failing.add_many(shop.part, [(1,), (-1,)])
    async with shop.batch() as cancelled:
        cancelled.add_many(shop.part, [(2,), (3,)])
    await app.jobs.cancel(cancelled.job_ids[1])
    await app.drain()
    assert sorted(map(str, shop.done)) == ["1", "2", "over", "over", "unwell", "unwell"]
    info = await app.batches.show(failing.id)
    assert (info.state, info.completed, info.failed) == ("failed", 1, 1)
    info = await app.batches.show(cancelled.id)
    assert (info.state, info.completed, info.cancelled) == ("failed", 1, 1)
    await assert_sound(app)


async def test_members_that_end_on_several_workers_at_once_call_back_once(app: Holdfast, shop: Shop) -> None:
    batches = []
    for _ in range(20):
        async with shop.batch(on_finish=None) as batch:
            batch.add_many(shop.part, [(n,) for n in range(10)])
        batches.append(batch)
    async with working(app), working(app), working(app):
        for batch in batches:
            info = await app.batches.wait(batch.id, timeout_seconds=30)
            assert (info.state, info.completed, len(info.callbacks)) == ("completed", 10, 1)
    await app.drain()
    assert shop.done.count("well october") == 20
    await assert_sound(app)


async def test_a_batch_without_members_ends_well(app: Holdfast, shop: Shop) -> None:
    async with shop.batch(on_finish=None) as batch:
        pass
    await app.drain()
    assert shop.done == ["well october"]
    assert (await app.batches.show(batch.id)).members == 0


async def test_an_error_in_the_block_stores_nothing(app: Holdfast, shop: Shop) -> None:
    async def half_a_batch() -> None:
        async with shop.batch() as batch:
            batch.add(shop.part, 1)
            batch.add(shop.part, "no number")

    with pytest.raises(ArgumentsInvalid):
        await half_a_batch()
    assert list(await app.jobs.list()) == []
    assert list(await app.batches.list()) == []


async def test_it_belongs_to_the_transaction_of_the_caller(app: Holdfast, shop: Shop, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    async with shop.batch(using=connection) as lost:
        lost.add(shop.part, 1)
    await transaction.rollback()
    async with connection.transaction(), shop.batch(using=connection) as kept:
        kept.add(shop.part, 2)
    await connection.close()

    def from_a_script() -> int:
        with psycopg.connect(database_url) as session, shop.batch(using=session) as third:
            third.add(shop.part, 3)
        with shop.batch() as fourth:
            fourth.add(shop.part, 4)
        return int(fourth.id)

    last = await asyncio.to_thread(from_a_script)
    assert [info.members for info in await app.batches.list()] == [1, 1, 1]
    await app.drain()
    assert sorted(item for item in shop.done if isinstance(item, int)) == [2, 3, 4]
    assert (await app.batches.show(last)).state == "completed"
    with pytest.raises(BatchNotFound):
        await app.batches.show(lost.id)


async def test_members_join_from_inside_a_member_and_nobody_joins_a_batch_that_is_over(
    app: Holdfast, shop: Shop
) -> None:
    @app.task
    async def walk(job: Job, depth: int) -> None:
        shop.done.append(depth)
        if depth < 3:
            await walk.into(job).enqueue(depth + 1)
            await walk.into(job).enqueue_many([(depth + 1,)])

    async with shop.batch(on_finish=None) as batch:
        batch.add(walk, 1)
    await app.drain()
    assert sorted(shop.done[:-1]) == [1, 2, 2, 3, 3, 3, 3]
    assert shop.done[-1] == "well october"
    assert (await app.batches.show(batch.id)).members == 7
    with pytest.raises(IllegalMove, match="is over"):
        await shop.part.into(batch).enqueue(1)
    with pytest.raises(IllegalMove, match="belongs to no batch"):
        await shop.part.into(await _lonely_job(app, shop)).enqueue(1)
    with pytest.raises(ConfigurationError, match="not stored yet"):
        shop.part.into(app.batch())


async def _lonely_job(app: Holdfast, shop: Shop) -> Job:
    await shop.part.enqueue(1)
    hand = await Hand.registered(app.database)
    return Job(await hand.claim_one(), app.database, 60.0, lambda _: None)


async def test_a_job_that_a_key_has_kept_out_is_no_member(app: Holdfast, shop: Shop) -> None:
    first = await shop.part.options(unique="k").enqueue(1)
    async with shop.batch(on_finish=None) as batch:
        batch.add(shop.part.options(unique="k"), 1)
        batch.add(shop.part, 2)
    assert batch.job_ids[0] == first
    assert [job_id.existing for job_id in batch.job_ids] == [True, False]
    await app.drain()
    assert (await app.batches.show(batch.id)).members == 1
    await assert_sound(app)


async def test_a_retried_member_keeps_the_batch_open_and_one_that_is_reopened_too(app: Holdfast, shop: Shop) -> None:
    tries: list[int] = []

    @app.task(retry=Retry(max_attempts=2, delay_seconds=0.0))
    async def second_time(job: Job) -> None:
        tries.append(job.attempt)
        if job.attempt == 1:
            raise OSError("not yet")

    async with shop.batch(on_finish=None) as batch:
        batch.add(second_time)
    await app.drain()
    assert tries == [1, 2]
    assert shop.done == ["well october"]

    hand = await Hand.registered(app.database)
    async with shop.batch(on_finish=None) as batch:
        batch.add_many(shop.part, [(1,), (2,)])
    one, two = await hand.claim()
    await hand.fail(one)
    await app.jobs.retry(one.id)
    await app.batches.settle()
    assert (await app.batches.show(batch.id)).open == 2
    await hand.complete(two)
    await hand.complete(await hand.claim_one())
    await app.drain()
    info = await app.batches.show(batch.id)
    assert (info.state, info.completed, info.failed, info.retried) == ("completed", 2, 1, 1)
    await assert_sound(app)


async def test_a_member_lost_too_often_ends_its_batch(app: Holdfast, shop: Shop) -> None:
    async with shop.batch(on_finish=None) as batch:
        batch.add(shop.part, 1)
    for _ in range(2):
        hand = await Hand.registered(app.database)
        await hand.claim_one()
        await hand.die(max_losses=1)
    await app.drain()
    assert shop.done == ["unwell"]
    assert (await app.batches.show(batch.id)).failed == 1
    await assert_sound(app)


async def test_children_are_stored_once_whatever_attempts_their_parent_needs(app: Holdfast, shop: Shop) -> None:
    existing: list[bool] = []

    @app.task(retry=Retry(max_attempts=2, delay_seconds=0.0))
    async def split(job: Job) -> None:
        async with job.batch(on_success=shop.well.with_args("all parts")) as children:
            children.add_many(shop.part, [(1,), (2,)])
        existing.append(children.existing)
        if job.attempt == 1:
            raise OSError("after the batch was stored")
        with pytest.raises(ConfigurationError, match="has opened a batch"):
            job.batch()

    parent = await split.enqueue()
    await app.drain()
    assert existing == [False, True]
    assert sorted(shop.done[:2]) == [1, 2]
    assert shop.done[2:] == ["well all parts"]
    assert [child.result async for child in app.jobs.children(parent)] == [1, 4]
    await assert_sound(app)


async def test_a_plain_function_opens_a_batch_from_its_thread(app: Holdfast, shop: Shop) -> None:
    @app.task
    def split(job: Job) -> None:
        with job.batch(on_success=shop.well.with_args()) as children:
            children.add(shop.part, 3)

    await split.enqueue()
    await app.drain()
    assert shop.done == [3, "well"]


async def test_a_batch_ends_after_the_batches_of_its_members_and_fails_with_them(app: Holdfast, shop: Shop) -> None:
    @app.task
    async def combine(job: Job) -> None:
        shop.done.append(sorted([child.result async for child in job.children()]))

    @app.task
    async def split(job: Job, good: bool) -> None:  # noqa: FBT001
        async with job.batch(on_success=combine.with_args()) as children:
            children.add_many(shop.part, [(2,), (3 if good else -3,)])

    async with shop.batch(on_finish=None) as outer:
        outer.add(split, True)
    await app.drain()
    assert shop.done[2:] == [[4, 9], "well october"]
    info = await app.batches.show(outer.id)
    assert (info.members, info.completed) == (2, 2)  # the parent, and what its children's end has called
    shop.done.clear()
    async with shop.batch(on_finish=None) as outer:
        outer.add(split, False)
    await app.drain()
    assert shop.done == [2, "unwell"]
    assert (await app.batches.show(outer.id)).state == "failed"
    await assert_sound(app)


async def test_a_cancelled_batch_takes_its_members_and_what_they_opened_along_and_calls_nobody(
    app: Holdfast, shop: Shop
) -> None:
    running = asyncio.Event()

    @app.task(retry=NEVER_AGAIN)
    async def long(job: Job) -> None:
        async with job.batch(on_finish=shop.over.with_args()) as children:
            children.add_many(shop.part.options(queue="later"), [(1,), (2,)])
        running.set()
        await asyncio.Event().wait()

    async with shop.batch() as batch:
        batch.add(long)
        batch.add(shop.part.options(run_in="1h"), 3)
    async with working(app):
        await running.wait()
        assert await app.batches.cancel(batch.id, reason="not needed")
        info = await app.batches.wait(batch.id, timeout_seconds=20)
    assert (info.state, info.cancelled, info.cancel_reason, info.callbacks) == ("cancelled", 2, "not needed", ())
    children = [child.state async for child in app.jobs.children(batch.job_ids[0])]
    assert children == ["cancelled", "cancelled"]
    await app.drain()
    assert shop.done == []
    with pytest.raises(IllegalMove, match="has ended"):
        await app.batches.cancel(batch.id)
    with pytest.raises(IllegalMove, match="is over"):
        await shop.part.into(batch).enqueue(1)
    with pytest.raises(BatchNotFound):
        await app.batches.cancel(1)
    await assert_sound(app)


async def test_cancelling_a_parent_that_has_ended_cancels_its_children(app: Holdfast, shop: Shop) -> None:
    @app.task
    async def split(job: Job) -> None:
        async with job.batch(on_success=shop.well.with_args()) as children:
            children.add_many(shop.part.options(run_in="1h"), [(1,), (2,)])

    parent = await split.enqueue()
    await app.drain()
    assert await app.jobs.cancel(parent, reason="no more") == {parent: "finished"}
    assert [child.state async for child in app.jobs.children(parent)] == ["cancelled", "cancelled"]
    await app.drain()
    assert shop.done == []
    await assert_sound(app)


async def test_waiting_for_a_batch_has_a_deadline(app: Holdfast, shop: Shop) -> None:
    async with shop.batch() as batch:
        batch.add(shop.part, 1)
    with pytest.raises(TimedOut, match="1 of 1 are open"):
        await app.batches.wait(batch.id, timeout_seconds=0)
    assert [info.id for info in await app.batches.list(unfinished=True)] == [batch.id]
    await app.drain()
    assert list(await app.batches.list(unfinished=True)) == []


async def test_a_callback_has_no_time_and_no_key_of_its_own(shop: Shop) -> None:
    for wrong in (shop.over.options(run_in=5), shop.over.options(unique="k")):
        with pytest.raises(ConfigurationError, match="no key and no time"):
            async with shop.batch(on_finish=wrong.with_args()):
                pass
    with pytest.raises(ConfigurationError, match="not above 0"):
        async with shop.batch(on_finish=shop.over.options(max_attempts=0).with_args()):
            pass


async def test_a_batch_at_fault_does_not_hold_up_the_others(app: Holdfast, shop: Shop, outsider: Any) -> None:
    async with shop.batch(on_finish=None) as broken:
        broken.add(shop.part, 1)
    async with shop.batch(on_finish=None) as sound:
        sound.add(shop.part, 2)
    await outsider.execute(
        """UPDATE holdfast.batch SET on_success = jsonb_set(on_success, '{priority}', '77') WHERE id = $1""", broken.id
    )
    hand = await Hand.registered(app.database)
    await hand.complete(*await hand.claim())
    assert await app.batches.settle() == 1
    assert (await app.batches.show(sound.id)).state == "completed"
    assert (await app.batches.show(broken.id)).state == "running"
    assert (await app.drain()).ok  # it waits for a moment, and then no more
    await outsider.execute("UPDATE holdfast.batch SET on_success = NULL")
    assert await app.batches.settle() == 1
    await assert_sound(app)


async def test_a_member_that_cannot_be_stored_says_so(app: Holdfast, shop: Shop) -> None:
    with pytest.raises(ArgumentsInvalid, match="nothing of the batch was"):
        async with shop.batch() as batch:
            batch.add(shop.part.options(max_attempts=0), 1)
    assert list(await app.batches.list()) == []


async def test_a_batch_whose_commit_had_no_answer_is_found_again(
    app: Holdfast, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Batch._write
    lost: list[int] = []

    async def write_and_lose_the_answer(batch: Batch, run: Any, batch_id: int | None) -> None:
        await write(batch, run, batch_id)
        if not lost:
            lost.append(1)
            connection = run.__defaults__[0]
            await connection.execute("COMMIT; BEGIN")
            raise asyncpg.ConnectionDoesNotExistError("the answer was lost")

    monkeypatch.setattr(Batch, "_write", write_and_lose_the_answer)
    async with shop.batch(on_finish=None) as batch:
        batch.add_many(shop.part, [(1,), (2,)])
    assert lost
    assert len(batch.job_ids) == 2
    assert [info.id for info in await app.batches.list()] == [batch.id]
    await app.drain()
    assert shop.done[2:] == ["well october"]


async def test_an_endless_audit_finds_wrong_counts_and_batches_nobody_ends(
    app: Holdfast, shop: Shop, outsider: Any
) -> None:
    async with shop.batch() as batch:
        batch.add(shop.part, 1)
    await app.batches.settle()
    await outsider.execute("UPDATE holdfast.batch SET completed = completed + 1")
    _, moving = await audit(app.database)
    assert (batch.id, "batch", "counts 0 open jobs and 0 open batches, there are 1 and 0") in moving
    await outsider.execute("UPDATE holdfast.batch SET completed = completed - 1")
    hand = await Hand.registered(app.database)
    await hand.complete(await hand.claim_one())
    await outsider.execute("DELETE FROM holdfast.batch_delta")
    _, moving = await audit(app.database)
    assert (batch.id, "batch", "nothing of it is open, and nobody is going to end it") in moving


async def test_a_batch_goes_when_its_members_have_gone(app: Holdfast, shop: Shop, outsider: Any) -> None:
    async with shop.batch(on_success=None, on_finish=None) as batch:
        batch.add(shop.part, 1)
    await app.drain()
    name = (await outsider.fetchval("SELECT tableoid::regclass::text FROM holdfast.job")).rpartition("_")[2]
    for table in ("job", "outcome"):
        await outsider.execute(f"ALTER TABLE holdfast.{table} DETACH PARTITION holdfast.{table}_{name}")
    await outsider.execute("SELECT holdfast.drop_detached_v1($1)", name)
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.batch_member") == 0
    await outsider.execute("UPDATE holdfast.storage SET lowest_id = $1", batch.id + 1)
    await outsider.execute("SELECT holdfast.sweep_v1(100)")
    with pytest.raises(BatchNotFound):
        await app.batches.show(batch.id)
