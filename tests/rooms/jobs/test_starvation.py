"""Priority is an order, no wall: behind an endless flood of urgent jobs the others are claimed, too."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.jobs import claim_order
from holdfast.jobs.claim_order import LEVELS, ClaimOrder
from tests.rooms.jobs.hand import Hand


class Clock:
    """A monotonic clock moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(claim_order, "monotonic", lambda: self.now)


def first_level(order: ClaimOrder) -> int:
    return order.levels(exact=True)[1][0]


def test_urgent_levels_come_first_until_one_has_waited_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    order = ClaimOrder(["q"], ageing_seconds=5.0)
    assert [first_level(order) for _ in range(20)] == [0] * 20
    clock.now += 5.0
    assert [first_level(order) for _ in range(10)] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert [first_level(order) for _ in range(20)] == [0] * 20
    clock.now += 5.0
    assert sorted(order.levels(exact=True)[1]) == sorted(LEVELS)


async def test_a_job_of_the_last_level_is_claimed_from_behind_an_endless_flood(
    app: Holdfast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every claim finds more urgent jobs than it takes. Without ageing the last level would never have a turn."""

    @app.task
    async def work() -> None: ...

    clock = Clock(monkeypatch)
    starving = await work.options(priority=9).enqueue()
    assert await _claims_until(app, work, starving, clock, ageing_seconds=float("inf")) is None
    assert await _claims_until(app, work, starving, clock, ageing_seconds=5.0) is not None


async def _claims_until(app: Holdfast, work: Any, starving: int, clock: Clock, *, ageing_seconds: float) -> int | None:
    hand = await Hand.registered(app.database)
    hand.hot.order = ClaimOrder(["default"], ageing_seconds=ageing_seconds)
    for turn in range(20):
        await work.options(priority=0).enqueue_many([()] * 4)
        clock.now += 1.0
        claimed = await hand.claim(3)
        if starving in [job.id for job in claimed]:
            return turn
        await hand.complete(*claimed)
    return None
