"""Events that fail: retried, parked by stream or stopped by partition, found in batches, skipped with a reason."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from holdfast import Holdfast, Retry
from holdfast.errors import ConfigurationError, ProjectionError, ProjectionUnknown
from tests.rooms.events.projections.serving import Log, drain, note, serving
from tests.waiting import eventually

AT_ONCE = Retry(max_attempts=3, delay_seconds=0.0)
ONLY_ONCE = Retry(max_attempts=1)


@dataclass
class Counted:
    n: int


class Poison:
    """A handler that notes what it gets, and fails at these positions until it is cured."""

    def __init__(self, *positions: int) -> None:
        self.positions = set(positions)
        self.tries: list[int] = []

    async def one(self, tx: Any, event: Any) -> None:
        self.tries.append(event.position)
        if event.position in self.positions:
            raise ValueError(f"cannot bear {event.position}")
        await note(tx, event)

    async def many(self, tx: Any, events: list[Any]) -> None:
        for event in events:
            await self.one(tx, event)


@pytest.mark.parametrize("many", [False, True])
async def test_a_poison_event_parks_its_stream_and_others_go_on(app: Holdfast, log: Log, many: bool) -> None:  # noqa: FBT001
    await log.fill(streams=20, events=5)
    bad = await log.connection.fetchval("select position from holdfast.event where stream = 's-7' and version = 2")
    poison = Poison(bad)
    app.projection("history", retry=ONLY_ONCE)(poison.many if many else poison.one)
    await drain(app)
    after = await log.connection.fetch("select position from holdfast.event where stream = 's-7' and version > 1")
    assert sorted(await log.seen()) == sorted(set(await log.all_positions()) - {row[0] for row in after})
    (parked,) = await app.projections.parked("history")
    assert (parked.stream, parked.position, parked.attempts, parked.retry_at) == ("s-7", bad, 1, None)
    assert parked.error is not None
    assert parked.error["message"] == f"cannot bear {bad}"
    await log.append("s-7", {"n": 9})
    await drain(app)
    assert len(await log.seen()) == 96, "later events of the stream wait behind it"

    poison.positions.clear()
    assert await app.projections.unpark("history", "s-7") == 1
    await drain(app)
    assert await log.check_history() == []
    assert await app.projections.parked("history") == []
    (new,) = await log.append("s-7", {"n": 10})
    await drain(app)
    assert (await log.seen())[-1] == new


async def test_a_failure_that_passes_is_retried_and_nobody_is_asked(app: Holdfast, log: Log) -> None:
    (bad,) = await log.append("s-1", {"n": 1})
    await log.append("s-1", {"n": 2})
    left = [2]

    @app.projection("history", retry=AT_ONCE)
    async def history(tx: Any, event: Any) -> None:
        if event.position == bad and left[0]:
            left[0] -= 1
            raise ValueError("not yet")
        await note(tx, event)

    async with serving(app):
        await eventually(lambda: _all_there(log))
    assert await app.projections.parked("history") == []


async def _all_there(log: Log) -> bool:
    return await log.check_history() == []


async def test_attempts_are_counted_up_to_the_policys_end(app: Holdfast, log: Log) -> None:
    (bad,) = await log.append("s-1", {"n": 1})
    poison = Poison(bad)
    app.projection("history", retry=AT_ONCE)(poison.one)
    async with serving(app):

        async def given_up() -> bool:
            parked = await app.projections.parked("history")
            return bool(parked) and parked[0].attempts == 3 and parked[0].retry_at is None

        await eventually(given_up)


async def test_skip_passes_over_one_event_and_keeps_the_reason(app: Holdfast, log: Log, outsider: Any) -> None:
    first, bad, last = await log.append("s-1", {"n": 1}, {"n": 2}, {"n": 3})
    app.projection("history", retry=ONLY_ONCE)(Poison(bad).one)
    await drain(app)
    with pytest.raises(ConfigurationError, match="needs a reason"):
        await app.projections.skip("history", "s-1", reason=" ")
    with pytest.raises(ProjectionError, match="waits at no event"):
        await app.projections.skip("history", "s-2", reason="because")
    assert await app.projections.skip("history", "s-1", reason="a test booking") == bad
    await drain(app)
    assert await log.seen() == [first, last]
    kept = await outsider.fetchrow("select stream, position, reason, error ->> 'message' from holdfast.projection_skip")
    assert tuple(kept) == ("s-1", bad, "a test booking", f"cannot bear {bad}")


async def test_policy_stop_stops_before_the_event_and_resume_goes_on_behind_the_cure(app: Holdfast, log: Log) -> None:
    first, bad, last = await log.append("s-1", {"n": 1}, {"n": 2}, {"n": 3})
    poison = Poison(bad)
    app.projection("history", on_failure="stop", retry=ONLY_ONCE)(poison.one)
    await log.fill(streams=5, events=1, prefix="other")
    await drain(app)
    assert len(await log.seen()) == 1 + 5
    (info,) = await app.projections.list()
    assert info.stopped == 1
    assert info.problems[-1] == "1 partitions stopped at an event that fails"
    await drain(app)
    assert poison.tries.count(bad) <= 3, "a stopped partition is left alone"
    poison.positions.clear()
    assert await app.projections.resume("history")
    await drain(app)
    assert await log.check_history() == []
    assert [p for p in await log.seen() if p in (first, bad, last)] == [first, bad, last]


async def test_policy_stop_can_skip_too(app: Holdfast, log: Log) -> None:
    first, bad, last = await log.append("s-1", {"n": 1}, {"n": 2}, {"n": 3})
    app.projection("history", on_failure="stop", retry=ONLY_ONCE)(Poison(bad).one)
    await drain(app)
    assert await app.projections.skip("history", "s-1", reason="known to be wrong") == bad
    await drain(app)
    assert await log.seen() == [first, last]


async def test_a_stream_parked_by_hand_waits_and_is_handled_once_when_it_is_let_go(app: Holdfast, log: Log) -> None:
    app.projection("history")(note)
    async with serving(app):
        (before,) = await log.append("s-1", {"n": 1})
        await app.projections.caught_up("history", before)
        await app.projections.park("history", "s-1", reason="disputed")
        await log.append("s-1", {"n": 2}, {"n": 3})
        (other,) = await log.append("s-2", {"n": 1})
        await app.projections.caught_up("history", other)
        assert await log.seen() == [before, other]
        (parked,) = await app.projections.parked("history")
        assert (parked.stream, parked.reason) == ("s-1", "disputed")
        await app.projections.unpark("history")
        await eventually(lambda: _all_there(log))


async def test_contention_is_nobodys_fault_and_is_tried_again(app: Holdfast, log: Log) -> None:
    left = [2]

    @app.projection("history", retry=ONLY_ONCE)
    async def history(tx: Any, event: Any) -> None:
        if left[0]:
            left[0] -= 1
            await tx.execute("do $$ begin raise exception 'x' using errcode = '40P01'; end $$")
        await note(tx, event)

    await log.append("s-1", {"n": 1})
    await drain(app)
    assert await log.check_history() == []


async def test_a_statement_that_failed_and_was_swallowed_is_the_handlers_failure(app: Holdfast, log: Log) -> None:
    (bad,) = await log.append("s-1", {"n": 1})
    await log.fill(streams=10, events=2, prefix="other")

    @app.projection("history", retry=ONLY_ONCE)
    async def history(tx: Any, event: Any) -> None:
        if event.position == bad:
            try:
                await tx.execute("select 1/0")
            except Exception:  # noqa: BLE001 - this is the mistake
                return
        await note(tx, event)

    await drain(app)
    (parked,) = await app.projections.parked("history")
    assert parked.position == bad
    assert len(await log.seen()) == 20


async def test_a_type_that_nobody_knows_is_a_failure_of_that_event(app: Holdfast, log: Log) -> None:
    app.event(Counted)

    @app.projection("history", types=("Counted", "Unheard"), retry=ONLY_ONCE)
    async def history(tx: Any, event: Counted) -> None: ...

    await log.append("s-1", {"n": 1})
    await log.append("s-2", {"n": 1}, type="Unheard")
    await drain(app)
    (parked,) = await app.projections.parked("history")
    assert parked.stream == "s-2"


async def test_a_handler_that_hangs_fails_in_time(app: Holdfast, log: Log) -> None:
    @app.projection("history", timeout_seconds=0.05, retry=ONLY_ONCE)
    async def history(tx: Any, event: Any) -> None:
        await asyncio.Event().wait()

    await log.append("s-1", {"n": 1})
    await drain(app)
    (parked,) = await app.projections.parked("history")
    assert parked.error is not None
    assert parked.error["type"] == "TimeoutError"


async def test_verbs_know_what_there_is(app: Holdfast) -> None:
    for verb in (app.projections.pause, app.projections.resume, app.projections.retire, app.projections.parked):
        with pytest.raises(ProjectionUnknown, match="no projection 'nothing'"):
            await verb("nothing")
