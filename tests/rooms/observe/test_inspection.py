"""The database as an operator sees it: who holds what, what the role may not see, and ending a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from holdfast import Holdfast
from holdfast.db import Database
from holdfast.errors import BackendNotFound, BackendOutOfReach
from holdfast.events import Event
from holdfast.observe import Inspected, Inspection
from tests.waiting import eventually


@pytest.fixture
async def forgotten(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A session of somebody else."""
    connection = await asyncpg.connect(database_url, server_settings={"application_name": "nightly-import"})
    yield connection
    connection.terminate()


async def test_tables_are_told_with_their_partitions_as_one(app: Holdfast) -> None:
    found = await Inspection(app.database).look()
    tables = {table.name: table for table in found.tables}

    assert tables["job"].parts >= 2
    assert tables["worker"].parts == 1
    assert not any(name.startswith("job_20") for name in tables)
    assert found.server.allowed_connections > found.server.connections > 0
    assert {setting.name for setting in found.settings} >= {"synchronous_commit", "max_connections"}
    assert found.blind == []


async def test_who_holds_the_event_log_and_who_waits_for_whom_is_told(
    app: Holdfast, forgotten: asyncpg.Connection, outsider: Any
) -> None:
    async with forgotten.transaction():
        await app.events.using(forgotten).append("s", [Event("Opened", {})])
        await forgotten.execute("lock table holdfast.limit_rule in access exclusive mode")
        waiting = asyncio.create_task(
            outsider.execute("begin; lock table holdfast.limit_rule in access exclusive mode; rollback")
        )
        holder = forgotten.get_server_pid()

        async def told() -> Inspected:
            found = await Inspection(app.database).look()
            assert found.waits
            return found

        found = await eventually(told)
        by_pid = {backend.pid: backend for backend in found.backends}
        assert (by_pid[holder].application, by_pid[holder].holds_log) == ("nightly-import", True)
        (wait,) = found.waits
        assert (wait.pid, wait.blocked_by, wait.what) == (outsider.get_server_pid(), holder, "holdfast.limit_rule")
        assert str(holder) in [one.name for one in found.horizon]
    await waiting


async def test_a_session_is_ended_and_one_that_is_gone_is_told(app: Holdfast, forgotten: asyncpg.Connection) -> None:
    pid = forgotten.get_server_pid()
    was = await Inspection(app.database).end(pid, "terminate")

    assert was["application"] == "nightly-import"
    await eventually(forgotten.is_closed)
    with pytest.raises(BackendNotFound):
        await Inspection(app.database).end(pid, "terminate")


async def test_a_statement_is_stopped_and_its_session_stays(app: Holdfast, forgotten: asyncpg.Connection) -> None:
    sleeping = asyncio.create_task(forgotten.execute("select pg_sleep(60)"))

    async def stopped() -> bool:
        await Inspection(app.database).end(forgotten.get_server_pid(), "cancel")
        return sleeping.done()

    await eventually(stopped)
    with pytest.raises(asyncpg.QueryCanceledError):
        await sleeping
    assert await forgotten.fetchval("select 1") == 1


async def test_another_session_with_the_same_process_id_is_left_alone(
    app: Holdfast, forgotten: asyncpg.Connection, outsider: Any
) -> None:
    began = await outsider.fetchval("select backend_start from pg_stat_activity where pid = pg_backend_pid()")

    with pytest.raises(BackendNotFound):
        await Inspection(app.database).end(forgotten.get_server_pid(), "terminate", started_at=began)
    assert await forgotten.fetchval("select 1") == 1


async def test_what_the_role_may_not_see_is_said_and_not_shown_as_nothing(
    app: Holdfast, forgotten: asyncpg.Connection, outsider: Any, database_url: str
) -> None:
    role = f"observer_{forgotten.get_server_pid()}"
    await outsider.execute(f"create role {role} login password 'x'")
    await outsider.execute(f"grant usage on schema holdfast to {role}")
    await outsider.execute(f"grant select on all tables in schema holdfast to {role}")
    await outsider.execute(f"grant select on all sequences in schema holdfast to {role}")
    try:
        parts = urlsplit(database_url)
        async with Database(parts._replace(netloc=f"{role}:x@{parts.hostname}:{parts.port}").geturl()) as database:
            async with forgotten.transaction():
                await forgotten.execute("select txid_current()")
                found = await Inspection(database).look()
            assert any("pg_read_all_stats" in blind for blind in found.blind)
            with pytest.raises(BackendOutOfReach, match=f"may not end session {forgotten.get_server_pid()}"):
                await Inspection(database).end(forgotten.get_server_pid(), "terminate")
    finally:
        await outsider.execute(f"drop owned by {role}")
        await outsider.execute(f"drop role {role}")
