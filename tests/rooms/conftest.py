"""Fixtures of the rooms: an application on a fresh database, and a connection that looks at it from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from holdfast import Holdfast


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[Holdfast]:
    """An application without tasks, open."""
    async with Holdfast(database_url) as application:
        yield application


@pytest.fixture
async def outsider(database_url: str) -> AsyncIterator[Any]:
    """A connection that is none of Holdfast's, to look at it from outside."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close(timeout=5)
