"""The worker: it registers, claims, runs, and leaves without keeping anything.

    start ─ lifeline (register) ─ listener ─ runners, pump, services ─ … ─ stop ─ phases ─ close

Everything it awaits at the end has a deadline: nothing a handler does, and nothing the database fails to do, hangs it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Listener
from holdfast.errors import DatabaseUnavailable
from holdfast.jobs import (
    BATCHED,
    Claimed,
    Exit,
    Finished,
    HotPath,
    Job,
    Left,
    LeftToRun,
    Outcome,
    Queues,
    Reports,
    Task,
    count_loss,
    declare_tasks,
    error_in_short,
    log_capture,
)
from holdfast.leases import WorkerFacts
from holdfast.telemetry import emit, get_logger
from holdfast.worker.attempt import Attempts, Ending
from holdfast.worker.background import Background
from holdfast.worker.executors import AttemptLinks, Executors, WorkDied
from holdfast.worker.idleness import Idleness
from holdfast.worker.lifeline import Lifeline
from holdfast.worker.options import Failure, Report, WorkerOptions
from holdfast.worker.pump import Pump
from holdfast.worker.returning import Returning
from holdfast.worker.runners import Runners
from holdfast.worker.service import Service, ServiceGroup
from holdfast.worker.services import Services

log = get_logger("worker")

_CANCEL_GRACE_SECONDS = 2.0
_CLOSE_SECONDS = 3.0
_REPORT_EVERY_SECONDS = 1.0
_LAST_REPORT_SECONDS = 1.0
_SETTLE_SECONDS = 5.0
"""A drain waits so long for a batch to be ended, once nothing else is left."""
_ASK_AGAIN_SECONDS = 1.0
"""A drain asks again what is left after so long at most."""
_UNKNOWN_CLOSE_SECONDS = 0.3
_RETURNING_SECONDS = 1.0


class Worker:
    """One worker of one process. ``run`` serves until ``stop``, until the queues are drained, or until it is lost."""

    def __init__(
        self,
        database: Database,
        tasks: Mapping[str, Task[..., Any]],
        lifeline: Lifeline,
        options: WorkerOptions,
        services: Sequence[Service] = (),
    ) -> None:
        """``services`` are of higher floors; they run for as long as the worker does."""
        self.options = options
        self.report = Report()
        self.id = 0
        self._database = database
        self._tasks = tasks
        self._lifeline = lifeline
        self._listener = Listener(database)
        self._reports: Reports | None = None
        self._background = Background()
        self._hosted = ServiceGroup(services)
        threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="holdfast")
        self._executors = Executors(threads, AttemptLinks(database), options)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._attempts = Attempts(
            tasks,
            self._executors,
            self._count_loss,
            result_max_bytes=options.result_max_bytes,
            max_losses=options.max_losses,
        )
        self._runners = Runners(
            self._attempts,
            options.concurrency,
            self._make_job,
            self._ended,
            lifeline.may_work,
            self._settled,
        )
        self._hot: HotPath | None = None
        self._pump: Pump | None = None
        self._services: Services | None = None
        self._settling_since: float | None = None
        self._returning: Returning | None = None

    async def run(self) -> Report:
        """Serve until told to stop; returns what was done. Raises ``DatabaseUnavailable`` when it cannot even start."""
        try:
            pump = await self._start_unless_stopped()
            if pump is not None:
                await self._serve(pump)
                await self._wind_down(pump)
        finally:
            await self._close()
        return self.report

    @property
    def in_hand(self) -> int:
        """Jobs that this worker runs or holds ready to run."""
        runners = self._runners
        return len(runners.running) + runners.waiting

    def stop(self) -> None:
        """Finish what runs within the soft limit and go. A second call does not wait for it."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def quiet(self) -> None:
        """Claim nothing more, but stay."""
        if self._pump is not None:
            self._pump.claiming = False

    async def _start_unless_stopped(self) -> Pump | None:
        """What cannot start does not matter any more, once it was told to stop."""
        try:
            return await self._start()
        except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
            if not self._stop.is_set():
                raise
            log.warning("told to stop while it could not start: %s", error)
            return None

    async def _start(self) -> Pump | None:
        """Everything that serving needs; None: a stop came before there was a number."""
        options = self.options
        # What another queue's tasks need is not asked for here; should one come all the same, its attempt says so.
        self._executors.prepare(task for task in self._tasks.values() if task.queue in options.queues)
        self._lifeline.set_callbacks(on_lost=self._lost, on_cut_off=self._cut_off, on_restored=self._restored)
        if not await self._register():
            return None
        self._reports = Reports(self._database, log_level=options.kept_log_level)
        log_capture.start(options.kept_log_level or logging.CRITICAL)
        self._hot = HotPath(self._database, self.id, options.queues)
        idleness = Idleness(self._database, self._listener, options.queues, options.poll_max_seconds, self._background)
        self._pump = Pump(
            self._hot,
            self._runners,
            idleness,
            options,
            may_work=self._lifeline.may_work,
            on_dead=lambda: self._lost("declared dead"),
            on_refused=self._refused,
        )
        services = Services(self._database, self._hot, self._runners, self._pump, self._listener, options, self.cancel)
        self._services = services
        await self._listener.start()
        await services.start(self._background)
        self._runners.start()
        self._background.start(self._pump.run(), name="pump")
        self._background.every(_REPORT_EVERY_SECONDS, self._reports.flush, name="what jobs report")
        self._returning = Returning(
            self._database,
            self._hot,
            self._runners,
            options.queues,
            lambda: self._listener.backend_pid,
            settled=self._returned,
            unsure=self._add_all,
        )
        self._returning.start()
        await self._hosted.start(
            self.id, self._database, self._listener, self._lifeline.may_work, draining=options.drain
        )
        emit("worker.started", worker=self.id, queues=",".join(options.queues), concurrency=options.concurrency)
        return self._pump

    async def _register(self) -> bool:
        """Declare the tasks and get a number, however long the server takes; false: told to stop before that."""
        starting = asyncio.create_task(self._begin_life(), name="holdfast start")
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.wait((starting,), timeout=1.0)
                return False
            self.id = starting.result()
            return True
        finally:
            starting.cancel()
            stopping.cancel()

    async def _begin_life(self) -> int:
        options = self.options
        await declare_tasks(self._database, self._tasks.values())
        facts = WorkerFacts(name=options.name, queues=options.queues, concurrency=options.concurrency)
        return await self._lifeline.start(facts)

    async def _serve(self, pump: Pump) -> None:
        if not self.options.drain:
            await self._stop.wait()
            return
        stopped = asyncio.create_task(self._stop.wait())
        drained = asyncio.create_task(self._drained(pump))
        try:
            await asyncio.wait((stopped, drained), return_when=asyncio.FIRST_COMPLETED)
            if drained.done():
                drained.result()
        finally:
            stopped.cancel()
            drained.cancel()

    async def _drained(self, pump: Pump) -> None:
        """Returns once nothing is runnable: nothing here, nothing ready, no retry due within the horizon.

        Nor does an operation run, which this worker does like any other.
        """
        while True:
            await pump.found_nothing.wait()
            pump.found_nothing.clear()
            claimed = pump.claimed_count
            if not self._at_rest(pump):
                continue
            asked_at = monotonic()
            if any(await self._left_to_run()):
                # It may have to read all that waits before gates: a fifth of the time, at most, goes into asking.
                await asyncio.sleep(min(_ASK_AGAIN_SECONDS, 4 * (monotonic() - asked_at)))
                continue
            # The answer is older than now: it counts only if nothing has passed through our own hands meanwhile.
            if self._at_rest(pump) and pump.claimed_count == claimed:
                return

    def _at_rest(self, pump: Pump) -> bool:
        # What is being given back has left the runners first, so it is asked last.
        return self._runners.quiet and pump.at_rest and not (self._returning and self._returning.under_way)

    async def _left_to_run(self) -> LeftToRun:
        left = await Queues(self._database).left_to_run(
            self.options.queues, horizon_seconds=self.options.drain_horizon_seconds
        )
        if not left.settling or any(left._replace(settling=False)):
            self._settling_since = None
            return left
        self._settling_since = self._settling_since or monotonic()
        if monotonic() - self._settling_since < _SETTLE_SECONDS:
            return left
        log.warning("a batch is held by an open transaction or cannot be ended: the drain does not wait for it")
        return left._replace(settling=False)

    async def _wind_down(self, pump: Pump) -> None:
        """The phases of an end: give back what has not begun, let run, cancel, write, each within its own time."""
        begun_at = monotonic()
        emit("worker.stopping", worker=self.id, running=len(self._runners.running))
        pump.claiming = False
        self._hosted.stop()
        self._give_back(pump, self._runners.take_back())
        for job, _ in self._runners.running.values():
            self._ask_to_stop(job)
        pump.stir()
        if self._returning is not None:
            await self._returning.close(_RETURNING_SECONDS)
        await self._until_quiet(self.options.shutdown_soft_seconds)
        for job, _ in list(self._runners.running.values()):
            self._ask_to_stop(job)  # also one whose claim was still on its way when the end began
            self._interrupt(job)
        hard_left = self.options.shutdown_hard_seconds - (monotonic() - begun_at)
        grace = (
            _CANCEL_GRACE_SECONDS if self._hurry.is_set() else max(hard_left - _CLOSE_SECONDS, _CANCEL_GRACE_SECONDS)
        )
        await self._until_quiet(grace, hurry=False)
        # What still runs is a thread, or a handler that swallows its cancellation: its job goes back, the process ends.
        for job, runner in list(self._runners.running.values()):
            job.lost = True
            log.warning("job %d did not stop in time and was given back", job.id)
            runner.cancel()
            self._give_back(pump, [job.claimed])
        if not await pump.flush(_CLOSE_SECONDS):
            log.warning("%d endings could not be written; their jobs run again", pump.unwritten)

    def _give_back(self, pump: Pump, jobs: list[Claimed]) -> None:
        for claimed in jobs:
            pump.add(Left(claimed, Exit.RETURN, 0.0, claimed.attempt))

    async def _until_quiet(self, seconds: float, *, hurry: bool = True) -> None:
        """Wait until neither a job nor a service runs, at most so long; a second signal cuts the wait short."""
        give_up_at = monotonic() + seconds
        # Several conditions at once, and once in a worker's life: looking is simpler than being told.
        while monotonic() < give_up_at and not (hurry and self._hurry.is_set()):
            if not self._runners.running and self._hosted.stopped:
                return
            await asyncio.sleep(0.01)

    async def _close(self) -> None:
        await self._hosted.close(1.0)
        if self._returning is not None:
            await self._returning.close(_RETURNING_SECONDS)
        await self._background.close(1.0)
        await self._runners.close(1.0)
        await self._executors.close(1.0)
        await self._last_reports()
        # Nobody answers a goodbye of one who never had a number.
        await self._lifeline.close(_CLOSE_SECONDS if self.id else _UNKNOWN_CLOSE_SECONDS)
        await self._listener.stop(1.0)
        if self._hot is not None:
            await self._hot.close()
        emit("worker.stopped", worker=self.id, completed=self.report.completed, failed=self.report.failed)

    async def _last_reports(self) -> None:
        """What the last jobs said, and those that failed; nothing waits for it when the database does not answer."""
        if self._reports is None:
            return
        log_capture.stop()
        try:
            async with asyncio.timeout(_LAST_REPORT_SECONDS):
                await self._reports.flush()
                if self._services is not None and self.report.failed:
                    await self._services.count_failures()
        except (*DRIVER_ERRORS, DatabaseUnavailable, TimeoutError) as error:
            log.warning("the last words of jobs could not be written: %s", error)

    def _make_job(self, claimed: Claimed) -> Job:
        return Job(claimed, self._database, self.options.silence_seconds, self._completed_alone, self._reports)

    def _returned(self, left: list[Left], refused: list[int]) -> None:
        """Waiting jobs have gone back while this loop did something else."""
        if self._hot is not None and self._pump is not None:
            self._hot.left_apart(left)
            for job_id in refused:
                self._refused(job_id)
            self._pump.stir()

    def _add_all(self, left: list[Left]) -> None:
        if self._pump is not None:
            for item in left:
                self._pump.add(item)

    async def _settled(self) -> None:
        if self._pump is not None:
            await self._pump.settled()

    def _completed_alone(self, claimed: Claimed) -> None:
        """The job's own transaction has written its outcome and ended its lease."""
        if self._hot is not None:
            self._hot.forget([claimed])
        self.report.completed += 1

    def _ended(self, claimed: Claimed, ending: Ending) -> None:
        if self._pump is None:
            return
        if claimed.flags & BATCHED and self._services is not None:
            self._services.member_ended()
        if ending is None:
            self._pump.freed()
            return
        report = self.report
        if isinstance(ending, Finished):
            if ending.outcome is Outcome.COMPLETED:
                report.completed += 1
            else:
                self._ended_badly(claimed, ending)
        elif ending.exit is Exit.RETRY:
            report.retried += 1
            emit(
                "worker.job.retried",
                job=claimed.id,
                task=claimed.task,
                attempt=claimed.attempt,
                delay_seconds=round(ending.delay_seconds, 3),
                **error_in_short(ending.error),
            )
        elif ending.exit is Exit.SNOOZE:
            report.snoozed += 1
        elif ending.exit is Exit.LOST:
            report.lost += 1
            emit("worker.job.lost", job=claimed.id, task=claimed.task)
        else:
            report.interrupted += 1
            emit("worker.job.returned", job=claimed.id, task=claimed.task)
        self._pump.add(ending)

    def _ended_badly(self, claimed: Claimed, ending: Finished) -> None:
        report = self.report
        if ending.outcome is Outcome.CANCELLED:
            report.cancelled += 1
            emit("worker.job.cancelled", job=claimed.id, task=claimed.task)
            return
        report.failed += 1
        if len(report.failures) < report.MOST_FAILURES:
            report.failures.append(Failure(claimed.id, claimed.task or "?", ending.error or ""))
        told = error_in_short(ending.error)
        emit("worker.job.failed", job=claimed.id, task=claimed.task, attempt=claimed.attempt, **told)

    def cancel(self, job: Job, reason: str) -> None:
        """Stop a running job where it waits, in its child process or on its engine. A thread is asked first."""
        job.cancel_reason = reason
        executor = self._attempts.executor_of(job)
        if executor is None or executor.cancellable:
            self._runners.interrupt(job)
        else:
            executor.ask_to_stop(job)
            asyncio.get_running_loop().call_later(self.options.thread_grace_seconds, executor.interrupt, job)

    def _ask_to_stop(self, job: Job) -> None:
        job.stopping = True
        if executor := self._attempts.executor_of(job):
            executor.ask_to_stop(job)

    def _interrupt(self, job: Job) -> None:
        """As hard as its executor can."""
        executor = self._attempts.executor_of(job)
        if executor is None or executor.cancellable:
            self._runners.interrupt(job)
        else:
            executor.interrupt(job)

    async def _count_loss(self, claimed: Claimed, died: WorkDied) -> tuple[int, int] | None:
        return await count_loss(self._database, claimed, died.reason, counted=died.blamed)

    def _refused(self, job_id: int) -> None:
        self.report.refused += 1
        log.warning("the result of job %d was refused: its lease was lost, another attempt has taken over", job_id)

    def _lost(self, reason: str) -> None:
        """This worker is dead in the eyes of the others: nothing it writes is accepted any more, so it stops."""
        if self.report.fenced:
            return
        self.report.fenced = True
        emit("worker.fenced", worker=self.id, reason=reason)
        self._cancel_all(lost=True)
        if self._pump is not None:
            self._pump.claiming = False
            self._pump.drop()
        self._stop.set()
        self._hurry.set()

    def _cut_off(self) -> None:
        """The database has not been reached for too long: start nothing, stop what runs; others may take over soon."""
        log.warning("worker %d cannot be seen by the database: it starts nothing and interrupts what runs", self.id)
        if self._pump is not None:
            self._pump.claiming = False
            self._give_back(self._pump, self._runners.take_back())
        self._cancel_all(lost=False)

    def _restored(self) -> None:
        if self._pump is not None and not self._stop.is_set():
            self._pump.claiming = True
            self._pump.stir()

    def _cancel_all(self, *, lost: bool) -> None:
        for job, _ in list(self._runners.running.values()):
            job.lost = job.lost or lost
            self._ask_to_stop(job)
            self._interrupt(job)
        if lost:
            self._runners.take_back()
