"""``executor="async"``: coroutine functions on the worker's event loop."""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast.jobs import Job
from holdfast.worker.executors.contract import Call, JobTimeout


class CoroutineExecutor:
    """Awaits the handler in the runner's own task; a cancel or timeout reaches it at its next await."""

    cancellable = True

    async def run(self, call: Call) -> Any:
        """See ``Executor``."""
        task = call.task
        work = task.handler(call.job, **call.arguments) if task.signature.wants_job else task.handler(**call.arguments)
        if call.timeout_seconds is None:
            return await work
        limit = asyncio.timeout(call.timeout_seconds)
        try:
            async with limit:
                return await work
        except TimeoutError as error:
            if limit.expired():
                raise JobTimeout(f"took longer than {call.timeout_seconds:g} s") from error
            raise

    def ask_to_stop(self, job: Job) -> None:
        """The handler looks at the very same job."""

    def interrupt(self, job: Job) -> None:
        """Cancelling the awaiting task is all there is."""

    async def close(self, deadline_seconds: float) -> None:
        """Nothing is kept."""
