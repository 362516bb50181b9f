"""Ids drawn before they are used, so that an enqueue whose answer was lost can be repeated and recognised."""

from __future__ import annotations

from holdfast.clock import monotonic
from holdfast.db import Database, load_statements

_SQL = load_statements("holdfast.jobs", "enqueue.sql")
_BLOCK = 1024
_FRESH_SECONDS = 30.0
"""The server refuses ids drawn more than a minute ago; half of that leaves time for repetitions."""


class IdSupply:
    """Blocks of ids drawn from the server and handed out one by one. Not for several tasks at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next = 0
        self._end = 0
        self._drawn_at = 0.0

    async def take(self, count: int) -> list[int]:
        """``count`` ids, oldest first. Ids of a stale block are thrown away."""
        if monotonic() - self._drawn_at > _FRESH_SECONDS:
            self._next = self._end = 0
        ids = list(range(self._next, min(self._end, self._next + count)))
        self._next += len(ids)
        missing = count - len(ids)
        if missing == 0:
            return ids
        drawn_at = monotonic()
        bases = await self._database.fetch(_SQL["draw_ids"], -(-missing // _BLOCK))
        for (base,) in bases:
            self._next, self._end = base, base + _BLOCK
            taken = range(base, base + min(_BLOCK, missing))
            ids.extend(taken)
            self._next += len(taken)
            missing -= len(taken)
        self._drawn_at = drawn_at
        return ids
