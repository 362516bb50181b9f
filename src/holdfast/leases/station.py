"""What a process needs to take part in liveness: connections of its own, the session, the observer."""

from __future__ import annotations

import asyncio
from typing import Self

from holdfast.clock import monotonic
from holdfast.db import Database
from holdfast.leases.limits import Limits
from holdfast.leases.observer import Observer, Rescue
from holdfast.leases.session import STATEMENTS, LivenessSession


class Station:
    """Owns a small ``Database`` apart from everybody else's, the liveness session on it, and the observer.

    Belongs to one event loop. ``open`` may be called again after it failed.
    """

    def __init__(
        self,
        url: str,
        *,
        direct_url: str | None = None,
        pooled: bool | None = None,
        limits: Limits | None = None,
        max_losses: int = 3,
        rescue: Rescue | None = None,
    ) -> None:
        """``rescue`` replaces the plain one, which calls holdfast.rescue_v1 on the control pool."""
        self.limits = limits or Limits()
        self.database = Database(
            url,
            direct_url=direct_url,
            application_name="holdfast liveness",
            pooled=pooled,
            control_size=1,
            user_size=1,
        )
        self._rescue = rescue or self._plain_rescue
        self._max_losses = max_losses
        self._session: LivenessSession | None = None
        self._observer: Observer | None = None

    @property
    def session(self) -> LivenessSession:
        """The liveness session of this process."""
        assert self._session is not None, "the station is not open"  # noqa: S101
        return self._session

    @property
    def observer(self) -> Observer:
        """The observer of this process, whether it leads or not."""
        assert self._observer is not None, "the station is not open"  # noqa: S101
        return self._observer

    async def open(self, deadline_seconds: float) -> None:
        """Connect and begin to observe. Raises ``DatabaseUnavailable`` after the deadline."""
        give_up_at = monotonic() + deadline_seconds
        try:
            await self.database.open(deadline_seconds)
            session = LivenessSession(self.database, answer_seconds=self.limits.answer_seconds)
            await session.start(max(give_up_at - monotonic(), 1.0))
        except BaseException:
            await self.database.close(0)
            raise
        self._session = session
        self._observer = Observer(session, self._rescue, self.limits)
        self._observer.start()

    async def close(self, deadline_seconds: float = 3.0) -> None:
        """Stop observing, end the session, close. Never hangs, never raises."""
        if self._observer is not None:
            await self._observer.stop(deadline_seconds / 2)
        if self._session is not None:
            await self._session.stop(deadline_seconds / 4)
        await self.database.close(deadline_seconds / 4)

    async def __aenter__(self) -> Self:
        await self.open(30.0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.shield(self.close())

    async def _plain_rescue(self, worker: int) -> int:
        return int(await self.database.fetchval(STATEMENTS["rescue"], worker, self._max_losses, pool="control"))
