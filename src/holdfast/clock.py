"""The only place where Python reads time. SQL reads ``holdfast.now()``.

Two clocks, never mixed: ``now`` says when something happened and is for people and for rows;
``monotonic`` measures how long something took and is for deadlines, because nobody can set it back.
No lease, order or promise rests on ``now``: the database's clock and its sequences decide those.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

__all__ = ["monotonic", "now"]


def now() -> datetime:
    """The moment, as an aware UTC datetime."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds since an arbitrary start; only differences mean something."""
    return time.monotonic()
