"""What goes wrong without the guards: each schedule finds nothing in this build, and something in a broken one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.db import Statement
from tests.interleavings.stage import Mutation, Stage
from tests.rooms.events.projections.serving import Log, note, serving, shares
from tests.waiting import eventually

GUARD = "AND t.epoch = n.epoch AND t.checkpoint = n.old"
UNGUARDED = Mutation("the checkpoint is not guarded", (("checkpoint_v1", GUARD, ""),))
WITHOUT_EPOCH = Mutation(
    "the checkpoint does not look at the epoch", (("checkpoint_v1", GUARD, "AND t.checkpoint = n.old"),)
)
SAME_EPOCH = Mutation("a takeover keeps the epoch", (("hold_partitions_v1", "epoch = t.epoch + 1", "epoch = t.epoch"),))
NAIVE_READER = Mutation(
    "the reader goes as far as the sequence", (("bounds_v1", "holdfast.settled_v1()", "holdfast.last_position_v1()"),)
)
PARKED_BEHIND_ITS_BACK = Mutation(
    "an operator parks a stream without a new epoch", (("park_stream_v1", "epoch = t.epoch + 1", "epoch = t.epoch"),)
)
PAUSE_WITHOUT_FENCE = Mutation(
    "a pause does not fence", (("fence_partitions_v1", "epoch = t.epoch + 1", "epoch = t.epoch"),)
)
RESET_FORGETS_EFFECTS = Mutation(
    "a reset forgets which effects were made",
    (("reset_projection_v1", "effects_after = greatest(t.effects_after, t.checkpoint)", "effects_after = 0"),),
)
Schedule = Callable[[Holdfast, Log], Awaitable[list[str]]]


class Slow:
    """A handler that waits inside its transaction, once it is told to."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self.go = asyncio.Event()
        self._waited = False

    async def handle(self, tx: Any, event: Any) -> None:
        await note(tx, event)
        if not self._waited:
            self._waited = True
            self.waits.set()
            await self.go.wait()


async def all_there(log: Log) -> bool:
    return set(await log.all_positions()) <= set(await log.seen())


async def late_owner(app: Holdfast, log: Log) -> list[str]:
    """An owner that lost its lease in the middle of a batch commits after its successor."""
    slow = Slow()
    app.projection("history")(slow.handle)
    await log.fill(streams=10, events=3)
    async with serving(app) as first:
        await asyncio.wait_for(slow.waits.wait(), 10)
        await log.connection.execute("delete from holdfast.projector")
        async with serving(app):
            await eventually(lambda: all_there(log))
            slow.go.set()
            await eventually(lambda: _idle(first))
    return await log.check_history()


async def _idle(projectors: Any) -> bool:
    """It has noticed: it holds something under a new number, or nothing."""
    return projectors.projectors[0]._id is not None


async def takeover_before_any_checkpoint(app: Holdfast, log: Log) -> list[str]:
    """The successor holds the partition, and has not moved the checkpoint when the late owner commits."""
    slow = Slow()
    app.projection("history")(slow.handle)
    await log.append("s-1", {"n": 1})
    troubles: list[str] = []
    async with serving(app):
        await asyncio.wait_for(slow.waits.wait(), 10)
        await log.connection.execute("delete from holdfast.projector")
        other = await log.connection.fetchval(
            "select projector from holdfast.register_projector_v1('history', 1, null, null, null, 'h', 1, '1 hour')"
        )
        held = await log.connection.fetch("select * from holdfast.hold_partitions_v1($1, '1 hour')", other)
        assert len(held) == 64
        slow.go.set()

        async def answered() -> bool:
            again = await log.connection.fetchval(
                "select count(*) from holdfast.projector where id <> $1 and projection = 'history'", other
            )
            return bool(again) or bool(await log.seen())

        await eventually(answered)
        if await log.seen():
            troubles.append("an owner without a lease has committed")
    return troubles


async def parked_while_a_batch_is_under_way(app: Holdfast, log: Log) -> list[str]:
    """An operator parks a stream that the batch in flight holds an event of; later it is let go."""
    slow = Slow()
    app.projection("history")(slow.handle)
    await log.append("s-1", {"n": 1})
    async with serving(app):
        await asyncio.wait_for(slow.waits.wait(), 10)
        await app.projections.park("history", "s-1")
        slow.go.set()
        (other,) = await log.append("s-2", {"n": 1})
        await app.projections.caught_up("history", other)
        await app.projections.unpark("history")

        async def let_go() -> bool:
            return await app.projections.parked("history") == []

        await eventually(let_go)
    return await log.check_history()


async def paused_while_a_batch_is_under_way(app: Holdfast, log: Log) -> list[str]:
    """What is under way when a pause returns is not committed any more."""
    slow = Slow()
    app.projection("history")(slow.handle)
    await log.append("s-1", {"n": 1})
    async with serving(app) as process:
        await asyncio.wait_for(slow.waits.wait(), 10)
        await app.projections.pause("history")
        slow.go.set()
        await shares(process, sizes=[0])
        return [f"{position} was applied after the pause" for position in await log.seen()]


async def late_commit_of_an_early_position(app: Holdfast, log: Log) -> list[str]:
    """A lower position becomes visible after a higher one was."""
    app.projection("history")(note)
    async with serving(app), Stage(app.database.url) as stage:
        (writer,) = await stage.sessions("writer")
        await writer.begin()
        await writer.connection.fetch('select * from holdfast.append_events(\'s-1\', \'[{"type": "T", "data": {}}]\')')
        # Of the same partition: the checkpoint would pass the one that is still to come.
        same = await log.connection.fetchval(
            "select 's-' || n from generate_series(2, 999) as n"
            " where holdfast.partition_of('s-' || n) = holdfast.partition_of('s-1') limit 1"
        )
        await log.append(same, {"n": 1})

        await _let_it_look(app)
        await writer.commit()
        await log.tick()
        await log.tick()
        await _let_it_look(app)
    return await log.check_history()


async def _let_it_look(app: Holdfast) -> None:
    """Until every partition is as far as this build lets it go."""
    there = Statement(
        "there",
        "select min(t.checkpoint) >= (select settled from holdfast.bounds_v1('history', 1))"
        " from holdfast.projection_partition t",
    )

    async def has_looked() -> bool:
        return bool(await app.database.fetchval(there))

    await eventually(has_looked)


async def reset_of_what_had_effects(app: Holdfast, log: Log) -> list[str]:
    """A replay enqueues nothing that was enqueued before."""

    @app.task
    async def welcome(position: int) -> None: ...

    @app.projection("history")
    async def history(tx: Any, event: Any) -> None:
        await note(tx, event)
        await welcome.using(tx).enqueue(event.position)

    await log.fill(streams=4, events=1)
    async with serving(app):
        await eventually(lambda: all_there(log))
        await app.projections.reset("history", keep_rows=True)

        async def again() -> bool:
            return len(await log.seen()) == 8

        await eventually(again)
    jobs = await log.connection.fetchval("select count(*) from holdfast.job")
    return [] if jobs == 4 else [f"{jobs} jobs for 4 events"]


SCHEDULES: tuple[Schedule, ...] = (
    late_owner,
    takeover_before_any_checkpoint,
    parked_while_a_batch_is_under_way,
    paused_while_a_batch_is_under_way,
    late_commit_of_an_early_position,
    reset_of_what_had_effects,
)
CAUGHT_BY: tuple[tuple[Mutation, Schedule], ...] = (
    (UNGUARDED, late_owner),
    (UNGUARDED, takeover_before_any_checkpoint),
    (UNGUARDED, paused_while_a_batch_is_under_way),
    (WITHOUT_EPOCH, takeover_before_any_checkpoint),
    (SAME_EPOCH, takeover_before_any_checkpoint),
    (PARKED_BEHIND_ITS_BACK, parked_while_a_batch_is_under_way),
    (PAUSE_WITHOUT_FENCE, paused_while_a_batch_is_under_way),
    (NAIVE_READER, late_commit_of_an_early_position),
    (RESET_FORGETS_EFFECTS, reset_of_what_had_effects),
)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.__name__)
async def test_nothing_is_doubled_skipped_or_written_too_late(app: Holdfast, log: Log, schedule: Schedule) -> None:
    assert await schedule(app, log) == []


@pytest.mark.parametrize(("broken", "schedule"), CAUGHT_BY, ids=lambda value: getattr(value, "__name__", str(value)))
async def test_a_broken_build_is_caught(
    app: Holdfast, log: Log, database_url: str, broken: Mutation, schedule: Schedule
) -> None:
    async with Stage(database_url) as stage:
        await stage.install(broken)
    assert await schedule(app, log) != []
