"""A connection to a database of the test's own, with the tables of the atlas."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from examples.atlas import store


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(database_url)
    await store.install(opened)
    yield opened
    await opened.close()
