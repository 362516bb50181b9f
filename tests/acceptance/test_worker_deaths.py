"""R1, R2, rolling restarts and poison: what becomes of the work of processes that are killed, stopped or replaced."""

from __future__ import annotations

import signal
from collections.abc import Callable

import asyncpg
import pytest

from tests.acceptance.fleet import Fleet, Load, come_to_rest, dice, patience, rounds, strike
from tests.acceptance.history import History, effects_not_once, troubles
from tests.interleavings.gate import DIES, GATE, gated
from tests.interleavings.stage import Mutation, Stage
from tests.waiting import eventually

FleetOn = Callable[..., Fleet]
LoadOn = Callable[[str], Load]

_OUTCOME = "VALUES (p_job, p_lease, 1, p_attempt, v_now - p_took_us * interval '1 microsecond', v_now, p_result)"
NO_FENCE = Mutation(
    "a transactional completion is accepted without a lease",
    (
        ("finish_solo_v1", "IF NOT FOUND THEN", "IF false THEN"),
        ("finish_solo_v1", f"{_OUTCOME};\n    ELSE", f"{_OUTCOME} ON CONFLICT DO NOTHING;\n    ELSE"),
    ),
)
EVERY_LOSS_COUNTS = Mutation(
    "every job that is lost with its worker counts as its murderer",
    (
        (
            "rescue_lease_v1",
            (
                """EXISTS (SELECT FROM holdfast.loss o WHERE o.job_id = j AND o.reason IS NULL)
           AND NOT EXISTS (SELECT FROM holdfast.loss o"""
                " WHERE o.counted AND o.reason IS NULL AND o.lease >> 36 = p_lease >> 36)"
            ),
            "true",
        ),
    ),
)


@patience(180)
async def test_r1_workers_killed_in_a_loop_lose_nothing_and_double_nothing(
    ledger_url: str, fleet_on: FleetOn, load_on: LoadOn
) -> None:
    fleet, load, die = fleet_on(ledger_url), load_on(ledger_url), dice()
    await load.open()
    fleet.start(3)
    load.begin(4)

    async def kill(_: int) -> None:
        victim = die.randrange(3)
        fleet.signal(victim, signal.SIGKILL)
        fleet.replace(victim)

    await eventually(lambda: len(fleet.executions()) > 20, within_seconds=20)
    await strike(rounds(8), 1.0, kill)
    await load.enough()

    assert troubles(await come_to_rest(ledger_url, load, fleet)) == []


async def stop_and_go(url: str, fleet: Fleet, load: Load) -> None:
    """A worker is stopped within its handler for longer than the silence limit, replaced, and continued."""
    await load.open()
    fleet.start(1)
    job = await load.enqueue("pay_stubbornly")
    await eventually(lambda: len(fleet.executions()) == 1, within_seconds=20)
    fleet.signal(0, signal.SIGSTOP)
    fleet.start(1)
    await eventually((fleet.folder / f"answered-{job}-2").exists, within_seconds=30)
    (fleet.folder / "go").touch()  # so that the handler writes before anybody can have told it anything
    fleet.signal(0, signal.SIGCONT)
    await eventually((fleet.folder / f"answered-{job}-1").exists, within_seconds=20)


@pytest.mark.alone
@patience(120)
async def test_r2_a_worker_stopped_beyond_its_silence_limit_writes_nothing(
    ledger_url: str, fleet_on: FleetOn, load_on: LoadOn
) -> None:
    fleet, load = fleet_on(ledger_url, silence_seconds=2), load_on(ledger_url)

    await stop_and_go(ledger_url, fleet, load)

    history = await come_to_rest(ledger_url, load, fleet)
    assert len(history.executions) == 2
    assert troubles(history) == []


@pytest.mark.alone
@patience(120)
async def test_r2_without_the_fence_the_checker_sees_two_effects(
    ledger_url: str, fleet_on: FleetOn, load_on: LoadOn
) -> None:
    fleet, load = fleet_on(ledger_url, silence_seconds=2), load_on(ledger_url)
    async with Stage(ledger_url) as stage:
        await stage.install(NO_FENCE)

    await stop_and_go(ledger_url, fleet, load)

    assert effects_not_once(await come_to_rest(ledger_url, load, fleet))


@patience(120)
async def test_r18_rolling_restarts_give_interrupted_jobs_back_at_once(
    ledger_url: str, fleet_on: FleetOn, load_on: LoadOn
) -> None:
    fleet = fleet_on(ledger_url, shutdown_soft_seconds=0.1, shutdown_hard_seconds=8)
    load = load_on(ledger_url)
    await load.open()
    fleet.start(2)
    load.begin(3, ("linger", "pay", "ping"))
    await eventually(lambda: len(fleet.executions()) > 20, within_seconds=20)

    async def roll(turn: int) -> None:
        fleet.signal(turn % 2, signal.SIGTERM)
        fleet.replace(turn % 2)

    await strike(rounds(4), 1.5, roll)
    await load.enough()

    history = await come_to_rest(ledger_url, load, fleet)
    assert troubles(history) == []
    assert len(history.executions) > len(history.jobs), "nothing was interrupted, so nothing was tested"
    connection = await asyncpg.connect(ledger_url)
    assert await connection.fetchval("select count(*) from holdfast.loss") == 0, "a job had to be rescued"
    assert await connection.fetchval("select max(attempt) from holdfast.every_outcome") == 1
    await connection.close()


async def ended_badly(url: str, fleet: Fleet, load: Load) -> tuple[int, History]:
    """A job that reads where there is nothing, among 199 good ones; its id, and what became of all."""
    await load.open()
    poison = 0
    for n in range(200):
        job = await load.enqueue("poison" if n == 100 else "ping")
        assert job is not None
        poison = job if n == 100 else poison
    fleet.start(1)
    connection = await asyncpg.connect(url)

    async def all_ended() -> bool:
        if fleet.processes[0].poll() is not None:
            fleet.replace(0)
        return int(await connection.fetchval("select count(*) from holdfast.every_outcome")) == 200

    await eventually(all_ended, within_seconds=60)
    history = await come_to_rest(url, load, fleet)
    await connection.close()
    return poison, history


@patience(120)
async def test_f19_a_job_that_segfaults_among_199_good_ones_fails_alone(
    ledger_url: str, fleet_on: FleetOn, load_on: LoadOn
) -> None:
    poison, history = await ended_badly(ledger_url, fleet_on(ledger_url, max_losses=2), load_on(ledger_url))

    assert [job for job, how in history.ended.items() if how != "completed"] == [poison]
    assert history.executions.count(poison) == 3, "once among others, then twice alone"
    assert troubles(history) == []


@patience(120)
async def test_f19_a_rescue_that_counts_every_loss_fails_innocent_jobs(
    ledger_url: str, fleet_on: FleetOn, load_on: LoadOn
) -> None:
    async with Stage(ledger_url) as stage:
        await stage.install(EVERY_LOSS_COUNTS)

    poison, history = await ended_badly(ledger_url, fleet_on(ledger_url, max_losses=1), load_on(ledger_url))

    assert [job for job, how in history.ended.items() if how != "completed"] != [poison]


@patience(120)
@pytest.mark.parametrize(("function", "point"), [("payload_v1", 0), ("finish_v1", -1), ("finish_solo_v1", -1)])
async def test_f4_a_process_killed_while_its_statement_is_under_way_loses_nothing(
    ledger_url: str, fleet_on: FleetOn, load_on: LoadOn, function: str, point: int
) -> None:
    """What it had sent (a claim, a completion, the end of a transaction) goes on, and commits after it is dead."""
    fleet, load = fleet_on(ledger_url), load_on(ledger_url)
    async with Stage(ledger_url) as stage:
        await stage.watch.execute((await gated(stage, function))[point])
        (gate,) = await stage.sessions("gate")
        await gate.connection.execute(f"select pg_advisory_lock({GATE}, 0)")
        name = await stage.watch.fetchval("select current_database()")
        await stage.watch.execute(f"alter database {name} set {DIES} = 'here'")
        await load.open()
        for task in ("pay", "ping") * 5:
            await load.enqueue(task)
        fleet.start(1)
        waits = f"select exists (select from pg_locks where classid = {GATE} and not granted)"
        await eventually(lambda: stage.watch.fetchval(waits), within_seconds=30)
        fleet.signal(0, signal.SIGKILL)
        fleet.replace(0)
        await gate.connection.execute(f"select pg_advisory_unlock({GATE}, 0)")

        assert troubles(await come_to_rest(ledger_url, load, fleet)) == []
