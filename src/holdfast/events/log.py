"""The event log as an application sees it: ``app.events``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Fault, adopt, classify, load_statements
from holdfast.errors import ConfigurationError, EventsInvalid, TimedOut
from holdfast.events.appending import Appending, AppendingInTransaction
from holdfast.events.conditions import Decision, Match, as_matches, condition_on
from holdfast.events.event import Appended, RecordedEvent
from holdfast.events.reading import LAST, Page, Scope, event_of, marked_events, page_of, page_statement
from holdfast.events.sharing import SharedAppends
from holdfast.events.snapshots import Snapshots
from holdfast.events.ticker import BUSY_SECONDS, IDLE_SECONDS, Holder, Ticker
from holdfast.events.types import EventTypes
from holdfast.events.writing import Writing, translated

_SQL = load_statements("holdfast.events", "events.sql")
_REPEAT_FOR_SECONDS: Final = 25.0
_WORTH_REPEATING = (Fault.CONNECTION_LOST, Fault.NOT_THERE_YET, Fault.CONTENDED)
_LONGEST_PAUSE_SECONDS = 0.25
_PAGE = 1000


class StreamInfo(Struct, frozen=True):
    """A stream and its last event."""

    stream: str
    version: int
    position: int
    recorded_at: datetime
    type: str


class LogState(Struct, frozen=True):
    """How the log stands."""

    settled: int
    """Readers may read up to here."""
    drawn: int
    """The last position that anybody drew; holes below it are normal."""
    highest: int
    """The highest position that is visible."""
    settled_at: datetime | None
    stalled_by: list[Holder]
    """Who has an open append right now, oldest first."""

    @property
    def behind(self) -> bool:
        """Whether the sequence is behind the log, as after a restore: appends are refused until ``adopt``."""
        return self.drawn < max(self.settled, self.highest)


class EventLog(Appending):
    """Append, read, follow; on one event loop."""

    def __init__(self, database: Database, types: EventTypes, *, max_bytes: int = 1_000_000) -> None:
        super().__init__(types, max_bytes)
        self.types = types
        self.snapshots = Snapshots(database)
        self._database = database
        self._shared = SharedAppends(database.hold("user"))
        self._ticker = Ticker(database)
        self._looking: asyncio.Task[int] | None = None

    async def close(self) -> None:
        """Give back the connection that appends are sent on."""
        await self._shared.close()

    def using(self, connection: Any) -> AppendingInTransaction:
        """Append in the transaction of this connection (asyncpg, psycopg): with it, or not at all."""
        return AppendingInTransaction(adopt(connection), self.types, self._max_bytes)

    # ---- read --------------------------------------------------------------------------------------------------------

    async def read_stream(
        self,
        stream: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        backwards: bool = False,
        limit: int | None = None,
    ) -> list[RecordedEvent]:
        """Events of one stream, both ends included; empty for a stream that does not exist.

        A stream is read as it stands, without waiting for the log to settle: its order is that of its versions.
        """
        if from_version < 0 or (limit is not None and limit < 1):
            raise EventsInvalid("versions begin at 1, and a limit is at least 1")
        statement = _SQL["read_stream_backwards" if backwards else "read_stream"]
        to_version = LAST if to_version is None else to_version
        rows = await self._database.fetch(statement, stream, from_version, to_version, limit)
        return [event_of(row, self.types) for row in rows]

    async def streams(self, prefix: str = "", *, after: str = "", limit: int = 100) -> list[StreamInfo]:
        """Streams by name, those that begin with ``prefix`` and come after a name."""
        return [StreamInfo(*row) for row in await self._database.fetch(_SQL["streams"], prefix, after, limit)]

    async def version_of(self, stream: str) -> int:
        """The version of the last event of a stream; 0 when there is none."""
        last = await self.read_stream(stream, backwards=True, limit=1)
        return last[0].version if last else 0

    async def read(
        self, after: int = 0, *, scope: Scope | None = None, since: datetime | None = None, limit: int = _PAGE
    ) -> Page:
        """Settled events after a position, in the order of the log; ``page.reached`` is where the next page begins.

        ``since`` begins at a moment instead. Never skips: what is not in the page or before it comes later.
        """
        if after < 0 or not 1 <= limit <= 100_000:
            raise EventsInvalid(f"positions begin at 0, and a limit is 1 to 100 000, not {after} and {limit}")
        scope = scope or Scope()
        if since is not None:
            after = max(after, await self.position_at(since))
        statement, params = page_statement(scope, after, limit)
        rows = await self._database.fetch(statement, *params)
        page = page_of(rows, after, limit, self.types)
        if since is None:
            return page
        # A tick tells time for all events up to it: the first ones after it may still be a little older.
        return Page([event for event in page.events if event.recorded_at >= since], page.reached, page.settled)

    async def read_last(
        self, limit: int = 20, *, scope: Scope | None = None, before: int = LAST
    ) -> list[RecordedEvent]:
        """The newest settled events, the newest first."""
        params = (before, limit, *(scope or Scope()).filters)
        return marked_events(await self._database.fetch(_SQL["read_log_backwards"], *params), self.types)

    async def iterate(self, after: int = 0, *, scope: Scope | None = None) -> AsyncIterator[RecordedEvent]:
        """All settled events after a position, page by page, up to where the log was settled when it began."""
        end: int | None = None
        while True:
            page = await self.read(after, scope=scope)
            end = page.settled if end is None else end
            for event in page.events:
                if event.position > end:
                    return
                yield event
            if page.reached >= end:
                return
            after = page.reached

    async def tail(self, after: int | None = None, *, scope: Scope | None = None) -> AsyncIterator[RecordedEvent]:
        """Events as they settle, for ever; after a position, or from now on. No worker is needed for it."""
        reached = await self._look() if after is None else after
        pause = IDLE_SECONDS
        while True:
            page = await self.read(reached, scope=scope)
            for event in page.events:
                yield event
            pause = IDLE_SECONDS if page.events else min(pause * 1.2, _LONGEST_PAUSE_SECONDS)
            if page.reached >= page.settled and await self._look() <= page.settled:
                await asyncio.sleep(pause)
            reached = page.reached

    async def decide(self, matches: Match | Iterable[Match]) -> Decision:
        """What a decision over tags needs: the events that match, and the condition under which it still holds.

        Hand ``decision.condition`` to the append. It fails if a matching event came in between, wherever it was.
        """
        several = as_matches(matches)
        rows = await self._database.fetch(_SQL["read_for_decision"], [match.as_json() for match in several])
        events = marked_events(rows, self.types)
        return Decision(events, condition_on(several, rows[0][0], events))

    # ---- order -------------------------------------------------------------------------------------------------------

    async def settled(self) -> int:
        """How far the log may be read now; looks for itself, so that no worker is needed."""
        return await self._look()

    async def caught_up(self, position: int, timeout_seconds: float = 10.0) -> None:
        """Wait until every reader can see the event at this position: read your writes, on the side of the log.

        Raises ``TimedOut``, which names whoever has an open append.
        """
        give_up_at = monotonic() + timeout_seconds
        while await self._look() < position:
            if monotonic() >= give_up_at:
                holders = await self._ticker.stalled_by()
                who = f"; held back by {holders[0]}" if holders else ""
                raise TimedOut(
                    f"position {position} was not settled within {timeout_seconds:g} s{who}",
                    remedy="commit or end the open transaction, or wait longer",
                )
            await asyncio.sleep(BUSY_SECONDS)

    async def position_at(self, moment: datetime) -> int:
        """The position up to which the log was settled at a moment; later events are after it."""
        if moment.tzinfo is None:
            raise ConfigurationError("the moment has no time zone", remedy="use datetime.now(UTC)")
        return int(await self._database.fetchval(_SQL["position_at"], moment))

    async def state(self) -> LogState:
        """How the log stands, and who holds readers back."""
        await self._look()
        row = await self._database.fetchrow(_SQL["log_state"])
        return LogState(
            row["settled"], row["drawn"], row["highest"], row["settled_at"], await self._ticker.stalled_by()
        )

    async def adopt(self) -> LogState:
        """After a restore or a switch-over: put the sequence behind the last position and publish the whole log."""
        await self._database.fetchrow(_SQL["adopt_log"])
        return await self.state()

    async def _look(self) -> int:
        """Tick, at most once at a time on this loop however many wait; returns the settled position."""
        looking = self._looking
        if looking is None or looking.done():
            looking = self._looking = asyncio.create_task(self._tick(), name="holdfast event look")
        return await asyncio.shield(looking)

    async def _tick(self) -> int:
        return (await self._ticker.tick()).settled

    # ---- append ------------------------------------------------------------------------------------------------------

    async def _send(self, writing: Writing) -> list[Appended]:
        """One statement, repeated with the same ids while nobody knows whether it was committed."""
        give_up_at, delay = monotonic() + _REPEAT_FOR_SECONDS, 0.02
        while True:
            try:
                return writing.result(await self._run(writing))
            except DRIVER_ERRORS as error:
                fault = classify(error)
                if fault not in _WORTH_REPEATING or monotonic() > give_up_at:
                    raise translated(error) from error
                if fault is Fault.CONNECTION_LOST:
                    writing = writing.careful
            await asyncio.sleep(delay)
            delay = min(delay * 2, 1.0)

    async def _run(self, writing: Writing) -> Sequence[Any]:
        """Beside the appends of others, or on a connection of its own."""
        answer = await self._shared.send(writing)
        if answer is None:
            statement, params = writing.statement
            answer = await self._database.fetchrow(statement, *params)
        return answer
