"""What people and programs ask of schedules: list, show, next, trigger, pause, resume, edit, backfill."""

from __future__ import annotations

import builtins
import difflib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from msgspec import Struct

from holdfast.db import Database
from holdfast.errors import ConfigurationError, DatabaseUnavailable, ScheduleUnknown
from holdfast.schedules.plan import EDITABLE, Plan
from holdfast.schedules.scheduler import tell
from holdfast.schedules.stored import SQL, Stored, as_json
from holdfast.schedules.timetable import latest, occurrences
from holdfast.telemetry import emit

_MOST_AT_ONCE: Final = 1000
_TRIES: Final = 10
_TICK: Final = timedelta(microseconds=1)


class Occurrence(Struct, frozen=True):
    """What became of one due moment. ``job_state`` is where its job stands now, None once it was pruned."""

    schedule: str
    at: datetime
    origin: str
    state: str
    because: str | None
    detail: str | None
    job_id: int | None
    job_state: str | None = None


class ScheduleInfo(Struct, frozen=True):
    """A schedule as people see it. ``state``: active, paused, withdrawn (the code no longer has it) or over."""

    name: str
    state: str
    plan: Plan
    words: str
    edited: dict[str, Any]
    next_at: datetime | None
    due_at: datetime | None
    paused_at: datetime | None
    pause_reason: str | None
    declared_at: datetime
    last: Occurrence | None


class BackfillStep(Struct, frozen=True):
    """One past moment: the job that it has already, or None and a backfill gives it one."""

    at: datetime
    job_id: int | None
    waiting: bool = False

    @property
    def runs(self) -> bool:
        """Whether a backfill does something for it."""
        return self.job_id is None and not self.waiting


class Schedules:
    """``app.schedules``: the schedules in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> Sequence[ScheduleInfo]:
        """All of them, by name."""
        return await self._infos(None)

    async def show(self, name: str) -> ScheduleInfo:
        """One of them. Raises ``ScheduleUnknown``."""
        found = await self._infos([name])
        if not found:
            raise await self._unknown(name)
        return found[0]

    async def occurrences(self, name: str, *, limit: int = 20) -> builtins.list[Occurrence]:
        """What became of the latest due moments, newest first. Raises ``ScheduleUnknown``."""
        await self._read(name)
        return [Occurrence(**dict(row)) for row in await self._database.fetch(SQL["occurrences"], name, limit)]

    async def next(self, name: str, count: int = 5) -> builtins.list[datetime]:
        """The coming occurrences, without their jitter; none while it is paused or withdrawn."""
        row = await self._read(name)
        if row.next_at is None or row.paused_at is not None or row.withdrawn_at is not None:
            return []
        following = occurrences(row.plan.timetable(row.anchor_at), max(row.next_at, row.seen_at))
        return [row.next_at, *islice(following, count - 1)][:count]

    async def trigger(self, name: str, *, force: bool = False, reason: str | None = None) -> Occurrence:
        """One occurrence now, whatever timetable, pause and probe say.

        The overlap policy counts: the answer may be ``skipped`` or ``waiting``. ``force`` starts it all the same.
        Raises ``ScheduleUnknown``.
        """
        made = await self._database.fetch(SQL["trigger"], name, force, reason)
        if not made:
            raise await self._unknown(name)
        tell(made)
        return Occurrence(**dict(made[0]))

    async def pause(self, name: str, *, reason: str | None = None) -> bool:
        """Nothing of it is due from now on; jobs run on. False: it was paused already. Raises ``ScheduleUnknown``."""
        answer = await self._database.fetchval(SQL["pause"], name, reason)
        if answer == "unknown":
            raise await self._unknown(name)
        if answer == "paused":
            emit("schedules.paused", schedule=name, reason=reason)
        return bool(answer == "paused")

    async def resume(self, name: str) -> bool:
        """Due again from the next occurrence on; those of the pause are recorded as skipped, and can be backfilled.

        False: it was not paused. Raises ``ScheduleUnknown``.
        """

        async def change(row: Stored) -> bool | None:
            if row.paused_at is None:
                return False
            swallowed = _swallowed(row)
            detail = f"paused: {row.pause_reason}" if row.pause_reason else None
            next_at, due_at = row.moments_under(row.plan, anew=True)
            done = await self._change(row, row.edited, next_at, due_at, swallowed, detail, resume=True)
            return True if done else None

        resumed = await self._until_done(name, change)
        if resumed:
            emit("schedules.resumed", schedule=name)
        return resumed

    async def edit(self, name: str, **changes: Any) -> ScheduleInfo:
        """Change what the code declared, for as long as nobody changes it back: ``edit(name, cron="0 8 * * *")``.

        A later deploy changes what is not edited. Raises ``ScheduleUnknown``, and ``ConfigurationError`` for what
        cannot be edited or cannot be.
        """
        unknown = sorted(changes.keys() - EDITABLE)
        if unknown:
            raise ConfigurationError(
                f"{unknown[0]!r} of a schedule cannot be edited", remedy=f"choose {', '.join(sorted(EDITABLE))}"
            )
        # One of both, always: the code may declare the other tomorrow.
        if changes.get("cron") is not None:
            changes["every_seconds"] = None
        elif changes.get("every_seconds") is not None:
            changes["cron"] = None
        return await self._edit(name, lambda edited: edited | changes)

    async def reset(self, name: str) -> ScheduleInfo:
        """Take every edit back: what the code declares holds again. Raises ``ScheduleUnknown``."""
        return await self._edit(name, lambda _edited: {})

    async def preview_backfill(self, name: str, since: datetime, until: datetime) -> builtins.list[BackfillStep]:
        """Every occurrence from one moment to another, both included, that a backfill would look at.

        Raises ``ScheduleUnknown``, and ``ConfigurationError`` for a range that is empty, not over, or too long.
        """
        row = await self._read(name)
        moments = _moments(row, since, until)
        had = await self._database.fetch(SQL["between"], name, since, until)
        jobs = {found["at"]: found["job_id"] for found in had}
        return [BackfillStep(at, jobs.get(at), waiting=at in jobs and jobs[at] is None) for at in moments]

    async def backfill(self, name: str, since: datetime, until: datetime) -> builtins.list[Occurrence]:
        """Jobs for the past occurrences of the range that have none: missed, skipped, or before the schedule existed.

        One after the other, unless the schedule allows overlap. May be repeated. Raises as ``preview_backfill``.
        """
        steps = await self.preview_backfill(name, since, until)
        made = await self._database.fetch(SQL["backfill"], name, [step.at for step in steps if step.runs])
        tell(made)
        return [Occurrence(**dict(row)) for row in made]

    async def _infos(self, names: Sequence[str] | None) -> Sequence[ScheduleInfo]:
        rows = [Stored.from_row(row) for row in await self._database.fetch(SQL["read"], names)]
        latest_rows = await self._database.fetch(SQL["latest"], names)
        last = {row["schedule"]: Occurrence(**dict(row)) for row in latest_rows}
        return [_info(row, last.get(row.name)) for row in rows]

    async def _read(self, name: str) -> Stored:
        rows = await self._database.fetch(SQL["read"], [name])
        if not rows:
            raise await self._unknown(name)
        return Stored.from_row(rows[0])

    async def _edit(self, name: str, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> ScheduleInfo:
        async def change(row: Stored) -> bool | None:
            edited = edit(row.edited)
            plan = Plan.from_row(row.declared | edited)
            plan.timetable(row.anchor_at)
            next_at, due_at = row.moments_under(plan)
            return await self._change(row, edited, next_at, due_at, [], None, resume=False) or None

        await self._until_done(name, change)
        emit("schedules.edited", schedule=name)
        return await self.show(name)

    async def _change(
        self,
        row: Stored,
        edited: dict[str, Any],
        next_at: datetime | None,
        due_at: datetime | None,
        swallowed: Sequence[datetime],
        detail: str | None,
        *,
        resume: bool,
    ) -> bool:
        text = as_json(edited)
        return bool(
            await self._database.fetchval(
                SQL["change"], row.name, row.version, text, next_at, due_at, resume, list(swallowed), detail
            )
        )

    async def _until_done(self, name: str, change: Callable[[Stored], Any]) -> bool:
        """Read, change, and again if somebody else changed it in between."""
        for _ in range(_TRIES):
            answer: bool | None = await change(await self._read(name))
            if answer is not None:
                return answer
        raise DatabaseUnavailable(f"schedule {name!r} is changed by others all the time", remedy="try again")

    async def _unknown(self, name: str) -> ScheduleUnknown:
        known = [row["name"] for row in await self._database.fetch(SQL["read"], None)]
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else "a worker of the application declares them when it starts"
        return ScheduleUnknown(f"there is no schedule {name!r}", remedy=remedy)


def _info(row: Stored, last: Occurrence | None) -> ScheduleInfo:
    plan = row.plan
    idle = row.next_at is None
    state = "withdrawn" if row.withdrawn_at else "paused" if row.paused_at else "over" if idle else "active"
    return ScheduleInfo(
        name=row.name,
        state=state,
        plan=plan,
        words=_words(row, plan),
        edited=row.edited,
        next_at=row.next_at if state == "active" else None,
        due_at=row.due_at if state == "active" else None,
        paused_at=row.paused_at,
        pause_reason=row.pause_reason,
        declared_at=row.declared_at,
        last=last,
    )


def _words(row: Stored, plan: Plan) -> str:
    """One schedule that this machine cannot read (a zone it lacks, say) must not hide the others."""
    try:
        return plan.timetable(row.anchor_at).words
    except ConfigurationError as error:
        return f"cannot be read here: {error.message}"


def _swallowed(row: Stored) -> list[datetime]:
    """The occurrences that fell into the pause, the latest thousand of them."""
    if row.next_at is None or row.next_at > row.seen_at:
        return []
    later, more = latest(row.plan.timetable(row.anchor_at), row.next_at, row.seen_at, _MOST_AT_ONCE)
    return later if more else [row.next_at, *later]


def _moments(row: Stored, since: datetime, until: datetime) -> list[datetime]:
    if since.tzinfo is None or until.tzinfo is None:
        raise ConfigurationError("the range has no time zone", remedy="use aware datetimes")
    if since > until:
        raise ConfigurationError("the range ends before it begins")
    end = min(until, row.seen_at)
    found: list[datetime] = []
    for at in occurrences(row.plan.timetable(row.anchor_at), since - _TICK):
        if at > end:
            break
        if len(found) == _MOST_AT_ONCE:
            raise ConfigurationError(
                f"the range holds more than {_MOST_AT_ONCE} occurrences", remedy="backfill it in parts"
            )
        found.append(at)
    return found
