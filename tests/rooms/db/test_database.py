"""The pools: what their sessions are set to, what they survive, and that nothing about them hangs."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from holdfast.clock import monotonic
from holdfast.db import Database, Fault, Statement, classify
from holdfast.db.sessions import describe_url
from holdfast.errors import DatabaseUnavailable
from tests.waiting import eventually

PID = Statement("pid", "select pg_backend_pid()")
ECHO = Statement("echo", "select $1::bigint[] as numbers, $2::text as word")


async def test_one_statement_on_either_pool(database: Database) -> None:
    (row,) = await database.fetch(ECHO, [1, 2], "x")
    assert (row["numbers"], row["word"]) == ([1, 2], "x")
    assert (await database.fetchrow(ECHO, [], None))["numbers"] == []
    assert await database.fetchval(ECHO, [3], "x", pool="control") == [3]
    assert await database.execute(Statement("change", "set local jit = off")) == "SET"
    assert await database.fetchval(PID, pool="control") != await database.fetchval(PID)


@pytest.mark.parametrize(
    "setting, control, user",
    [
        ("default_transaction_isolation", "read committed", "read committed"),
        ("statement_timeout", "30s", "0"),
        ("lock_timeout", "5s", "0"),
        ("client_connection_check_interval", "500ms", "500ms"),
        ("tcp_keepalives_idle", "5", "5"),
        ("tcp_keepalives_interval", "2", "2"),
        ("tcp_keepalives_count", "3", "3"),
        ("jit", "off", "off"),
        ("application_name", "holdfast", "holdfast"),
    ],
)
async def test_sessions_are_set_up(database: Database, setting: str, control: str, user: str) -> None:
    show = Statement("show", f"select current_setting('{setting}')")
    assert await database.fetchval(show, pool="control") == control
    assert await database.fetchval(show, pool="user") == user


async def test_the_isolation_is_ours_whatever_the_role_has(database_url: str, outsider: Any) -> None:
    name = urlsplit(database_url).path.lstrip("/")
    await outsider.execute(f'alter database "{name}" set default_transaction_isolation = serializable')
    async with Database(database_url) as database:
        shown = await database.fetchval(Statement("show", "select current_setting('transaction_isolation')"))
    assert shown == "read committed"


async def test_connections_are_made_when_needed(database: Database, outsider: Any) -> None:
    count = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'holdfast'"
    assert await outsider.fetchval(count) == 1
    assert database.user.get_size() == 0
    await database.fetch(PID)
    assert database.user.get_size() == 1


async def test_control_is_free_while_the_application_holds_every_connection(database_url: str) -> None:
    database = Database(database_url, user_size=2)
    await database.open(10)
    async with database.connection(), database.connection():
        with pytest.raises(DatabaseUnavailable, match="all 2 connections of the pool were in use"):
            await database.fetch(PID, timeout_seconds=0.2)
        assert await database.fetchval(PID, pool="control", timeout_seconds=5)
    await database.close()


async def test_a_lent_connection_is_reset_and_our_own_statements_cost_no_reset(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("set work_mem = '1MB'")
        pid = connection.get_server_pid()
    shown = await database.fetchrow(Statement("show", "select current_setting('work_mem') as it, pg_backend_pid()"))
    assert shown["pg_backend_pid"] == pid
    assert shown["it"] != "1MB"
    async with database.connection() as connection:
        last = await connection.fetchval("select query from pg_stat_activity where pid = $1", pid)
        assert "RESET ALL" not in last


async def test_an_unused_port_is_waited_for_and_then_named_without_the_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = Database("postgresql://me:secret@127.0.0.1:1/mine")
    started = monotonic()
    with caplog.at_level(logging.WARNING, "holdfast"), pytest.raises(DatabaseUnavailable) as caught:
        await database.open(1.0)
    assert 0.5 < monotonic() - started < 5
    assert "postgresql://me@127.0.0.1:1/mine within 1 s" in caught.value.message
    assert "HOLDFAST_DATABASE_URL" in (caught.value.remedy or "")
    # One line for many attempts.
    assert len(caplog.records) == 1
    assert "secret" not in str(caught.value) + caplog.text


async def test_a_host_that_swallows_packets_does_not_outlast_the_deadline() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        over.set()

    over = asyncio.Event()
    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    started = monotonic()
    with pytest.raises(DatabaseUnavailable):
        await Database(f"postgresql://me@127.0.0.1:{port}/mine").open(0.5)
    assert monotonic() - started < 5
    await asyncio.wait_for(over.wait(), 5)
    server.close()
    await server.wait_closed()


async def test_a_refused_login_is_not_repeated(database_url: str) -> None:
    started = monotonic()
    with pytest.raises(DatabaseUnavailable, match="refused the login"):
        await Database(urlsplit(database_url)._replace(path="/there_is_no_such_database").geturl()).open(30)
    assert monotonic() - started < 5


async def test_a_closed_database_says_so(database: Database) -> None:
    await database.close()
    await database.close()
    with pytest.raises(DatabaseUnavailable, match="not open"):
        await database.fetch(PID)


async def test_closing_cuts_what_does_not_end(database_url: str) -> None:
    database = Database(database_url)
    await database.open(10)
    connection = await database.user.acquire()
    sleeping = asyncio.create_task(connection.execute("select pg_sleep(60)"))
    await asyncio.wait([sleeping], timeout=0.1)
    started = monotonic()
    await database.close(0.3)
    assert monotonic() - started < 3
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await sleeping


async def test_a_read_only_server_is_refused_at_the_door(database_url: str, outsider: Any) -> None:
    name = urlsplit(database_url).path.lstrip("/")
    await outsider.execute(f'alter database "{name}" set default_transaction_read_only = on')
    with pytest.raises(DatabaseUnavailable, match="accepts no writes") as caught:
        await Database(database_url).open(0.5)
    assert "primary" in (caught.value.remedy or "")


async def test_a_server_that_became_read_only_is_connected_to_anew(database: Database, outsider: Any) -> None:
    await outsider.execute("create table public.written (id integer)")
    write = Statement("write", "insert into public.written values (1) returning pg_backend_pid()")
    first = await database.fetchval(write)
    # As after a failover: this session writes no more, a new one does.
    async with database.connection() as connection:
        assert connection.get_server_pid() == first
        connection.left_clean()
        await connection.execute("set default_transaction_read_only = on")
    assert await database.fetchval(write) != first
    assert await outsider.fetchval("select count(*) from public.written") == 2


async def test_a_plan_that_the_schema_outgrew_is_made_anew(database: Database, outsider: Any) -> None:
    await outsider.execute("create table public.growing (id integer); insert into public.growing values (1)")
    everything = Statement("everything", "select * from public.growing")
    for _ in range(3):
        assert len(await database.fetchrow(everything)) == 1
    await outsider.execute("alter table public.growing add column more integer; alter table public.growing add x text")
    assert len(await database.fetchrow(everything)) == 3


async def test_a_connection_lost_under_a_statement_is_the_callers_to_judge(database: Database, outsider: Any) -> None:
    sleeping = asyncio.create_task(database.fetch(Statement("sleep", "select pg_sleep(60)")))
    pid = await eventually(
        lambda: outsider.fetchval(
            "select pid from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
        )
    )
    await outsider.execute("select pg_terminate_backend($1)", pid)
    with pytest.raises(asyncpg.PostgresError) as caught:
        await sleeping
    assert classify(caught.value) is Fault.CONNECTION_LOST
    assert await database.fetchval(PID) != pid


async def test_idle_connections_that_were_cut_are_replaced_unnoticed(database: Database, outsider: Any) -> None:
    before = await database.fetchval(PID)
    await outsider.execute("select pg_terminate_backend($1)", before)
    await eventually(
        lambda: outsider.fetchval("select not exists (select from pg_stat_activity where pid = $1)", before)
    )
    await eventually(lambda: database.user.get_size() == 0)
    assert await database.fetchval(PID) != before


async def test_a_statement_ends_with_its_deadline_and_the_connection_lives_on(database: Database) -> None:
    pid = await database.fetchval(PID)
    with pytest.raises(TimeoutError):
        await database.fetch(Statement("sleep", "select pg_sleep(60)"), timeout_seconds=0.2)
    assert await database.fetchval(PID, timeout_seconds=5) == pid


@pytest.mark.parametrize(
    "url, shown",
    [
        ("postgresql://me:pass@host:5/db?sslmode=require", "postgresql://me@host:5/db"),
        ("postgresql://a%40b:pass@one,two:5433/db", "postgresql://a@b@one,two:5433/db"),
        ("postgresql:///db?host=/run/pg&user=me&password=x", "postgresql://me@/run/pg/db"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert describe_url(url) == shown
