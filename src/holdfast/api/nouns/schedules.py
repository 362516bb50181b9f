"""Schedules: when they are due, what became of it, and starting, pausing, filling in and editing them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from holdfast.access import Permission
from holdfast.api.frame.acting import Acted, Acting
from holdfast.api.frame.answers import Out, refusing_values
from holdfast.api.frame.asking import Asked, Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Body, Cursor, Id, Limit, Moment, Name, Page, Priority, page_of
from holdfast.schedules import BackfillStep, Occurrence, ScheduleInfo

router = NounRouter("schedules")

_UPCOMING, _OCCURRENCES = 5, 50
_P = Permission

_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _within_reach(moment: datetime) -> datetime:
    """Said in our words: those of the library show Python's, and the description has none for it."""
    if not _EARLIEST <= moment < _LATEST:
        raise ValueError(f"must be from {_EARLIEST.isoformat()} to {_LATEST.isoformat()}")
    return moment


_Moment = Annotated[Moment, AfterValidator(_within_reach)]


class OccurrenceOut(Out):
    """What became of one due moment."""

    at: datetime
    origin: str = Field(description="due, trigger or backfill")
    state: str = Field(description="started, waiting or skipped")
    because: str | None = Field(description="of a skipped one: overlap, unchanged, missed or paused")
    detail: str | None
    job: Id | None
    job_state: str | None


class ScheduleOut(Out):
    """A schedule."""

    name: str
    state: str = Field(description="active, paused, withdrawn (the code has it no more) or over")
    task: str
    queue: str | None
    words: str = Field(description="when it is due, in words")
    cron: str | None
    every_seconds: float | None
    timezone: str
    misfire: str
    overlap: str
    next_at: datetime | None
    due_at: datetime | None
    paused_at: datetime | None
    pause_reason: str | None
    is_edited: bool = Field(description="somebody changed what the code declares")
    last: OccurrenceOut | None
    actions: list[str]


class OneScheduleOut(ScheduleOut):
    """A schedule with what comes and what was."""

    priority: int | None
    args: Any = Field(description="null for whoever may not see arguments")
    jitter_seconds: float
    grace_seconds: float
    misfire_limit: int
    probe: str | None
    edited: list[str] = Field(description="the fields that somebody changed")
    declared_at: datetime
    upcoming: list[datetime]
    occurrences: list[OccurrenceOut] = Field(description="the latest fifty, the newest first")


class StepOut(Out):
    """A past moment that a backfill would look at."""

    at: datetime
    job: Id | None = Field(description="the job that it has already; a backfill leaves it alone")
    runs: bool = Field(description="a backfill gives it a job")


class BackfillOut(Out):
    """What a backfill would do."""

    steps: list[StepOut]
    runs: int


class ScheduleNamed(Body):
    """Which schedule, and why."""

    name: str = Field(min_length=1, max_length=500)
    reason: str | None = Field(default=None, max_length=1000)


class Trigger(ScheduleNamed):
    """``force``: although a job of it has not ended."""

    force: bool = False


class Backfill(ScheduleNamed):
    """From one moment to another, both included."""

    since: _Moment
    until: _Moment


class Edit(ScheduleNamed):
    """What is to hold instead of what the code says; what is left out stays. ``cron`` or ``every_seconds``."""

    cron: str | None = Field(default=None, max_length=200)
    every_seconds: float | None = Field(default=None, gt=0, le=366 * 86_400)
    timezone: str | None = Field(default=None, max_length=100)
    jitter_seconds: float | None = Field(default=None, ge=0, le=86_400)
    misfire: Literal["skip", "once", "all"] | None = None
    misfire_limit: int | None = Field(default=None, ge=1, le=10_000)
    grace_seconds: float | None = Field(default=None, ge=0, le=366 * 86_400)
    overlap: Literal["skip", "queue", "allow"] | None = None
    queue: str | None = Field(default=None, min_length=1, max_length=500)
    priority: Priority | None = None
    args: dict[str, Any] | None = Field(default=None, description="all that its jobs get")


@router.read("/schedules", needs=_P.SCHEDULES_READ)
async def list_schedules(asking: Asking, cursor: Cursor, limit: Limit = 50) -> Page[ScheduleOut]:
    """Every schedule by name."""
    after = cursor.text() if cursor else ""
    found = [one for one in await asking.schedules.list() if one.name > after and _is_theirs(asking, one)]
    shown, following = page_of(found, limit, lambda one: [one.name])
    return Page(items=[ScheduleOut(**_fields(asking, one)) for one in shown], next=following)


@router.read("/schedules/show", needs=_P.SCHEDULES_READ)
async def show_schedule(asking: Asking, name: Name) -> OneScheduleOut:
    """One schedule, its next occurrences and the latest ones."""
    return await _shown(asking, name)


@router.read("/schedules/backfill/preview", needs=_P.SCHEDULES_READ)
async def preview_backfill(asking: Asking, name: Name, since: _Moment, until: _Moment) -> BackfillOut:
    """The past occurrences of a range, and which of them a backfill would give a job."""
    await _require_theirs(asking, name)
    with refusing_values():
        steps = await asking.schedules.preview_backfill(name, since, until)
    return BackfillOut(steps=[_step(step) for step in steps], runs=sum(step.runs for step in steps))


@router.act("/schedules/trigger", needs=_P.SCHEDULES_TRIGGER, audit="schedule.trigger")
async def trigger_schedule(acting: Acting, body: Trigger) -> OccurrenceOut:
    """One occurrence now, whatever its timetable and pause say; the overlap policy counts."""
    await _target(acting, body)
    made = await acting.schedules.trigger(body.name, force=body.force, reason=body.reason)
    acting.note(after={"state": made.state, "job": made.job_id})
    return _occurrence(made)


@router.act("/schedules/pause", needs=_P.SCHEDULES_PAUSE, audit="schedule.pause")
async def pause_schedule(acting: Acting, body: ScheduleNamed) -> OneScheduleOut:
    """Nothing of it is due from now on; jobs run on. May be repeated."""
    await _target(acting, body)
    await acting.schedules.pause(body.name, reason=body.reason)
    return await _shown(acting, body.name)


@router.act("/schedules/resume", needs=_P.SCHEDULES_PAUSE, audit="schedule.resume")
async def resume_schedule(acting: Acting, body: ScheduleNamed) -> OneScheduleOut:
    """Due again from the next occurrence on. May be repeated."""
    await _target(acting, body)
    await acting.schedules.resume(body.name)
    return await _shown(acting, body.name)


@router.act("/schedules/backfill", needs=_P.SCHEDULES_BACKFILL, audit="schedule.backfill")
async def backfill_schedule(acting: Acting, body: Backfill) -> list[OccurrenceOut]:
    """Jobs for the past occurrences of the range that have none. May be repeated."""
    await _target(acting, body)
    with refusing_values():
        made = await acting.schedules.backfill(body.name, body.since, body.until)
    acting.note(after={"since": body.since.isoformat(), "until": body.until.isoformat(), "occurrences": len(made)})
    return [_occurrence(one) for one in made]


@router.act("/schedules/edit", needs=_P.SCHEDULES_EDIT, audit="schedule.edit")
async def edit_schedule(acting: Acting, body: Edit) -> OneScheduleOut:
    """Change what the code declares, until somebody resets it."""
    await _target(acting, body)
    info = await acting.schedules.show(body.name)
    fields = Edit.model_fields.keys() - ScheduleNamed.model_fields.keys()
    changes = {name: getattr(body, name) for name in sorted(fields) if getattr(body, name) is not None}
    if body.queue is not None:
        acting.who.demand_queue(body.queue)
    if body.args is not None:
        changes["args"] = acting.meant(body.args, dict(info.plan.args))
    acting.note(before=info.edited, after=changes)
    with refusing_values():
        await acting.schedules.edit(body.name, **changes)
    return await _shown(acting, body.name)


@router.act("/schedules/reset", needs=_P.SCHEDULES_EDIT, audit="schedule.reset")
async def reset_schedule(acting: Acting, body: ScheduleNamed) -> OneScheduleOut:
    """Take every edit back: what the code declares holds again."""
    await _target(acting, body)
    acting.note(before=(await acting.schedules.show(body.name)).edited)
    await acting.schedules.reset(body.name)
    return await _shown(acting, body.name)


async def _target(acting: Acted, body: ScheduleNamed) -> None:
    acting.target("schedule", body.name)
    acting.note(reason=body.reason)
    await _require_theirs(acting, body.name)


async def _require_theirs(asking: Asked, name: str) -> None:
    """A token that is limited to queues touches schedules that name one of them, and no other."""
    if asking.queues_allowed is not None:
        asking.who.demand_queue((await asking.schedules.show(name)).plan.queue or "")


def _is_theirs(asking: Asked, info: ScheduleInfo) -> bool:
    return asking.who.may_touch(info.plan.queue or "")


async def _shown(asking: Asked, name: str) -> OneScheduleOut:
    await _require_theirs(asking, name)
    info = await asking.schedules.show(name)
    plan = info.plan
    return OneScheduleOut(
        **_fields(asking, info),
        priority=plan.priority,
        args=asking.shown(dict(plan.args)),
        jitter_seconds=plan.jitter_seconds,
        grace_seconds=plan.grace_seconds,
        misfire_limit=plan.misfire_limit,
        probe=plan.probe,
        edited=sorted(info.edited),
        declared_at=info.declared_at,
        upcoming=await asking.schedules.next(name, _UPCOMING),
        occurrences=[_occurrence(one) for one in await asking.schedules.occurrences(name, limit=_OCCURRENCES)],
    )


def _fields(asking: Asked, info: ScheduleInfo) -> dict[str, Any]:
    plan = info.plan
    return {
        "name": info.name,
        "state": info.state,
        "task": plan.task,
        "queue": plan.queue,
        "words": info.words,
        "cron": plan.cron,
        "every_seconds": plan.every_seconds,
        "timezone": plan.timezone,
        "misfire": plan.misfire,
        "overlap": plan.overlap,
        "next_at": info.next_at,
        "due_at": info.due_at,
        "paused_at": info.paused_at,
        "pause_reason": info.pause_reason,
        "is_edited": bool(info.edited),
        "last": None if info.last is None else _occurrence(info.last),
        "actions": asking.legal(_verbs(info)),
    }


def _verbs(info: ScheduleInfo) -> list[tuple[str, Permission]]:
    verbs = [("trigger", _P.SCHEDULES_TRIGGER), ("backfill", _P.SCHEDULES_BACKFILL)]
    if info.state in ("active", "over"):
        verbs.append(("pause", _P.SCHEDULES_PAUSE))
    if info.paused_at is not None:
        verbs.append(("resume", _P.SCHEDULES_PAUSE))
    verbs.append(("edit", _P.SCHEDULES_EDIT))
    if info.edited:
        verbs.append(("reset", _P.SCHEDULES_EDIT))
    return verbs


def _occurrence(one: Occurrence) -> OccurrenceOut:
    return OccurrenceOut(
        at=one.at,
        origin=one.origin,
        state=one.state,
        because=one.because,
        detail=one.detail,
        job=one.job_id,
        job_state=one.job_state,
    )


def _step(step: BackfillStep) -> StepOut:
    return StepOut(at=step.at, job=step.job_id, runs=step.runs)
