from __future__ import annotations

import asyncio

import asyncpg
import pytest

from holdfast.errors import DatabaseUnavailable
from holdfast.leases import Limits, WorkerFacts
from holdfast.worker import ThreadLifeline
from tests.waiting import eventually

FACTS = WorkerFacts(name="test", queues=("default",), concurrency=1)


async def test_it_registers_tells_and_retires(database_url: str) -> None:
    told: list[str] = []
    loop_of: list[asyncio.AbstractEventLoop] = []
    lifeline = ThreadLifeline(database_url, limits=Limits(beat_seconds=0.2))

    def lost(reason: str) -> None:
        told.append(reason)
        loop_of.append(asyncio.get_running_loop())

    lifeline.set_callbacks(on_lost=lost, on_cut_off=lambda: None, on_restored=lambda: None)
    assert not lifeline.may_work()
    worker = await lifeline.start(FACTS)
    assert lifeline.may_work()

    admin = await asyncpg.connect(database_url)
    await admin.fetchval("SELECT holdfast.declare_dead_v1($1, 'by hand')", worker)
    await eventually(lambda: told == ["declared dead"])
    assert loop_of == [asyncio.get_running_loop()]
    assert not lifeline.may_work()

    await lifeline.close(5)
    assert await admin.fetchval("SELECT count(*) FROM pg_locks WHERE classid IN (1212568, 1212569)") == 0
    await admin.close()


async def test_a_clean_end_is_written_down(database_url: str) -> None:
    lifeline = ThreadLifeline(database_url)
    worker = await lifeline.start(FACTS)
    await lifeline.close(5)
    await lifeline.close(5)
    admin = await asyncpg.connect(database_url)

    assert await admin.fetchval("SELECT end_reason FROM holdfast.worker WHERE id = $1", worker) == "stopped"
    assert not lifeline.may_work()
    await admin.close()


async def test_a_server_that_does_not_come_is_an_error_in_time() -> None:
    lifeline = ThreadLifeline("postgresql://nobody@127.0.0.1:1/nothing", open_seconds=0.3)
    with pytest.raises(DatabaseUnavailable):
        await lifeline.start(FACTS)
    await lifeline.close(1)


async def test_a_rescue_of_the_callers_runs_on_the_lifelines_database(database_url: str) -> None:
    rescued: list[tuple[bool, int]] = []

    async def rescue(database: object, worker: int) -> int:
        rescued.append((hasattr(database, "control"), worker))
        return 0

    lifeline = ThreadLifeline(database_url, rescue=rescue)
    worker = await lifeline.start(FACTS)
    admin = await asyncpg.connect(database_url)
    await admin.execute(
        "INSERT INTO holdfast.lease (id, job_ids, claimed_at) VALUES ($1, '{}', now())", (worker + 1) << 36
    )
    await admin.close()

    await eventually(lambda: (True, worker + 1) in rescued)
    await lifeline.close(5)


@pytest.mark.parametrize("registering", [False, True])
async def test_a_start_that_is_given_up_leaves_nobody_behind(
    database_url: str, outsider: asyncpg.Connection, *, registering: bool
) -> None:
    lifeline = ThreadLifeline(database_url)
    async with outsider.transaction():
        await outsider.execute("LOCK TABLE holdfast.worker IN ACCESS EXCLUSIVE MODE")
        starting = asyncio.create_task(lifeline.start(FACTS))
        await asyncio.sleep(0)
        if registering:
            await eventually(lambda: outsider.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    thread = lifeline._thread
    assert thread is not None
    await eventually(lambda: not thread.is_alive())
    assert not lifeline.may_work()
