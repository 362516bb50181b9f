"""What a worker does when its queues are empty: look again soon, then say that it is idle, then sleep until rung for.

Saying so is a shared advisory lock on the LISTEN session, one per queue; an enqueue that finds it held notifies one of
the holders. After saying so the worker looks once more, because a job may have been committed in between. A transaction
that asked before and commits after is caught by polling: 5, 10, 20 … ms, up to a second, with jitter.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from holdfast.clock import monotonic
from holdfast.db import Database, Listener, load_statements
from holdfast.worker.background import Background

_SQL = load_statements("holdfast.jobs", "hot.sql")
IDLE_CLASS = 1212567
_EAGER_PAUSES = (0.001, 0.002, 0.004)
_FIRST_PAUSE = 0.005


class Idleness:
    """Paces the looks of one worker at empty queues."""

    def __init__(
        self,
        database: Database,
        listener: Listener,
        queues: Sequence[str],
        poll_max_seconds: float,
        background: Background,
    ) -> None:
        self._database = database
        self._listener = listener
        self._queues = list(queues)
        self._poll_max_seconds = poll_max_seconds
        self._background = background
        self._keys: list[int] | None = None
        self._holding = False
        self._empty_looks = 0
        self._next_look_at = 0.0

    def stirred(self) -> None:
        """A hint: look at once."""
        self._next_look_at = 0.0

    def may_look(self) -> bool:
        """Whether it is time for a look."""
        return monotonic() >= self._next_look_at

    def pause_seconds(self) -> float:
        """How long until the next look."""
        return max(0.0, self._next_look_at - monotonic())

    async def found(self, *, full: bool) -> None:  # noqa: ARG002 - said by the caller, kept for readers
        """The last look found jobs: look again at once, and do not let anybody ring for a worker that is awake."""
        self._empty_looks = 0
        self._next_look_at = 0.0
        if self._holding:
            self._holding = False
            self._background.start(self._let_go(), name="idle locks released")

    async def nothing(self) -> None:
        """The last look found nothing."""
        self._empty_looks += 1
        looks = self._empty_looks
        if looks <= len(_EAGER_PAUSES):
            self._next_look_at = monotonic() + _EAGER_PAUSES[looks - 1]
            return
        if not self._holding:
            await self._hold()
            self._next_look_at = 0.0  # once more, now that everybody can see that we are idle
            return
        turn = looks - len(_EAGER_PAUSES) - 2
        pause = min(self._poll_max_seconds, _FIRST_PAUSE * 2 ** min(turn, 20))
        self._next_look_at = monotonic() + pause * random.uniform(0.7, 1.0)

    async def _hold(self) -> None:
        self._holding = True
        for key in await self._all_keys():
            await self._listener.hold_shared(IDLE_CLASS, key)

    async def _let_go(self) -> None:
        for key in await self._all_keys():
            if not self._holding:
                await self._listener.release(IDLE_CLASS, key)

    async def _all_keys(self) -> list[int]:
        if self._keys is None:
            rows = await self._database.fetch(_SQL["idle_keys"], self._queues, pool="control")
            self._keys = [row[0] for row in rows]
        return self._keys
