"""A server that goes away and comes back while pools are open and somebody listens."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.db import Database, Fault, Listener, Statement, classify
from holdfast.db.embedded import OwnedServer
from tests.waiting import eventually

PID = Statement("pid", "select pg_backend_pid()")


async def test_pools_and_listener_come_back_after_a_crash(durable_server: OwnedServer) -> None:
    async with Database(durable_server.url) as database:
        listener = Listener(database)
        back = asyncio.Event()
        listener.on_reconnect(back.set)
        await listener.start()
        assert await listener.hold_shared(5, 6)
        sleeping = asyncio.create_task(database.fetch(Statement("sleep", "select pg_sleep(60)")))
        await eventually(lambda: database.user.get_size() == 1 and database.user.get_idle_size() == 0)
        await asyncio.to_thread(durable_server.crash)
        # What was under way is lost, and says so; nothing hangs.
        with pytest.raises(Exception) as caught:  # noqa: PT011
            await asyncio.wait_for(sleeping, 10)
        assert classify(caught.value) is Fault.CONNECTION_LOST
        await eventually(lambda: listener.mode == "poll")
        assert listener.held == frozenset()
        # Asked while the server is away, answered when it is back.
        early = asyncio.create_task(database.fetchval(PID, timeout_seconds=30))
        early_control = asyncio.create_task(database.fetchval(PID, pool="control", timeout_seconds=30))
        await asyncio.to_thread(durable_server.start)
        assert await early
        assert await early_control
        await asyncio.wait_for(back.wait(), 15)
        assert listener.held == {(5, 6)}
        await listener.stop()


async def test_opening_waits_for_a_server_that_starts_later(durable_server: OwnedServer) -> None:
    await asyncio.to_thread(durable_server.crash)
    database = Database(durable_server.url)
    opening = asyncio.create_task(database.open(30))
    await asyncio.to_thread(durable_server.start)
    await opening
    assert await database.fetchval(PID)
    await database.close()
