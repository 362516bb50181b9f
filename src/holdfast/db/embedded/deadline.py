"""How long something may still take, and the one pause of this room."""

from __future__ import annotations

import time

from holdfast.clock import monotonic


class Deadline:
    """A moment after which waiting stops, on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = monotonic() + seconds

    @property
    def remaining_seconds(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - monotonic())

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return self.remaining_seconds == 0.0

    def pause(self, seconds: float) -> None:
        """Wait a little, but not beyond the deadline."""
        time.sleep(min(seconds, self.remaining_seconds))
