"""A caller's connection: same statement, same values, and nothing of the caller's disturbed, with any driver."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg.rows import dict_row, namedtuple_row
from psycopg.types.json import set_json_loads

from holdfast.db import Statement, adopt
from holdfast.errors import DriverUnsupported
from tests.waiting import eventually

INSERT = Statement("insert", "insert into public.effect (id, word) values ($1::bigint, $2::text) returning id")


@dataclass(frozen=True)
class Caller:
    """A caller of some driver, with the same verbs for all of them."""

    connection: Any
    run: Callable[[str], Awaitable[Any]]

    async def fetch(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        return await adopt(self.connection).fetch(statement, params)


@asynccontextmanager
async def asyncpg_caller(url: str) -> AsyncIterator[Caller]:
    connection = await asyncpg.connect(url)
    yield Caller(connection, connection.execute)
    await connection.close(timeout=5)


@asynccontextmanager
async def asyncpg_pool_caller(url: str) -> AsyncIterator[Caller]:
    async with asyncpg.create_pool(url, min_size=0, max_size=1) as pool, pool.acquire() as connection:
        yield Caller(connection, connection.execute)


@asynccontextmanager
async def psycopg_async_caller(url: str) -> AsyncIterator[Caller]:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    yield Caller(connection, connection.execute)
    await connection.close()


@asynccontextmanager
async def psycopg_caller(url: str) -> AsyncIterator[Caller]:
    connection = psycopg.connect(url, autocommit=True)

    async def run(sql: str) -> None:
        await asyncio.to_thread(connection.execute, sql)

    yield Caller(connection, run)
    connection.close()


@pytest.fixture(params=[asyncpg_caller, asyncpg_pool_caller, psycopg_async_caller, psycopg_caller])
async def caller(request: pytest.FixtureRequest, database_url: str, outsider: Any) -> AsyncIterator[Caller]:
    await outsider.execute("create table public.effect (id bigint, word text)")
    async with request.param(database_url) as made:
        yield made


NOW = dt.datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=dt.UTC)
VALUES: list[tuple[str, Any]] = [
    ("bigint", 2**40),
    ("integer", 7),
    ("bigint[]", [1, 2**40, None]),
    ("bigint[]", []),
    ("smallint[]", [1, 2]),
    ("text", "100% of $1, %s and %(x)s \\ ' \" ü"),
    ("text[]", ["a,b", None, 'quoted " {}', ""]),
    ("boolean[]", [True, False, None]),
    ("double precision", 0.1),
    ("uuid", uuid.UUID(int=5)),
    ("bytea", b"\x00\xff"),
    ("timestamptz", NOW),
    ("timestamptz[]", [NOW, None]),
    ("interval", dt.timedelta(days=1, seconds=0.5)),
    ("interval[]", [dt.timedelta(seconds=3), None]),
    ("text", None),
]


@pytest.mark.parametrize("kind, value", VALUES)
async def test_values_go_in_and_come_out_alike(caller: Caller, kind: str, value: Any) -> None:
    ((back,),) = await caller.fetch(Statement("echo", f"select $1::{kind}"), [value])
    assert back == value
    assert isinstance(back, type(value))


async def test_json_stays_text_even_where_the_caller_decodes_it(caller: Caller) -> None:
    if isinstance(caller.connection, psycopg.Connection | psycopg.AsyncConnection):
        set_json_loads(json.loads, caller.connection)
    else:
        await caller.connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    statement = Statement("json", "select ($1::text::jsonb)::text, ($2::text[]::jsonb[])[2] ->> 'b'")
    ((one, two),) = await caller.fetch(statement, ['{"a": 1}', ["[]", '{"b": "x"}']])
    assert (one, two) == ('{"a": 1}', "x")
    with pytest.raises(ValueError, match="text::jsonb"):
        await caller.fetch(Statement("careless", "select $1::jsonb"), ["{}"])


async def test_json_that_comes_back_as_such_is_text_too(caller: Caller) -> None:
    ((one, two),) = await caller.fetch(Statement("json", "select '{\"a\": 1}'::jsonb, '[1]'::json"))
    assert (one, two) == ('{"a": 1}', "[1]")


async def test_numbers_may_repeat_and_come_in_any_order(caller: Caller) -> None:
    statement = Statement(
        "order",
        "select $3::text, $1::bigint, $2::text, $1::bigint + 1, $11::int, $10::int"
        + "".join(f", ${number}::int" for number in range(4, 10)),
    )
    ((*row,),) = await caller.fetch(statement, [1, "two", "three", 4, 5, 6, 7, 8, 9, 10, 11])
    assert row == ["three", 1, "two", 2, 11, 10, 4, 5, 6, 7, 8, 9]


async def test_what_the_caller_rolls_back_never_happened(caller: Caller, outsider: Any) -> None:
    await caller.run("begin")
    assert [tuple(row) for row in await caller.fetch(INSERT, [1, "x"])] == [(1,)]
    assert await outsider.fetchval("select count(*) from public.effect") == 0
    await caller.run("rollback")
    assert await outsider.fetchval("select count(*) from public.effect") == 0


async def test_what_the_caller_commits_is_one_with_its_own_rows(caller: Caller, outsider: Any) -> None:
    await caller.run("begin")
    await caller.run("insert into public.effect values (1, 'mine')")
    await caller.fetch(INSERT, [2, "holdfast's"])
    assert await outsider.fetchval("select count(*) from public.effect") == 0
    await caller.run("commit")
    assert await outsider.fetchval("select count(*) from public.effect") == 2


async def test_a_statement_without_rows_gives_none(caller: Caller) -> None:
    assert await caller.fetch(Statement("nothing", "delete from public.effect where id = $1::bigint"), [1]) == []
    assert await caller.fetch(Statement("setting", "set local jit = off")) == []


async def test_an_error_of_the_statement_is_the_drivers_own(caller: Caller) -> None:
    with pytest.raises((asyncpg.DivisionByZeroError, psycopg.errors.DivisionByZero)):
        await caller.fetch(Statement("bad", "select 1 / $1::int"), [0])


async def test_a_sync_psycopg_caller_needs_no_loop_and_keeps_its_connection_as_it_was(
    database_url: str, outsider: Any
) -> None:
    await outsider.execute("create table public.effect (id bigint, word text)")

    def work() -> None:
        with psycopg.connect(database_url, row_factory=dict_row) as connection:
            ours = adopt(connection)
            assert not ours.is_async
            assert ours.fetch_sync(INSERT, [1, "x"]) == [(1,)]
            # psycopg opened a transaction by itself, as it does for the caller's own statements; it is still open.
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
            assert connection.execute("select '{\"a\": 1}'::jsonb as j").fetchall() == [{"j": {"a": 1}}]
            assert connection.row_factory is dict_row
            connection.rollback()

    await asyncio.to_thread(work)
    assert await outsider.fetchval("select count(*) from public.effect") == 0


async def test_an_async_psycopg_caller_in_a_block_or_a_pipeline(database_url: str, outsider: Any) -> None:
    await outsider.execute("create table public.effect (id bigint, word text)")
    async with await psycopg.AsyncConnection.connect(database_url, row_factory=namedtuple_row) as connection:
        async with connection.transaction():
            assert await adopt(connection).fetch(INSERT, [1, "x"]) == [(1,)]
        await connection.commit()
        async with connection.pipeline(), connection.transaction():
            assert await adopt(connection).fetch(INSERT, [2, "x"]) == [(2,)]
            assert await adopt(connection).fetch(Statement("setting", "set local jit = off")) == []
        await connection.commit()
    await eventually(lambda: outsider.fetchval("select count(*) = 2 from public.effect"))


async def test_async_connections_are_not_for_sync_callers(caller: Caller) -> None:
    ours = adopt(caller.connection)
    if ours.is_async:
        with pytest.raises(DriverUnsupported, match="await"):
            ours.fetch_sync(INSERT, [1, "x"])
    else:
        rows = await asyncio.to_thread(ours.fetch_sync, INSERT, [1, "x"])
        assert rows == [(1,)]


@pytest.mark.parametrize("stranger", [None, "postgresql://", object()])
def test_a_stranger_is_named_with_what_is_supported(stranger: Any) -> None:
    with pytest.raises(DriverUnsupported, match=r"psycopg\.AsyncConnection") as caught:
        adopt(stranger)
    assert type(stranger).__qualname__ in caught.value.message
