"""The watermarks of claims: they skip what is gone, and never what is there or still to come."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.jobs import Claimed, Task
from tests.rooms.jobs.hand import Hand


@pytest.fixture
def work(app: Holdfast) -> Task[..., Any]:
    @app.task
    async def work(n: int = 0) -> None: ...

    return work


async def settled(hand: Hand, *, turns: int = 3) -> None:
    for _ in range(turns):
        await hand.hot.settle_marks()


async def claim_from_marks(hand: Hand) -> list[Claimed]:
    """As a worker claims most of the time: from where it believes the rest to be."""
    batch = await hand.hot.work([], 100)
    await hand.hot.close()
    return batch.claimed


async def test_the_first_job_of_a_database_is_found_by_a_worker_that_settled_its_marks_before(
    app: Holdfast, work: Task[..., Any]
) -> None:
    hand = await Hand.registered(app.database)
    await settled(hand)
    job_id = await work.enqueue()
    assert [job.id for job in await hand.claim()] == [job_id]


async def test_marks_move_up_behind_what_was_claimed(app: Holdfast, work: Task[..., Any], outsider: Any) -> None:
    hand = await Hand.registered(app.database)
    await work.enqueue_many([(n,) for n in range(50)])
    await hand.claim()
    await settled(hand)
    assert min(hand.hot.order._settled.values()) == 51
    late = await work.enqueue()
    assert [job.id for job in await claim_from_marks(hand)] == [late]


async def test_a_job_committed_long_after_its_place_was_drawn_is_found(
    app: Holdfast, work: Task[..., Any], outsider: Any
) -> None:
    hand = await Hand.registered(app.database)
    await settled(hand)
    late = outsider.transaction()
    await late.start()
    first = await work.using(outsider).enqueue()
    second = await work.enqueue()
    assert [job.id for job in await hand.claim()] == [second]
    await settled(hand)
    assert hand.hot.order._settled["default", 5] <= 1  # somebody of then still writes
    await late.commit()
    assert [job.id for job in await hand.claim()] == [first]
    await settled(hand)
    assert hand.hot.order._settled["default", 5] == 3


async def test_a_long_transaction_of_somebody_else_does_not_hold_the_marks_for_ever(
    app: Holdfast, work: Task[..., Any], outsider: Any
) -> None:
    """It wrote into the queue after the number in question was drawn, so it cannot bring one from before."""
    hand = await Hand.registered(app.database)
    await work.enqueue_many([()] * 10)
    await hand.claim()
    await hand.hot.settle_marks()
    late = outsider.transaction()
    await late.start()
    await work.using(outsider).enqueue()
    await settled(hand)
    assert hand.hot.order._settled["default", 5] >= 11
    await late.rollback()


async def test_jobs_given_back_are_found_above_the_marks(app: Holdfast, work: Task[..., Any]) -> None:
    hand = await Hand.registered(app.database)
    ids = await work.enqueue_many([()] * 5)
    claimed = await hand.claim()
    await settled(hand)
    await hand.give_back(*claimed)
    assert [job.id for job in await claim_from_marks(hand)] == ids


async def test_what_another_worker_skipped_is_found_within_an_exact_look(
    app: Holdfast, work: Task[..., Any], outsider: Any
) -> None:
    """A row locked for a moment is passed by; hints move beyond it, settled marks do not."""
    hand = await Hand.registered(app.database)
    ids = await work.enqueue_many([()] * 5)
    async with outsider.transaction():
        await outsider.execute("SELECT FROM holdfast.ready WHERE job_id = $1 FOR UPDATE", ids[1])
        assert [job.id for job in await hand.claim()] == [ids[0], *ids[2:]]
        await settled(hand)
    assert [job.id for job in await hand.claim()] == [ids[1]]
