"""The event log: its events, its streams, how far it may be read, appending, and the feed for a warehouse."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from holdfast.access import Permission
from holdfast.api.frame.acting import Acting
from holdfast.api.frame.answers import Out, refusing_values
from holdfast.api.frame.asking import Asked, Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Body, Cursor, Id, Limit, Page, Position, Whole, page_of
from holdfast.clock import monotonic
from holdfast.events import Event, RecordedEvent, Scope

router = NounRouter("events")

_P = Permission
_LAST = 2**63 - 1
_FEED_PAGE = 500
_MOST_LOOKS = 10
"""Reads of a stream for one page of it that is narrowed down."""
_CREDENTIALS_SECONDS = 5.0
"""So long a feed may outlive the credential that it was asked with."""

_Words = Annotated[list[str] | None, Query(max_length=20)]
_Position = Annotated[Id | None, Query()]


class EventOut(Out):
    """An event. ``data``, ``metadata`` and ``trace`` are null for whoever may not see arguments."""

    position: Id
    stream: str
    version: int
    type: str
    schema_version: int
    id: uuid.UUID
    recorded_at: datetime
    tags: list[str]
    correlation_id: str | None
    causation_id: str | None
    data: Any
    metadata: Any
    trace: Any


class LogStreamOut(Out):
    """A stream and its last event."""

    stream: str
    version: int
    position: Id
    recorded_at: datetime
    type: str


class HolderOut(Out):
    """Who has an open append, so that readers wait. ``query`` is null for whoever may not see the database."""

    pid: int | None
    application: str | None
    username: str | None
    client: str | None
    state: str | None
    age_seconds: float | None
    query: str | None
    prepared: str | None = Field(description="the name of a prepared transaction, which has no pid")


class LogOut(Out):
    """How the log stands."""

    settled: Id = Field(description="readers see up to here")
    drawn: Id = Field(description="the last position that anybody drew; holes below it are normal")
    highest: Id = Field(description="the highest position that is visible")
    settled_at: datetime | None
    is_behind: bool = Field(description="the sequence stands before the log, as after a restore")
    stalled_by: list[HolderOut]
    actions: list[str]


class NewEvent(Body):
    """An event to append."""

    type: str = Field(min_length=1, max_length=500)
    data: Any = None
    id: uuid.UUID | None = None
    tags: list[Annotated[str, Field(min_length=1, max_length=500)]] = Field(default_factory=list, max_length=100)
    metadata: dict[str, Any] | None = None
    schema_version: int | None = Field(default=None, ge=1, le=32_767)


class Append(Body):
    """Events for the end of one stream: all of them, or none."""

    stream: str = Field(min_length=1, max_length=500)
    events: list[NewEvent] = Field(min_length=1, max_length=1000)
    expected_version: Whole | Literal["any", "none"] = "any"
    reason: str | None = Field(default=None, max_length=1000)


class AppendedOut(Out):
    """Where they went."""

    stream: str
    versions: list[int]
    positions: list[Id]
    recorded_at: datetime
    repeated: bool = Field(description="they were there already, by their ids")


@router.read("/events", needs=_P.EVENTS_READ)
async def list_events(  # noqa: PLR0913, PLR0917  (as many parameters as the question has)
    asking: Asking,
    cursor: Cursor,
    stream: Annotated[str | None, Query(min_length=1, max_length=500)] = None,
    type: _Words = None,
    tag: _Words = None,
    after: _Position = None,
    before: _Position = None,
    newest_first: bool = True,  # noqa: FBT001, FBT002  (a flag of the query string)
    limit: Limit = 50,
) -> Page[EventOut]:
    """Events of the whole log as far as it is settled, or of one stream; any of the types, all of the tags.

    A page of a stream that is narrowed down may be short; only without ``next`` is it the last one.
    """
    scope = Scope(types=tuple(type or ()), tags=tuple(tag or ()))
    if stream is not None:
        wanted = _Wanted(scope, after or 0, _LAST if before is None else before)
        reached = cursor.integer() if cursor else None
        return await _of_stream(asking, stream, wanted, reached, limit, newest_first=newest_first)
    if newest_first:
        bound = cursor.integer() if cursor else (_LAST if before is None else before)
        found: Sequence[RecordedEvent] = await asking.events.read_last(limit + 1, scope=scope, before=bound)
        found = [event for event in found if after is None or event.position > after]
    else:
        start = cursor.integer() if cursor else (after or 0)
        found = (await asking.events.read(start, scope=scope, limit=limit + 1)).events
        found = [event for event in found if before is None or event.position < before]
    shown, following = page_of(found, limit, lambda event: [event.position])
    return Page(items=[_event(asking, event) for event in shown], next=following)


@router.read("/events/log", needs=_P.EVENTS_READ)
async def show_log(asking: Asking) -> LogOut:
    """How far readers see, and who holds them back."""
    state = await asking.events.state()
    holders = [HolderOut.model_validate(holder) for holder in state.stalled_by]
    if not asking.may(_P.DATABASE_READ):
        holders = [holder.model_copy(update={"query": None}) for holder in holders]
    return LogOut(
        settled=state.settled,
        drawn=state.drawn,
        highest=state.highest,
        settled_at=state.settled_at,
        is_behind=state.behind,
        stalled_by=holders,
        actions=asking.legal([("append", _P.EVENTS_APPEND)]),
    )


@router.read("/events/streams", needs=_P.EVENTS_READ)
async def list_streams(
    asking: Asking, cursor: Cursor, prefix: Annotated[str, Query(max_length=500)] = "", limit: Limit = 50
) -> Page[LogStreamOut]:
    """Streams by name."""
    after = cursor.text() if cursor else ""
    found = await asking.events.streams(prefix, after=after, limit=limit + 1)
    shown, following = page_of(found, limit, lambda one: [one.stream])
    return Page(items=[LogStreamOut.model_validate(one) for one in shown], next=following)


@router.act("/events", needs=_P.EVENTS_APPEND, audit="event.append", status_code=201)
async def append_events(acting: Acting, body: Append) -> AppendedOut:
    """Append to one stream. With ids it may be repeated."""
    acting.target("stream", body.stream)
    acting.note(reason=body.reason, after={"types": [event.type for event in body.events]})
    events = [Event(**event.model_dump()) for event in body.events]
    with refusing_values():
        made = await acting.events.append(body.stream, events, expected_version=body.expected_version)
    return AppendedOut.model_validate(made)


@router.read(
    "/events/feed",
    needs=_P.EVENTS_READ,
    endless=True,
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
)
async def feed_events(
    asking: Asking,
    after: _Position = None,
    type: _Words = None,
    follow: bool = False,  # noqa: FBT001, FBT002
) -> StreamingResponse:
    """All events after a position, one JSON object a line, in the order of the log.

    Ends where the log was settled when it began; with ``follow`` it goes on, with an empty line now and then. To go on
    after an interruption, send the position of the last whole line as ``after``: nothing is skipped or repeated.
    """
    scope = Scope(types=tuple(type or ()))
    ending = asking.request.app.state.frame.ending()
    lines = _lines(asking, after or 0, scope, ending, follow=follow)
    return StreamingResponse(lines, media_type="application/x-ndjson", headers={"X-Accel-Buffering": "no"})


async def _lines(
    asking: Asked, after: int, scope: Scope, ending: asyncio.Event, *, follow: bool
) -> AsyncIterator[bytes]:
    reached, end = after, None
    known_at = monotonic()
    while not ending.is_set():
        if monotonic() - known_at >= _CREDENTIALS_SECONDS:
            if not await asking.is_still_in():
                return
            known_at = monotonic()
        page = await asking.events.read(reached, scope=scope, limit=_FEED_PAGE)
        end = page.settled if end is None else end
        events = [event for event in page.events if follow or event.position <= end]
        if events:
            yield b"".join(_line(asking, event) for event in events)
        reached = page.reached
        if not follow and reached >= end:
            return
        if follow and not page.events and await _waited(ending):
            yield b"\n"  # whoever is gone is noticed by writing to them


async def _waited(ending: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(1.0):
            await ending.wait()
    except TimeoutError:
        return True
    return False


def _line(asking: Asked, event: RecordedEvent) -> bytes:
    return msgspec.json.encode(_event(asking, event).model_dump(mode="json")) + b"\n"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which events of a stream: of this scope, between two positions."""

    scope: Scope
    after: int
    before: int

    @property
    def narrows(self) -> bool:
        return bool(self.scope.types or self.scope.tags or self.after) or self.before != _LAST

    def fits(self, event: RecordedEvent) -> bool:
        types, tags = self.scope.types, self.scope.tags
        is_of_scope = (not types or event.type in types) and set(tags) <= set(event.tags)
        return is_of_scope and self.after < event.position < self.before


async def _of_stream(
    asking: Asked, stream: str, wanted: _Wanted, reached: int | None, limit: int, *, newest_first: bool
) -> Page[EventOut]:
    at_once = _FEED_PAGE if wanted.narrows else limit + 1
    found: list[RecordedEvent] = []
    for _ in range(_MOST_LOOKS):
        if newest_first:
            last = None if reached is None else reached - 1
            looked = await asking.events.read_stream(stream, to_version=last, backwards=True, limit=at_once)
        else:
            looked = await asking.events.read_stream(stream, from_version=(reached or 0) + 1, limit=at_once)
        found += [event for event in looked if wanted.fits(event)]
        if looked:
            reached = looked[-1].version
        if len(looked) < at_once or len(found) > limit:
            break
    shown, following = page_of(found, limit, lambda event: [event.version])
    if following is None and len(looked) == at_once:
        following = Position((reached,)).encode()  # there may be more further on
    return Page(items=[_event(asking, event) for event in shown], next=following)


def _event(asking: Asked, event: RecordedEvent) -> EventOut:
    return EventOut(
        position=event.position,
        stream=event.stream,
        version=event.version,
        type=event.type,
        schema_version=event.schema_version,
        id=event.id,
        recorded_at=event.recorded_at,
        tags=list(event.tags),
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        data=asking.shown(event.data),
        metadata=asking.shown(event.metadata),
        trace=asking.shown(event.trace),
    )
