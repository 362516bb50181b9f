"""Schedules and what became of their occurrences, as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.text import Text

from holdfast.cli.screen import ago, plain, screen, table
from holdfast.schedules import BackfillStep, Occurrence, ScheduleInfo

_BECAUSE = {
    "overlap": "skipped: overlap",
    "unchanged": "unchanged, skipped",
    "missed": "missed",
    "paused": "skipped: paused",
}
_COLORS = {"overlap": "yellow", "unchanged": "dim", "missed": "red", "paused": "dim", "failed": "red"}


def show_schedules(found: Sequence[ScheduleInfo]) -> None:
    """A line per schedule."""
    lines = table("SCHEDULE", "WHEN", "NEXT", "LAST", "")
    for one in found:
        lines.add_row(
            Text(one.name),
            Text(one.words),
            Text("" if one.next_at is None else f"{moment(one.next_at, one.plan.timezone)}, {ago(one.next_at)}"),
            _last(one.last),
            _state(one),
        )
    screen.out.print(lines)


def show_schedule(one: ScheduleInfo, latest: Sequence[Occurrence], coming: Sequence[datetime]) -> None:
    """Everything about one schedule."""
    plan = one.plan
    lines = [
        ("schedule", f"{one.name}: {one.words}"),
        (
            "task",
            plan.task + (f" on queue {plan.queue}" if plan.queue else "") + (f" {plan.args}" if plan.args else ""),
        ),
        ("state", _state(one).plain or "active"),
        ("misfire", f"{plan.misfire}, after {plan.grace_seconds:g} s" + _limit(one)),
        ("overlap", plan.overlap),
        ("jitter", f"up to {plan.jitter_seconds:g} s" if plan.jitter_seconds else ""),
        ("probe", plan.probe or ""),
        ("edited", ", ".join(f"{name}={value}" for name, value in one.edited.items() if value is not None)),
    ]
    for name, value in lines:
        if value:
            screen.write(f"{name:<10}{value}")
    for index, at in enumerate(coming):
        screen.write(f"{'next' if index == 0 else '':<10}{moment(at, plan.timezone)}, {ago(at)}")
    if latest:
        screen.write("")
        show_occurrences(latest, plan.timezone)


def show_occurrences(found: Sequence[Occurrence], zone: str) -> None:
    """A line per occurrence: what became of it."""
    lines = table("OCCURRENCE", "", "JOB", "BY", "")
    for one in found:
        lines.add_row(
            moment(one.at, zone),
            _became(one),
            "" if one.job_id is None else str(one.job_id),
            "" if one.origin == "due" else one.origin,
            Text(one.detail or "", style="dim"),
        )
    screen.out.print(lines)


def show_coming(coming: Sequence[tuple[str, str, datetime]]) -> None:
    """A line per occurrence to come: name, zone and moment."""
    lines = table("SCHEDULE", "NEXT", "")
    for name, zone, at in coming:
        lines.add_row(Text(name), moment(at, zone), ago(at))
    screen.out.print(lines)


def show_steps(steps: Sequence[BackfillStep], zone: str) -> None:
    """What a backfill would do, a line per past moment."""
    lines = table("OCCURRENCE", "", "JOB")
    for step in steps:
        what = Text("gets a job", style="green") if step.runs else Text("waits" if step.waiting else "has its job")
        lines.add_row(moment(step.at, zone), what, "" if step.job_id is None else str(step.job_id))
    screen.out.print(lines)


def moment(at: datetime, zone: str) -> str:
    """``Mon 30 Nov 2026 07:00 CET``: a moment on the wall clock of a zone, with seconds only where there are some."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{local:%a %d %b %Y %H:%M}{f':{local:%S}' if local.second else ''} {local:%Z}"


def as_data(one: ScheduleInfo) -> dict[str, Any]:
    """A schedule for programs: the plan's fields stand beside its own."""
    values: dict[str, Any] = plain(one)
    return {**values.pop("plan"), **values}


def _last(last: Occurrence | None) -> Text:
    if last is None:
        return Text("")
    told = _became(last)
    return Text(f"{told.plain}, {ago(last.at)}", style=told.style)


def _became(one: Occurrence) -> Text:
    if one.because is not None:
        return Text(_BECAUSE[one.because], style=_COLORS[one.because])
    state = one.job_state or ("waiting" if one.job_id is None else "pruned")
    return Text(state, style=_COLORS.get(state, ""))


def _state(one: ScheduleInfo) -> Text:
    if one.state == "paused":
        return Text(f"paused {ago(one.paused_at)}" + (f": {one.pause_reason}" if one.pause_reason else ""), "yellow")
    if one.state == "withdrawn":
        return Text("withdrawn: the code has it no more", "dim")
    if one.state == "over":
        return Text("over: never due again", "dim")
    return Text("edited" if one.edited else "", "cyan")


def _limit(one: ScheduleInfo) -> str:
    return f", at most {one.plan.misfire_limit}" if one.plan.misfire == "all" else ""
