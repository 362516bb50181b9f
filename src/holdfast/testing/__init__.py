"""For the tests of applications: what was enqueued, jobs that run at once, time that moves, throwaway databases.

The pytest fixtures are in ``plugin.py`` and need no import; what is here works without pytest too.
"""

from __future__ import annotations

from holdfast.testing.draining import drain_sync
from holdfast.testing.enqueued import (
    all_enqueued,
    all_enqueued_async,
    assert_enqueued,
    assert_enqueued_async,
    refute_enqueued,
    refute_enqueued_async,
)
from holdfast.testing.inline import Inline
from holdfast.testing.moved_clock import MovedClock
from holdfast.testing.seen import Enqueued
from holdfast.testing.servers import throwaway_server

__all__ = [
    "Enqueued",
    "Inline",
    "MovedClock",
    "all_enqueued",
    "all_enqueued_async",
    "assert_enqueued",
    "assert_enqueued_async",
    "drain_sync",
    "refute_enqueued",
    "refute_enqueued_async",
    "throwaway_server",
]
