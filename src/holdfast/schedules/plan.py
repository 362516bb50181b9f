"""A plan: everything a schedule says, as the code declares it, people edit it, and the database keeps it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from msgspec import Struct, field
from msgspec.structs import asdict

from holdfast.errors import ConfigurationError
from holdfast.schedules.timetable import Cron, Every, Timetable

Misfire: TypeAlias = Literal["skip", "once", "all"]
Overlap: TypeAlias = Literal["skip", "queue", "allow"]

EDITABLE: Final = frozenset(
    {
        *("cron", "every_seconds", "timezone", "jitter_seconds", "misfire", "misfire_limit", "grace_seconds"),
        *("overlap", "queue", "priority", "args"),
    }
)
"""What people may change at runtime. The task and its probe are code."""
_LONGEST_SECONDS: Final = 10 * 366 * 86_400.0


class Plan(Struct, frozen=True, kw_only=True):
    """When, what, and what to do when something comes in between. Raises ``ConfigurationError`` for what cannot be.

    ``misfire``: what becomes of occurrences that are found later than ``grace_seconds`` after they were due: ``skip``
    them, run ``once`` for all of them, or run ``all``, the latest ``misfire_limit`` of them at most. ``overlap``: what
    becomes of one that is due while a job of the schedule has not ended: ``skip`` it, ``queue`` it, or ``allow`` both.
    """

    task: str
    cron: str | None = None
    every_seconds: float | None = None
    timezone: str = "UTC"
    jitter_seconds: float = 0.0
    misfire: Misfire = "once"
    misfire_limit: int = 100
    grace_seconds: float = 60.0
    overlap: Overlap = "skip"
    probe: str | None = None
    queue: str | None = None
    priority: int | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    occurrence_argument: str | None = None

    def __post_init__(self) -> None:
        if (self.cron is None) == (self.every_seconds is None):
            raise ConfigurationError("a schedule has a cron expression or an interval, and not both")
        _require_one_of("misfire", self.misfire, get_args(Misfire))
        _require_one_of("overlap", self.overlap, get_args(Overlap))
        for name in ("jitter_seconds", "grace_seconds"):
            _require_seconds(name, getattr(self, name))
        if not 1 <= self.misfire_limit <= 10_000:
            raise ConfigurationError(f"misfire_limit lies between 1 and 10 000, not {self.misfire_limit}")
        if self.priority is not None and not 0 <= self.priority <= 9:
            raise ConfigurationError(f"priority is a number from 0 (first) to 9 (last), not {self.priority}")
        if not isinstance(self.args, Mapping):
            raise ConfigurationError("args is an object that names the arguments")

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The plan as the database keeps it; what a newer program added to it is left aside."""
        return cls(**{name: value for name, value in row.items() if name in cls.__struct_fields__})

    def as_row(self) -> dict[str, Any]:
        """The plan as the database keeps it: every key is there, so that an edit is one key over another."""
        return asdict(self)

    def timetable(self, anchor: datetime) -> Timetable:
        """When it is due; an interval counts from the anchor."""
        if self.cron is not None:
            return Cron(self.cron, self.timezone)
        return Every(self.every_seconds or 0.0, anchor, self.timezone)

    @property
    def timing(self) -> tuple[str | None, float | None, str]:
        """What the moments follow from; the anchor apart."""
        return self.cron, self.every_seconds, self.timezone

    def due_at(self, at: datetime, following: datetime | None) -> datetime:
        """When an occurrence is to be decided about: at its moment, or up to ``jitter_seconds`` later.

        Never later than the occurrence that follows it, so that the order stays.
        """
        due = at + timedelta(seconds=random.uniform(0.0, self.jitter_seconds))
        return due if following is None else min(due, following)


def _require_seconds(name: str, value: object) -> None:
    """An infinity or no number is refused here: JSON has neither, and the database would keep a null."""
    if not isinstance(value, int | float) or not 0 <= value <= _LONGEST_SECONDS:
        raise ConfigurationError(
            f"{name} cannot be {value!r}", remedy="write a number of seconds, 0 or more and ten years at most"
        )


def _require_one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{name}={value!r} is no policy", remedy=f"choose {', '.join(allowed)}")
