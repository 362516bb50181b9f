"""Where claims look: the (queue, priority) levels in order, each from a mark below which nothing is left.

Two marks a level. The *settled* one is exact: no row below it exists or can ever appear. The *hint* is the end of this
worker's last claim: nearly always right, and cheap while an old snapshot keeps dead index entries alive. Claims start
at the hints; every quarter of a second (or less often, if that costs more than a twentieth of the time), and whenever
the hints find too little, one starts at the settled marks, so a late commit is seen within a second.

Urgent levels come first. A level that has had nothing for some seconds goes first once: so nobody starves behind a
flood of more urgent jobs, and nothing is written to make it so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdfast.clock import monotonic

LEVELS: Final = range(10)
_EXACT_EVERY_SECONDS = 0.25
_EXACT_SHARE = 20
_EXACT_AT_LEAST_EVERY_SECONDS = 5.0
AGEING_SECONDS: Final = 5.0
"""A level that has been passed over for so long goes first in one claim."""


class ClaimOrder:
    """The marks of one worker for its queues."""

    def __init__(self, queues: Sequence[str], *, ageing_seconds: float = AGEING_SECONDS) -> None:
        self.queues = list(queues)
        self._ageing_seconds = ageing_seconds
        self._served_at = dict.fromkeys(LEVELS, monotonic())
        self._oldest_at = monotonic()
        self._settled: dict[tuple[str, int], int] = {(queue, level): 0 for queue in queues for level in LEVELS}
        self._hints = dict(self._settled)
        self._turn = 0
        self._exact_due_at = 0.0
        self._pending: int | None = None
        self._fence: list[str] = []

    def wants_exact(self) -> bool:
        """Whether the next claim must start at the settled marks."""
        return monotonic() >= self._exact_due_at

    def levels(self, *, exact: bool) -> tuple[list[str], list[int], list[int]]:
        """Queues, priorities and marks for a claim: urgent levels first, and every queue first in its turn."""
        self._turn += 1
        turn = self._turn % len(self.queues)
        queues = self.queues[turn:] + self.queues[:turn] if turn else self.queues
        marks = self._settled if exact else self._hints
        keys = [(queue, level) for level in self._levels() for queue in queues]
        return [key[0] for key in keys], [key[1] for key in keys], [marks[key] for key in keys]

    def _levels(self) -> Sequence[int]:
        """The urgent ones first, behind the one that has waited for longest, if that is too long."""
        now = monotonic()
        if now - self._oldest_at < self._ageing_seconds:
            return LEVELS
        # The last of those that waited equally long: the others come before it anyway.
        patient = min(LEVELS, key=lambda level: (self._served_at[level], -level))
        self._served_at[patient] = now
        self._oldest_at = min(self._served_at.values())
        return [patient, *(level for level in LEVELS if level != patient)]

    def claimed(self, queue: str, priority: int, seq: int) -> None:
        """A row was taken here: the next hinted claim of this level starts behind it."""
        key = (queue, priority)
        if seq >= self._hints[key]:
            self._hints[key] = seq + 1

    def exact_took(self, seconds: float) -> None:
        """An exact claim was made; the next one waits until it costs no more than a twentieth of the time."""
        pause = min(max(_EXACT_EVERY_SECONDS, seconds * _EXACT_SHARE), _EXACT_AT_LEAST_EVERY_SECONDS)
        self._exact_due_at = monotonic() + pause

    def distrust_hints(self) -> None:
        """After an error: rows that were skipped or rolled back may stand below the hints."""
        self._hints = dict(self._settled)
        self._exact_due_at = 0.0

    def question(self) -> tuple[list[str], list[int], list[int], int | None, list[str]]:
        """Parameters of ``marks``."""
        keys = list(self._settled)
        return [k[0] for k in keys], [k[1] for k in keys], [self._settled[k] for k in keys], self._pending, self._fence

    def answer(self, pending: int, fence: Sequence[str], marks: Sequence[int]) -> None:
        """Take what ``marks`` found."""
        self._pending, self._fence = pending, list(fence)
        for key, mark in zip(list(self._settled), marks, strict=True):
            self._settled[key] = mark
            self._hints[key] = max(self._hints[key], mark)
