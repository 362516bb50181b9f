"""What an executor is given, what it answers, and what it must keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from holdfast.jobs import Job, Task


class JobTimeout(Exception):
    """The attempt took longer than its ``timeout_seconds``."""


class Interrupted(BaseException):
    """Raised inside a handler from outside: its job was cancelled, its time is up, or its worker ends."""


class WorkDied(Exception):
    """What ran the attempt died under it: a child process, or the engine's worker.

    ``blamed``: only this attempt ran there, so it counts as a loss of the job. Nothing is known about the handler: no
    attempt is used up.
    """

    def __init__(self, reason: str, *, blamed: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.blamed = blamed


class HandlerRaised(Exception):
    """The handler raised somewhere else: ``error`` is as much of the exception as could be brought here.

    ``text`` is its description as JSON, with the traceback from where it happened.
    """

    def __init__(self, error: BaseException, text: str) -> None:
        super().__init__(text)
        self.error = error
        self.text = text


class StoredResult(Struct, frozen=True):
    """A result that is JSON text already, checked where the handler ran."""

    text: str | None


class Call(Struct, eq=False):
    """One attempt to run. ``arguments`` are checked; what runs elsewhere loads ``job.claimed.args`` once more there."""

    task: Task[..., Any]
    job: Job
    arguments: Mapping[str, Any]
    timeout_seconds: float | None


class Executor(Protocol):
    """Runs attempts. One object serves all attempts of a worker; every method is called on its event loop.

    Rules: ``run`` returns what the handler returned (or ``StoredResult``) and raises what it raised (or
    ``HandlerRaised``); it raises ``JobTimeout`` after the call's timeout, ``WorkDied`` when the place of work died,
    ``asyncio.CancelledError`` when the work was stopped because of a cancel or the end of the worker. When it has
    returned or raised, nothing of the attempt runs any more, unless it says so.
    """

    cancellable: bool
    """Whether cancelling the task that awaits ``run`` stops the work. False: ``ask_to_stop``, then ``interrupt``."""

    async def run(self, call: Call) -> Any:
        """Run one attempt to its end."""
        ...

    def ask_to_stop(self, job: Job) -> None:
        """``job.should_stop`` has become true here: let the handler see it where it runs. Never waits."""
        ...

    def interrupt(self, job: Job) -> None:
        """Stop a handler that was asked and did not stop, as far as that is possible. Never waits."""
        ...

    async def close(self, deadline_seconds: float) -> None:
        """Leave nothing behind, within the deadline. Never raises."""
        ...
