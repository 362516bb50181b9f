"""Nothing is skipped, nothing is out of order, however many write; a stall names its cause; a restore is adopted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from holdfast import Event, Holdfast
from holdfast.db.embedded import OwnedServer
from holdfast.errors import LogBehind, TimedOut
from holdfast.events import TickerService
from holdfast.telemetry import subscribe
from tests.interleavings.broken_logs import (
    FENCE_FORGETS_PREPARED,
    NAIVE_READER,
    POSITION_BEFORE_THE_LOCK,
    TICK_LOOKS_AT_WRITERS_FIRST,
    TICK_WITHOUT_FENCE,
)
from tests.interleavings.event_schedules import Reader
from tests.interleavings.stage import Mutation, Stage
from tests.rooms.events.order_load import run_load
from tests.rooms.working import make_worker
from tests.waiting import eventually

_APPEND = """select position from holdfast.append_events($1, '[{"type": "T", "data": {}}]')"""

_LOADS = 8


async def test_many_writers_lose_nothing_and_invert_nothing(database_url: str) -> None:
    for account in await run_load(database_url, writers=16, transactions=40):
        assert account.events > 600
        assert account.wrong == 0, account


@pytest.mark.parametrize(
    "broken",
    [NAIVE_READER, TICK_WITHOUT_FENCE, TICK_LOOKS_AT_WRITERS_FIRST, POSITION_BEFORE_THE_LOCK],
    ids=str,
)
async def test_the_same_load_finds_a_broken_log(database_url: str, broken: Mutation) -> None:
    async with Stage(database_url) as stage:
        await stage.install(broken)

    # Which of the writers meets the fault is chance: now and then a load ends well although the log is broken.
    for _ in range(_LOADS):
        if sum(account.wrong for account in await run_load(database_url, writers=16, transactions=40)):
            return
    pytest.fail(f"{_LOADS} loads have not found it out")


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_24_writers_for_90_seconds(database_url: str) -> None:
    for account in await run_load(database_url, writers=24, seconds=90):
        assert account.wrong == 0, account


@pytest.mark.parametrize("broken", [None, FENCE_FORGETS_PREPARED], ids=str)
async def test_a_prepared_append_is_waited_for_over_a_crash(
    durable_server: OwnedServer, durable_database_url: str, broken: Mutation | None
) -> None:
    """The ticker's memory survives the server; the transaction then has another name."""
    async with Stage(durable_database_url) as stage:
        if broken is not None:
            await stage.install(broken)
        writer, other = await stage.sessions("writer", "other")
        reader = Reader(stage.watch)
        await writer.begin()
        await writer.connection.fetchval(_APPEND, "a")
        await other.connection.fetchval(_APPEND, "b")
        assert await reader.look() == []
        await writer.connection.execute("prepare transaction 'p'")
    durable_server.crash()
    durable_server.start()

    async with Stage(durable_database_url) as stage:
        reader.connection = stage.watch
        passed = await reader.look()
        await stage.watch.execute("commit prepared 'p'")
        await reader.look()
        given = [stream for stream, _, _ in reader.given]
    assert (passed == [] and given == ["a", "b"]) is (broken is None)


async def test_caught_up_waits_for_open_appends_and_names_them(
    app: Holdfast, outsider: asyncpg.Connection[Any]
) -> None:
    await outsider.execute("set application_name = 'the slow one'")
    transaction = outsider.transaction()
    await transaction.start()
    await outsider.fetchval(_APPEND, "slow")
    mine = await app.events.append("fast", Event("T", {}))

    with pytest.raises(TimedOut, match=f"pid {outsider.get_server_pid()} .the slow one"):
        await app.events.caught_up(mine.position, timeout_seconds=0.1)
    state = await app.events.state()
    (holder,) = state.stalled_by
    assert holder.pid == outsider.get_server_pid()
    assert holder.application == "the slow one"
    assert holder.age_seconds is not None
    assert "append_events" in (holder.query or "")

    waiting = asyncio.create_task(app.events.caught_up(mine.position))
    await transaction.commit()
    await waiting
    assert [event.stream for event in (await app.events.read()).events] == ["slow", "fast"]


async def test_a_prepared_append_is_named(app: Holdfast, outsider: asyncpg.Connection[Any]) -> None:
    await outsider.execute("begin")
    await outsider.fetchval(_APPEND, "slow")
    await outsider.execute("prepare transaction 'from the till'")

    (holder,) = (await app.events.state()).stalled_by

    assert (holder.pid, holder.prepared) == (None, "from the till")
    assert "from the till" in str(holder)
    await outsider.execute("rollback prepared 'from the till'")


async def test_after_a_restore_appends_are_refused_until_the_log_is_adopted(
    app: Holdfast, outsider: asyncpg.Connection[Any]
) -> None:
    for number in range(5):
        await app.events.append(f"s-{number}", Event("T", {}))
    await app.events.settled()
    await outsider.execute("create table kept as select * from holdfast.event")
    await outsider.execute("alter table holdfast.event disable trigger event_is_append_only")
    await outsider.execute("delete from holdfast.event where position = 3")
    await outsider.execute("select setval('holdfast.event_position', 2)")

    assert (await app.events.state()).behind
    with pytest.raises(LogBehind, match="adopt"):
        await app.events.append("late", Event("T", {}))

    state = await app.events.adopt()
    assert not state.behind
    done = await app.events.append("late", Event("T", {}))
    assert done.position == 6
    await app.events.caught_up(6)


async def test_the_log_is_append_only(app: Holdfast, outsider: asyncpg.Connection[Any]) -> None:
    await app.events.append("a", Event("T", {}))

    for statement in (
        "update holdfast.event set data = '{}'",
        "delete from holdfast.event",
        "truncate holdfast.event",
    ):
        with pytest.raises(asyncpg.PostgresError, match="append-only"):
            await outsider.execute(statement)


async def test_positions_are_drawn_one_by_one(outsider: asyncpg.Connection[Any]) -> None:
    cache = await outsider.fetchval("select cache_size from pg_sequences where sequencename = 'event_position'")

    assert cache == 1


@asynccontextmanager
async def hearing() -> AsyncIterator[list[tuple[str, Mapping[str, Any]]]]:
    heard: list[tuple[str, Mapping[str, Any]]] = []
    stop = subscribe(lambda name, fields: heard.append((name, fields)))
    try:
        yield heard
    finally:
        stop()


async def test_a_worker_ticks_says_who_stalls_it_and_when_it_goes_on(
    app: Holdfast, outsider: asyncpg.Connection[Any], database_url: str
) -> None:
    worker = make_worker(app, services=[TickerService(stall_seconds=0.05)])
    serving = asyncio.create_task(worker.run())
    watching = await asyncpg.connect(database_url)

    async def settled() -> int:
        return int(await watching.fetchval("select holdfast.settled_v1()"))

    async def settled_at_one() -> bool:
        return await settled() == 1

    async def settled_at_two() -> bool:
        return await settled() == 2

    async with hearing() as heard:
        await outsider.fetchval(_APPEND, "a")
        await eventually(settled_at_one)
        transaction = outsider.transaction()
        await transaction.start()
        await outsider.fetchval(_APPEND, "b")
        await eventually(lambda: [name for name, _ in heard if name == "events.watermark.stalled"])
        await transaction.commit()
        await eventually(settled_at_two)
        await eventually(lambda: [name for name, _ in heard if name == "events.watermark.resumed"])
    worker.stop()
    await asyncio.wait_for(serving, 10)
    await watching.close()

    (fields,) = [fields for name, fields in heard if name == "events.watermark.stalled"]
    assert fields["pid"] == outsider.get_server_pid()
    assert "append_events" in fields["query"]


async def test_workers_leave_ticking_to_the_lowest_number_that_does_it(
    app: Holdfast, outsider: asyncpg.Connection[Any]
) -> None:
    workers = [make_worker(app, services=[TickerService()]) for _ in range(2)]
    serving = [asyncio.create_task(worker.run()) for worker in workers]
    await eventually(lambda: all(worker.id for worker in workers))
    low, high = sorted(workers, key=lambda worker: worker.id)

    async def ticked_by(number: int) -> bool:
        position = await outsider.fetchval(_APPEND, "a")

        async def published() -> int | None:
            found = await outsider.fetchval("select ticker from holdfast.tick where position >= $1 limit 1", position)
            return None if found is None else int(found)

        return await eventually(published) == number

    await eventually(lambda: ticked_by(low.id))
    low.stop()
    await eventually(lambda: ticked_by(high.id))
    high.stop()
    await asyncio.wait_for(asyncio.gather(*serving), 10)


async def test_old_ticks_are_thinned_and_the_newest_stays(app: Holdfast, outsider: asyncpg.Connection[Any]) -> None:
    await outsider.execute(
        "insert into holdfast.tick (position, at, ticker)"
        " select n, now() - interval '3 days' + n * interval '100 milliseconds', 1 from generate_series(1, 1200) as n"
    )
    await outsider.execute("insert into holdfast.tick values (5000, now() - interval '2 days', 1)")

    await outsider.fetchval("select holdfast.thin_ticks_v1()")

    left = await outsider.fetchval("select count(*) from holdfast.tick")
    assert 3 <= left <= 4
    assert await outsider.fetchval("select max(position) from holdfast.tick") == 5000


async def test_keys_are_forgotten_by_age(app: Holdfast, outsider: asyncpg.Connection[Any]) -> None:
    await app.events.append("a", Event("T", {}), idempotency_key="k")
    await outsider.execute("set holdfast.clock_offset = '3 days'")

    assert await outsider.fetchval("select holdfast.forget_append_keys_v1(4, 10)") == 0
    assert await outsider.fetchval("select holdfast.forget_append_keys_v1(2, 10)") == 1
