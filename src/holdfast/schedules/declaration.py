"""What the code says about schedules, and how the database comes to know it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack

import msgspec
from msgspec import Struct

from holdfast.db import Database
from holdfast.errors import ArgumentsInvalid, ConfigurationError, DatabaseUnavailable
from holdfast.jobs import Task, seconds_of
from holdfast.schedules.plan import Misfire, Overlap, Plan
from holdfast.schedules.probe import Probe, probe_name
from holdfast.schedules.stored import SQL, Stored, as_json, first_moments
from holdfast.telemetry import emit, get_logger

log = get_logger("schedules")

_OCCURRENCE: Final = "occurrence"
"""The parameter by which a task asks to be told which moment its job is for."""
_ANY_MOMENT: Final = datetime(2024, 1, 1, tzinfo=UTC)
_TRIES: Final = 10


class ScheduleOptions(TypedDict, total=False):
    """What can be said about a schedule beside its cron expression."""

    every: float | str | timedelta
    """Instead of a cron expression: seconds, a timedelta, or ``"15m"``; counted from the first declaration."""
    name: str
    """Default: the name of the task."""
    timezone: str
    """Whose wall clock the cron expression means; default UTC."""
    jitter_seconds: float
    """Each job is enqueued up to so much later, so that not everything begins on the hour; default 0."""
    misfire: Misfire
    """Occurrences found too late: ``skip`` them, run ``once`` for all (default), or run ``all``."""
    misfire_limit: int
    """How many ``all`` is at most, the latest ones; default 100."""
    grace_seconds: float
    """How late is too late; default 60."""
    overlap: Overlap
    """While a job of it has not ended: ``skip`` the occurrence (default), ``queue`` it, ``allow`` both."""
    probe: Probe
    """Asked for the source's fingerprint before a job is enqueued; an unchanged source is skipped."""
    args: Mapping[str, Any]
    """The arguments of every job."""
    queue: str
    """Default: the task's."""
    priority: int
    """Default: the task's."""


class Schedule(Struct, frozen=True):
    """One schedule as the code declares it."""

    name: str
    source: str
    plan: Plan
    probe: Probe | None


class Declarations:
    """The schedules of an application. ``tasks`` are all of its tasks, by name."""

    def __init__(self, tasks: Mapping[str, Task[..., Any]]) -> None:
        self._tasks = tasks
        self.schedules: dict[str, Schedule] = {}

    @property
    def sources(self) -> set[str]:
        """The modules whose schedules this application knows, all of them."""
        return {_source(task.handler) for task in self._tasks.values()}

    @property
    def probes(self) -> dict[str, Probe]:
        """The probes, by the schedule's name."""
        return {name: one.probe for name, one in self.schedules.items() if one.probe is not None}

    def add(self, task: Task[..., Any], cron: str | None = None, **options: Unpack[ScheduleOptions]) -> Schedule:
        """Declare a schedule of a task. Raises ``ConfigurationError`` for what cannot be."""
        said: dict[str, Any] = dict(options)
        name = said.pop("name", None) or task.name
        probe, every, args = said.pop("probe", None), said.pop("every", None), said.pop("args", {})
        if name in self.schedules:
            raise ConfigurationError(f"there are two schedules named {name!r}", remedy="give one of them another name=")
        try:
            plan = Plan(
                task=task.name,
                cron=cron,
                every_seconds=None if every is None else seconds_of(every),
                probe=None if probe is None else probe_name(probe),
                **said,
                **_arguments(task, args),
            )
            plan.timetable(_ANY_MOMENT)
        except ConfigurationError as error:
            raise ConfigurationError(f"schedule {name!r}: {error.message}", remedy=error.remedy) from None
        made = self.schedules[name] = Schedule(name, _source(task.handler), plan, probe)
        return made


async def declare_schedules(database: Database, declarations: Declarations) -> None:
    """Have the database follow the code: what is new or changed holds from now on, what is gone is withdrawn.

    What people edited stays over it. Any number of processes may do this at once.
    """
    for _ in range(_TRIES):
        rows = await database.fetch(SQL["read"], sorted(declarations.schedules))
        stored = {row["name"]: Stored.from_row(row) for row in rows}
        done = [await _declare(database, one, stored.get(one.name)) for one in declarations.schedules.values()]
        if all(done):
            break
    else:
        raise DatabaseUnavailable("the schedules are changed by others all the time and could not be declared")
    gone = await database.fetch(SQL["withdraw"], sorted(declarations.sources), sorted(declarations.schedules))
    for row in gone:
        emit("schedules.withdrawn", schedule=row[0])


async def _declare(database: Database, one: Schedule, stored: Stored | None) -> bool:
    """False: the row has changed since it was read."""
    if stored is None:
        now = await database.fetchval(SQL["now"])
        moments = first_moments(one.plan, now, now)
        declared = await database.fetchval(
            SQL["declare"], one.name, None, one.source, as_json(one.plan.as_row()), now, *moments
        )
    elif stored.declared == _as_stored(one.plan) and stored.source == one.source and stored.withdrawn_at is None:
        return True
    else:
        try:
            plan = Plan.from_row(one.plan.as_row() | stored.edited)
            moments = stored.moments_under(plan, anew=stored.withdrawn_at is not None)
        except ConfigurationError as error:
            log.error("schedule %s stays as it was: with its edits it cannot be: %s", one.name, error)  # noqa: TRY400 - said
            return True
        text = as_json(one.plan.as_row())
        declared = await database.fetchval(
            SQL["declare"], one.name, stored.version, one.source, text, stored.anchor_at, *moments
        )
    if declared:
        emit("schedules.declared", schedule=one.name, next_at=None if moments[0] is None else moments[0].isoformat())
    return bool(declared)


def _arguments(task: Task[..., Any], args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as JSON, checked against the signature; a parameter ``occurrence`` is given the moment."""
    takes_moment = _OCCURRENCE in task.signature.names and _OCCURRENCE not in args
    sample = {_OCCURRENCE: _ANY_MOMENT} if takes_moment else {}
    try:
        text = task.signature.dump((), {**args, **sample})
    except ArgumentsInvalid as error:
        raise ConfigurationError(error.message, remedy='say args={"name": value}') from None
    values: dict[str, Any] = msgspec.json.decode(text)
    if takes_moment:
        del values[_OCCURRENCE]
    return {"args": values, "occurrence_argument": _OCCURRENCE if takes_moment else None}


def _as_stored(plan: Plan) -> dict[str, Any]:
    """The plan as it comes back from the database."""
    values: dict[str, Any] = msgspec.json.decode(as_json(plan.as_row()))
    return values


def _source(handler: Callable[..., Any]) -> str:
    """The module of a function; a program run by its file name bears the name that it would be imported by."""
    if handler.__module__ != "__main__":
        return handler.__module__
    file = getattr(sys.modules["__main__"], "__file__", None)
    return Path(file).stem if file else "__main__"
