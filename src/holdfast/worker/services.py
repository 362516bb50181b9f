"""What a worker does beside running jobs. Each service is small, may fail without harm, and is repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext

from holdfast.clock import monotonic
from holdfast.db import Database, Listener, load_statements
from holdfast.jobs import Batches, FailureFolder, Gatekeeper, HotPath, Job, Jobs, Keeper, Operator, Promoter
from holdfast.worker.background import Background
from holdfast.worker.options import WorkerOptions
from holdfast.worker.pump import Pump
from holdfast.worker.runners import Runners

_SQL = load_statements("holdfast.jobs", "hot.sql")
_MARKS_EVERY_SECONDS = 0.25
_GENTLE_SECONDS = 0.05
_SETTLE_EVERY_SECONDS = 1.0
_REPORT_EVERY_SECONDS = 10.0
_OPERATIONS_EVERY_SECONDS = 2.0


class Services:
    """Promotion, gates, watermarks, cancel requests, batches, operations, failures, reports, housekeeping."""

    def __init__(
        self,
        database: Database,
        hot: HotPath,
        runners: Runners,
        pump: Pump,
        listener: Listener,
        options: WorkerOptions,
        cancel: Callable[[Job, str], None],
    ) -> None:
        self._database = database
        self._hot = hot
        self._runners = runners
        self._pump = pump
        self._listener = listener
        self._options = options
        self._cancel = cancel
        self._promoter = Promoter(database)
        self._gatekeeper = Gatekeeper(database)
        self._gates = asyncio.Event()
        self._keeper = Keeper(database, retention_days=options.retention_days, job_log_days=options.job_log_days)
        self._failures = FailureFolder(database, retention_days=options.retention_days)
        self._operator = Operator(database, retention_days=options.retention_days)
        self._operations = asyncio.Event()
        self._operated = False
        self._due = asyncio.Event()
        self._cancels = asyncio.Event()
        self._batches = Batches(database, Jobs(database))
        self._member_ended = asyncio.Event()
        self._reported: set[int] | None = None
        self._reported_at = 0.0
        self._tidied_at = monotonic()
        self._channel: str | None = None

    async def start(self, background: Background) -> None:
        """Begin all of them."""
        await self._listener.listen("holdfast_cancel", lambda _payload: self._cancels.set())
        await self._listener.listen("holdfast_gates", lambda _payload: self._gates_changed())
        await self._listener.listen("holdfast_operations", lambda _payload: self._operations.set())
        await self._listen_for_rings()
        self._hot.on_gates_freed = self._gates_freed
        self._hot.left_gates.hand_over = self._gates_left

        def listen_anew() -> None:
            background.start(self._listen_for_rings(), name="ring channel")

        self._listener.on_reconnect(listen_anew)
        self._pump.on_postponed = self._due.set  # it may be due sooner than anything known so far
        background.every(0.0, self._promote, name="promotion")
        background.every(_MARKS_EVERY_SECONDS, self._settle_marks, name="watermarks")
        background.every(0.0, self._open_gates, name="gates")
        background.every(0.0, self._look_for_cancels, name="cancel requests")
        background.every(0.0, self._settle_batches, name="batches")
        background.every(0.0, self._operate, name="operations")
        background.every(2.0, self.count_failures, name="failures")
        background.every(1.0, self._report, name="report")
        background.every(5.0, self._release_unknown, name="own leases")
        background.every(2.0, self._keep, name="housekeeping")
        background.every(3600.0, self._retain, name="retention")

    async def _listen_for_rings(self) -> None:
        """Our own channel is named after the session that holds our idle locks; it changes when the session does."""
        pid = self._listener.backend_pid
        channel = None if pid is None else f"holdfast_{pid}"
        if channel == self._channel:
            return
        if self._channel is not None:
            await self._listener.unlisten(self._channel, self._rung)
        self._channel = channel
        if channel is not None:
            await self._listener.listen(channel, self._rung)
        self._pump.stir()

    def _rung(self, payload: str) -> None:
        if payload == "gates":
            self._gates.set()
        else:
            self._pump.ring()

    def _gates_freed(self, jobs: list[int]) -> None:
        self._gatekeeper.freed(jobs)
        self._gates.set()

    def _gates_left(self, gates: list[str]) -> None:
        self._gatekeeper.left(gates)
        self._gates.set()

    def _gates_changed(self) -> None:
        self._gatekeeper.sweep_now()
        self._gates.set()

    async def _open_gates(self) -> float:
        """Let in whoever may pass its gates, then wait for a reason to look again."""
        self._gates.clear()
        gently = self._hot.takes_straight
        # A claim that meets a look at the lock of the gates gets nothing from a line, and its worker nothing to do.
        async with self._pump.between_calls() if gently else nullcontext():
            queues, pause = await self._gatekeeper.look()
        if not set(queues).isdisjoint(self._options.queues):
            self._pump.stir()
        if gently:
            # Nor soon again: lanes and rates that open meanwhile wait for a few hundredths of a second.
            await asyncio.sleep(_GENTLE_SECONDS)
            pause -= _GENTLE_SECONDS
        if pause > 0:
            try:
                async with asyncio.timeout(pause):
                    await self._gates.wait()
            except TimeoutError:
                pass
        return 0.0

    async def _promote(self) -> float:
        """Promote, then sleep exactly until the next job is due; a ring, or a second, whatever comes first."""
        due_in = await self._promoter.promote()
        pause = self._options.poll_max_seconds if due_in is None else min(due_in, self._options.poll_max_seconds)
        self._due.clear()
        try:
            async with asyncio.timeout(max(pause, 0.001)):
                await self._due.wait()
        except TimeoutError:
            pass
        return 0.0

    async def _settle_marks(self) -> None:
        await self._hot.settle_marks()

    async def _look_for_cancels(self) -> float:
        self._cancels.clear()
        running = {job_id: job for job_id, (job, _) in self._runners.running.items() if job.cancel_reason is None}
        if running:
            rows = await self._database.fetch(_SQL["cancel_requests"], list(running), pool="control")
            for job_id, reason in rows:
                self._cancel(running[job_id], reason or "cancelled on request")
        try:
            async with asyncio.timeout(1.0):
                await self._cancels.wait()
        except TimeoutError:
            pass
        return 0.0

    def member_ended(self) -> None:
        """A member of a batch has ended here; it may have been the last one."""
        self._member_ended.set()

    async def _settle_batches(self) -> float:
        """End batches as soon as a last member has; those whose members end elsewhere within a second."""
        try:
            async with asyncio.timeout(_SETTLE_EVERY_SECONDS):
                await self._member_ended.wait()
                self._member_ended.clear()
                await self._pump.settled()
        except TimeoutError:
            pass
        while await self._batches.settle():
            pass  # a batch that ended may have been the last of the one around it
        return 0.0

    async def _operate(self) -> float:
        """A batch of an operation, and the next one at once; where there is none, wait for one two seconds at most."""
        self._operations.clear()
        if await self._operator.turn():
            self._operated = True
            return 0.0
        if self._operated:
            self._operated = False
            self._pump.stir()  # a drain waits for it
        try:
            async with asyncio.timeout(_OPERATIONS_EVERY_SECONDS):
                await self._operations.wait()
        except TimeoutError:
            pass
        return 0.0

    async def count_failures(self) -> None:
        """Count what has failed into its groups."""
        await self._failures.fold()

    async def _report(self) -> None:
        """What runs, when that has changed; and every few seconds that this loop and its pump still turn."""
        running, now = set(self._runners.running), monotonic()
        if running == self._reported and now - self._reported_at < _REPORT_EVERY_SECONDS:
            return
        asked, claimed = self._pump.turned_at, self._pump.claimed_at
        ages = (int((now - asked) * 1e6), None if claimed is None else int((now - claimed) * 1e6))
        await self._database.execute(_SQL["report_running"], self._hot.worker, sorted(running), *ages, pool="control")
        self._reported, self._reported_at = running, now

    async def _release_unknown(self) -> None:
        if await self._hot.release_unknown():
            self._pump.stir()

    async def _keep(self) -> None:
        await self._keeper.fold()
        now = monotonic()
        if now - self._tidied_at > 60:
            self._tidied_at = now
            await self._keeper.tidy()
            await self._failures.forget()
            await self._operator.forget()

    async def _retain(self) -> None:
        """Apart from the rest: a detach waits for everybody who reads what is detached, be it a dump of hours."""
        await self._keeper.retain()
