"""The only place where Python reads time. SQL reads ``holdfast.now()``.

Two clocks, never mixed: ``now`` says when something happened and is for people and for rows;
``monotonic`` measures how long something took and is for deadlines, because nobody can set it back.
No lease, order or promise rests on ``now``: the database's clock and its sequences decide those.

Tests move both instead of waiting (``set_ahead``), together with the database's clock: ``holdfast.testing`` does that.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

__all__ = ["monotonic", "now", "set_ahead"]


class _Ahead:
    """How much later than in truth it is for this process."""

    seconds = 0.0


def now() -> datetime:
    """The moment, as an aware UTC datetime."""
    return datetime.now(UTC) + timedelta(seconds=_Ahead.seconds)


def monotonic() -> float:
    """Seconds since an arbitrary start; only differences mean something."""
    return time.monotonic() + _Ahead.seconds


def set_ahead(seconds: float) -> None:
    """Let it be so many seconds later than in truth, for both clocks of this process; 0 ends it. For tests."""
    _Ahead.seconds = seconds
