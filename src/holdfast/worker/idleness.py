"""What a worker does when its queues are empty: look again soon, then say that it is idle, then sleep until rung for.

Saying so is a shared advisory lock on the LISTEN session, one per queue; an enqueue that finds it held notifies one of
the holders. After saying so the worker looks once more, because a job may have been committed in between. A transaction
that asked before and commits after is caught by polling: 5, 10, 20 … ms, up to a second, with jitter.

A short job does not end the idleness: taking it back and saying it again would cost more than the job. Who can take no
more, or has been at work for a while, is not to be rung for: others are.
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
_AT_WORK_SECONDS = 0.05


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
        self._at_work_since: float | None = None

    def stirred(self) -> None:
        """A hint: look at once."""
        self._next_look_at = 0.0

    def may_look(self) -> bool:
        """Whether it is time for a look."""
        return monotonic() >= self._next_look_at

    def pause_seconds(self) -> float:
        """How long until the next look."""
        return max(0.0, self._next_look_at - monotonic())

    def found(self, *, can_take_more: bool) -> None:
        """The last look found jobs: look again at once."""
        self._empty_looks = 0
        self._next_look_at = 0.0
        now = monotonic()
        if self._at_work_since is None:
            self._at_work_since = now
        if not can_take_more or now - self._at_work_since > _AT_WORK_SECONDS:
            self.away()

    async def nothing(self) -> None:
        """The last look found nothing."""
        self._at_work_since = None
        self._empty_looks += 1
        looks = self._empty_looks
        if self._holding:
            pause = min(self._poll_max_seconds, _FIRST_PAUSE * 2 ** min(looks - 1, 20))
            self._next_look_at = monotonic() + pause * random.uniform(0.7, 1.0)
        elif looks <= len(_EAGER_PAUSES):
            self._next_look_at = monotonic() + _EAGER_PAUSES[looks - 1]
        else:
            await self._hold()
            self._empty_looks = 0
            self._next_look_at = 0.0  # once more, now that everybody can see that we are idle

    def away(self) -> None:
        """Nobody is to ring for this worker any more."""
        if self._holding:
            self._holding = False
            self._background.start(self._let_go(), name="idle locks released")

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
