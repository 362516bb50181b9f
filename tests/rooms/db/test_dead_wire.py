"""A network that swallows everything: every await ends by its deadline, and all comes back when the network does."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.clock import monotonic
from holdfast.db import Database, Listener, Statement
from tests.rooms.db.wire import Wire
from tests.waiting import eventually

PID = Statement("pid", "select pg_backend_pid()")


async def test_statements_and_closing_end_by_their_deadlines(database_url: str) -> None:
    async with Wire(database_url).laid() as wire:
        database = Database(wire.url)
        await database.open(10)
        await database.fetch(PID)
        wire.die()
        started = monotonic()
        with pytest.raises(TimeoutError):
            await database.fetch(PID, timeout_seconds=0.3)
        assert monotonic() - started < 8
        held = await database.control.acquire()
        stuck = asyncio.create_task(held.fetch(PID.sql))
        started = monotonic()
        await database.close(0.3)
        assert monotonic() - started < 3
        assert not (await asyncio.wait([stuck], timeout=5))[1]
        assert stuck.exception() is not None


async def test_statements_go_on_when_the_wire_is_mended(database_url: str) -> None:
    async with Wire(database_url).laid() as wire:
        database = Database(wire.url)
        await database.open(10)
        await database.fetch(PID)
        wire.die()
        with pytest.raises(TimeoutError):
            await database.fetch(PID, timeout_seconds=0.2)
        wire.revive()
        assert await database.fetchval(PID, timeout_seconds=10)
        await database.close()


async def test_the_listener_notices_and_comes_back(database_url: str) -> None:
    async with Wire(database_url).laid() as wire, Database(database_url, direct_url=wire.url) as database:
        listener = Listener(database, keepalive_seconds=0.1, statement_seconds=0.3)
        await listener.start()
        assert await listener.hold_shared(1, 2)
        wire.die()
        await eventually(lambda: listener.mode == "poll", within_seconds=5)
        assert not await listener.hold_shared(1, 3)
        wire.revive()
        await eventually(lambda: listener.mode == "notify", within_seconds=20)
        await eventually(lambda: listener.held == {(1, 2), (1, 3)})
        wire.die()
        started = monotonic()
        await listener.stop(0.5)
        assert monotonic() - started < 2
        wire.revive()
