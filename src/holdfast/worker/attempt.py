"""One attempt of one job: from its stored arguments to what becomes of it.

The steps read as a sentence: find the task, load the arguments, run the handler within its time, judge how it ended.
Nothing here touches the queue; the answer is a record that the pump writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS
from holdfast.errors import ArgumentsInvalid, DatabaseUnavailable, LeaseLost, ResultNotStorable
from holdfast.jobs import (
    Claimed,
    Exit,
    Finished,
    Job,
    Left,
    Outcome,
    Snooze,
    Task,
    encode_error,
    error_text,
    result_text,
)
from holdfast.telemetry import get_logger
from holdfast.worker.executors import Call, Executor, Executors, HandlerRaised, JobTimeout, StoredResult, WorkDied

log = get_logger("worker")

_UNKNOWN_TASK_SECONDS: Final = 15.0
"""A job of a task this worker does not know goes back for others: during a deploy that is normal."""

Ending = Finished | Left | None


CountLoss = Callable[[Claimed, WorkDied], Awaitable[tuple[int, int] | None]]
"""Remembers a loss; answers how often the job was lost, and how often that counted; None: the lease is lost as well."""


class Attempts:
    """Runs attempts of the given tasks, each on its executor."""

    def __init__(
        self,
        tasks: Mapping[str, Task[..., Any]],
        executors: Executors,
        count_loss: CountLoss,
        *,
        result_max_bytes: int,
        max_losses: int,
    ) -> None:
        self._tasks = tasks
        self._executors = executors
        self._count_loss = count_loss
        self._result_max_bytes = result_max_bytes
        self._max_losses = max_losses

    def executor_of(self, job: Job) -> Executor | None:
        """What runs this job; None: a task that is not known here."""
        task = self._tasks.get(job.task)
        return None if task is None else self._executors.of(task)

    async def run(self, claimed: Claimed, job: Job) -> Ending:
        """Run one attempt. None: there is nothing to write, it completed in its own transaction or lost its lease."""
        started_at = job.started_at
        task = self._tasks.get(claimed.task or "")
        if task is None:
            return self._without_task(claimed, started_at)
        try:
            arguments = task.signature.load(claimed.args)
        except ArgumentsInvalid as error:
            return Finished(claimed, Outcome.FAILED, started_at, 0.0, error=error_text(error))
        try:
            timeout = claimed.timeout_seconds or task.timeout_seconds
            if task.plain and timeout is None:
                # The usual job, without a layer in between: what CoroutineExecutor does, 0.7 µs cheaper.
                work = task.handler(job, **arguments) if task.signature.wants_job else task.handler(**arguments)
                result = await work
            else:
                result = await self._call(Call(task, job, arguments, timeout))
        except asyncio.CancelledError:
            return self._stopped(claimed, job)
        except LeaseLost:
            job.lost = True
            return None
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except HandlerRaised as raised:
            return self._failed(task, claimed, job, raised.error, raised.text)
        except WorkDied as died:
            return await self._died(task, claimed, job, died)
        except BaseException as error:  # noqa: BLE001 - whatever the application raises is an answer
            return self._failed(task, claimed, job, error)
        return self._returned(claimed, job, result)

    async def _call(self, call: Call) -> Any:
        executor = self._executors.of(call.task)
        soft = call.task.soft_timeout_seconds
        if soft is None:
            return await executor.run(call)
        timer = asyncio.get_running_loop().call_later(soft, self._late, executor, call.job)
        try:
            return await executor.run(call)
        finally:
            timer.cancel()

    @staticmethod
    def _late(executor: Executor, job: Job) -> None:
        """The soft timeout: the handler sees it, and may still end well."""
        job.late = True
        executor.ask_to_stop(job)

    def _without_task(self, claimed: Claimed, started_at: float) -> Ending:
        if claimed.task is None:
            return Finished(
                claimed, Outcome.FAILED, started_at, 0.0, error=encode_error("PayloadMissing", "the job's row is gone")
            )
        return Left(claimed, Exit.SNOOZE, _UNKNOWN_TASK_SECONDS, claimed.attempt, started_at)

    def _returned(self, claimed: Claimed, job: Job, result: Any) -> Ending:
        if job.completed:
            return None
        took = monotonic() - job.started_at
        if isinstance(result, Snooze):
            return Left(claimed, Exit.SNOOZE, max(0.0, result.seconds), claimed.attempt, job.started_at, took)
        try:
            text = result.text if isinstance(result, StoredResult) else result_text(result, self._result_max_bytes)
        except ResultNotStorable as error:
            return Finished(claimed, Outcome.FAILED, job.started_at, took, error=error_text(error))
        return Finished(claimed, Outcome.COMPLETED, job.started_at, took, result=text)

    def _stopped(self, claimed: Claimed, job: Job) -> Ending:
        took = monotonic() - job.started_at
        if job.lost or job.completed:
            return None
        if job.cancel_reason is not None:
            error = encode_error("Cancelled", job.cancel_reason)
            return Finished(claimed, Outcome.CANCELLED, job.started_at, took, error=error)
        if job.stopping:
            return Left(claimed, Exit.RETURN, 0.0, claimed.attempt, job.started_at, took)
        if job.late:
            return self._failed(None, claimed, job, JobTimeout("was past its soft timeout, and stopped by itself"))
        # The handler cancelled itself, or something it awaited was cancelled: that is a failure like any other.
        return self._failed(None, claimed, job, asyncio.CancelledError("the handler was cancelled from within"))

    async def _died(self, task: Task[..., Any], claimed: Claimed, job: Job, died: WorkDied) -> Ending:
        """What ran the attempt is gone. That is no failure of the handler, but a job that does it again is given up."""
        took = monotonic() - job.started_at
        if job.lost:
            return None
        if job.cancel_reason is not None or job.stopping:
            return self._stopped(claimed, job)
        try:
            losses = await self._count_loss(claimed, died)
        except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
            log.warning("the loss of job %d could not be counted: %s", claimed.id, error)
            losses = (0, 0)
        if losses is None:
            job.lost = True
            return None
        if losses[1] >= self._max_losses:
            text = encode_error("LostTooOften", f"{died.reason}, {losses[1]} times")
            return Finished(claimed, Outcome.FAILED, job.started_at, took, error=text)
        log.warning("job %d (%s) was lost: %s", claimed.id, task.name, died.reason)
        return Left(claimed, Exit.LOST, 0.0, claimed.attempt, job.started_at, took)

    def _failed(
        self,
        task: Task[..., Any] | None,
        claimed: Claimed,
        job: Job,
        error: BaseException,
        text: str | None = None,
    ) -> Ending:
        """``text`` describes the error where it was raised elsewhere."""
        if job.lost or job.completed:
            return None
        took = monotonic() - job.started_at
        text = text or error_text(error)
        if job.cancel_reason is not None:
            return Finished(claimed, Outcome.CANCELLED, job.started_at, took, error=text)
        task = task or self._tasks.get(claimed.task or "")
        delay: timedelta | None = None
        # A result that cannot be stored is none the next time either; in job.transaction() it is raised in the handler.
        if task is not None and not isinstance(error, ResultNotStorable):
            delay = task.retry.next_delay(error, claimed.attempt, claimed.max_attempts)
        if delay is None:
            return Finished(claimed, Outcome.FAILED, job.started_at, took, error=text)
        return Left(claimed, Exit.RETRY, delay.total_seconds(), claimed.attempt + 1, job.started_at, took, text)
