"""When a schedule is due: a cron expression on the wall clock of a zone, or an interval. Pure; nothing here reads time.

What becomes of daylight saving, for expressions of five and of six fields alike:

- An expression that names its minutes and hours (neither begins with ``*``) means the wall clock. An occurrence that
  falls into the hour that is skipped happens right after the gap; one in the hour that comes twice happens once, the
  first time.
- Any other expression (``*/10 * * * *``, ``0 * * * *``) means elapsed time: it is due in both of the doubled hours, and
  not in an hour that does not exist.

An interval is elapsed time, in every zone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from holdfast.errors import ConfigurationError

_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_SHORTEST_INTERVAL_SECONDS: Final = 1.0
_LONGEST_INTERVAL_SECONDS: Final = 10 * 366 * 86_400.0
_FIRST_LOOK_BACK: Final = timedelta(hours=1)


class Timetable(Protocol):
    """The moments at which something is due."""

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which people think of it."""
        ...

    @property
    def words(self) -> str:
        """The timetable as a person would say it."""
        ...

    def after(self, moment: datetime) -> datetime | None:
        """The first occurrence after the moment, in UTC; None: there is none for fifty years."""
        ...


class Cron:
    """A cron expression of five fields, or six with the seconds first, read on the wall clock of a zone.

    Raises ``ConfigurationError`` for what cron does not understand and for what is never due.
    """

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        self.expression = expression
        self.zone = zone_of(timezone)
        self._fields = _NICKNAMES.get(expression.strip().lower(), expression)
        parts = self._fields.split()
        try:
            self._words = CronSim(self._fields, datetime(2024, 1, 1)).explain()  # noqa: DTZ001 - a wall clock
        except CronSimError as error:
            raise ConfigurationError(
                f"{expression!r} is no cron expression: {str(error).lower()}",
                remedy='write minute hour day month weekday, for example "0 7 * * mon-fri"; a sixth field in front '
                "is the second",
            ) from None
        minute, hour = parts[-5], parts[-4]
        self._is_wall_clock = not minute.startswith("*") and not hour.startswith("*")
        if self.after(datetime(2024, 1, 1, tzinfo=UTC)) is None:
            raise ConfigurationError(f"{expression!r} is never due", remedy="look at its day and month")

    @property
    def words(self) -> str:
        """As ``At 07:00 from Monday through Friday, Europe/Zurich``."""
        return f"{self._words}, {self.zone.key}"

    def after(self, moment: datetime) -> datetime | None:
        """See ``Timetable``."""
        local = moment.astimezone(self.zone)
        if not self._is_wall_clock:
            found = next(CronSim(self._fields, local), None)
            return None if found is None else found.astimezone(UTC)
        # In the second of two doubled hours the wall shows moments that have been: they are passed over.
        for wall in CronSim(self._fields, local.replace(tzinfo=None)):
            at = self._on_the_clock(wall)
            if at > moment:
                return at
        return None

    def _on_the_clock(self, wall: datetime) -> datetime:
        """The moment at which the clock on the wall shows this, for the first time; after a gap, the end of the gap."""
        at = wall.replace(tzinfo=self.zone, fold=0).astimezone(UTC)
        if at.astimezone(self.zone).replace(tzinfo=None) == wall:
            return at
        # In a gap the first reading of the wall lies after it, by as much as the second lies before it.
        before = wall.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
        return _gap_end(before, at, self.zone)


class Every:
    """Every so many seconds of elapsed time, counted from an anchor."""

    def __init__(self, seconds: float, anchor: datetime, timezone: str = "UTC") -> None:
        if not _SHORTEST_INTERVAL_SECONDS <= seconds <= _LONGEST_INTERVAL_SECONDS:
            raise ConfigurationError(f"an interval is at least 1 s and at most ten years, not {seconds:g} s")
        self.zone = zone_of(timezone)
        self._interval = timedelta(seconds=seconds)
        self._anchor = anchor

    @property
    def words(self) -> str:
        """As ``Every 1 h 30 min``."""
        return f"Every {_span(self._interval)}"

    def after(self, moment: datetime) -> datetime | None:
        """See ``Timetable``."""
        turns = (moment - self._anchor) // self._interval + 1
        return self._anchor + max(turns, 1) * self._interval


def occurrences(timetable: Timetable, after: datetime) -> Iterator[datetime]:
    """One occurrence after the other, from the first after the moment."""
    at = timetable.after(after)
    while at is not None:
        yield at
        at = timetable.after(at)


def latest(timetable: Timetable, after: datetime, until: datetime, most: int) -> tuple[list[datetime], bool]:
    """The latest occurrences after one moment and not after another, ``most`` at most; and whether there were more.

    Looks back in growing steps, so that a second-by-second schedule that was asleep for a month costs no month.
    """
    look_back = _FIRST_LOOK_BACK
    while True:
        start = max(after, until - look_back)
        found: deque[datetime] = deque(maxlen=most)
        more = False
        for at in occurrences(timetable, start):
            if at > until:
                break
            more = more or len(found) == most
            found.append(at)
        if start == after:
            return list(found), more
        if len(found) == most:
            return list(found), True
        look_back *= 8


def zone_of(name: str) -> ZoneInfo:
    """The zone of that name. Raises ``ConfigurationError``."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f"there is no time zone {name!r}",
            remedy='write a name such as "Europe/Zurich"; on a machine without zones, pip install tzdata',
        ) from None


def _span(length: timedelta) -> str:
    minutes, seconds = divmod(length.total_seconds(), 60)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join(f"{count:g} {unit}" for count, unit in parts if count)


def _gap_end(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The moment between two at which the offset of the zone changes."""
    offset = before.astimezone(zone).utcoffset()
    low, high = before, after
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)
