"""One attempt of one job: from its stored arguments to what becomes of it.

The steps read as a sentence: find the task, load the arguments, run the handler within its time, judge how it ended.
Nothing here touches the queue; the answer is a record that the pump writes.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import timedelta
from functools import partial
from typing import Any, Final

from holdfast.clock import monotonic
from holdfast.errors import ArgumentsInvalid, LeaseLost, ResultNotStorable
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

_UNKNOWN_TASK_SECONDS: Final = 15.0
"""A job of a task this worker does not know goes back for others: during a deploy that is normal."""

Ending = Finished | Left | None


class JobTimeout(Exception):
    """The attempt took longer than its ``timeout_seconds``."""


class Attempts:
    """Runs attempts of the given tasks."""

    def __init__(self, tasks: Mapping[str, Task[..., Any]], threads: Executor, *, result_max_bytes: int) -> None:
        self._tasks = tasks
        self._threads = threads
        self._result_max_bytes = result_max_bytes

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
            result = await self._call(task, job, arguments, claimed.timeout_seconds or task.timeout_seconds)
        except asyncio.CancelledError:
            return self._stopped(claimed, job)
        except LeaseLost:
            job.lost = True
            return None
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the application raises is an answer
            return self._failed(task, claimed, job, error)
        return self._returned(claimed, job, result)

    async def _call(self, task: Task[..., Any], job: Job, arguments: dict[str, Any], timeout: float | None) -> Any:
        if task.is_async:
            call = task.handler(job, **arguments) if task.signature.wants_job else task.handler(**arguments)
            if timeout is None:
                return await call
            limit = asyncio.timeout(timeout)
            try:
                async with limit:
                    return await call
            except TimeoutError as error:
                if limit.expired():
                    raise JobTimeout(f"took longer than {timeout:g} s") from error
                raise
        return await self._call_in_thread(task, job, arguments, timeout)

    async def _call_in_thread(
        self, task: Task[..., Any], job: Job, arguments: dict[str, Any], timeout: float | None
    ) -> Any:
        """A thread cannot be stopped: after the timeout it is asked to (``job.should_stop``) and then waited for."""
        handler = (
            partial(task.handler, job, **arguments) if task.signature.wants_job else partial(task.handler, **arguments)
        )
        context = contextvars.copy_context()
        work = asyncio.get_running_loop().run_in_executor(self._threads, context.run, _call_plainly, handler)
        late = False
        while True:
            try:
                async with asyncio.timeout(None if late else timeout):
                    result = await asyncio.shield(work)
                break
            except TimeoutError:
                if work.done():
                    return work.result()
                late = job.stopping = True
            except asyncio.CancelledError:
                if late and work.done():
                    break  # the handler saw that it should stop, and did: late all the same
                raise
        if late:
            raise JobTimeout(f"took longer than {timeout:g} s; its thread could not be stopped and was waited for")
        return result

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
            text = result_text(result, self._result_max_bytes)
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
        # The handler cancelled itself, or something it awaited was cancelled: that is a failure like any other.
        return self._failed(None, claimed, job, asyncio.CancelledError("the handler was cancelled from within"))

    def _failed(self, task: Task[..., Any] | None, claimed: Claimed, job: Job, error: BaseException) -> Ending:
        if job.lost or job.completed:
            return None
        took = monotonic() - job.started_at
        text = error_text(error)
        if job.cancel_reason is not None:
            return Finished(claimed, Outcome.CANCELLED, job.started_at, took, error=text)
        delay: timedelta | None = None
        if task is not None:
            delay = task.retry.next_delay(error, claimed.attempt, claimed.max_attempts)
        elif claimed.task is not None and claimed.task in self._tasks:
            delay = self._tasks[claimed.task].retry.next_delay(error, claimed.attempt, claimed.max_attempts)
        if delay is None:
            return Finished(claimed, Outcome.FAILED, job.started_at, took, error=text)
        return Left(claimed, Exit.RETRY, delay.total_seconds(), claimed.attempt + 1, job.started_at, took, text)


def _call_plainly(handler: Callable[[], Any]) -> Any:
    """Call a handler in a thread. A future cannot hold StopIteration: whoever waits for it would wait for ever."""
    try:
        return handler()
    except StopIteration as error:
        raise RuntimeError("the handler raised StopIteration") from error
