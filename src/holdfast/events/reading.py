"""Statements that read the log, and their rows as events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from holdfast.db import Statement, load_statements
from holdfast.errors import EventsInvalid
from holdfast.events.event import RecordedEvent
from holdfast.events.types import EventTypes

_SQL = load_statements("holdfast.events", "events.sql")
LAST: Final = 2**63 - 1
"""Beyond every version and position."""


class Scope(Struct, frozen=True):
    """Which events of the log are meant: any of the types, all of the tags, any of the categories. Empty: all."""

    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("types", "tags", "categories"):
            if isinstance(getattr(self, name), str):  # one text would be taken for a sequence of letters
                raise EventsInvalid(f"{name} are a sequence of texts", remedy=f"write {name}=(…,)")

    @property
    def filters(self) -> tuple[list[str] | None, list[str] | None, list[str] | None]:
        """Types, tags, categories as the statements take them."""
        return list(self.types) or None, list(self.tags) or None, list(self.categories) or None


class Page(Struct, frozen=True):
    """A piece of the log in order."""

    events: list[RecordedEvent]
    reached: int
    """Everything of the scope up to here is in this page or before it: where the next one begins."""
    settled: int
    """How far the log could be read at that moment."""


def page_statement(scope: Scope, after: int, limit: int) -> tuple[Statement, tuple[Any, ...]]:
    """The statement that reads the next page, by the index that fits the scope."""
    types, tags, categories = scope.filters
    if tags:
        return _SQL["read_log_tagged"], (after, limit, types, tags, categories)
    if types and len(types) == 1:
        return _SQL["read_log_of_type"], (after, limit, types[0], tags, categories)
    return _SQL["read_log"], (after, limit, types, tags, categories)


def page_of(rows: Sequence[Sequence[Any]], after: int, limit: int, types: EventTypes) -> Page:
    """The rows of ``page_statement`` as a page."""
    settled = rows[0][0]
    events = marked_events(rows, types)
    reached = events[-1].position if len(events) >= limit else max(settled, after)
    return Page(events, reached, settled)


def marked_events(rows: Sequence[Sequence[Any]], types: EventTypes) -> list[RecordedEvent]:
    """Events of rows whose first column is the watermark; a row with nothing else stands for no event."""
    return [event_of(row[1:], types) for row in rows if row[1] is not None]


def event_of(row: Sequence[Any], types: EventTypes) -> RecordedEvent:
    """An event of its fourteen columns."""
    (position, stream, version, kind, schema_version, data, event_id, recorded_at, tags, metadata, *others) = row
    correlation_id, causation_id, trace, partition = others
    return RecordedEvent(
        position,
        stream,
        version,
        kind,
        schema_version,
        msgspec.json.decode(data),
        event_id,
        recorded_at,
        tuple(tags or ()),
        None if metadata is None else msgspec.json.decode(metadata),
        correlation_id,
        causation_id,
        None if trace is None else msgspec.json.decode(trace),
        partition,
        types,
    )
