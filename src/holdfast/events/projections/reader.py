"""Reads the log for a projection: its own partitions only, from the index, no further than settled."""

from __future__ import annotations

import math
from typing import Any, Final

from holdfast.db import Database, load_statements
from holdfast.events.event import RecordedEvent
from holdfast.events.projections.batch import Batch, Placed, assemble
from holdfast.events.projections.declaration import Projection
from holdfast.events.projections.share import Held, Share
from holdfast.events.reading import event_of

_SQL = load_statements("holdfast.events.projections", "reading.sql")
_COLUMNS: Final = 14
_EXPECTED_BUSY: Final = 4
"""Partitions that share a batch while none is known to have more: the events of a moment are of few streams."""
_WINDOW: Final = 100_000
"""Positions looked at in one read: events of other types are passed over, and that must not take minutes."""


class Reader:
    """What one projection reads."""

    def __init__(self, database: Database, projection: Projection) -> None:
        self._database = database
        self._projection = projection
        self._scope = (_list(projection.types), _list(projection.categories), _list(projection.tags))

    async def bounds(self, share: Share) -> dict[int, int]:
        """How far each of our partitions may go now."""
        row = await self._database.fetchrow(_SQL["bounds"], self._projection.name, share.model)
        settled, live = row if row is not None else (0, None)
        if live is None:
            return dict.fromkeys(share.held, settled)
        return {partition: min(settled, live[partition]) for partition in share.held}

    async def read(self, share: Share, behind: list[Held], bounds: dict[int, int]) -> Batch:
        """The next events of these partitions, about as many as a batch holds; remembers which have more."""
        batch = self._projection.batch
        upto = {h.partition: min(bounds[h.partition], h.checkpoint + _WINDOW) for h in behind}
        expected = len(behind) if self._projection.in_log_order else min(len(behind), _EXPECTED_BUSY)
        limit_each = math.ceil(batch / (len(share.full) or expected))
        rows = await self._database.fetch(
            _SQL["next_events"],
            self._projection.name,
            share.model,
            [h.partition for h in behind],
            [h.checkpoint for h in behind],
            [upto[h.partition] for h in behind],
            limit_each,
            *self._scope,
        )
        rows.sort(key=lambda row: row["position"])
        placed = [(Placed(row["partition"], self._event(row)), row["parked"]) for row in rows]
        found, share.full = assemble(placed, upto, limit_each)
        if self._projection.in_log_order:
            last = [placed.event.position for placed in found.events[batch - 1 : batch]]
            return found.up_to(min([*found.reached.values(), *last]))
        return found.at_most(2 * batch)

    async def stream_events(self, tx: Any, stream: str, first: int, last: int, limit: int) -> list[RecordedEvent]:
        """Events of one stream between two positions, both included, that this projection is for."""
        rows = await tx.fetch(_SQL["stream_events"].sql, stream, first, last, limit, *self._scope)
        return [self._event(row) for row in rows]

    def _event(self, row: Any) -> RecordedEvent:
        return event_of(tuple(row)[:_COLUMNS], self._projection.event_types)


def _list(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)
