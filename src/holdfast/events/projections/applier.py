"""Applies batches to one model: read model and checkpoint in one commit, and what fails is found and set aside.

A batch that fails is cut: at the event that raised, if the handler gave them one by one, otherwise in halves, until one
event is left that fails alone. Then the projection's policy decides about it, and everything else has gone on.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Fault, classify, load_statements
from holdfast.errors import LeaseLost
from holdfast.events.projections.batch import Batch, Placed
from holdfast.events.projections.declaration import Projection
from holdfast.events.projections.delivery import Delivery
from holdfast.events.projections.handling import HandlerFailed
from holdfast.events.projections.share import Share
from holdfast.jobs import error_text
from holdfast.telemetry import emit

_SQL = load_statements("holdfast.events.projections", "work.sql")
_CONTENDED_TRIES: Final = 8
_CONTENDED_FIRST_SECONDS: Final = 0.025
Write = Callable[[Any], Awaitable[None]]


class Applier:
    """Applies batches of one projection; who holds what is told with each."""

    def __init__(self, database: Database, projection: Projection, lease_seconds: float) -> None:
        self.projection = projection
        self._database = database
        self._lease = timedelta(seconds=lease_seconds)
        self._idle_limit = str(int(lease_seconds * 1000))

    async def apply(self, share: Share, batch: Batch) -> None:
        """Apply a batch; returns when it is durable, but for what was parked or stopped. Raises ``LeaseLost``."""
        parked: set[str] = set()
        waiting = [*self._by_effects(share, batch)]
        while waiting:
            part = waiting.pop().without(_resting(share), parked)
            if not part.reached:
                continue
            try:
                await self._commit_part(share, part)
            except HandlerFailed as failure:
                if failure.made_before:
                    await self._go_on_behind(share, part, failure, waiting)
                elif len(part.events) == 1:
                    await self._set_aside(share, part, failure.cause, parked)
                elif failure.at is None:
                    waiting += reversed(part.cut(len(part.events) // 2))
                else:
                    waiting += reversed(_around(part, failure.at))

    async def handle(self, share: Share, placed: Sequence[Placed], prepared: Any, tx: Any) -> None:
        """Run the handler inside a transaction."""
        await self.projection.handling.write(tx, self.deliveries(share, placed), prepared)

    def deliveries(self, share: Share, placed: Sequence[Placed]) -> list[Delivery]:
        """The events as the handler is told of them."""
        name, model = self.projection.name, share.model
        return [Delivery(each.event, name, model, _replays(share, each)) for each in placed]

    async def commit(self, share: Share, reached: Mapping[int, int], write: Write) -> None:
        """One transaction: what ``write`` does, then the checkpoint, which is refused when the lease is lost."""
        try:
            await self._commit(share, reached, write)
        except DRIVER_ERRORS as error:
            fault = classify(error)
            if fault.of_connection or fault in (Fault.CONTENDED, Fault.STALE_PLAN, Fault.POOLER):
                raise
            # What is refused at the end (a constraint that waits for the commit, a statement that failed and was
            # swallowed) is the handler's failure, too.
            raise HandlerFailed(error, None) from error

    async def _commit(self, share: Share, reached: Mapping[int, int], write: Write) -> None:
        held = [share.held[partition] for partition in sorted(reached)]
        async with self._database.connection("user") as tx, tx.transaction():
            await tx.execute(_SQL["begin"].sql, self._idle_limit, share.schema)
            await write(tx)
            moved = await tx.fetchval(
                _SQL["checkpoint"].sql,
                self.projection.name,
                share.model,
                [h.partition for h in held],
                [h.epoch for h in held],
                [h.checkpoint for h in held],
                [reached[h.partition] for h in held],
                self._lease,
            )
            if moved != len(held):
                raise LeaseLost(
                    f"projection {self.projection.name}: another process, or an operator, has taken partitions over",
                    remedy="nothing to do: the batch was rolled back, whoever holds them now goes on from there",
                )
        for h in held:
            h.checkpoint, h.attempts, h.rests_until = reached[h.partition], 0, 0.0

    async def _commit_part(self, share: Share, part: Batch) -> None:
        """Commit, again and again while only contention is in the way."""
        write: Write = _nothing
        if part.events:
            prepared = await self.projection.handling.prepare(self.deliveries(share, part.events))
            write = partial(self.handle, share, part.events, prepared)
        pause = _CONTENDED_FIRST_SECONDS
        for tries_left in reversed(range(_CONTENDED_TRIES)):
            try:
                await self.commit(share, part.reached, write)
                return
            except DRIVER_ERRORS as error:
                if classify(error) is not Fault.CONTENDED:
                    raise
                if not tries_left:
                    raise HandlerFailed(error, None) from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    async def _go_on_behind(self, share: Share, part: Batch, failure: HandlerFailed, waiting: list[Batch]) -> None:
        """What stands before the failed event had its effect outside: it gets its checkpoint, and is not done again."""
        before, rest = part.cut(failure.at or 0)
        if before.reached:
            await self.commit(share, before.reached, _nothing)
        failed, after = rest.cut(1)
        waiting.append(after)
        parked: set[str] = set()
        await self._set_aside(share, failed, failure.cause, parked)
        waiting[-1] = after.without((), parked)

    async def _set_aside(self, share: Share, part: Batch, cause: Exception, parked: set[str]) -> None:
        (placed,) = part.events
        if self.projection.on_failure == "stop":
            await self._stop_before(share, placed, cause)
        else:
            await self.park(share, placed, cause, attempts=1, reached=part.reached)
            parked.add(placed.event.stream)

    async def park(
        self, share: Share, placed: Placed, cause: Exception, *, attempts: int, reached: Mapping[int, int]
    ) -> None:
        """The stream waits from this event on; its retry, or a person, goes on with it."""
        delay = self.projection.retry.next_delay(cause, attempts)
        event = placed.event

        async def write(tx: Any) -> None:
            await tx.execute(
                _SQL["park_failed"].sql,
                self.projection.name,
                share.model,
                event.stream,
                placed.partition,
                event.position,
                attempts,
                error_text(cause),
                delay,
            )

        await self.commit(share, reached, write)
        self._tell("parked", placed, cause, attempts, delay)

    async def _stop_before(self, share: Share, placed: Placed, cause: Exception) -> None:
        """The partition rests before this event: until its retry, or until somebody resumes it."""
        held = share.held[placed.partition]
        held.attempts += 1
        delay = self.projection.retry.next_delay(cause, held.attempts)
        failing = {
            "position": placed.event.position,
            "stream": placed.event.stream,
            "attempts": held.attempts,
            "error": json.loads(error_text(cause)),
        }
        mine = await self._database.fetchval(
            _SQL["stop_at"],
            self.projection.name,
            share.model,
            placed.partition,
            held.epoch,
            json.dumps(failing),
            delay,
        )
        if not mine:
            raise LeaseLost(f"projection {self.projection.name}: partition {placed.partition} was taken over")
        held.rests_until = math.inf if delay is None else monotonic() + delay.total_seconds()
        self._tell("stopped", placed, cause, held.attempts, delay)

    def _tell(self, what: str, placed: Placed, cause: Exception, attempts: int, delay: timedelta | None) -> None:
        fields = {
            "projection": self.projection.name,
            "partition": placed.partition,
            "stream": placed.event.stream,
            "position": placed.event.position,
            "attempt": attempts,
            "error": f"{type(cause).__name__}: {cause}"[:300],
        }
        if delay is not None:
            emit("events.projection.retried", **fields, delay_seconds=round(delay.total_seconds(), 3))
        elif what == "parked":
            emit("events.projection.parked", **fields)
        else:
            emit("events.projection.stopped", **fields)

    def _by_effects(self, share: Share, batch: Batch) -> list[Batch]:
        """The batch, last part first: what makes effects is apart from what makes none."""
        again = [placed for placed in batch.events if _replays(share, placed)]
        if not again or len(again) == len(batch.events):
            return [batch]
        rest = [placed for placed in batch.events if not _replays(share, placed)]
        first, second = Batch([*again, *rest], batch.reached).cut(len(again))
        return [second, first]


async def _nothing(_tx: Any) -> None:
    """Only the checkpoint."""


def _replays(share: Share, placed: Placed) -> bool:
    return not share.live or placed.event.position <= share.held[placed.partition].effects_after


def _resting(share: Share) -> frozenset[int]:
    now = monotonic()
    return frozenset(p for p, h in share.held.items() if h.rests_until > now)


def _around(part: Batch, at: int) -> list[Batch]:
    """Before the event that failed, the event, after it; without what is empty."""
    before, rest = part.cut(at)
    it, after = rest.cut(1)
    return [each for each in (before, it, after) if each.events or each.reached]
