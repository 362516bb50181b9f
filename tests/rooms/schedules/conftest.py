"""An application whose schedules are in the database, and a way to move the clock of everything that asks there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.schedules.stored import SQL

MoveClock = Callable[[str], Awaitable[None]]


@pytest.fixture
def move_clock(app: Holdfast, outsider: Any) -> MoveClock:
    """From now on the database's clock shows so much more than it is, for everybody."""

    async def move(offset: str) -> None:
        name = await outsider.fetchval("SELECT current_database()")
        await outsider.execute(f"ALTER DATABASE {name} SET holdfast.clock_offset = '{offset}'")
        await outsider.execute(f"SET holdfast.clock_offset = '{offset}'")
        await app.database.fetchval(SQL["now"], pool="control")  # the session made in advance is used up
        for pool in (app.database.control, app.database.user):
            await pool.expire_connections()

    return move


@pytest.fixture
def decided(outsider: Any) -> Callable[[str], Awaitable[list[tuple[str, str | None]]]]:
    """State and reason of every occurrence of a schedule, oldest first."""

    async def read(name: str) -> list[tuple[str, str | None]]:
        rows = await outsider.fetch(
            "SELECT state, because FROM holdfast.occurrence WHERE schedule = $1 ORDER BY at", name
        )
        return [(row["state"], row["because"]) for row in rows]

    return read


async def next_at(outsider: Any, name: str) -> datetime:
    at: datetime = await outsider.fetchval("SELECT next_at FROM holdfast.schedule WHERE name = $1", name)
    return at
