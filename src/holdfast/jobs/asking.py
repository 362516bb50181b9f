"""The claim that is on its way. Its answer goes to exactly one: the loop that asked, or whoever withdraws it.

A loop that is held up does not come to read an answer that has long arrived; the jobs in it are leased to a process
that does not know of them. So another thread may withdraw the claim; the loop then takes the answer for lost.
"""

from __future__ import annotations

import threading

from holdfast.clock import monotonic


class Asking:
    """One claim at a time, named by the first lease that was drawn for it. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._base: int | None = None
        self._since = 0.0

    @property
    def base(self) -> int | None:
        """The first lease of the claim on its way."""
        return self._base

    def begin(self, base: int) -> None:
        """A claim is sent."""
        with self._lock:
            self._base, self._since = base, monotonic()

    def end(self) -> bool:
        """Its answer is there, or will never be. False: it was withdrawn, and nothing in it may be run."""
        with self._lock:
            was_ours, self._base = self._base is not None, None
            return was_ours

    def overdue(self, seconds: float) -> int | None:
        """The claim that nobody has read the answer of for so long."""
        with self._lock:
            return self._base if self._base is not None and monotonic() - self._since >= seconds else None

    def withdraw(self, base: int) -> bool:
        """From now on the answer of this claim counts as lost. False: it has been read."""
        with self._lock:
            if self._base != base:
                return False
            self._base = None
            return True
