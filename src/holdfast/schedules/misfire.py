"""What becomes of the occurrences that have come since somebody last looked. Pure: moments in, a decision out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from holdfast.schedules.plan import Plan
from holdfast.schedules.timetable import Timetable, latest

_MOST_LOOKED_AT: Final = 1000
"""Occurrences that are told apart when nobody looked for long; what lies before is said in one sentence."""


class Verdict(Struct, frozen=True):
    """One occurrence: whether it runs (if overlap and probe let it), or was missed."""

    at: datetime
    runs: bool
    detail: str | None = None


class Decision(Struct, frozen=True):
    """Every occurrence up to now, oldest first, and when to look again."""

    verdicts: tuple[Verdict, ...]
    next_at: datetime | None
    due_at: datetime | None


def decide(plan: Plan, timetable: Timetable, next_at: datetime, due_at: datetime, now: datetime) -> Decision:
    """Decide about ``next_at``, which is due, and about what came after it up to now, by the plan's misfire policy.

    ``next_at`` is owed even if the timetable was changed since and would not name it.
    """
    later, more = latest(timetable, next_at, now, max(_MOST_LOOKED_AT, plan.misfire_limit))
    owed = [next_at, *later]
    grace = timedelta(seconds=plan.grace_seconds)
    missed: list[datetime] = []
    in_time: list[datetime] = []
    for at in owed:
        late = now - (due_at if at == next_at else at) > grace
        (missed if late else in_time).append(at)
    verdicts = [*_missed(plan, missed, in_time, now), *(Verdict(at, runs=True) for at in in_time)]
    if more:
        told = f"{verdicts[0].detail or 'late'}; so was every one before {_clock(later[0])}"
        verdicts[0] = Verdict(next_at, runs=False, detail=told)
    following = timetable.after(max(owed[-1], now))
    due = None if following is None else plan.due_at(following, timetable.after(following))
    return Decision(tuple(verdicts), following, due)


def _missed(plan: Plan, missed: list[datetime], in_time: list[datetime], now: datetime) -> list[Verdict]:
    runs = _caught_up(plan, missed, in_time)
    return [Verdict(at, runs=at in runs, detail=_why(at, runs, in_time, now)) for at in missed]


def _caught_up(plan: Plan, missed: list[datetime], in_time: list[datetime]) -> set[datetime]:
    """Those of the missed that run late."""
    if plan.misfire == "all":
        return set(missed[-plan.misfire_limit :])
    # An occurrence that is in time stands for those before it.
    return set(missed[-1:]) if plan.misfire == "once" and not in_time else set()


def _why(at: datetime, runs: set[datetime], in_time: list[datetime], now: datetime) -> str:
    late = f"late by {timedelta(seconds=round((now - at).total_seconds()))}"
    if at in runs:
        return late
    instead = max(runs) if runs else in_time[0] if in_time else None
    return late if instead is None else f"{late}; the run of {_clock(instead)} stands for it"


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
