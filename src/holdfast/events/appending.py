"""Append: what it is called with, on the log's own connections and in a transaction that the caller owns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from holdfast.db import CallerConnection
from holdfast.events.conditions import Condition
from holdfast.events.event import Append, Appended, ExpectedVersion
from holdfast.events.types import EventTypes
from holdfast.events.writing import Company, Writing, prepare, translated


class AppendOptions(TypedDict, total=False):
    """What may be said about an append beside its events."""

    condition: Condition | None
    """Append only if the decision still holds: what ``events.decide`` gave."""
    idempotency_key: str | None
    """A repetition with the same key gives the positions of the first time."""
    metadata: Mapping[str, Any] | None
    """For every event of the call; an event's own metadata wins."""
    correlation_id: str | None
    """What all of this belongs to, for example the id of the request."""
    causation_id: str | None
    """The event, job or command that led to it."""
    trace: Mapping[str, Any] | None
    """W3C trace context: ``{"traceparent": …}``."""


class Appending:
    """The verbs, above whatever sends the statement."""

    def __init__(self, types: EventTypes, max_bytes: int) -> None:
        self._types = types
        self._max_bytes = max_bytes

    async def append(
        self,
        stream: str,
        events: Any,
        *,
        expected_version: ExpectedVersion = "any",
        **options: Unpack[AppendOptions],
    ) -> Appended:
        """Append one event or several to a stream: all of them or none. Options: ``AppendOptions``.

        ``events``: an ``Event``, an instance of a registered class, or a list of them. ``expected_version``: that of
        the last event that the decision is based on, "none" (the stream is new), or "any".

        Raises ``EventsInvalid`` before anything is sent; ``VersionConflict`` and ``ConditionFailed``, with the events
        that were faster in ``winners``; ``EventIdTaken``, ``IdempotencyKeyTaken``. None of them aborts a transaction.
        """
        return (await self._send(self._prepare([Append(stream, events, expected_version)], options, single=True)))[0]

    async def append_many(self, appends: Sequence[Append], **options: Unpack[AppendOptions]) -> list[Appended]:
        """Append to several streams at once: all of them or none. Results and positions in the order of ``appends``."""
        return await self._send(self._prepare(appends, options))

    def _prepare(self, appends: Sequence[Append], options: AppendOptions, *, single: bool = False) -> Writing:
        return prepare(appends, self._types, Company(**options), max_bytes=self._max_bytes, single=single)

    async def _send(self, writing: Writing) -> list[Appended]:
        raise NotImplementedError


class AppendingInTransaction(Appending):
    """Append on a connection of the caller's: with its transaction, or not at all.

    A refused append leaves the transaction as it was; the caller may go on in it.
    """

    def __init__(self, connection: CallerConnection, types: EventTypes, max_bytes: int) -> None:
        super().__init__(types, max_bytes)
        self._connection = connection

    def append_sync(
        self,
        stream: str,
        events: Any,
        *,
        expected_version: ExpectedVersion = "any",
        **options: Unpack[AppendOptions],
    ) -> Appended:
        """``append`` on a psycopg ``Connection``, without an event loop."""
        return self._send_sync(self._prepare([Append(stream, events, expected_version)], options, single=True))[0]

    def append_many_sync(self, appends: Sequence[Append], **options: Unpack[AppendOptions]) -> list[Appended]:
        """``append_many`` on a psycopg ``Connection``, without an event loop."""
        return self._send_sync(self._prepare(appends, options))

    async def _send(self, writing: Writing) -> list[Appended]:
        try:
            rows = await self._connection.fetch(*writing.statement)
        except Exception as error:
            raise translated(error) from error
        return writing.result(rows[0])

    def _send_sync(self, writing: Writing) -> list[Appended]:
        try:
            rows = self._connection.fetch_sync(*writing.statement)
        except Exception as error:
            raise translated(error) from error
        return writing.result(rows[0])
