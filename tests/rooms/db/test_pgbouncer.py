"""Behind PgBouncer in transaction mode everything works, save what cannot; and that is said, not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import asyncpg
import pytest

from holdfast.db import Database, Listener, Statement, migrate, wait_for_schema
from holdfast.errors import ConfigurationError

STATEMENTS = [Statement(f"number_{number}", f"select $1::bigint + {number}") for number in range(5)]
STARTUP = "default_transaction_isolation,client_connection_check_interval,tcp_keepalives_idle,tcp_keepalives_interval,"
STARTUP += "tcp_keepalives_count,tcp_user_timeout,jit,statement_timeout,lock_timeout"

Pooler = Callable[..., AbstractContextManager[str]]


async def many_statements(database: Database) -> None:
    """More clients than server sessions, every client with every statement: prepared names would collide."""

    async def client(offset: int) -> None:
        for turn in range(20):
            number = (offset + turn) % len(STATEMENTS)
            assert await database.fetchval(STATEMENTS[number], turn) == turn + number

    await asyncio.gather(*(client(offset) for offset in range(10)))


async def test_a_pooler_that_refuses_our_settings_is_found_and_worked_through(pooled_url: str) -> None:
    async with Database(pooled_url) as database:
        assert database.pooled
        assert database.direct_url is None
        assert await database.connect_direct() is None
        await many_statements(database)
        assert await database.fetchval(STATEMENTS[1], 1, pool="control") == 2


async def test_a_pooler_that_swallows_our_settings_is_found_too(pooler: Pooler, database_url: str) -> None:
    with pooler(database_url, ignore_startup_parameters=STARTUP) as url:
        async with Database(url) as database:
            assert database.pooled
            await many_statements(database)


async def test_told_there_is_no_pooler_it_learns_from_the_first_error(pooler: Pooler, database_url: str) -> None:
    with pooler(database_url, ignore_startup_parameters=STARTUP, pool_size=2) as url:
        database = Database(url, pooled=False)
        await database.open(10)
        # Which client meets whose session is the pooler's affair: where calls hardly overlap, names may not collide.
        for _ in range(20):
            await many_statements(database)
            if database.pooled:
                break
        assert database.pooled
        await database.close()


async def test_the_direct_url_is_used_for_listening(pooled_url: str, database_url: str) -> None:
    async with Database(pooled_url, direct_url=database_url) as database:
        assert database.pooled
        listener = Listener(database)
        heard = asyncio.Event()
        await listener.listen("mine", lambda _payload: heard.set())
        await listener.start()
        assert listener.mode == "notify"
        assert await listener.hold_shared(1, 2)
        # The hint goes in through the pooler, as an application's would.
        await database.fetch(Statement("notify", "select pg_notify('mine', '')"))
        await asyncio.wait_for(heard.wait(), 5)
        await listener.stop()


async def test_a_pooler_given_as_direct_url_is_found_out_by_the_probe(
    pooler: Pooler, pooled_url: str, database_url: str, caplog: pytest.LogCaptureFixture, outsider: Any
) -> None:
    with pooler(database_url, ignore_startup_parameters=STARTUP) as mistaken:
        async with Database(pooled_url, direct_url=mistaken) as database:
            listener = Listener(database, probe_seconds=0.5, reprobe_seconds=0.1)
            await listener.start()
            assert listener.mode == "poll"
            # No session lock is left on a server session that others share.
            assert not await listener.hold_shared(1, 2)
            held = await outsider.fetchval(
                "select count(*) from pg_locks where locktype = 'advisory' and (classid, objid) = (1, 2)"
            )
            assert held == 0
            await listener.stop()
    assert sum("did not come back" in record.message for record in caplog.records) == 1


async def test_migrations_find_a_way_with_or_without_a_direct_url(pooler: Pooler, empty_database_url: str) -> None:
    with pooler(empty_database_url) as url:
        async with Database(url) as database:
            connection = await database.connect_apart()
            assert await migrate(connection)
            await connection.close(timeout=5)
            await wait_for_schema(database.connect_apart, 5)
        async with Database(url, direct_url=empty_database_url) as database:
            connection = await database.connect_apart()
            assert await connection.fetchval("select pg_backend_pid()") == connection.get_server_pid()
            assert await migrate(connection) == []
            await connection.close(timeout=5)


async def test_many_migrators_through_a_pooler(pooler: Pooler, empty_database_url: str) -> None:
    with pooler(empty_database_url) as url:
        connections = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(4)]
        done = await asyncio.gather(*(migrate(each) for each in connections))
        for each in connections:
            await each.close(timeout=5)
    assert sum(bool(each) for each in done) >= 1
    versions = [migration.version for each in done for migration in each]
    assert sorted(versions) == sorted(set(versions))


async def test_an_isolation_that_cannot_be_set_here_is_refused_with_the_way_out(
    pooler: Pooler, database_url: str, outsider: Any
) -> None:
    name = await outsider.fetchval("select current_database()")
    await outsider.execute(f'alter database "{name}" set default_transaction_isolation = "repeatable read"')
    with pooler(database_url) as url, pytest.raises(ConfigurationError, match="ALTER ROLE"):
        await Database(url).open(5)
