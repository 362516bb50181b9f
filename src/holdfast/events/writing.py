"""From what a caller hands in to the parameters of one statement, and from its answer to a result or an error."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from holdfast.db import Statement, load_statements
from holdfast.errors import (
    ConditionFailed,
    ConfigurationError,
    EventIdTaken,
    EventsInvalid,
    IdempotencyKeyTaken,
    LogBehind,
    VersionConflict,
)
from holdfast.events.conditions import Condition, condition_text
from holdfast.events.event import Append, Appended, Event, ExpectedVersion, Winner, new_id
from holdfast.events.types import EventTypes
from holdfast.jobs import why_unstorable

_SQL = load_statements("holdfast.events", "events.sql")
_LONGEST_NAME: Final = 500
_MOST_EVENTS: Final = 10_000
_MOST_SHARED: Final = 100
"""An append of more events than this does not travel with others."""


class Company(Struct, frozen=True):
    """What all events of one call have in common."""

    metadata: Mapping[str, Any] | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    trace: Mapping[str, Any] | None = None
    idempotency_key: str | None = None
    condition: Condition | None = None


class _Row(Struct, frozen=True):
    """One event as the statement takes it."""

    id: uuid.UUID
    type: str
    schema_version: int
    data: str
    tags: str | None
    metadata: str | None
    correlation_id: str | None
    causation_id: str | None


class Writing(Struct, frozen=True):
    """One append, checked and ready to be sent; ``careful`` is the same with its ids checked, for sending it again."""

    streams: tuple[str, ...]
    expected: tuple[int | None, ...]
    rows: tuple[tuple[int, int, _Row], ...]
    """(number of its stream from 1, number in its stream from 1, the event), in the caller's order."""
    company: Company
    ids_given: bool

    @property
    def careful(self) -> Writing:
        """The same append; what is in the log already by these ids is not appended again."""
        return replace(self, ids_given=True)

    @property
    def statement(self) -> tuple[Statement, tuple[Any, ...]]:
        """The statement and its parameters."""
        company = self.company
        trace = None if company.trace is None else _json(company.trace, "the trace")
        if len(self.rows) == 1 and not (self.ids_given or company.idempotency_key or company.condition):
            row = self.rows[0][2]
            return _SQL["append_one"], (
                self.streams[0],
                self.expected[0],
                row.id,
                row.type,
                row.schema_version,
                row.data,
                row.tags,
                row.metadata,
                row.correlation_id,
                row.causation_id,
                trace,
            )
        of = [of for of, _, _ in self.rows]
        counts = Counter(of)
        rows = [row for _, _, row in self.rows]
        return _SQL["append"], (
            list(self.streams),
            list(self.expected),
            [counts[number] for number in range(1, len(self.streams) + 1)],
            of,
            [nth for _, nth, _ in self.rows],
            [row.id for row in rows],
            [row.type for row in rows],
            [row.schema_version for row in rows],
            [row.data for row in rows],
            _or_null([row.tags for row in rows]),
            _or_null([row.metadata for row in rows]),
            _or_null([row.correlation_id for row in rows]),
            _or_null([row.causation_id for row in rows]),
            None if trace is None else [trace] * len(rows),
            self.ids_given,
            company.idempotency_key,
            condition_text(company.condition),
        )

    @property
    def may_share(self) -> bool:
        """Whether it may travel with appends of strangers: nothing in it can make others wait or fail."""
        company = self.company
        return (
            len(self.streams) == 1
            and len(self.rows) <= _MOST_SHARED
            and not (self.ids_given or company.idempotency_key or company.condition)
            and all(row.tags is None for _, _, row in self.rows)
        )

    def result(self, answer: Sequence[Any]) -> list[Appended]:
        """What became of it, one entry a stream in the caller's order. Raises the error of a verdict that refuses."""
        verdict, positions, versions, recorded_at, detail = answer
        if verdict not in ("appended", "repeated"):
            self._refuse(verdict, detail)
        places: dict[int, list[int]] = {}
        for place, (of, _, _) in enumerate(self.rows):
            places.setdefault(of, []).append(place)
        return [
            Appended(
                self.streams[of - 1],
                tuple(versions[place] for place in taken),
                tuple(positions[place] for place in taken),
                recorded_at,
                repeated=verdict == "repeated",
            )
            for of, taken in places.items()
        ]

    def _refuse(self, verdict: str, detail: str | None) -> NoReturn:
        found: Any = msgspec.json.decode(detail) if detail else {}
        if verdict == "conflict":
            raise _version_conflict(found)
        if verdict == "condition":
            failed = ConditionFailed(
                f"{len(found)} events that the condition excludes are in the log, first {_named(found[0])}",
                remedy="read and decide again: `await app.events.decide(…)`",
            )
            failed.winners = _winners(found)
            raise failed
        if verdict == "id_taken":
            taken = ", ".join(str(event["id"]) for event in found["events"])
            raise EventIdTaken(
                f"events with these ids are in the log, with other content or without their companions: {taken}",
                remedy="give a new event a new id; the same id means the same event",
            )
        raise IdempotencyKeyTaken(
            f"the idempotency key {self.company.idempotency_key!r} was used for other events",
            remedy="use one key for one request",
        )


def prepare(
    appends: Sequence[Append], types: EventTypes, company: Company, *, max_bytes: int, single: bool = False
) -> Writing:
    """Check what is to be appended. Raises ``EventsInvalid``; then nothing was sent.

    ``single``: the call is about one stream, so events that name another one are an error.
    """
    if company.idempotency_key is not None:
        _check_name(company.idempotency_key, "an idempotency key")
    names = [append.stream for append in appends]
    if not names:
        raise EventsInvalid("there is nothing to append", remedy="hand in at least one event")
    if len(set(names)) < len(names):
        raise EventsInvalid("a stream is named twice in one append", remedy="put its events into one Append(…)")
    streams = sorted(names)  # the order in which everybody locks them
    numbers = {name: number for number, name in enumerate(streams, start=1)}
    expected: dict[str, int | None] = {}
    rows: list[tuple[int, int, _Row]] = []
    given = []
    for append in appends:
        _check_name(append.stream, "a stream")
        expected[append.stream] = _expected_number(append.stream, append.expected_version)
        events = _as_events(append.events)
        if not events:
            raise EventsInvalid(f"there is nothing to append to {append.stream!r}", remedy="hand in at least one event")
        for nth, event in enumerate(events, start=1):
            if event.stream is not None and event.stream != append.stream:
                raise EventsInvalid(
                    f"an event of stream {event.stream!r} cannot be appended to {append.stream!r}",
                    remedy="append takes one stream; use append_many for several" if single else None,
                )
            given.append(event.id)
            rows.append((numbers[append.stream], nth, _row(event, types, company, max_bytes)))
    _check_ids([event_id for event_id in given if event_id is not None], len(rows))
    return Writing(
        tuple(streams),
        tuple(expected[name] for name in streams),
        tuple(rows),
        company,
        ids_given=any(event_id is not None for event_id in given),
    )


def shared_statement(writings: Sequence[Writing]) -> tuple[Statement, tuple[Any, ...]]:
    """The statement for appends of strangers, each to a stream of its own, and its parameters."""
    rows = [(of, nth, row) for of, writing in enumerate(writings, start=1) for _, nth, row in writing.rows]
    traces = [None if w.company.trace is None else _json(w.company.trace, "the trace") for w in writings]
    return _SQL["append_each"], (
        [writing.streams[0] for writing in writings],
        [writing.expected[0] for writing in writings],
        [len(writing.rows) for writing in writings],
        [of for of, _, _ in rows],
        [nth for _, nth, _ in rows],
        [row.id for _, _, row in rows],
        [row.type for _, _, row in rows],
        [row.schema_version for _, _, row in rows],
        [row.data for _, _, row in rows],
        _or_null([row.metadata for _, _, row in rows]),
        _or_null([row.correlation_id for _, _, row in rows]),
        _or_null([row.causation_id for _, _, row in rows]),
        _or_null([traces[of - 1] for of, _, _ in rows]),
    )


def translated(error: Exception) -> Exception:
    """An error of the server about an append as one of ours; others as they are."""
    state = getattr(error, "sqlstate", None) or ""
    hint = getattr(error, "hint", None) or getattr(getattr(error, "diag", None), "message_hint", None)
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if state == "HF106":
        return LogBehind(text, remedy=hint)
    if state == "HF105":
        return ConfigurationError(text, remedy=hint)
    if state == "HF108" or state[:2] in ("22", "54"):
        return EventsInvalid(f"the events cannot be stored, so nothing was: {text}", remedy=hint)
    return error


def _as_events(events: Any) -> list[Event]:
    """One event, one instance of a registered class, or a sequence of either."""
    several = events if isinstance(events, list | tuple) else [events]
    return [event if isinstance(event, Event) else Event(data=event) for event in several]


def _row(event: Event, types: EventTypes, company: Company, max_bytes: int) -> _Row:
    name, version, data = types.dump(event.data)
    kind = event.type or name
    if not kind:
        raise EventsInvalid(
            f"an event has no type, and {type(event.data).__name__} is not a registered class",
            remedy='write Event("OrderPlaced", {…}), or register the class with @app.event',
        )
    if name is not None and event.type not in ("", name):
        raise EventsInvalid(f"an instance of {name!r} cannot be an event of type {event.type!r}")
    _check_name(kind, "a type")
    metadata = {**(company.metadata or {}), **(event.metadata or {})}
    written = _json(metadata, "metadata") if metadata else None
    size = len(data.encode()) + len(written.encode() if written else b"")
    if size > max_bytes:
        raise EventsInvalid(
            f"an event of type {kind!r} has {size} bytes of data and metadata; the limit is {max_bytes}",
            remedy="store the large part elsewhere and name it in the event, or raise event_max_bytes",
        )
    if (why := why_unstorable(data)) is not None:
        raise EventsInvalid(f"an event of type {kind!r} holds {why}")
    correlation_id = event.correlation_id or company.correlation_id
    causation_id = event.causation_id or company.causation_id
    for cause in (correlation_id, causation_id):
        if cause is not None:
            _check_name(cause, "a correlation or causation id")
    schema_version = version if event.schema_version is None else event.schema_version
    if not 1 <= schema_version <= 32767:
        raise EventsInvalid(f"a schema version is 1 or more, not {schema_version}")
    return _Row(
        event.id or new_id(),
        kind,
        schema_version,
        data,
        _array_text(event.tags) if event.tags else None,
        written,
        correlation_id,
        causation_id,
    )


def _expected_number(stream: str, expected: ExpectedVersion) -> int | None:
    if expected == "any":
        return None
    if expected == "none":
        return 0
    if type(expected) is not int or expected < 0:
        raise EventsInvalid(
            f"the expected version of {stream!r} is {expected!r}",
            remedy='write "any", "none", or the number of the last event that was read',
        )
    return expected


def _check_name(name: Any, what: str) -> None:
    if not isinstance(name, str) or not name or "\0" in name or len(name) > _LONGEST_NAME:
        raise EventsInvalid(f"{what} is text of 1 to {_LONGEST_NAME} characters, not {name!r:.60}")


def _check_ids(ids: Sequence[Any], events: int) -> None:
    if not all(isinstance(event_id, uuid.UUID) for event_id in ids):
        raise EventsInvalid("an event's id is a uuid.UUID")
    if len(set(ids)) < len(ids):
        raise EventsInvalid("two events of one append have the same id")
    if events > _MOST_EVENTS:
        raise EventsInvalid(f"{events} events in one append; the limit is {_MOST_EVENTS}", remedy="append in parts")


def _json(value: Any, what: str) -> str:
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise EventsInvalid(f"{what} cannot be written as JSON: {error}") from error
    if (why := why_unstorable(text)) is not None:
        raise EventsInvalid(f"{what} holds {why}")
    return text


def _array_text(tags: Sequence[str]) -> str:
    """PostgreSQL's way to write an array of texts."""
    if isinstance(tags, str):
        raise EventsInvalid(f"tags are a sequence of texts, not the text {tags!r}", remedy="write tags=(…,)")
    for tag in tags:
        _check_name(tag, "a tag")
    return "{" + ",".join('"' + tag.replace("\\", "\\\\").replace('"', '\\"') + '"' for tag in tags) + "}"


def _or_null(column: list[Any]) -> list[Any] | None:
    return column if any(value is not None for value in column) else None


def _version_conflict(found: Mapping[str, Any]) -> VersionConflict:
    stream, expected, actual = found["stream"], found["expected"], found["actual"]
    stands = f"it stands at {actual}" if actual else "it does not exist"
    wanted = f"version {expected} was expected" if expected else "it was expected not to exist"
    first = f", first {_named(found['events'][0])}" if found["events"] else ""
    conflict = VersionConflict(
        f"nothing was appended to {stream!r}: {wanted}, {stands}{first}",
        remedy="read the stream again, decide again, append again",
    )
    conflict.stream, conflict.expected, conflict.actual = stream, expected, actual
    conflict.winners = _winners(found["events"])
    return conflict


def _named(event: Mapping[str, Any]) -> str:
    return f"{event['type']} (version {event['version']} of {event['stream']!r}, position {event['position']})"


def _winners(found: Sequence[Mapping[str, Any]]) -> tuple[Winner, ...]:
    unique = {event["position"]: event for event in found}
    return tuple(
        Winner(
            event["stream"],
            event["version"],
            event["position"],
            event["type"],
            uuid.UUID(event["id"]),
            datetime.fromisoformat(event["recorded_at"]),
        )
        for event in sorted(unique.values(), key=lambda event: event["position"])
    )
