"""What runs where the handler runs, when that is not the worker: find the handler, call it, describe how it ended.

A call and its reply are plain JSON, so that they may go through a pipe, a scheduler or an object store. Nothing that
comes back is executed: an exception is made anew from the classes the worker knows already.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import json
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Never

from holdfast.errors import ConfigurationError
from holdfast.jobs import (
    Claimed,
    Job,
    RetryAfter,
    Signature,
    Snooze,
    Task,
    as_current,
    error_text,
    result_text,
)
from holdfast.worker.executors.contract import Call, HandlerRaised, Interrupted, StoredResult

_MAIN = "__main__"
_IMPORTING = threading.Lock()


class DetachedJob(Job):
    """A job as its handler sees it where there is no database. Nobody hears its progress and its log lines."""

    def __init__(self, claimed: Claimed) -> None:
        super().__init__(claimed, None, 0.0, lambda _claimed: None)

    async def checkpoint(self, _value: Any, *, using: Any = None) -> None:  # noqa: ARG002 - refused in any case
        """Refused: the next attempt would not find it."""
        self._refuse_checkpoints()

    async def last_checkpoint(self, _default: Any = None) -> Any:
        """Refused, as ``checkpoint``."""
        self._refuse_checkpoints()

    def _refuse_checkpoints(self) -> Never:
        raise ConfigurationError(
            f"job {self.id} runs outside of its worker, where checkpoints cannot be kept",
            remedy="run the task on the worker's event loop or in its threads",
        )


def message_of(call: Call, result_max_bytes: int) -> dict[str, Any]:
    """A call as JSON can hold it."""
    claimed, handler = call.job.claimed, call.task.handler
    module = sys.modules.get(handler.__module__)
    return {
        "kind": "call",
        "module": handler.__module__,
        "file": getattr(module, "__file__", None),
        "handler": handler.__qualname__,
        "task": call.task.name,
        "args": claimed.args,
        "job": claimed.id,
        "lease": claimed.lease,
        "queue": claimed.queue,
        "priority": claimed.priority,
        "attempt": claimed.attempt,
        "max_attempts": claimed.max_attempts,
        "trace": claimed.trace,
        "result_max_bytes": result_max_bytes,
        "memory_limit_mib": call.task.memory_limit_mib,
    }


def job_of(message: Mapping[str, Any]) -> Job:
    """The handler's view of its job, where there is no database."""
    claimed = Claimed(
        id=message["job"],
        lease=message["lease"],
        queue=message["queue"],
        priority=message["priority"],
        attempt=message["attempt"],
        flags=0,
        task=message["task"],
        args=message["args"],
        max_attempts=message["max_attempts"],
        timeout_seconds=None,
        trace=message["trace"],
        claimed_at=0.0,
    )
    return DetachedJob(claimed)


def run_call(message: Mapping[str, Any], job: Job | None = None) -> dict[str, Any]:
    """Run one call to its end and describe it. Lets ``Interrupted`` and ``MemoryError`` through."""
    job = job or job_of(message)
    try:
        handler, signature = find_handler(message)
        arguments = signature.load(message["args"])
        with as_current(job):
            result = handler(job, **arguments) if signature.wants_job else handler(**arguments)
            if inspect.iscoroutine(result):
                result = asyncio.run(_awaited(result))
        if isinstance(result, Snooze):
            return {"kind": "snoozed", "seconds": result.seconds}
        return {"kind": "done", "result": result_text(result, message["result_max_bytes"])}
    except (Interrupted, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever the application raises is an answer
        return _raised(error)


def read_reply(reply: Mapping[str, Any]) -> StoredResult | Snooze:
    """The result that a reply holds. Raises ``HandlerRaised`` for one that raised."""
    if reply["kind"] == "done":
        return StoredResult(reply["result"])
    if reply["kind"] == "snoozed":
        return Snooze(reply["seconds"])
    raise HandlerRaised(_revived(reply), reply["error"])


def find_handler(message: Mapping[str, Any]) -> tuple[Callable[..., Any], Signature]:
    """The handler of a call, by the name of its module and its own."""
    with _IMPORTING:  # a module is known before it has run: another thread would find it half there
        found: Any = _module(message["module"], message["file"])
    for part in message["handler"].split("."):
        found = getattr(found, part, None)
    if isinstance(found, Task):
        return found.handler, found.signature
    if callable(found):
        return found, Signature(found, message["task"], Job)
    raise ConfigurationError(
        f"task {message['task']!r}: {message['module']} has no {message['handler']}",
        remedy="define the handler at module level, under its own name",
    )


def _module(name: str, file: str | None) -> Any:
    """Import the handler's module; a script that was the main program is loaded from its file, once."""
    alias = "__holdfast_main__" if name == _MAIN else name
    if alias in sys.modules:
        return sys.modules[alias]
    if name != _MAIN:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name or file is None:
                raise
    spec = importlib.util.spec_from_file_location(alias, file) if file else None
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"the module {name} of the task cannot be imported here")
    module = sys.modules[alias] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def _awaited(coroutine: Any) -> Any:
    return await coroutine


def _raised(error: BaseException) -> dict[str, Any]:
    return {
        "kind": "raised",
        "error": error_text(error),
        "classes": [f"{kind.__module__}:{kind.__qualname__}" for kind in type(error).__mro__],
        "retry_after": error.seconds if isinstance(error, RetryAfter) else None,
    }


def _revived(reply: Mapping[str, Any]) -> BaseException:
    """An exception of the nearest class that is known here: enough for a retry policy to judge it."""
    message = json.loads(reply["error"]).get("message", "")
    if reply["retry_after"] is not None:
        return RetryAfter(reply["retry_after"], message)
    for name in reply["classes"]:
        kind = _known_class(name)
        if kind is not None:
            error = kind.__new__(kind)
            error.args = (message,)
            return error
    return Exception(message)


def _known_class(name: str) -> type[Exception] | None:
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(_MAIN if module == "__holdfast_main__" else module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None
