"""Every verb is tried on every place of a real server, and the answer is the one that the table of moves gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from holdfast import Holdfast
from holdfast.errors import IllegalMove
from holdfast.jobs import BEFORE_GATES, FINAL, MOVES, Claimed, Place, Verb, legal_verbs
from tests.rooms.jobs.hand import Hand, assert_conserved, stale
from tests.rooms.jobs.hand import admit as opened
from tools.states import PAGE, picture, with_picture


@dataclass
class Stage:
    """One job, its worker, and somebody who comes from outside."""

    app: Holdfast
    outsider: Any
    hand: Hand
    job_id: int
    claimed: Claimed | None = None

    async def place(self) -> str:
        return (await self.app.jobs.show(self.job_id)).state

    def attempt(self) -> Claimed:
        """The running attempt; where there is none, that of somebody who believes that the job is his."""
        if self.claimed is not None:
            return self.claimed
        return stale(Claimed(self.job_id, self.hand.worker << 36, "default", 5, 1, 0, "t", "{}", None, None, None, 0.0))


async def reach(app: Holdfast, outsider: Any, place: Place, *, lane: str | None = None) -> Stage:
    """A job that stands in the given place; ``lane``: one that has a gate before it."""

    @app.task
    async def work() -> None: ...

    request = work.options(
        run_in="1h" if place is Place.SCHEDULED else None, lane="a" if place is Place.BLOCKED else lane
    )
    stage = Stage(app, outsider, await Hand.registered(app.database), await request.enqueue())
    if lane and place not in (Place.SCHEDULED, Place.BLOCKED):
        await opened(app)
    if place in (Place.RUNNING, Place.COMPLETED, Place.FAILED):
        stage.claimed = await stage.hand.claim_one()
    if place is Place.COMPLETED:
        await stage.hand.complete(stage.attempt())
    elif place is Place.FAILED:
        await stage.hand.fail(stage.attempt())
    elif place is Place.CANCELLED:
        await app.jobs.cancel(stage.job_id)
    if place is not Place.RUNNING and stage.claimed is not None:
        stage.claimed = stale(stage.claimed)
    assert await stage.place() == place
    return stage


async def promote(stage: Stage) -> bool:
    async with stage.outsider.transaction():
        await stage.outsider.execute("SET LOCAL holdfast.clock_offset = '2 hours'")
        return bool(await stage.outsider.fetchval("SELECT promoted FROM holdfast.promote_v1('-infinity', 10)"))


async def admit(stage: Stage) -> bool:
    return bool(await opened(stage.app))


async def claim(stage: Stage) -> bool:
    return bool(await (await Hand.registered(stage.app.database)).claim())


async def complete(stage: Stage) -> bool:
    return not await stage.hand.complete(stage.attempt())


async def fail(stage: Stage) -> bool:
    return not await stage.hand.fail(stage.attempt())


async def postpone(stage: Stage) -> bool:
    return not await stage.hand.retry_later(stage.attempt())


async def give_back(stage: Stage) -> bool:
    return not await stage.hand.give_back(stage.attempt())


async def rescue(stage: Stage) -> bool:
    return bool(await stage.hand.die())


async def cancel(stage: Stage) -> bool:
    return (await stage.app.jobs.cancel(stage.job_id))[stage.job_id] in ("cancelled", "requested")


async def retry(stage: Stage) -> bool:
    try:
        await stage.app.jobs.retry(stage.job_id)
    except IllegalMove:
        return False
    return True


DEEDS: dict[Verb, Callable[[Stage], Awaitable[bool]]] = {
    Verb.PROMOTE: promote,
    Verb.ADMIT: admit,
    Verb.CLAIM: claim,
    Verb.COMPLETE: complete,
    Verb.FAIL: fail,
    Verb.POSTPONE: postpone,
    Verb.RETURN: give_back,
    Verb.RESCUE: rescue,
    Verb.CANCEL: cancel,
    Verb.RETRY: retry,
}


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("place", Place)
async def test_a_verb_moves_a_job_exactly_as_the_table_says(
    app: Holdfast, outsider: Any, place: Place, verb: Verb
) -> None:
    stage = await reach(app, outsider, place)
    accepted = await DEEDS[verb](stage)
    assert accepted == ((place, verb) in MOVES)
    assert await stage.place() == MOVES.get((place, verb), place)
    await assert_conserved(app.database)


@pytest.mark.parametrize(("place", "verb"), BEFORE_GATES)
async def test_what_makes_others_ready_puts_a_job_with_gates_before_them(
    app: Holdfast, outsider: Any, place: Place, verb: Verb
) -> None:
    stage = await reach(app, outsider, place, lane="a")
    assert await DEEDS[verb](stage)
    assert await stage.place() == BEFORE_GATES[place, verb] == Place.BLOCKED
    await assert_conserved(app.database)
    assert await admit(stage)
    assert await stage.place() == Place.READY


@pytest.mark.parametrize("verb", [Verb.COMPLETE, Verb.FAIL, Verb.POSTPONE, Verb.RETURN])
async def test_nothing_is_accepted_from_a_lease_that_does_not_exist(app: Holdfast, outsider: Any, verb: Verb) -> None:
    stage = await reach(app, outsider, Place.RUNNING)
    stage.claimed = stale(stage.attempt())
    assert not await DEEDS[verb](stage)
    assert await stage.place() == Place.RUNNING
    await assert_conserved(app.database)


async def test_a_verb_that_is_not_legal_says_what_is(app: Holdfast, outsider: Any) -> None:
    stage = await reach(app, outsider, Place.READY)
    with pytest.raises(IllegalMove, match=r"is ready and cannot be retried\n.*: cancel"):
        await app.jobs.retry(stage.job_id)


async def test_a_row_of_a_place_cannot_be_updated_by_accident_into_two(app: Holdfast, outsider: Any) -> None:
    stage = await reach(app, outsider, Place.SCHEDULED)
    with pytest.raises(asyncpg.UniqueViolationError):
        await outsider.execute("INSERT INTO holdfast.scheduled SELECT * FROM holdfast.scheduled")
    assert await stage.place() == Place.SCHEDULED


def test_nothing_but_retry_moves_a_job_out_of_a_final_place() -> None:
    assert {verb for place in FINAL for verb in legal_verbs(place)} == {Verb.RETRY}


def test_every_place_can_be_reached_and_left_for_a_final_one() -> None:
    reached = {Place.READY, Place.SCHEDULED, Place.BLOCKED}  # by enqueue
    for _ in Place:
        reached |= {target for (place, _), target in MOVES.items() if place in reached}
    assert reached == set(Place)
    ends = set(FINAL)
    for _ in Place:
        ends |= {place for (place, _), target in MOVES.items() if target in ends}
    assert ends == set(Place)


def test_the_picture_in_the_docs_is_drawn_from_the_table() -> None:
    page = (Path(__file__).parents[3] / PAGE).read_text()
    assert with_picture(page) == page, "run `python -m tools.states`"
    for place, verb in MOVES:
        assert f"{place}" in picture()
        assert f": {verb}" in picture()
