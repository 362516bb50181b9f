"""The loop that keeps one projection up to date from one process.

    register ─ hold ─┬─ read ─ apply ─┬─ … ─ retire
                     └── wait for a tick

Any number of processes run it at the same time: each holds a fair share of the partitions, and nothing else is agreed
between them.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, classify, load_statements
from holdfast.errors import DatabaseUnavailable, LeaseLost, PartitionTaken
from holdfast.events.projections.applier import Applier
from holdfast.events.projections.declaration import Projection
from holdfast.events.projections.reader import Reader
from holdfast.events.projections.retrying import Retrying
from holdfast.events.projections.share import Share, shares_of
from holdfast.events.projections.tenure import Tenure
from holdfast.telemetry import emit, get_logger

log = get_logger("events")
_SQL = load_statements("holdfast.events.projections", "leases.sql")
_HOLD_EVERY_SECONDS: Final = 0.5
_RETRY_EVERY_SECONDS: Final = 0.25
_IDLE_ADVANCE_SECONDS: Final = 0.25
_LONGEST_FAULT_PAUSE_SECONDS: Final = 2.0
_NOT_REGISTERED: Final = "HF120"


class FixedPartitions(Struct, frozen=True):
    """Partitions whose number leaves this key when divided by the total: for deployments that assign work by hand."""

    key: int
    total: int


class ProjectorOptions(Struct, frozen=True):
    """How one process serves projections. Durations in seconds."""

    lease_seconds: float = 10.0
    poll_seconds: float = 0.25
    worker: int | None = None
    fixed: FixedPartitions | None = None
    batch: int | None = None
    until_caught_up: bool = False


class Projector:
    """Serves one projection until told to stop."""

    def __init__(
        self,
        database: Database,
        projection: Projection,
        tenure: Tenure,
        options: ProjectorOptions,
        *,
        may_work: Callable[[], bool] = lambda: True,
    ) -> None:
        """``may_work``: asked before anything is begun. Somebody else publishes what is settled."""
        self.projection = projection
        self.wake = asyncio.Event()
        self.stopping = asyncio.Event()
        self.shares: dict[int, Share] = {}
        self._database = database
        self._tenure = tenure
        self._options = options
        self._may_work = may_work
        self._reader = Reader(database, projection)
        self._applier = Applier(database, projection, options.lease_seconds)
        self._retrying = Retrying(database, self._applier, self._reader)
        self._id: int | None = None
        self._hold_at = self._retry_at = self._idle_at = self._gather_until = 0.0
        self._said_refused = False

    def stop(self) -> None:
        """Finish the batch in hand, give back what is held, end."""
        self.stopping.set()
        self.wake.set()

    async def run(self) -> None:
        """Serve. Raises ``PartitionTaken`` when the fixed partitions asked for belong to a process that lives."""
        faults = 0
        try:
            while not self.stopping.is_set():
                self.wake.clear()  # before the look: a tick that comes during it is not missed
                try:
                    if not await self._round() and not await self._wait():
                        return
                    faults = 0
                except PartitionTaken:
                    raise
                except Exception as error:  # noqa: BLE001 - whatever it is, other projections and later tries go on
                    self._hold_at = 0.0
                    if self._is_serious(error):
                        faults += 1
                        await self._pause(min(0.05 * 2**faults, _LONGEST_FAULT_PAUSE_SECONDS))
        finally:
            await self._retire()

    def _is_serious(self, error: Exception) -> bool:
        """Whether to wait before the next try; what we believed to hold is asked anew in any case."""
        name = self.projection.name
        if isinstance(error, LeaseLost):
            log.info("%s", error.message)
            return False
        if getattr(error, "sqlstate", None) == _NOT_REGISTERED:
            self._forget()
            return False
        if isinstance(error, (*DRIVER_ERRORS, DatabaseUnavailable)):
            log.warning("projection %s waits for the database: %s", name, error)
        else:
            log.error("projection %s could not go on; it tries again", name, exc_info=error)
        return True

    async def _round(self) -> bool:
        """One look at everything we hold; whether anything was done."""
        if not self._may_work():
            return False
        now = monotonic()
        if self._id is None and not await self._register():
            return False
        if now >= self._hold_at:
            await self._hold()
            self._hold_at = now + _HOLD_EVERY_SECONDS
        retry = now >= self._retry_at
        if retry:
            self._retry_at = now + _RETRY_EVERY_SECONDS
        busy = False
        for share in list(self.shares.values()):
            if retry and await self._retrying.retry_due(share):
                busy = True
            if await self._advance(share):
                busy = True
        return busy

    async def _advance(self, share: Share) -> bool:
        """One batch of one model; whether there may be more at once."""
        bounds = await self._reader.bounds(share)
        behind = share.may_advance(bounds)
        if not behind or monotonic() < self._gather_until:
            return False
        batch = await self._reader.read(share, behind, bounds)
        unread = any(position < bounds[p] for p, position in batch.reached.items())
        if not unread and not self._options.until_caught_up:
            self._gather_until = monotonic() + self.projection.gather_seconds
        now = monotonic()
        if now < self._idle_at and not unread:
            # Partitions without events follow now and then: a checkpoint of theirs changes nothing but the lag.
            with_events = {placed.partition for placed in batch.events}
            batch = type(batch)(batch.events, {p: at for p, at in batch.reached.items() if p in with_events})
        else:
            self._idle_at = now + _IDLE_ADVANCE_SECONDS
        if batch.reached:
            await self._applier.apply(share, batch)
        return bool(batch.events) or unread

    async def _hold(self) -> None:
        rows = await self._database.fetch(_SQL["hold"], self._id, self._tenure.lease, pool="control")
        before = {model: set(share.held) for model, share in self.shares.items()}
        self.shares = shares_of(rows, self.shares)
        after = {model: set(share.held) for model, share in self.shares.items()}
        if before != after:
            emit(
                "events.projection.assigned",
                projection=self.projection.name,
                projector=self._id,
                partitions={model: len(held) for model, held in after.items()},
            )

    async def _register(self) -> bool:
        """Get a number; false while fixed partitions are held by a process that may still turn out to be dead."""
        options = self._options
        fixed = FixedPartitions(0, 1) if self.projection.in_log_order else options.fixed
        if self.projection.in_log_order and await self._is_served():
            await self._pause(_HOLD_EVERY_SECONDS)
            return False
        row = await self._database.fetchrow(
            _SQL["register"],
            self.projection.name,
            self.projection.version,
            options.worker,
            None if fixed is None else fixed.key,
            None if fixed is None else fixed.total,
            socket.gethostname(),
            os.getpid(),
            self._tenure.lease,
            pool="control",
        )
        if row["refusal"] is None:
            self._id = row["projector"]
            self._tenure.add(row["projector"])
            return True
        if self._refused_for_long() and not self.projection.in_log_order:
            raise PartitionTaken(
                f"projection {self.projection.name!r}: {row['refusal']}",
                remedy="give every process a PARTITION_KEY of its own below one TOTAL_PARTITIONS, or none of them any",
            )
        await self._pause(_HOLD_EVERY_SECONDS)
        return False

    async def _is_served(self) -> bool:
        """Whether another process reads in log order; then we stand by."""
        name, version = self.projection.name, self.projection.version
        return bool(await self._database.fetchval(_SQL["is_served"], name, version, pool="control"))

    def _refused_for_long(self) -> bool:
        """Longer than the lease of a process that has died can last."""
        if not self._said_refused:
            self._said_refused = True
            self._refused_at = monotonic()
        return monotonic() - self._refused_at > self._options.lease_seconds + 1.0

    def _forget(self) -> None:
        """Our number is gone (a long outage): what we held is somebody else's by now."""
        if self._id is not None:
            self._tenure.remove(self._id)
        self._id, self.shares = None, {}

    async def _wait(self) -> bool:
        """Until a tick, or for so long; false: everything is done, and that was all we were here for."""
        if self._options.until_caught_up and self._id is not None and await self._caught_up():
            return False
        await self._pause(self._options.poll_seconds)
        return True

    async def _caught_up(self) -> bool:
        """Whether everything that is settled was handled, or waits for a person."""
        for share in self.shares.values():
            bounds = await self._reader.bounds(share)
            for held in share.held.values():
                stopped = held.rests_until == float("inf")
                if held.checkpoint < bounds[held.partition] and not stopped:
                    self._idle_at = 0.0
                    return False
        return True

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        except TimeoutError:
            pass

    async def _retire(self) -> None:
        """Give everything back, so that nobody waits for a lease to run out."""
        if self._id is None:
            return
        projector, self._id = self._id, None
        self._tenure.remove(projector)
        try:
            await self._database.execute(_SQL["retire"], projector, pool="control", timeout_seconds=2.0)
        except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
            log.debug("projector %d leaves without a word (%s): its leases run out", projector, classify(error).value)


async def declare(database: Database, projection: Projection) -> bool:
    """Make the projection known. False: its live model is of other code, and no model of this one is being built."""
    return bool(
        await database.fetchval(
            _SQL["declare"],
            projection.name,
            projection.kind,
            projection.on_failure,
            projection.version,
            _or_none(projection.types),
            _or_none(projection.categories),
            _or_none(projection.tags),
            list(projection.tables),
            projection.from_now,
            pool="control",
        )
    )


def _or_none(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)
