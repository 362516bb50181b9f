"""Projecting processes killed, frozen, started and ended while others append: no event twice, missing or late.

The scenarios of an event-sourced application that only real processes show: repartition under load, a kill between
handler and checkpoint, an owner that comes back too late, two processes with one key. The others are in
tests/rooms/events/projections.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.acceptance.fleet import dice, patience, rounds, soak_seconds
from tests.acceptance.projectors import LEASE_SECONDS, ProjectorFleet, Writers, everything_handled
from tests.interleavings.stage import Stage
from tests.rooms.events.projections.serving import Log
from tests.rooms.events.projections.test_fence import UNGUARDED
from tests.waiting import eventually

Start = Callable[..., ProjectorFleet]


@pytest.fixture
async def url(database_url: str) -> str:
    connection = await asyncpg.connect(database_url)
    await Log(connection).make_history()
    await connection.close()
    return database_url


@pytest.fixture
def projectors(url: str, tmp_path: Path) -> Iterator[ProjectorFleet]:
    fleet = ProjectorFleet(url, tmp_path)
    yield fleet
    fleet.end()


async def judged(url: str) -> None:
    """The read model is what a replay of the log would make."""
    connection = await everything_handled(url)
    try:
        assert await Log(connection).check_history() == []
        assert len(await Log(connection).seen()) > 0
    finally:
        await connection.close()


@patience(600)
async def test_kills_freezes_joins_and_leaves_lose_and_double_nothing(url: str, projectors: ProjectorFleet) -> None:
    throw = dice()
    writers = Writers(url, throw)
    projectors.start(2)
    # Over a long time no faster than a few processes that are killed all the time can follow.
    writers.begin(4, pause_seconds=0.05 if soak_seconds() else 0.005)
    for _ in range(1000 if soak_seconds() >= 300 else rounds(8)):
        await asyncio.sleep(throw.random() * 0.6)
        blow = throw.choice(("kill", "freeze", "join", "leave"))
        victim = throw.choice(projectors.processes)
        if blow == "join" or len(projectors.processes) == 1:
            if len(projectors.processes) < 4:
                projectors.start(1)
        elif blow == "kill":
            projectors.kill(victim)
        elif blow == "leave":
            await asyncio.to_thread(_leave_if_it_can, projectors, victim)
        else:
            await projectors.freeze(victim, LEASE_SECONDS * (0.6 + throw.random() * 1.4))
    await writers.enough()
    if not projectors.processes:
        projectors.start(1)
    await judged(url)


def _leave_if_it_can(projectors: ProjectorFleet, victim: Any) -> None:
    """One that has only just been started may not hear a signal yet."""
    try:
        projectors.leave(victim)
    except AssertionError:
        projectors.processes.remove(victim)


async def test_killed_between_handler_and_checkpoint_the_read_model_is_still_a_replay(
    url: str, projectors: ProjectorFleet
) -> None:
    connection = await asyncpg.connect(url)
    await Log(connection).fill(streams=30, events=4)
    (projectors.folder / "die").touch()
    projectors.start(1)
    assert await asyncio.to_thread(projectors.processes[0].wait, 20) == -signal.SIGKILL
    assert await Log(connection).seen() == [], "what was not checkpointed is not there"
    projectors.start(1)
    await connection.close()
    await judged(url)


async def test_an_owner_frozen_longer_than_its_lease_commits_nothing(url: str, projectors: ProjectorFleet) -> None:
    connection = await asyncpg.connect(url)
    log = Log(connection)
    await log.fill(streams=10, events=2)
    (projectors.folder / "wait").touch()
    projectors.start(1)
    waiting = projectors.folder / "waiting"
    await eventually(waiting.exists, within_seconds=20)
    frozen = projectors.processes[0]
    frozen.send_signal(signal.SIGSTOP)
    projectors.start(1)
    (await everything_handled(url)).terminate()
    (projectors.folder / "go").touch()
    frozen.send_signal(signal.SIGCONT)
    await log.fill(streams=10, events=2)
    await connection.close()
    await judged(url)
    connection = await asyncpg.connect(url)
    by = await connection.fetch("select distinct by from seen where position <= 20")
    assert [row["by"] for row in by] == [str(projectors.processes[1].pid)]
    await connection.close()


@pytest.mark.parametrize("guarded", [True, False], ids=["this build", "the checkpoint is not guarded"])
async def test_an_owner_that_comes_back_to_its_commit_is_refused(
    url: str,
    projectors: ProjectorFleet,
    guarded: bool,  # noqa: FBT001 - the broken build is a parameter
) -> None:
    connection = await asyncpg.connect(url)
    log = Log(connection)
    await log.fill(streams=10, events=2)
    if not guarded:
        async with Stage(url) as stage:
            await stage.install(UNGUARDED)
    await connection.execute("select pg_advisory_lock(77)")
    (projectors.folder / "wait for the lock").touch()
    projectors.start(1)
    waiting = projectors.folder / "waiting"
    await eventually(waiting.exists, within_seconds=20)
    late = projectors.processes[0]
    late.send_signal(signal.SIGSTOP)
    projectors.start(1)
    (await everything_handled(url)).terminate()
    handled = await log.seen()
    late.send_signal(signal.SIGCONT)
    await connection.execute("select pg_advisory_unlock(77)")

    async def answered() -> bool:
        return "has taken partitions over" in projectors.said or await log.seen() != handled

    await eventually(answered, within_seconds=20)
    assert (await log.check_history() == []) is guarded
    await connection.close()


async def test_from_one_to_two_to_three_under_load_and_back(url: str, projectors: ProjectorFleet) -> None:
    writers = Writers(url, dice())
    writers.begin(3)
    connection = await asyncpg.connect(url)

    async def owners(count: int) -> bool:
        rows = await connection.fetch(
            "select owner, count(*) from holdfast.projection_partition"
            " where projection = 'history' and owner is not null group by owner"
        )
        sizes = [row["count"] for row in rows]
        return len(sizes) == count and sum(sizes) == 64 and max(sizes) - min(sizes) <= 1

    for count in (1, 2, 3):
        projectors.start(1)
        await eventually(lambda count=count: owners(count), within_seconds=20)  # type: ignore[misc]
    for count in (2, 1):
        projectors.leave(projectors.processes[0])
        await eventually(lambda count=count: owners(count), within_seconds=20)  # type: ignore[misc]
    await writers.enough()
    await connection.close()
    await judged(url)


async def test_one_command_runs_several_processes_and_ends_them_in_order(url: str, projectors: ProjectorFleet) -> None:
    projectors.start(1, "--workers=2")
    connection = await asyncpg.connect(url)

    async def shared() -> bool:
        owners = "select count(distinct owner) from holdfast.projection_partition where owner is not null"
        return int(await connection.fetchval(owners)) == 2

    await eventually(shared, within_seconds=20)
    projectors.leave(projectors.processes[0])
    assert await connection.fetchval("select count(*) from holdfast.projector") == 0
    await connection.close()


async def test_a_job_for_every_event_and_only_one_though_the_trigger_dies(url: str, tmp_path: Path) -> None:
    fleet = ProjectorFleet(url, tmp_path, name="welcoming")
    connection = await asyncpg.connect(url)
    try:
        await Log(connection).fill(streams=20, events=3)
        (tmp_path / "die in the trigger").touch()
        fleet.start(1)
        await asyncio.to_thread(fleet.processes[0].wait, 20)
        fleet.start(2)

        async def all_enqueued() -> bool:
            return await _jobs(connection) >= 60

        await eventually(all_enqueued, within_seconds=20)
        rows = await connection.fetch("select (args ->> 'position')::bigint as position from holdfast.every_job")
        assert sorted(row["position"] for row in rows) == await Log(connection).all_positions()
    finally:
        fleet.end()
        await connection.close()


async def _jobs(connection: Any) -> int:
    return int(await connection.fetchval("select count(*) from holdfast.every_job"))


async def test_a_second_process_with_the_same_key_ends_with_an_error_that_says_so(
    url: str, projectors: ProjectorFleet
) -> None:
    projectors.start(1, PARTITION_KEY="1", TOTAL_PARTITIONS="4")
    connection = await asyncpg.connect(url)

    async def served() -> bool:
        return bool(await connection.fetchval("select exists (select from holdfast.projector where partition_key = 1)"))

    await eventually(served, within_seconds=20)
    await connection.close()
    projectors.start(1, PARTITION_KEY="1", TOTAL_PARTITIONS="4")
    assert await asyncio.to_thread(projectors.processes[1].wait, 20) == 3
    assert "has partition key 1 of 4 already" in projectors.said
    projectors.start(1, TOTAL_PARTITIONS="4")
    assert await asyncio.to_thread(projectors.processes[2].wait, 20) == 2
    assert "PARTITION_KEY is not set in this process" in projectors.said
