"""Where handlers run: on the event loop, in threads, in child processes, or on an engine outside.

An executor runs one attempt and answers with its result. Everything else (lease, retries, cancel requests, timeouts)
is the worker's and the same for all of them. Each stands in a file of its own; the engines' files import their
libraries, and are imported only for tasks that name them.
"""

from __future__ import annotations

from holdfast.worker.executors.contract import (
    Call,
    Executor,
    HandlerRaised,
    Interrupted,
    JobTimeout,
    StoredResult,
    WorkDied,
)
from holdfast.worker.executors.links import AttemptLinks
from holdfast.worker.executors.registry import Executors

__all__ = [
    "AttemptLinks",
    "Call",
    "Executor",
    "Executors",
    "HandlerRaised",
    "Interrupted",
    "JobTimeout",
    "StoredResult",
    "WorkDied",
]
