"""The listening session: hints arrive, its loss is noticed and made good, and it never keeps anybody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from holdfast.clock import monotonic
from holdfast.db import Database, Listener
from tests.waiting import eventually

LOCKS = "select classid::int, objid::int from pg_locks where locktype = 'advisory' and pid = $1 and mode = 'ShareLock'"


@pytest.fixture
async def listener(database: Database) -> AsyncIterator[Listener]:
    # So long a keepalive that no test passes because of it.
    made = Listener(database, keepalive_seconds=60)
    yield made
    await made.stop()


async def test_hints_arrive_on_their_channels(listener: Listener, outsider: Any) -> None:
    heard: list[str] = []
    await listener.listen("before", lambda payload: heard.append(f"before {payload}"))
    await listener.start()
    assert listener.mode == "notify"
    await listener.listen("Quoted channel", lambda payload: heard.append(f"quoted {payload}"))
    await listener.listen("before", lambda payload: heard.append(f"also {payload}"))
    await outsider.execute("select pg_notify('before', '1'), pg_notify('Quoted channel', '2'), pg_notify('else', '3')")
    await eventually(lambda: sorted(heard) == ["also 1", "before 1", "quoted 2"])


async def test_nothing_arrives_after_unlisten(listener: Listener, outsider: Any) -> None:
    heard: list[str] = []
    other: list[str] = []
    await listener.start()
    await listener.listen("mine", heard.append)
    await listener.listen("other", other.append)
    await listener.unlisten("mine", heard.append)
    await listener.unlisten("mine", heard.append)
    await outsider.execute("select pg_notify('mine', '1')")
    await outsider.execute("select pg_notify('other', '2')")
    await eventually(lambda: other == ["2"])
    assert heard == []


async def test_a_listener_that_fails_costs_the_others_nothing(listener: Listener, outsider: Any) -> None:
    heard: list[str] = []

    def careless(_payload: str) -> None:
        message = "careless"
        raise RuntimeError(message)

    await listener.start()
    await listener.listen("shared", careless)
    await listener.listen("shared", heard.append)
    await outsider.execute("select pg_notify('shared', 'x')")
    await eventually(lambda: heard == ["x"])


async def test_a_cut_session_comes_back_with_its_channels_and_locks(listener: Listener, outsider: Any) -> None:
    heard: list[str] = []
    story: list[str] = []
    listener.on_lost(lambda: story.append("lost"))
    listener.on_reconnect(lambda: story.append("back"))
    await listener.start()
    await listener.listen("mine", heard.append)
    assert await listener.hold_shared(11, 22)
    assert await listener.hold_shared(11, 23)
    await listener.release(11, 23)
    first = listener.backend_pid
    assert [tuple(row) for row in await outsider.fetch(LOCKS, first)] == [(11, 22)]
    started = monotonic()
    await outsider.execute("select pg_terminate_backend($1)", first)
    await eventually(lambda: story == ["lost", "back"])
    # A live process has to be registered again within a second (F16).
    assert monotonic() - started < 1
    assert listener.backend_pid not in (first, None)
    assert [tuple(row) for row in await outsider.fetch(LOCKS, listener.backend_pid)] == [(11, 22)]
    assert listener.held == {(11, 22)}
    await outsider.execute("select pg_notify('mine', 'x')")
    await eventually(lambda: heard == ["x"])


async def test_calls_from_many_tasks_take_turns(listener: Listener) -> None:
    await listener.start()
    held = await asyncio.gather(*(listener.hold_shared(1, key) for key in range(50)))
    assert all(held)
    await asyncio.gather(
        *(listener.listen(f"channel_{number}", print) for number in range(20)),
        *(listener.release(1, key) for key in range(50)),
    )
    assert listener.held == frozenset()
    assert listener.mode == "notify"


async def test_a_lock_held_exclusively_is_taken_when_it_is_free(database: Database, outsider: Any) -> None:
    listener = Listener(database, keepalive_seconds=0.1)
    await listener.start()
    await outsider.execute("select pg_advisory_lock(7, 8)")
    assert not await listener.hold_shared(7, 8)
    await outsider.execute("select pg_advisory_unlock(7, 8)")
    await eventually(lambda: listener.held == {(7, 8)})
    await listener.stop()


async def test_stopping_frees_the_locks_and_is_no_loss(listener: Listener, outsider: Any) -> None:
    story: list[str] = []
    listener.on_lost(lambda: story.append("lost"))
    await listener.start()
    await listener.hold_shared(3, 4)
    await listener.stop()
    await listener.stop()
    assert listener.mode == "poll"
    assert listener.backend_pid is None
    await eventually(
        lambda: outsider.fetchval(
            "select not exists (select from pg_locks where locktype = 'advisory' and (classid, objid) = (3, 4))"
        )
    )
    assert story == []


async def test_it_can_be_started_again(listener: Listener, outsider: Any) -> None:
    heard: list[str] = []
    await listener.listen("mine", heard.append)
    await listener.start()
    await listener.stop()
    await listener.start()
    await outsider.execute("select pg_notify('mine', 'x')")
    await eventually(lambda: heard == ["x"])


async def test_without_a_direct_url_it_polls_and_says_so_once(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(database_url, pooled=True)
    await database.open(10)
    listener = Listener(database, reprobe_seconds=0.05)
    await listener.start()
    assert listener.mode == "poll"
    assert not await listener.hold_shared(1, 2)
    await listener.listen("mine", print)
    await listener.stop()
    await database.close()
    assert [record.message for record in caplog.records if "no direct URL" in record.message] == [
        "no direct URL is known: polling instead of listening"
    ]


async def test_a_direct_url_that_leads_nowhere_is_polled_around(database_url: str) -> None:
    database = Database(database_url, direct_url="postgresql://nobody@127.0.0.1:1/none")
    await database.open(10)
    listener = Listener(database)
    await listener.start(5)
    assert listener.mode == "poll"
    started = monotonic()
    await listener.stop()
    assert monotonic() - started < 2
    await database.close()


async def test_a_direct_url_to_another_database_is_found_out(
    server: Any, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = server.create_database(migrated=False)
    database = Database(database_url, direct_url=elsewhere)
    await database.open(10)
    listener = Listener(database, probe_seconds=0.3)
    await listener.start()
    assert listener.mode == "poll"
    assert "did not come back" in caplog.text
    await listener.stop()
    await database.close()
    server.drop_database(elsewhere)


async def test_a_lock_that_is_released_while_it_is_being_taken_is_not_held(database: Database, outsider: Any) -> None:
    taking, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Listener):
        async def _take(self, connection: Any, lock: tuple[int, int]) -> None:
            taking.set()
            await go_on.wait()
            await super()._take(connection, lock)

    listener = Slow(database, keepalive_seconds=60)
    await listener.start()
    holding = asyncio.create_task(listener.hold_shared(5, 6))
    await taking.wait()
    releasing = asyncio.create_task(listener.release(5, 6))
    await asyncio.sleep(0.01)
    go_on.set()
    await asyncio.gather(holding, releasing)

    assert await outsider.fetch(LOCKS, listener.backend_pid) == []
    assert listener.held == frozenset()
    await listener.stop()
