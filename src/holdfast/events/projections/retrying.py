"""Parked streams whose time has come: their events are handled from where they stopped, in order, beside the others."""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec import Struct, field

from holdfast.db import Database, load_statements
from holdfast.events.projections.applier import Applier
from holdfast.events.projections.batch import Placed
from holdfast.events.projections.handling import HandlerFailed
from holdfast.events.projections.reader import Reader
from holdfast.events.projections.share import Held, Share
from holdfast.telemetry import emit

_SQL = load_statements("holdfast.events.projections", "work.sql")


class _InHand(Exception):
    """An operator has the stream in hand, or it is parked no more."""


class Retrying:
    """Retries the parked streams of one projection."""

    def __init__(self, database: Database, applier: Applier, reader: Reader) -> None:
        self._database = database
        self._applier = applier
        self._reader = reader
        self._name = applier.projection.name

    async def retry_due(self, share: Share) -> bool:
        """Take up the streams of our partitions that are due; whether there were any."""
        due = await self._database.fetch(_SQL["due_parked"], self._name, share.model, list(share.held))
        for stream, partition in due:
            await self._retry(share, stream, share.held[partition])
        return bool(due)

    async def _retry(self, share: Share, stream: str, held: Held) -> None:
        """A batch of one stream; when it fails, one event at a time finds the one that does.

        The checkpoint does not move; its guard is the fence here, too.
        """
        most = self._applier.projection.batch
        while True:
            taken = _Taken()
            try:
                await self._applier.commit(
                    share, {held.partition: held.checkpoint}, partial(self._go_on, share, stream, held, most, taken)
                )
            except _InHand:
                return
            except HandlerFailed as failure:
                if not taken.placed:
                    raise
                if len(taken.placed) == 1 or failure.at == 0 or failure.made_before:
                    await self._wait_on(share, held, failure, taken)
                    return
                most = 1
            else:
                if most > 1:
                    return

    async def _go_on(self, share: Share, stream: str, held: Held, most: int, taken: _Taken, tx: Any) -> None:
        """Handle what waits, at most so many events; the stream flows again once nothing waits."""
        parked = await tx.fetchrow(_SQL["lock_parked"].sql, self._name, share.model, stream)
        if parked is None:
            raise _InHand
        taken.attempts = parked["attempts"]
        events = await self._reader.stream_events(tx, stream, parked["next_position"], held.checkpoint, most)
        waiting = [Placed(held.partition, event) for event in events]
        taken.placed = placed = self._alike(share, waiting)
        if placed:
            prepared = await self._applier.projection.handling.prepare(self._applier.deliveries(share, placed))
            await self._applier.handle(share, placed, prepared, tx)
        if len(placed) == len(waiting) < most:
            await tx.execute(_SQL["unpark"].sql, self._name, share.model, stream)
            emit("events.projection.unparked", projection=self._name, stream=stream)
        else:
            after = placed[-1].event.position + 1
            await tx.execute(_SQL["parked_went_on"].sql, self._name, share.model, stream, after)

    def _alike(self, share: Share, waiting: list[Placed]) -> list[Placed]:
        """The first of them, as long as all make effects or none does."""
        replaying = [delivery.replaying for delivery in self._applier.deliveries(share, waiting)]
        different = (at for at, each in enumerate(replaying) if each != replaying[0])
        return waiting[: next(different, len(waiting))]

    async def _wait_on(self, share: Share, held: Held, failure: HandlerFailed, taken: _Taken) -> None:
        """The stream waits on, before the event that failed; what an outbox published before it stays published."""
        at = failure.at or 0
        attempts = 1 if at else taken.attempts + 1
        reached = {held.partition: held.checkpoint}
        await self._applier.park(share, taken.placed[at], failure.cause, attempts=attempts, reached=reached)


class _Taken(Struct):
    """What an attempt took up."""

    placed: list[Placed] = field(default_factory=list)
    attempts: int = 0
