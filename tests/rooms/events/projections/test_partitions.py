"""Who holds which partition: fair shares, hand-over, fixed keys; and what the fence refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from holdfast import Holdfast
from holdfast.errors import ConfigurationError, PartitionTaken
from holdfast.events.projections import FixedPartitions, ProjectorOptions, Projectors, fixed_partitions
from tests.rooms.events.projections.serving import OPTIONS, Log, drain, note, partitions_of, serving, shares
from tests.waiting import eventually

ALL = set(range(64))
REGISTER = (
    "select projector from holdfast.register_projector_v1('history', 1, null, null, null, 'h', 1, '1 minute'::interval)"
)


async def test_declaring_twice_resets_nothing(app: Holdfast, log: Log, outsider: Any) -> None:
    app.projection("history")(note)
    await log.fill(streams=5, events=2)
    await drain(app)
    before = await outsider.fetchval("select sum(checkpoint) from holdfast.projection_partition")
    await drain(app)
    await drain(app)
    assert await outsider.fetchval("select sum(checkpoint) from holdfast.projection_partition") == before
    assert await outsider.fetchval("select count(*) from holdfast.projection_partition") == 64


async def test_one_takes_all_and_shares_with_those_who_join(app: Holdfast, log: Log) -> None:
    app.projection("history")(note)
    async with serving(app) as one:
        await shares(one, sizes=[64])
        async with serving(app) as two:
            await shares(one, two, sizes=[32, 32])
            async with serving(app) as three:
                await shares(one, two, three, sizes=[21, 21, 22])
                held = [partitions_of(each) for each in (one, two, three)]
                assert set.union(*held) == ALL
                assert sum(map(len, held)) == 64
            await shares(one, two, sizes=[32, 32])
        await shares(one, sizes=[64])


async def test_of_more_processes_than_partitions_none_takes_two(app: Holdfast, log: Log, outsider: Any) -> None:
    """The rule itself, without 65 processes: shares differ by at most one and add up to the whole."""
    app.projection("history")(note)
    await drain(app)
    for workers in (3, 7, 10):
        ids = [await outsider.fetchval(REGISTER) for _ in range(workers)]
        for _ in range(3):
            for each in ids:
                await outsider.fetch("select * from holdfast.hold_partitions_v1($1, '1 minute')", each)
        rows = await outsider.fetch("select owner, count(*) from holdfast.projection_partition group by owner")
        sizes = [row["count"] for row in rows]
        assert {row["owner"] for row in rows} == set(ids)
        assert sum(sizes) == 64
        assert max(sizes) - min(sizes) <= 1
        for each in ids:
            await outsider.execute("select holdfast.retire_projector_v1($1)", each)


async def test_an_ordered_end_gives_everything_back_at_once(app: Holdfast, log: Log, outsider: Any) -> None:
    app.projection("history")(note)
    async with serving(app, lease_seconds=3600) as one:
        await shares(one, sizes=[64])
    assert await outsider.fetchval("select count(*) from holdfast.projection_partition where owner is not null") == 0
    assert await outsider.fetchval("select count(*) from holdfast.projector") == 0


async def test_partitions_of_a_worker_declared_dead_are_free_at_once(app: Holdfast, log: Log, outsider: Any) -> None:
    app.projection("history")(note)
    worker = await outsider.fetchval("select holdfast.register_worker_v1('w', 'h', 1, 'i', 'v', '{}', 1, false)")
    await drain(app)
    projector = await outsider.fetchval(
        "select projector from holdfast.register_projector_v1('history', 1, $1, null, null, 'h', 1, '1 hour')", worker
    )
    held = await outsider.fetch("select * from holdfast.hold_partitions_v1($1, '1 hour')", projector)
    assert len(held) == 64
    async with serving(app) as one:
        assert partitions_of(one) == set()
        assert await outsider.fetchval("select holdfast.declare_dead_v1($1, 'gone')", worker)
        await shares(one, sizes=[64])


async def test_a_lease_that_ran_out_is_taken_over_and_its_owner_can_write_nothing(
    app: Holdfast, log: Log, outsider: Any
) -> None:
    app.projection("history")(note)
    await drain(app)
    hold = "select * from holdfast.hold_partitions_v1($1, '1 minute')"
    first = await outsider.fetch(hold, await outsider.fetchval(REGISTER))
    await outsider.execute("set holdfast.clock_offset = '2 minutes'")
    second = await outsider.fetch(hold, await outsider.fetchval(REGISTER))
    assert len(second) == 64
    assert all(new["epoch"] == old["epoch"] + 1 for old, new in zip(first, second, strict=True))
    moved = "select holdfast.checkpoint_v1('history', 1, $1, $2, $3, $4, '1 minute')"
    args = [[0], [first[0]["epoch"]], [first[0]["checkpoint"]], [first[0]["checkpoint"] + 5]]
    assert await outsider.fetchval(moved, *args) == 0
    args[1] = [second[0]["epoch"]]
    assert await outsider.fetchval(moved, *args) == 1
    assert await outsider.fetchval(moved, *args) == 0, "the old checkpoint is part of the guard"


async def test_a_lost_registration_is_made_anew(app: Holdfast, log: Log, outsider: Any) -> None:
    app.projection("history")(note)
    async with serving(app) as one:
        await shares(one, sizes=[64])
        await outsider.execute("delete from holdfast.projector")
        await log.fill(streams=3, events=2)
        await eventually(lambda: _handled(log, 6))
        assert await log.check_history() == []


async def test_fixed_keys_divide_the_partitions(app: Holdfast, log: Log) -> None:
    app.projection("history")(note)
    async with serving(app, key=0, total=3) as zero, serving(app, key=2, total=3) as two:
        await shares(zero, two, sizes=[22, 21])
        assert partitions_of(zero) == {p for p in ALL if p % 3 == 0}
        (info,) = await app.projections.list()
        assert info.problems == ["of 3 fixed partitions nobody has key 1"]
        assert info.state == "partly served"


@pytest.mark.parametrize(
    ("key", "total", "says"),
    [
        (1, 4, "has partition key 1 of 4 already"),
        (0, 3, "counts 4 partitions in all, this one 3"),
        (None, None, "served either by fixed or by elastic workers"),
    ],
)
async def test_two_that_contradict_each_other_are_refused_loudly(
    app: Holdfast, log: Log, key: int | None, total: int | None, says: str
) -> None:
    app.projection("history")(note)
    async with serving(app, key=1, total=4) as first:
        await shares(first, sizes=[16])
        fixed = None if key is None or total is None else FixedPartitions(key, total)
        second = Projectors(app.database, app.declared_projections(), _quick(fixed))
        with pytest.raises(PartitionTaken, match=says):
            await asyncio.wait_for(second.run(), 20)
        (info,) = await app.projections.list()
        assert any(says in problem for problem in info.problems)


async def test_a_restarted_process_gets_its_key_once_the_lease_of_the_dead_one_has_run_out(
    app: Holdfast, log: Log, outsider: Any
) -> None:
    app.projection("history")(note)
    await drain(app)
    await outsider.fetch(
        "select * from holdfast.register_projector_v1('history', 1, null, 1, 4, 'h', 1, '500 milliseconds')"
    )
    async with serving(app, key=1, total=4) as again:
        await shares(again, sizes=[16])


def _quick(fixed: FixedPartitions | None) -> ProjectorOptions:
    return replace(OPTIONS, lease_seconds=0.5, fixed=fixed)


@pytest.mark.parametrize(
    ("key", "total", "says"),
    [
        (None, 4, "PARTITION_KEY is not set in this process"),
        (1, None, "TOTAL_PARTITIONS is not set"),
        (4, 4, "out of range"),
        (-1, 4, "out of range"),
        (0, 0, "between 1 and 64"),
        (0, 65, "between 1 and 64"),
    ],
)
def test_key_and_total_are_looked_at_together(key: int | None, total: int | None, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        fixed_partitions(key, total)


def test_without_key_and_total_partitions_are_elastic() -> None:
    assert fixed_partitions(None, None) is None
    assert fixed_partitions(3, 4) == FixedPartitions(3, 4)


async def _handled(log: Log, count: int) -> bool:
    return len(await log.seen()) == count
