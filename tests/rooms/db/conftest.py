"""Fixtures of the db room: an open database, plain connections, and a pooler where PgBouncer is installed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import asyncpg
import pytest

from holdfast.db import Database
from tests.rooms.db.pooler import REMEDY, pgbouncer_program, pooler_for

_LEFT_OUT = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without PgBouncer its tests are left out, and the report says so; on a build machine they fail instead."""
    if pgbouncer_program() is not None or os.environ.get("CI"):
        return
    without = [item for item in items if "pooler" in getattr(item, "fixturenames", ())]
    config.stash[_LEFT_OUT] = len(without)
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    left_out = config.stash.get(_LEFT_OUT, 0)
    if left_out:
        terminalreporter.section("left out", sep="!", red=True)
        terminalreporter.line(f"{left_out} tests behind a pooler did not run: no PgBouncer here. Remedy: {REMEDY}")


@pytest.fixture
def pooler() -> Callable[..., AbstractContextManager[str]]:
    """Puts a PgBouncer in front of any URL, for the length of a ``with``."""
    return pooler_for


@pytest.fixture
def pooled_url(pooler: Callable[..., AbstractContextManager[str]], database_url: str) -> Iterator[str]:
    """The test's database through a pooler in transaction mode."""
    with pooler(database_url) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's database, opened."""
    opened = Database(database_url)
    await opened.open(10)
    yield opened
    await opened.close(5)


@pytest.fixture
async def outsider(database_url: str) -> AsyncIterator[Any]:
    """A connection that is none of Holdfast's, to look at it from outside."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close(timeout=5)
