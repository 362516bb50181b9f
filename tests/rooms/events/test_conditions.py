"""Decisions over tags: read, decide, append only if it still holds."""

from __future__ import annotations

import asyncio

import pytest

from holdfast import Event, Holdfast, Match
from holdfast.errors import ConditionFailed, EventsInvalid
from holdfast.events import Condition

COURSE = Match(types=("Enrolled",), tags=("course:7",))


def enrolled(student: int, course: int = 7) -> Event:
    return Event("Enrolled", {"student": student}, tags=(f"course:{course}", f"student:{student}"))


async def test_a_decision_holds_until_a_matching_event_comes(app: Holdfast) -> None:
    decision = await app.events.decide(COURSE)
    assert decision.events == []
    await app.events.append("x", enrolled(1, course=8), condition=decision.condition)
    await app.events.append("x", Event("Renamed", {}, tags=("course:7",)), condition=decision.condition)
    await app.events.append("x", enrolled(2), condition=decision.condition)

    with pytest.raises(ConditionFailed, match="Enrolled") as refused:
        await app.events.append("x", enrolled(3), condition=decision.condition)
    (winner,) = refused.value.winners
    assert (winner.type, winner.version) == ("Enrolled", 3)


async def test_what_a_decision_saw_does_not_speak_against_it_though_it_is_not_settled(
    app: Holdfast, database_url: str
) -> None:
    for student in range(5):  # each sees the one before, long before any tick
        decision = await app.events.decide(COURSE)
        assert len(decision.events) == student
        await app.events.append(f"student-{student}", enrolled(student), condition=decision.condition)


@pytest.mark.parametrize(
    "matches",
    [
        Match(tags=("name:ada",)),
        Match(types=("Claimed",)),
        [Match(tags=("nobody",)), Match(types=("Claimed", "Taken"), tags=("name:ada", "kind:user"))],
    ],
    ids=["tag", "type", "several"],
)
async def test_of_many_decisions_at_once_one_is_carried_out(app: Holdfast, matches: Match | list[Match]) -> None:
    async def race(number: int) -> bool:
        decision = await app.events.decide(matches)
        if decision.events:
            return False
        try:
            event = Event("Claimed", {}, tags=("name:ada", "kind:user"))
            await app.events.append(f"user-{number}", event, condition=decision.condition)
        except ConditionFailed:
            return False
        return True

    assert sum(await asyncio.gather(*map(race, range(12)))) == 1


async def test_a_course_never_takes_more_than_its_seats(app: Holdfast) -> None:
    async def enrol(student: int) -> None:
        while True:
            decision = await app.events.decide(COURSE)
            if len(decision.events) >= 5:
                return
            try:
                await app.events.append(f"student-{student}", enrolled(student), condition=decision.condition)
            except ConditionFailed:
                continue
            return

    await asyncio.gather(*map(enrol, range(15)))

    assert len((await app.events.decide(COURSE)).events) == 5


def test_a_condition_on_nothing_is_refused() -> None:
    for words in ((), ("a",)):
        with pytest.raises(EventsInvalid):
            Match(types="Enrolled", tags=words)  # type: ignore[arg-type]
    with pytest.raises(EventsInvalid):
        Match()


async def test_a_condition_is_a_condition(app: Holdfast) -> None:
    with pytest.raises(EventsInvalid, match="a condition is a Condition"):
        await app.events.append("x", enrolled(1), condition=COURSE)  # type: ignore[arg-type]
    with pytest.raises(EventsInvalid, match="without a match"):
        await app.events.decide([])
    nothing_after = Condition((COURSE,), after=10**9)
    assert (await app.events.append("x", enrolled(1), condition=nothing_after)).version == 1
