"""Time that a test moves instead of waiting: in this process and in its database at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from holdfast import clock
from holdfast.db import DatabaseClock
from holdfast.errors import ConfigurationError
from holdfast.jobs import seconds_of


class MovedClock:
    """``holdfast.clock`` and the database's ``holdfast.now()``, moved together; entered and left, it is over.

    The clocks go on ticking from where they are moved to, and only forward. Move them while no worker runs: it would
    take itself for asleep, as after a pause of the machine. Then drain, and what has become due is done. The database
    must be a throwaway one: its function ``holdfast.now`` is replaced.
    """

    def __init__(self, database_url: str) -> None:
        self._database = DatabaseClock(database_url)
        self._ahead_seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        clock.set_ahead(0)

    @property
    def now(self) -> datetime:
        """The moment it is, as an aware UTC datetime."""
        return clock.now()

    def move(self, by: float | str | timedelta) -> datetime:
        """Let it be later: by seconds, a timedelta, or text such as ``"10m"`` or ``"2h"``; returns the moment it is."""
        self._ahead_seconds += seconds_of(by)
        self._database.set_ahead(self._ahead_seconds)
        clock.set_ahead(self._ahead_seconds)
        return clock.now()

    def move_to(self, moment: datetime) -> datetime:
        """Let it be this moment, which must lie ahead and have a time zone."""
        if moment.tzinfo is None:
            raise ConfigurationError("the moment has no time zone", remedy="use an aware datetime")
        return self.move(moment - clock.now())
