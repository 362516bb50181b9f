"""The grants that the page on database roles shows are enough, and not more than is needed for enqueueing."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import asyncpg
import pytest

from holdfast import Append, Event, Holdfast, Match
from tests.architecture.source import ROOT
from tests.docs.pages import page

GRANTS = page(ROOT / "docs" / "operations" / "database-roles.md").blocks


@pytest.fixture
async def login(database_url: str) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Makes roles with nothing but the grants that the page shows for one of that name; their URLs."""
    admin = await asyncpg.connect(database_url)
    parts, made = urlsplit(database_url), []

    async def make(kind: str) -> str:
        role = f"{kind}_{os.getpid()}"
        await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        made.append(role)
        for block in GRANTS:
            if f"TO {kind}" in block.text:
                await admin.execute(block.text.replace(kind, role))
        return parts._replace(netloc=f"{role}:x@{parts.netloc.rpartition('@')[2]}").geturl()

    yield make
    for role in made:
        await admin.execute(f"DROP OWNED BY {role}")
        await admin.execute(f"DROP ROLE {role}")
    await admin.close()


async def test_a_role_may_enqueue_in_every_way(login: Callable[[str], Awaitable[str]]) -> None:
    role_url = await login("enqueuer")
    app = Holdfast(role_url)

    @app.task
    async def hello(name: str) -> None: ...

    async with app:
        await hello.enqueue("a")
        await hello.enqueue_many([("b",), ("c",)])
        await hello.options(run_in=60).enqueue("d")
        first = await hello.options(unique="k").enqueue("e")
        again = await hello.options(unique="k").enqueue("e")
    connection = await asyncpg.connect(role_url)
    await connection.fetchval("SELECT holdfast.enqueue('hello', '{\"name\": \"f\"}', queue => 'default')")

    assert again == first
    for forbidden in (
        "DELETE FROM holdfast.ready",
        "UPDATE holdfast.job SET queue = 'x'",
        "TABLE holdfast.failed_attempt",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(forbidden)
    await connection.close()


async def test_a_role_may_append_and_read_but_change_no_event(login: Callable[[str], Awaitable[str]]) -> None:
    role_url = await login("appender")
    async with Holdfast(role_url) as app:
        decision = await app.events.decide(Match(tags=("t",)))
        first = await app.events.append("a", Event("T", {}, tags=("t",)), condition=decision.condition)
        await app.events.append_many([Append("a", Event("T", {}), 1), Append("b", Event("T", {}))], idempotency_key="k")
        last = await app.events.append("c", Event("T", {}, id=uuid.uuid4()))
        await app.events.caught_up(last.position)
        assert len((await app.events.read()).events) == 4
        await app.events.snapshots.save("a", 2, {})
        assert (await app.events.state()).settled == last.position > first.position
    connection = await asyncpg.connect(role_url)
    for forbidden in ("UPDATE holdfast.event SET data = '{}'", "DELETE FROM holdfast.event", "TRUNCATE holdfast.event"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(forbidden)
    await connection.close()
