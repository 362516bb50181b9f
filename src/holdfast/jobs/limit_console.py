"""What people ask of limits: see them, change them."""

from __future__ import annotations

from msgspec import Struct

from holdfast.db import Database, load_statements
from holdfast.errors import ConfigurationError

_SQL = load_statements("holdfast.jobs", "gates.sql")


class LimitInfo(Struct, frozen=True):
    """A limit or rate, or one key of it. ``key`` is None where nobody has passed and nobody waits.

    ``taken``: jobs that have passed (of a rate: within its window). ``waiting`` is counted up to 10 000.
    """

    name: str
    kind: str
    capacity: int
    declared: int
    per_seconds: float | None
    key: str | None
    taken: int
    waiting: int


class LimitConsole:
    """``app.limits``: how many jobs may run at once, or start within a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, *, most: int = 1000) -> list[LimitInfo]:
        """Every limit and rate that a worker has declared, with a line for each key in use, at most ``most`` keys."""
        return [
            LimitInfo(
                name=row["name"].partition(":")[2],
                kind=row["name"].partition(":")[0],
                capacity=row["capacity"],
                declared=row["declared"],
                per_seconds=None if row["per_us"] is None else row["per_us"] / 1_000_000,
                key=None if row["gate"] is None else row["gate"].split(":", 2)[2],
                taken=row["taken"],
                waiting=row["waiting"],
            )
            for row in await self._database.fetch(_SQL["limits"], most)
        ]

    async def set(self, name: str, capacity: int) -> None:
        """Another capacity from now on, until ``reset``. Jobs that have passed go on.

        ``name`` is that of a limit, or ``rate:NAME``. Raises ``ConfigurationError`` for one that nobody has declared.
        """
        if capacity < 0:
            raise ConfigurationError(f"a limit of {capacity} is less than none", remedy="0 lets nobody pass")
        await self._set(name, capacity)

    async def reset(self, name: str) -> None:
        """The capacity that the application declares. Raises ``ConfigurationError``."""
        await self._set(name, None)

    async def _set(self, name: str, capacity: int | None) -> None:
        rule = name if ":" in name else f"limit:{name}"
        if not await self._database.fetchval(_SQL["set_limit"], rule, capacity):
            known = sorted({f"{info.kind}:{info.name}" for info in await self.list()})
            raise ConfigurationError(
                f"no worker has declared {rule}", remedy=f"there are {', '.join(known) or 'none'}: holdfast limit list"
            )
