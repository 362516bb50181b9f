"""A database with a ledger, a fleet of worker processes on it, and callers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.acceptance.fleet import Fleet, Load


async def make_ledger(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("create table ledger (job_id bigint not null, n integer not null)")
    await connection.close()


@pytest.fixture
async def ledger_url(database_url: str) -> str:
    await make_ledger(database_url)
    return database_url


@pytest.fixture
async def durable_url(durable_database_url: str) -> str:
    await make_ledger(durable_database_url)
    return durable_database_url


@pytest.fixture
def fleet_on(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Makes fleets that end with the test."""
    fleets: list[Fleet] = []

    def make(url: str, **settings: object) -> Fleet:
        fleets.append(Fleet(url, tmp_path, **settings))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.end()


@pytest.fixture
async def load_on() -> AsyncIterator[Callable[..., Load]]:
    """Makes loads that end with the test; open them first."""
    loads: list[Load] = []

    def make(url: str) -> Load:
        loads.append(Load(url))
        return loads[-1]

    yield make
    for load in loads:
        await load.close()
