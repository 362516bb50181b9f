"""Where and within what limits a task's handler runs, as the task declares it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from holdfast.errors import ConfigurationError

EXECUTORS: Final = ("async", "thread", "process", "dask", "aws-batch")
"""On the worker's event loop, in its threads, in its child processes, on an engine outside."""
_ELSEWHERE: Final = ("process", "dask", "aws-batch")


class Execution(Struct, frozen=True):
    """What a task says about its execution. ``None``: nothing said.

    ``timeout_seconds``: after so long the attempt is stopped, and has failed. ``soft_timeout_seconds``: after so long
    the handler sees ``job.should_stop``. ``memory_limit_mib``: how much a handler may take in its child process, or
    what is asked for it on AWS Batch. ``executor_options`` are the engine's own.
    """

    executor: str | None = None
    timeout_seconds: float | None = None
    soft_timeout_seconds: float | None = None
    memory_limit_mib: int | None = None
    executor_options: Mapping[str, Any] | None = None

    def executor_for(self, task: str, handler: Callable[..., Any]) -> str:
        """The executor of the task. Raises ``ConfigurationError`` for what does not fit together."""
        is_async = inspect.iscoroutinefunction(handler)
        executor = self.executor or ("async" if is_async else "thread")
        if executor not in EXECUTORS:
            raise _refused(task, f"there is no executor {executor!r}", f"executors are {', '.join(EXECUTORS)}")
        if executor == "async" and not is_async:
            raise _refused(task, "a plain function cannot run on the event loop", "write async def, or say nothing")
        if executor == "thread" and is_async:
            raise _refused(task, "a coroutine function cannot run in a thread", "write def, or say nothing")
        if executor in _ELSEWHERE and "<locals>" in handler.__qualname__:
            raise _refused(
                task, f"the handler is not found by name where {executor} runs it", "define it at module level"
            )
        if self.memory_limit_mib is not None and (
            executor not in ("process", "aws-batch") or self.memory_limit_mib < 1
        ):
            raise _refused(
                task, "memory_limit_mib is a positive number for a process of its own", 'say executor="process"'
            )
        soft, hard = self.soft_timeout_seconds, self.timeout_seconds
        if soft is not None and (soft <= 0 or (hard is not None and soft >= hard)):
            raise _refused(
                task, "soft_timeout_seconds must be positive and less than timeout_seconds", "give it the time it needs"
            )
        return executor


def _refused(task: str, problem: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"task {task!r}: {problem}", remedy=remedy)
