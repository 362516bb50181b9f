"""Holdfast: durable background work on the PostgreSQL an application already has.

What is asked for here is loaded when it is asked for: the processes around an application need little of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.app import Holdfast
    from holdfast.errors import HoldfastError
    from holdfast.events import Append, Delivery, Event, Match, RecordedEvent, Scope
    from holdfast.jobs import GiveUp, Job, JobId, Limit, Rate, Retry, RetryAfter, Snooze, Unique, current_job
    from holdfast.worker import Report
else:

    def __getattr__(name: str) -> Any:
        for room, names in _OFFERED.items():
            if name in names:
                value = globals()[name] = getattr(importlib.import_module(f"holdfast.{room}"), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Append",
    "Delivery",
    "Event",
    "GiveUp",
    "Holdfast",
    "HoldfastError",
    "Job",
    "JobId",
    "Limit",
    "Match",
    "Rate",
    "RecordedEvent",
    "Report",
    "Retry",
    "RetryAfter",
    "Scope",
    "Snooze",
    "Unique",
    "current_job",
]

# The imports above, as Python reads them.
_OFFERED = {
    "app": ("Holdfast",),
    "errors": ("HoldfastError",),
    "events": ("Append", "Delivery", "Event", "Match", "RecordedEvent", "Scope"),
    "jobs": ("GiveUp", "Job", "JobId", "Limit", "Rate", "Retry", "RetryAfter", "Snooze", "Unique", "current_job"),
    "worker": ("Report",),
}


def __dir__() -> list[str]:
    return __all__
