"""R3, R4, R6: answers cut off, the server killed, sessions terminated: nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg

from holdfast.db.embedded import OwnedServer
from tests.acceptance.cutting_proxy import CuttingProxy
from tests.acceptance.fleet import Fleet, Load, come_to_rest, dice, patience, read_database, rounds, strike
from tests.acceptance.history import doubled, lost, troubles
from tests.waiting import eventually

FleetOn = Callable[..., Fleet]
LoadOn = Callable[[str], Load]


@patience(180)
async def test_r3_answers_cut_off_lose_nothing_and_double_nothing(
    ledger_url: str, fleet_on: FleetOn, load_on: LoadOn
) -> None:
    async with CuttingProxy(ledger_url, dice(), one_in=40) as proxy:
        fleet, load = fleet_on(proxy.url), load_on(proxy.url)
        await load.open()
        fleet.start(2)
        load.begin(4)
        await eventually(lambda: len(fleet.executions()) > 20, within_seconds=20)
        proxy.cutting = True
        cuts = rounds(20)
        await eventually(lambda: proxy.cuts >= cuts, within_seconds=60 + 2 * cuts)
        await load.enough()
        proxy.cutting = False

        history = await come_to_rest(ledger_url, load, fleet)
        await load.close()
        fleet.end()
    assert troubles(history) == []


@patience(240)
async def test_r4_a_server_killed_under_load_loses_nothing(
    durable_server: OwnedServer, durable_url: str, fleet_on: FleetOn, load_on: LoadOn
) -> None:
    fleet, load = fleet_on(durable_url), load_on(durable_url)
    await load.open()
    fleet.start(2)
    pids = [process.pid for process in fleet.processes]
    load.begin(4)

    async def crash(_: int) -> None:
        before = len(fleet.executions())
        await eventually(lambda: len(fleet.executions()) > before + 50, within_seconds=30)
        durable_server.crash()
        await asyncio.to_thread(durable_server.start)

    await strike(rounds(3), 1.0, crash)
    await eventually_more(fleet)
    await load.enough()

    assert troubles(await come_to_rest(durable_url, load, fleet)) == []
    assert [process.pid for process in fleet.processes if process.poll() is None] == pids, (
        "a worker did not heal itself"
    )


async def eventually_more(fleet: Fleet) -> None:
    """The workers are at work again, without anybody having restarted them."""
    before = len(fleet.executions())
    await eventually(lambda: len(fleet.executions()) > before, within_seconds=20)


@patience(120)
async def test_a_producer_that_acknowledges_too_early_is_caught(
    durable_server: OwnedServer, durable_url: str, load_on: LoadOn
) -> None:
    """The broken build of R4: it says "stored" while the transaction is still open."""
    load = load_on(durable_url)
    connection = await asyncpg.connect(durable_url)
    await connection.execute("begin")
    job = await connection.fetchval("""select holdfast.enqueue('ping', '{"n": 1}', queue => 'default')""")
    load.history.acknowledged[1] = job
    durable_server.crash()
    await asyncio.to_thread(durable_server.start)
    connection.terminate()

    connection = await asyncpg.connect(durable_url)
    await read_database(connection, load.history)
    await connection.close()
    assert lost(load.history)


async def test_a_producer_that_repeats_with_new_ids_is_caught(ledger_url: str, load_on: LoadOn) -> None:
    """The broken build of R3: after a lost answer it sends the request again as a new job."""
    load = load_on(ledger_url)
    connection = await asyncpg.connect(ledger_url)
    for _ in range(2):
        job = await connection.fetchval("""select holdfast.enqueue('ping', '{"n": 1}', queue => 'default')""")
        load.history.acknowledged[1] = job
    await read_database(connection, load.history)
    await connection.close()
    assert doubled(load.history)


@patience(180)
async def test_r6_sessions_terminated_at_random_harm_nobody(
    ledger_url: str, fleet_on: FleetOn, load_on: LoadOn
) -> None:
    fleet, load, die = fleet_on(ledger_url), load_on(ledger_url), dice()
    await load.open()
    fleet.start(2)
    load.begin(3)
    connection = await asyncpg.connect(ledger_url)

    async def terminate(_: int) -> None:
        """Any session but ours: claims, flushes, listeners, liveness sessions, producers."""
        pids = await connection.fetch(
            "select pid from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid() order by pid"
        )
        await connection.execute("select pg_terminate_backend($1)", die.choice(pids)["pid"])

    await eventually(lambda: len(fleet.executions()) > 20, within_seconds=20)
    await strike(rounds(40), 0.1, terminate)
    await eventually_more(fleet)
    await load.enough()
    await connection.close()

    assert troubles(await come_to_rest(ledger_url, load, fleet)) == []
    assert all(process.poll() is None for process in fleet.processes), "a worker did not heal itself"
