"""Publishing what is settled, for processes that serve projections without a worker."""

from __future__ import annotations

from typing import Any, Final

from holdfast.clock import monotonic
from holdfast.db import Database, load_statements

_SQL = load_statements("holdfast.events.projections", "reading.sql")
_EVERY_SECONDS: Final = 0.02


class Ticks:
    """Ticks when called, at most fifty times a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: tuple[Any, Any] = (None, None)
        self._again_at = 0.0

    async def __call__(self) -> None:
        """Publish the settled position, if it has moved."""
        if monotonic() < self._again_at:
            return
        self._again_at = monotonic() + _EVERY_SECONDS
        row = await self._database.fetchrow(_SQL["tick"], *self._pending, pool="control")
        self._pending = row["pending"], row["fence"]
