"""History that is handled again makes no new work: while a projection replays, an enqueue stores nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_suppressed: ContextVar[bool] = ContextVar("holdfast_effects_suppressed", default=False)


@contextmanager
def without_effects() -> Iterator[None]:
    """In here every enqueue of this task of the event loop checks its arguments, stores nothing, and answers job 0."""
    token = _suppressed.set(True)
    try:
        yield
    finally:
        _suppressed.reset(token)


def effects_suppressed() -> bool:
    """Whether the calling code runs inside ``without_effects``."""
    return _suppressed.get()
