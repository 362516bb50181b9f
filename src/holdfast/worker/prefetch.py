"""How many jobs to claim: the free runners, and about fifty milliseconds of work ahead, by measured speed."""

from __future__ import annotations

from holdfast.clock import monotonic

_SMOOTHING = 0.3
_BATCH = 500
_ENOUGH = 0.6


class Prefetch:
    """Learns how many jobs this worker ends a second. Long ones are not claimed ahead: nobody is kept from them."""

    def __init__(self, concurrency: int, ahead_seconds: float, most_ahead: int) -> None:
        self._concurrency = concurrency
        self._ahead_seconds = ahead_seconds
        self._most_ahead = most_ahead
        self._rate = 0.0
        self._ended = 0
        self._since = monotonic()

    def ended(self) -> None:
        """A job ended."""
        self._ended += 1

    def answered(self, written: int, took_seconds: float) -> None:  # noqa: ARG002 - what a call did, for the day it matters
        """A call was answered: a good moment to look at the clock."""
        now = monotonic()
        passed = now - self._since
        if passed < 0.002:
            return
        rate = self._ended / passed
        self._ended, self._since = 0, now
        # Faster at once, slower with care: a pause between two bursts is no sign of slow jobs.
        self._rate = rate if rate > self._rate else self._rate + _SMOOTHING * (rate - self._rate)

    @property
    def ahead(self) -> int:
        """Jobs to hold beyond those that run."""
        return min(self._most_ahead, int(self._rate * self._ahead_seconds))

    def room(self, idle_runners: int, waiting: int) -> int:
        """How many to claim now; 0 while what waits will last beyond the next round trip.

        Half of what may be held at a time: the runners work on it while the server looks for the other half. The bound
        is a little above that half, for the speed it is reckoned by goes up and down between two calls.
        """
        ahead = self.ahead
        if waiting > int(ahead * _ENOUGH):
            return 0
        portion = max(idle_runners, ahead // 2)
        return min(_BATCH, portion, max(0, idle_runners + ahead - waiting))
