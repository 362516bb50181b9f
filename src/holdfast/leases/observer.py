"""The observer: one process watches all workers, says who is dead, and has their work put back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from holdfast.clock import monotonic
from holdfast.db import Fault, classify
from holdfast.errors import DatabaseUnavailable
from holdfast.leases.identity import still_exists
from holdfast.leases.judgement import Exists, Judgement, Seen
from holdfast.leases.limits import Limits
from holdfast.leases.session import LIVENESS_LOCK_CLASS, LivenessSession, signed
from holdfast.telemetry import emit, get_logger

log = get_logger("leases")

OBSERVER_LOCK_CLASS = 1212569
_RESCUE_SECONDS = 60.0

PutBack = Callable[[int], Awaitable[int]]


class Observer:
    """Runs in every process; with a direct session only the one that holds the lock (1212569, 0) looks.

    Without one every process looks, at a slower pace: declaring somebody dead twice is harmless. ``rescue`` puts back
    what a dead worker held and returns how many jobs; it is called again and again for as long as a lease names
    somebody who does not live, because a claim may commit after the first look (F4).
    """

    def __init__(
        self, session: LivenessSession, rescue: PutBack, limits: Limits, *, exists: Exists = still_exists
    ) -> None:
        self._session = session
        self._rescue = rescue
        self._limits = limits
        self._look_seconds = limits.look_every(has_session=session.direct)
        self._judgement = Judgement(
            limits, look_seconds=self._look_seconds, sees_sessions=session.direct, exists=exists
        )
        # Who does not lead looks, too, only seldom: a leader that was stopped keeps its session, and with it the lock.
        self._standby = Judgement(
            limits, look_seconds=limits.observe_standby_seconds, sees_sessions=session.direct, exists=exists
        )
        self._standby_at = 0.0
        self._generation = 0
        self._leader = False
        self._sweep_at = 0.0
        self._rescues: dict[int, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def leading(self) -> bool:
        """Whether this process looks for all; without a direct session every one does."""
        return self._leader or not self._session.direct

    def start(self) -> None:
        """Begin to watch."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="holdfast-observer")

    async def stop(self, deadline_seconds: float) -> None:
        """Stop watching; rescues under way get until the deadline."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=1.0)
        running = list(self._rescues.values())
        if running:
            _, late = await asyncio.wait(running, timeout=max(deadline_seconds, 0.0))
            for one in late:
                one.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)

    async def end(self, worker: int, reason: str) -> bool:
        """Declare a worker dead whose end is known, and begin its rescue. False: not possible now, ask again."""
        dead = bool(await self._session.value("declare_dead", worker, reason))
        if dead:
            emit("worker.declared_dead", worker=worker, reason=reason)
            self.begin_rescue(worker)
        return dead

    async def _run(self) -> None:
        while True:
            began = monotonic()
            try:
                await self._round()
            except DatabaseUnavailable:
                self._interrupted()
            except Exception as error:
                self._interrupted()
                if classify(error) is Fault.NO_SCHEMA:
                    log.debug("nobody can be looked at before the schema is there: %s", error)
                else:
                    log.exception("a look at the workers failed; the next one follows")
            await asyncio.sleep(max(began + self._look_seconds - monotonic(), self._look_seconds / 4))

    def _interrupted(self) -> None:
        self._judgement.interrupted()
        self._standby.interrupted()

    async def _round(self) -> None:
        judgement = self._judgement
        if self._session.direct and not await self._lead():
            if monotonic() < self._standby_at:
                return
            self._standby_at = monotonic() + self._limits.observe_standby_seconds
            judgement = self._standby
        rows = await self._session.call("observe")
        # After the answer: what it says was true no later than now.
        now = monotonic()
        seen = [Seen(*tuple(row)[:6]) for row in rows]
        if rows:
            for verdict in judgement.look(now, float(rows[0]["server_age_seconds"]), seen):
                if await self.end(verdict.worker, verdict.reason) and self._session.direct:
                    # Its session may still stand, and be the one that leads.
                    await self._session.call("evict", LIVENESS_LOCK_CLASS, signed(verdict.worker))
        if now >= self._sweep_at:
            self._sweep_at = now + self._limits.sweep_seconds
            for row in await self._session.call("workers_to_rescue"):
                self.begin_rescue(int(row["worker"]))

    async def _lead(self) -> bool:
        """Whether the lock is ours, in the session that stands now."""
        if self._generation != self._session.generation:
            if self._generation:
                self._interrupted()
            self._generation, self._leader = self._session.generation, False
        if not self._leader:
            self._leader = await self._session.try_take(OBSERVER_LOCK_CLASS, 0)
            if self._leader:
                log.info("this process observes the workers now")
        return self._leader

    def begin_rescue(self, worker: int) -> None:
        """Put back, beside everything else, what a worker held that does not live any more."""
        if worker not in self._rescues:
            task = self._rescues[worker] = asyncio.create_task(self._put_back(worker), name=f"holdfast-rescue-{worker}")
            task.add_done_callback(lambda _: self._rescues.pop(worker, None))

    async def _put_back(self, worker: int) -> None:
        try:
            async with asyncio.timeout(_RESCUE_SECONDS):
                jobs = await self._rescue(worker)
        except Exception as error:  # noqa: BLE001  (the sweep comes back to it)
            log.warning("the rescue of worker %d is tried again: %r", worker, error)
            return
        if jobs:
            emit("worker.rescued", worker=worker, jobs=jobs)
