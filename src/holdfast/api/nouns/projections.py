"""Projections: how far they are, what waits for a person, and pausing, rebuilding, switching, parking, skipping."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from holdfast.access import Permission
from holdfast.api.frame.acting import Acting
from holdfast.api.frame.answers import Out, refusing_values
from holdfast.api.frame.asking import Asked, Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Body, Counted, Cursor, Id, Limit, Name, Page, page_of
from holdfast.events import projections as projecting

router = NounRouter("projections")

_P = Permission
_SWITCH_SECONDS = 20.0
_MOST_PARKED = 200

_Stream = Annotated[str, Field(min_length=1, max_length=500)]


class ProjectionOut(Out):
    """A projection."""

    name: str
    kind: str
    on_failure: str
    state: str = Field(description="running, rebalancing, paused, retired, stopped, unserved or partly served")
    version: int
    model: int
    building: int | None = Field(description="the model that is being built beside the live one")
    kept: int | None = Field(description="the former model, for a way back")
    workers: int
    partitions_held: int
    lag_events: int = Field(description="counted to 10 000 a partition")
    lag_seconds: float | None
    building_lag_events: int | None
    parked: int
    undecided: int = Field(description="parked streams that wait for a person")
    stopped: int
    paused_at: datetime | None
    pause_reason: str | None
    problems: list[str]
    actions: list[str] = Field(default_factory=list)


class PartitionOut(Out):
    """One partition of one model."""

    model: int
    state: str = Field(description="of the model: live, building or kept")
    partition: int
    checkpoint: Id
    lag_events: int
    lag_seconds: float | None
    parked: int
    failing: Any = Field(description="the event that it stands at, and why; null: none")
    moved_at: datetime | None
    owner: str | None


class ParkedOut(Out):
    """A stream that waits."""

    stream: str
    partition: int
    position: Id
    attempts: int
    parked_at: datetime
    retry_at: datetime | None = Field(description="null: a person must decide")
    error: Any
    reason: str | None


class SkippedOut(Out):
    """An event that somebody decided not to handle."""

    stream: str
    position: Id
    skipped_at: datetime
    reason: str


class OneProjectionOut(ProjectionOut):
    """A projection with its partitions, what waits and what was passed over."""

    partitions: list[PartitionOut]
    parked_streams: list[ParkedOut] = Field(description="of the live model, the longest first; 200 at the most")
    skipped: list[SkippedOut] = Field(description="the newest 100")


class ProjectionNamed(Body):
    """Which projection, and why."""

    name: str = Field(min_length=1, max_length=500)
    reason: str | None = Field(default=None, max_length=1000)


class Reset(ProjectionNamed):
    """``keep_rows``: the tables stay as they are; the handler must bear seeing an event twice."""

    to: Id = 0
    keep_rows: bool = False


class Rebuild(ProjectionNamed):
    """``version``: of the code that fills the new model; null: the newest that was declared."""

    version: Counted | None = None


class OfStream(ProjectionNamed):
    """One stream."""

    stream: _Stream


class OfStreams(ProjectionNamed):
    """One stream, or every one for null."""

    stream: _Stream | None = None


class Skip(ProjectionNamed):
    """The stream whose event is passed over; the reason is kept for good."""

    stream: _Stream
    reason: str = Field(min_length=1, max_length=1000)


@router.read("/projections", needs=_P.PROJECTIONS_READ)
async def list_projections(asking: Asking, cursor: Cursor, limit: Limit = 50) -> Page[ProjectionOut]:
    """Every projection by name."""
    after = cursor.text() if cursor else ""
    found = [each for each in await asking.projections.list() if each.name > after]
    shown, following = page_of(found, limit, lambda each: [each.name])
    return Page(items=[_projection(asking, each) for each in shown], next=following)


@router.read("/projections/show", needs=_P.PROJECTIONS_READ)
async def show_projection(asking: Asking, name: Name) -> OneProjectionOut:
    """One projection with its partitions and what waits for a person."""
    return await _shown(asking, name)


@router.act("/projections/pause", needs=_P.PROJECTIONS_PAUSE, audit="projection.pause")
async def pause_projection(acting: Acting, body: ProjectionNamed) -> OneProjectionOut:
    """Apply nothing more. May be repeated."""
    _target(acting, body)
    await acting.projections.pause(body.name, reason=body.reason)
    return await _shown(acting, body.name)


@router.act("/projections/resume", needs=_P.PROJECTIONS_PAUSE, audit="projection.resume")
async def resume_projection(acting: Acting, body: ProjectionNamed) -> OneProjectionOut:
    """Go on after a pause, after a stop at an event, or after a retirement. May be repeated."""
    _target(acting, body)
    await acting.projections.resume(body.name)
    return await _shown(acting, body.name)


@router.act("/projections/retire", needs=_P.PROJECTIONS_REBUILD, audit="projection.retire")
async def retire_projection(acting: Acting, body: ProjectionNamed) -> OneProjectionOut:
    """Nobody serves it any more, and the verdict does not ask for it; resume brings it back."""
    _target(acting, body)
    await acting.projections.retire(body.name)
    return await _shown(acting, body.name)


@router.act("/projections/reset", needs=_P.PROJECTIONS_REBUILD, audit="projection.reset")
async def reset_projection(acting: Acting, body: Reset) -> OneProjectionOut:
    """Empty the read model and handle everything after a position again."""
    _target(acting, body)
    acting.note(after={"to": body.to, "keep_rows": body.keep_rows})
    await acting.projections.reset(body.name, to=body.to, keep_rows=body.keep_rows)
    return await _shown(acting, body.name)


@router.act("/projections/rebuild", needs=_P.PROJECTIONS_REBUILD, audit="projection.rebuild")
async def rebuild_projection(acting: Acting, body: Rebuild) -> OneProjectionOut:
    """Begin a new model beside the live one; workers fill it, then switch to it."""
    _target(acting, body)
    model = await acting.projections.models.rebuild(body.name, version=body.version)
    acting.note(after={"model": model})
    return await _shown(acting, body.name)


@router.act("/projections/abandon", needs=_P.PROJECTIONS_REBUILD, audit="projection.abandon")
async def abandon_rebuild(acting: Acting, body: ProjectionNamed) -> OneProjectionOut:
    """Give up the model that is being built, with its tables."""
    _target(acting, body)
    acting.note(before={"model": await acting.projections.models.drop(body.name)})
    return await _shown(acting, body.name)


@router.act("/projections/switch", needs=_P.PROJECTIONS_REBUILD, audit="projection.switch", apart=True)
async def switch_projection(acting: Acting, body: ProjectionNamed) -> OneProjectionOut:
    """Make the model that is being built the live one. Waits for it up to 20 s; then nothing has changed."""
    _target(acting, body)
    model = await acting.projections.models.switch(body.name, timeout_seconds=_SWITCH_SECONDS)
    acting.note(after={"model": model})
    return await _shown(acting, body.name)


@router.act("/projections/rollback", needs=_P.PROJECTIONS_REBUILD, audit="projection.rollback", apart=True)
async def roll_back_projection(acting: Acting, body: ProjectionNamed) -> OneProjectionOut:
    """Make the former model live again; the one that was live is kept."""
    _target(acting, body)
    model = await acting.projections.models.roll_back(body.name, timeout_seconds=_SWITCH_SECONDS)
    acting.note(after={"model": model})
    return await _shown(acting, body.name)


@router.act("/projections/park", needs=_P.PROJECTIONS_SKIP, audit="projection.park")
async def park_stream(acting: Acting, body: OfStream) -> OneProjectionOut:
    """Let the events of one stream wait from here on."""
    _target(acting, body)
    acting.note(after={"stream": body.stream})
    await acting.projections.park(body.name, body.stream, reason=body.reason)
    return await _shown(acting, body.name)


@router.act("/projections/unpark", needs=_P.PROJECTIONS_SKIP, audit="projection.unpark")
async def unpark_streams(acting: Acting, body: OfStreams) -> OneProjectionOut:
    """Handle a parked stream, or all of them, from where it stopped."""
    _target(acting, body)
    acting.note(after={"stream": body.stream, "streams": await acting.projections.unpark(body.name, body.stream)})
    return await _shown(acting, body.name)


@router.act("/projections/skip", needs=_P.PROJECTIONS_SKIP, audit="projection.skip")
async def skip_event(acting: Acting, body: Skip) -> OneProjectionOut:
    """Pass over the event that a stream waits at, and go on behind it."""
    _target(acting, body)
    with refusing_values():
        position = await acting.projections.skip(body.name, body.stream, reason=body.reason)
    acting.note(after={"stream": body.stream, "position": str(position)})
    return await _shown(acting, body.name)


def _target(acting: Acting, body: ProjectionNamed) -> None:
    acting.target("projection", body.name)
    acting.note(reason=body.reason)


async def _shown(asking: Asked, name: str) -> OneProjectionOut:
    projections = asking.projections
    (info,) = await projections.list(name)
    return OneProjectionOut(
        **_projection(asking, info).model_dump(),
        partitions=[_partition(asking, each) for each in await projections.lag(name)],
        parked_streams=[_parked(asking, each) for each in await projections.parked(name, _MOST_PARKED)],
        skipped=[SkippedOut.model_validate(each) for each in await projections.skipped(name)],
    )


def _projection(asking: Asked, info: projecting.ProjectionInfo) -> ProjectionOut:
    made = ProjectionOut.model_validate(info)
    made.actions = asking.legal(_verbs(info))
    return made


def _verbs(info: projecting.ProjectionInfo) -> list[tuple[str, Permission]]:
    """What is legal now, each with what it needs."""
    idle = info.paused_at is not None or info.state == "retired" or info.stopped > 0
    legal = {
        "pause": info.paused_at is None and info.state != "retired",
        "resume": idle,
        "retire": info.state != "retired",
        "reset": True,
        "rebuild": info.building is None,
        "switch": info.building is not None,
        "abandon": info.building is not None,
        "rollback": info.kept is not None,
        "park": True,
        "unpark": info.parked > 0,
        "skip": info.parked > 0 or info.stopped > 0,
    }
    needs = {"pause": _P.PROJECTIONS_PAUSE, "resume": _P.PROJECTIONS_PAUSE} | dict.fromkeys(
        ("park", "unpark", "skip"), _P.PROJECTIONS_SKIP
    )
    return [(verb, needs.get(verb, _P.PROJECTIONS_REBUILD)) for verb, holds in legal.items() if holds]


def _partition(asking: Asked, each: projecting.PartitionLag) -> PartitionOut:
    made = PartitionOut.model_validate(each)
    made.failing = _error(asking, each.failing)
    return made


def _parked(asking: Asked, each: projecting.ParkedStream) -> ParkedOut:
    made = ParkedOut.model_validate(each)
    made.error = _error(asking, each.error)
    return made


def _error(asking: Asked, error: Mapping[str, Any] | None) -> Any:
    """Messages may quote data: whoever may not see arguments is told the type alone."""
    if error is None or asking.sees_args:
        return error
    return {
        name: _error(asking, value) if isinstance(value, Mapping) else value
        for name, value in error.items()
        if name not in ("message", "traceback")
    }
