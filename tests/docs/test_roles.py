"""The grants that the page on database roles shows are enough, and not more than is needed for enqueueing."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from holdfast import Holdfast
from tests.architecture.source import ROOT
from tests.docs.pages import page

GRANTS = page(ROOT / "docs" / "operations" / "database-roles.md").blocks


@pytest.fixture
async def role_url(database_url: str) -> AsyncIterator[str]:
    """A role with nothing but the grants of the page."""
    role = f"enqueuer_{os.getpid()}"
    admin = await asyncpg.connect(database_url)
    await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    for block in GRANTS:
        await admin.execute(block.text.replace("enqueuer", role))
    parts = urlsplit(database_url)
    place = parts.netloc.rpartition("@")[2]
    yield parts._replace(netloc=f"{role}:x@{place}").geturl()
    await admin.execute(f"DROP OWNED BY {role}")
    await admin.execute(f"DROP ROLE {role}")
    await admin.close()


async def test_a_role_may_enqueue_in_every_way(role_url: str) -> None:
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
