"""A schedule as the database keeps it, and when it is due next under a plan that changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import msgspec
from msgspec import Struct

from holdfast.db import Statement, load_statements
from holdfast.schedules.plan import Plan

SQL: Mapping[str, Statement] = load_statements("holdfast.schedules", "schedules.sql")


class Stored(Struct, frozen=True):
    """One row, read at ``seen_at`` by the database's clock."""

    name: str
    version: int
    source: str
    declared: dict[str, Any]
    edited: dict[str, Any]
    anchor_at: datetime
    next_at: datetime | None
    due_at: datetime | None
    last_at: datetime | None
    paused_at: datetime | None
    pause_reason: str | None
    withdrawn_at: datetime | None
    declared_at: datetime
    seen_at: datetime

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """What the statement ``read`` answers."""
        values = dict(row)
        values |= {name: msgspec.json.decode(values[name]) for name in ("declared", "edited")}
        return cls(**values)

    @property
    def plan(self) -> Plan:
        """What counts: the edits over what the code declared."""
        return Plan.from_row(self.declared | self.edited)

    def moments_under(self, plan: Plan, *, anew: bool = False) -> tuple[datetime | None, datetime | None]:
        """``next_at`` and ``due_at`` once this plan holds.

        They stay while the timetable does. An occurrence that was due before the change is still owed, and the misfire
        policy treats it; ``anew`` (after a pause, or once declared again) nothing before now is.
        """
        if not anew and (plan.timing == self.plan.timing or (self.due_at is not None and self.due_at <= self.seen_at)):
            return self.next_at, self.due_at
        # Not before what has been decided about, should the clock have been set back.
        since = max(self.seen_at, self.last_at or self.anchor_at)
        return first_moments(plan, self.anchor_at, since)


def first_moments(plan: Plan, anchor: datetime, since: datetime) -> tuple[datetime | None, datetime | None]:
    """The first occurrence after a moment, and when it is due."""
    timetable = plan.timetable(anchor)
    next_at = timetable.after(since)
    if next_at is None:
        return None, None
    return next_at, plan.due_at(next_at, timetable.after(next_at))


def as_json(values: Mapping[str, Any]) -> str:
    """The text that the statements take."""
    return msgspec.json.encode(values).decode()
