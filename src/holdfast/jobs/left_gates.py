"""Gates that jobs of this worker have left: its next claim may go on there, and what it passes by is for a look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from holdfast.clock import monotonic

_KEEP_SECONDS = 0.05


class LeftGates:
    """Kept from one claim to the next, for 50 ms at most.

    A look would make ready what this worker could take itself: so it is asked for only where the worker cannot go on,
    or does not come back in time.
    """

    def __init__(self) -> None:
        self._kept: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.hand_over: Callable[[list[str]], None] = lambda _gates: None

    def ask(self) -> list[str]:
        """Those that go with the claim which begins now; ``answered`` or ``lost`` follows."""
        self._asked, self._kept = self._kept, {}
        return list(self._asked)

    def answered(self, wanting: list[str], later: Iterable[str]) -> None:
        """What the claim did not go on at: some want a look, at the others the next claim may."""
        self.keep(later)
        self._asked = {}
        if wanting:
            self.hand_over(wanting)

    def lost(self) -> None:
        """The claim had no answer: whether it went on there is not known."""
        self.answered(list(self._asked), ())

    def keep(self, gates: Iterable[str]) -> None:
        """Jobs have left these, and a claim follows soon."""
        now = monotonic()
        for gate in gates:
            self._kept.setdefault(gate, self._asked.get(gate, now))
        self._hand_over_old()

    def give_up(self, gates: Iterable[str]) -> None:
        """Jobs have left these, and no claim follows."""
        if over := [*self._kept, *gates]:
            self._kept = {}
            self.hand_over(over)

    def _hand_over_old(self) -> None:
        limit = monotonic() - _KEEP_SECONDS
        old = [gate for gate, since in self._kept.items() if since <= limit]
        for gate in old:
            del self._kept[gate]
        if old:
            self.hand_over(old)
        if self._kept and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_KEEP_SECONDS, self._overdue)

    def _overdue(self) -> None:
        self._timer = None
        self._hand_over_old()
