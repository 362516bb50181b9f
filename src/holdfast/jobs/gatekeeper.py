"""The worker-side step of gates: it lets jobs into ready whose lane, limits and rates have room."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import islice

from holdfast.clock import monotonic
from holdfast.db import Database, load_statements

_SQL = load_statements("holdfast.jobs", "gates.sql")
_MOST_TOGETHER = 1000
_MOST_OF_A_LIMIT = 100  # as in heads_v1: where so many were let in there may be more
_SWEEP_EVERY_SECONDS = 2.0
_MARK_EVERY_SECONDS = 0.5
_LOOK_EVERY_SECONDS = 0.25
_BUSY_SECONDS = 0.02


class Gatekeeper:
    """Looks at the gates for one worker. Any number may do so: in the database one look is made at a time.

    Every ``sweep_every_seconds`` a look goes through all lines: somebody may have died between an end and its look.
    """

    def __init__(self, database: Database, *, sweep_every_seconds: float = _SWEEP_EVERY_SECONDS) -> None:
        self._database = database
        self._sweep_every_seconds = sweep_every_seconds
        self._freed: list[int] = []
        self._left: dict[str, None] = {}
        self._settled = 0
        self._pending: int | None = None
        self._fence: list[str] = []
        self._mark_due_at = 0.0
        self._sweep: str = ""
        self._sweep_due_at = monotonic() + sweep_every_seconds

    def freed(self, jobs: Sequence[int]) -> None:
        """These jobs with gates have left their leases: somebody may wait for what they held."""
        self._freed += jobs

    def left(self, gates: Iterable[str]) -> None:
        """Jobs have left these gates, and nobody has gone on there."""
        self._left |= dict.fromkeys(gates)

    def sweep_now(self) -> None:
        """Look at all gates, a part at a time: something has changed and nobody can say what."""
        self._sweep_due_at = 0.0

    async def look(self) -> tuple[list[str], float]:
        """Let in whoever may pass. Returns the queues that have got jobs, and the seconds until the next look."""
        freed, self._freed = self._freed[:_MOST_TOGETHER], self._freed[_MOST_TOGETHER:]
        left = list(islice(self._left, _MOST_TOGETHER))
        for gate in left:
            del self._left[gate]
        sweep = self._sweep if monotonic() >= self._sweep_due_at else None
        try:
            row = await self._database.fetchrow(
                _SQL["admit"], freed, left, self._settled, sweep, _MOST_TOGETHER, pool="control"
            )
        except BaseException:
            self._again(freed, left)
            raise
        if not row["is_mine"]:
            self._again(freed, left)
            return [], random.uniform(0.001, 0.005)
        if sweep is not None:
            self._sweep = row["swept"]
            if not self._sweep:
                self._sweep_due_at = monotonic() + self._sweep_every_seconds
        if row["heard"] and monotonic() >= self._mark_due_at:
            await self._settle_mark()
        return list(row["queues"]), self._pause(row["heard"], row["seated"], row["opens_us"])

    def _again(self, freed: list[int], left: list[str]) -> None:
        self._freed = freed + self._freed
        self.left(left)

    def _pause(self, heard: int, seated: int, opens_us: int | None) -> float:
        if heard >= _MOST_TOGETHER or seated >= _MOST_OF_A_LIMIT or self._freed or self._left or self._sweep:
            return 0.0
        pause = _BUSY_SECONDS if heard or seated else _LOOK_EVERY_SECONDS
        return pause if opens_us is None else min(pause, max(opens_us / 1_000_000, 0.001))

    async def _settle_mark(self) -> None:
        """No call comes below the settled number any more: looks need not wade through dead index entries."""
        self._mark_due_at = monotonic() + _MARK_EVERY_SECONDS
        row = await self._database.fetchrow(_SQL["call_mark"], self._pending, self._fence, pool="control")
        self._pending, self._fence = row["pending"], list(row["fence"])
        self._settled = max(self._settled, row["settled"] or 0)
