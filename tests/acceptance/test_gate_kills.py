"""Workers killed at random while jobs run behind gates: no limit is exceeded, no slot leaks, lanes keep their order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import asyncpg
import pytest

from tests.acceptance.fleet import Fleet, Load, come_to_rest, dice, patience, strike
from tests.acceptance.history import troubles
from tests.interleavings.broken_gates import SLOTS_OUTLIVE_THEIR_JOBS
from tests.interleavings.stage import Stage
from tests.queue_calls import QueueCalls
from tests.waiting import eventually

_LOOK_EVERY_SECONDS = 0.05
_CONCURRENCY = 40
"""Who asks for so many at a time takes them straight from before their limit."""
FleetOn = Callable[..., Fleet]
LoadOn = Callable[[str], Load]


def gates_of(caller: int, turn: int) -> str | None:
    """A lane for each caller, limits that all share, a rate that binds; and jobs without any."""
    narrow = (f"lane:{caller}", "limit:l:", f"lane:{caller}\nlimit:l:", "limit:l:\nrate:r:")
    return (None, *narrow, "limit:wide:")[turn % 6]


async def look_on(url: str, seen: list[str]) -> None:
    """Whatever breaks the law of gates in any snapshot."""
    connection = await asyncpg.connect(url)
    try:
        while True:
            seen += await QueueCalls(connection).gate_troubles()
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
    finally:
        await connection.close()


async def kill_behind_gates(url: str, fleet: Fleet, load: Load, times: int) -> list[str]:
    """Strike so often; returns what was found wrong while it went on and at the end."""
    die = dice()
    connection = await asyncpg.connect(url)
    await QueueCalls(connection).limit("l", 3)
    await QueueCalls(connection).limit("wide", 60)
    await connection.execute("select holdfast.declare_limits_v1('{rate:r}', '{20}', '{1000000}', array['{}']::jsonb[])")
    await load.open()
    fleet.start(3)
    seen: list[str] = []
    log_bytes = [0]
    watching = asyncio.create_task(look_on(url, seen))
    load.begin(4, gates=gates_of)

    async def kill(_: int) -> None:
        # Each blow meets a fleet at work: where processes start slowly, it would only ever meet newborns.
        await eventually(lambda: fleet.log_bytes() > log_bytes[-1], within_seconds=60)
        log_bytes.append(fleet.log_bytes())
        victim = die.randrange(3)
        fleet.signal(victim, signal.SIGKILL)
        fleet.replace(victim)

    await eventually(lambda: len(fleet.executions()) > 20, within_seconds=30)
    await strike(times, 1.0, kill)
    await load.enough()
    try:
        seen += troubles(await come_to_rest(url, load, fleet, within_seconds=60))
    except AssertionError as error:
        seen.append(f"it does not come to rest: {error}")
    watching.cancel()
    seen += [f"slot left behind: {row}" for row in await connection.fetch("select * from holdfast.every_slot")]
    seen += await out_of_order(connection)
    if not await connection.fetchval("select is_called from holdfast.lease_slot_number"):
        seen.append("no claim took jobs straight from before their limit: that path was not tried")
    await connection.close()
    return seen


async def out_of_order(connection: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    """Jobs of a lane that ended before one enqueued earlier; each lane had one caller, who waited for each answer."""
    rows = await connection.fetch(
        """with done as (
               select split_part(j.gates, E'\\n', 1) as lane, j.id, (j.args->>'n')::integer as n, o.finished_at
               from holdfast.every_job j join holdfast.every_outcome o on o.job_id = j.id where j.gates like 'lane:%')
           select d.lane, d.id from (
               select lane, id, finished_at, max(finished_at) over (
                   partition by lane order by n rows between unbounded preceding and 1 preceding) as earlier
               from done) as d
           where d.earlier > d.finished_at"""
    )
    return [f"{row['lane']}: job {row['id']} overtook" for row in rows]


@patience(180)
async def test_workers_killed_behind_gates_leak_no_slot_and_exceed_no_limit(
    ledger_url: str, fleet_on: FleetOn, load_on: LoadOn
) -> None:
    fleet = fleet_on(ledger_url, concurrency=_CONCURRENCY)
    assert await kill_behind_gates(ledger_url, fleet, load_on(ledger_url), 6) == []


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_two_hundred_kills_behind_gates(ledger_url: str, fleet_on: FleetOn, load_on: LoadOn) -> None:
    fleet = fleet_on(ledger_url, concurrency=_CONCURRENCY)
    assert await kill_behind_gates(ledger_url, fleet, load_on(ledger_url), 200) == []


@patience(120)
async def test_slots_that_outlive_their_jobs_are_seen(ledger_url: str, fleet_on: FleetOn, load_on: LoadOn) -> None:
    """The checker can fail: a build that keeps the slots of what has ended."""
    async with Stage(ledger_url) as stage:
        await stage.install(SLOTS_OUTLIVE_THEIR_JOBS)
    load = load_on(ledger_url)
    fleet = fleet_on(ledger_url)
    connection = await asyncpg.connect(ledger_url)
    calls = QueueCalls(connection)
    await calls.limit("l", 3)
    await load.open()
    for _ in range(3):
        await load.enqueue("ping", "limit:l:")
    fleet.start(1)

    async def seen() -> bool:
        return any("has ended" in trouble for trouble in await calls.gate_troubles())

    await eventually(seen, within_seconds=30)
    await connection.close()
