"""Migrations: once, whole, in order, by one of many, and never onto a database that is not ours to touch."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import asyncpg
import pytest

from holdfast.db import (
    Migration,
    MigrationState,
    load_migrations,
    migrate,
    migration_script,
    migration_status,
    validate,
    wait_for_schema,
)
from holdfast.db.catalog import describe_schema
from holdfast.errors import DatabaseUnavailable, MigrationError, TimedOut
from tests.waiting import eventually

FIRST = Migration(1, "first", "create table holdfast.one (id integer)")
SECOND = Migration(2, "second", "create table holdfast.two (id integer)")


@pytest.fixture
async def connection(empty_database_url: str) -> Any:
    opened = await asyncpg.connect(empty_database_url)
    yield opened
    await opened.close(timeout=5)


async def test_everything_pending_is_applied_once_and_in_order(connection: Any) -> None:
    assert [status.state for status in await migration_status(connection, migrations=[FIRST])] == [
        MigrationState.PENDING
    ]
    assert await migrate(connection, migrations=[FIRST]) == [FIRST]
    assert await migrate(connection, migrations=[FIRST, SECOND]) == [SECOND]
    assert await migrate(connection, migrations=[FIRST, SECOND]) == []
    statuses = await migration_status(connection, migrations=[FIRST, SECOND])
    assert [(status.version, status.name, status.state) for status in statuses] == [
        (1, "first", MigrationState.APPLIED),
        (2, "second", MigrationState.APPLIED),
    ]
    assert all(status.applied_at is not None and status.applied_at.tzinfo for status in statuses)
    recorded = await connection.fetchval("select checksum from holdfast.migration where version = 2")
    assert recorded == hashlib.sha256(SECOND.sql.encode()).hexdigest()


async def test_a_failing_migration_leaves_nothing_and_the_one_before_stays(connection: Any) -> None:
    broken = Migration(2, "broken", "create table holdfast.half (id integer); select 1 / 0")
    with pytest.raises(MigrationError, match=r"0002_broken\.sql failed and was rolled back: division by zero"):
        await migrate(connection, migrations=[FIRST, broken])
    assert await connection.fetchval("select to_regclass('holdfast.half')") is None
    statuses = await migration_status(connection, migrations=[FIRST, SECOND])
    assert [status.state for status in statuses] == [MigrationState.APPLIED, MigrationState.PENDING]
    assert await migrate(connection, migrations=[FIRST, SECOND]) == [SECOND]


async def test_names_without_schema_are_refused(connection: Any) -> None:
    with pytest.raises(MigrationError, match=r'permission denied to create "pg_catalog\.careless"'):
        await migrate(connection, migrations=[Migration(1, "careless", "create table careless (id integer)")])


async def test_many_migrators_at_once_do_the_work_once(empty_database_url: str) -> None:
    slow = Migration(2, "slow", "create table holdfast.two (id integer); select pg_sleep(0.3)")
    connections = [await asyncpg.connect(empty_database_url) for _ in range(6)]
    try:
        done = await asyncio.gather(*(migrate(each, migrations=[FIRST, slow]) for each in connections))
    finally:
        for each in connections:
            await each.close(timeout=5)
    assert sorted((applied for each in done for applied in each), key=lambda each: each.version) == [FIRST, slow]


async def test_a_migrator_that_hangs_is_named(connection: Any, empty_database_url: str) -> None:
    await migrate(connection, migrations=[FIRST])
    other = await asyncpg.connect(empty_database_url, server_settings={"application_name": "slowcoach"})
    try:
        async with other.transaction():
            assert await other.fetchval("select pg_try_advisory_xact_lock(72700, 1)")
            with pytest.raises(MigrationError, match=rf"process {other.get_server_pid()} \(slowcoach\) is migrating"):
                await migrate(connection, migrations=[FIRST, SECOND], wait_seconds=0.3)
    finally:
        await other.close(timeout=5)
    assert await migrate(connection, migrations=[FIRST, SECOND]) == [SECOND]


async def test_a_locked_table_is_waited_for_without_blocking_others(connection: Any, empty_database_url: str) -> None:
    await migrate(connection, migrations=[FIRST])
    alter = Migration(2, "alter", "alter table holdfast.one add column note text")
    other = await asyncpg.connect(empty_database_url)
    try:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("lock table holdfast.one in access share mode")
        waiting = asyncio.create_task(migrate(connection, migrations=[FIRST, alter], wait_seconds=30))
        await eventually(
            lambda: other.fetchval("select exists (select from pg_locks where not granted and relation is not null)")
        )
        # It gives the table up after its lock timeout: those who queued behind it get their turn.
        await asyncio.wait_for(other.fetchval("select count(*) from holdfast.one"), 5)
        await eventually(
            lambda: other.fetchval(
                "select not exists (select from pg_locks where not granted and relation is not null)"
            )
        )
        assert not waiting.done()
        await transaction.rollback()
        assert await waiting == [alter]
    finally:
        await other.close(timeout=5)


async def test_a_changed_file_is_refused(connection: Any) -> None:
    await migrate(connection, migrations=[FIRST])
    changed = Migration(1, "first", "create table holdfast.one (id bigint)")
    with pytest.raises(MigrationError, match="0001_first was applied from a file with other content"):
        await migrate(connection, migrations=[changed, SECOND])
    assert await connection.fetchval("select to_regclass('holdfast.two')") is None


async def test_a_newer_database_is_refused(connection: Any) -> None:
    await migrate(connection, migrations=[FIRST, SECOND])
    with pytest.raises(MigrationError, match="newer than this program: it has migration 0002_second"):
        await migrate(connection, migrations=[FIRST])
    statuses = await migration_status(connection, migrations=[FIRST])
    assert [status.state for status in statuses] == [MigrationState.APPLIED, MigrationState.UNKNOWN]


async def test_a_hole_in_the_history_is_refused(connection: Any) -> None:
    await migrate(connection, migrations=[FIRST, SECOND])
    await connection.execute("delete from holdfast.migration where version = 1")
    with pytest.raises(MigrationError, match="0001_first is missing, though 0002 was applied"):
        await migrate(connection, migrations=[FIRST, SECOND])


async def test_a_role_that_may_not_create_a_schema_is_told_what_it_needs(
    connection: Any, empty_database_url: str
) -> None:
    await connection.execute("create role holdfast_test_nobody")
    other = await asyncpg.connect(empty_database_url)
    try:
        await other.execute("set role holdfast_test_nobody")
        with pytest.raises(MigrationError, match="GRANT CREATE ON DATABASE"):
            await migrate(other, migrations=[FIRST])
        # With a schema made for it, it needs no more.
        await connection.execute("create schema holdfast authorization holdfast_test_nobody")
        assert await migrate(other, migrations=[FIRST]) == [FIRST]
    finally:
        await other.close(timeout=5)
        await connection.execute("drop owned by holdfast_test_nobody; drop role holdfast_test_nobody")


async def test_a_connection_cut_during_a_migration_leaves_it_for_the_next(
    connection: Any, empty_database_url: str
) -> None:
    other = await asyncpg.connect(empty_database_url)
    sleepy = Migration(1, "sleepy", "create table holdfast.one (id integer); select pg_sleep(30)")
    running = asyncio.create_task(migrate(other, migrations=[sleepy]))
    await eventually(
        lambda: connection.fetchval("select exists (select from pg_stat_activity where wait_event = 'PgSleep')")
    )
    await connection.execute("select pg_terminate_backend($1)", other.get_server_pid())
    with pytest.raises(DatabaseUnavailable, match="lost during a migration"):
        await running
    assert await migrate(connection, migrations=[FIRST]) == [FIRST]


async def test_waiting_for_the_schema_ends_when_somebody_has_migrated(empty_database_url: str, connection: Any) -> None:
    waiting = asyncio.create_task(wait_for_schema(lambda: asyncpg.connect(empty_database_url), 20))
    with pytest.raises(TimedOut, match="migrations are pending, the first is clock"):
        await wait_for_schema(lambda: asyncpg.connect(empty_database_url), 0.3)
    assert not waiting.done()
    await migrate(connection)
    await waiting


async def test_waiting_for_a_server_that_is_not_there_says_so() -> None:
    with pytest.raises(TimedOut, match="the server does not answer"):
        await wait_for_schema(lambda: asyncpg.connect("postgresql://nobody@127.0.0.1:1/none"), 0.3)


async def test_waiting_is_no_use_when_the_database_is_newer(connection: Any, empty_database_url: str) -> None:
    await migrate(connection)
    await connection.execute("insert into holdfast.migration values (9999, 'of_tomorrow', 'x')")
    with pytest.raises(MigrationError, match="9999_of_tomorrow"):
        await wait_for_schema(lambda: asyncpg.connect(empty_database_url), 20)


async def test_the_script_leaves_what_the_runner_leaves(connection: Any) -> None:
    await connection.execute(migration_script())
    assert await migrate(connection) == []
    assert (await validate(connection)).ok
    newest = load_migrations()[-1].version
    assert migration_script(after=newest).strip() == ""


async def test_the_script_of_what_is_pending_continues_a_migrated_database(connection: Any) -> None:
    await migrate(connection, migrations=[FIRST])
    await connection.execute(migration_script(after=1, migrations=[FIRST, SECOND]))
    assert await migrate(connection, migrations=[FIRST, SECOND]) == []
    assert "holdfast.two" in {each.identity for each in await describe_schema(connection)}


def test_our_own_migrations_hold_no_transaction_of_their_own() -> None:
    for migration in load_migrations():
        words = migration.sql.lower()
        assert "\ncommit;" not in words, migration.filename
        assert "concurrently" not in words, migration.filename
