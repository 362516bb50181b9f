"""Many writers at once with transactions of every shape, and readers that count what they were not given.

A transaction's length is a random number of round trips, so nothing here waits for time.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field

import asyncpg

from holdfast.clock import monotonic
from holdfast.db import Database
from holdfast.events import EventLog, EventTypes, RecordedEvent

_APPEND = "select position from holdfast.append_events($1, $2::text::jsonb)"
_ONE = (
    "select positions[1] from holdfast.append_one_v1($1, null, gen_random_uuid(), 'T', 1::smallint, '{}',"
    " null, null, null, null, null)"
)
_TWO = '[{"type": "T", "data": {}}, {"type": "U", "data": {}, "tags": ["t"]}]'
_STREAMS = 12


@dataclass
class Account:
    """What a reader was given, compared with what was committed."""

    skipped: int = 0
    doubled: int = 0
    inverted: int = 0
    """Events given before an earlier version of their stream."""
    refused: int = 0
    """Appends that the log itself refused, because readers had passed their positions."""
    events: int = 0

    @property
    def wrong(self) -> int:
        return self.skipped + self.doubled + self.inverted + self.refused


@dataclass
class Reader:
    """Follows the log through the application's own reading, from another database handle than everybody else."""

    log: EventLog
    given: list[RecordedEvent] = field(default_factory=list)

    async def follow(self, ended: asyncio.Event) -> None:
        """Read on until the writers have ended and everything they drew is settled."""
        reached = 0
        while True:
            over = ended.is_set()
            settled = await self.log.settled()
            page = await self.log.read(reached)
            self.given += page.events
            reached = page.reached
            if over and not page.events and settled == (await self.log.state()).drawn:
                return

    def account(self, committed: set[int], refused: int) -> Account:
        positions = [event.position for event in self.given]
        account = Account(events=len(committed), refused=refused)
        account.skipped = len(committed - set(positions))
        account.doubled = len(positions) - len(set(positions))
        newest: dict[str, int] = {}
        for event in self.given:
            account.inverted += event.version < newest.get(event.stream, 0)
            newest[event.stream] = max(newest.get(event.stream, 0), event.version)
        return account


async def write(url: str, number: int, transactions: int, seconds: float | None = None) -> int:
    """One writer; how many of its appends were refused because readers had passed their positions."""
    chance = random.Random(number)
    connection = await asyncpg.connect(url)
    end = None if seconds is None else monotonic() + seconds
    done = refused = 0
    try:
        while done < transactions if end is None else monotonic() < end:
            done += 1
            try:
                await _transact(connection, chance)
            except asyncpg.PostgresError as error:
                if error.sqlstate != "HF106":
                    raise
                refused += 1
    finally:
        await connection.close()
    return refused


async def _transact(connection: asyncpg.Connection[asyncpg.Record], chance: random.Random) -> None:
    """Business writes before and after appends, savepoints, rollbacks, single and several events."""
    stream = f"s-{chance.randrange(_STREAMS)}"
    if chance.random() < 0.3:
        await connection.fetchval(_ONE, stream)
        return
    rolls_back = chance.random() < 0.1
    with suppress(_RolledBack):
        async with connection.transaction():
            if chance.random() < 0.4:  # it owns a transaction id long before it appends
                await connection.execute("insert into business values (1)")
                await _dawdle(connection, chance)
            if chance.random() < 0.2:
                with suppress(_RolledBack):
                    async with connection.transaction():
                        await connection.fetchval(_APPEND, stream, '[{"type": "Undone", "data": {}}]')
                        raise _RolledBack
            await connection.fetchval(_APPEND, stream, _TWO)
            await _dawdle(connection, chance)
            if rolls_back:
                raise _RolledBack


class _RolledBack(Exception):
    """Ends a transaction that was never meant to be committed."""


async def _dawdle(connection: asyncpg.Connection[asyncpg.Record], chance: random.Random) -> None:
    for _ in range(chance.randrange(12)):
        await connection.fetchval("select 1")


async def run_load(url: str, *, writers: int, transactions: int = 0, seconds: float | None = None) -> list[Account]:
    """Writers and two readers with tickers of their own; how each reader fared."""
    connection = await asyncpg.connect(url)
    await connection.execute("create table if not exists business (id int)")
    ended = asyncio.Event()
    async with Database(url) as one, Database(url) as two:
        readers = [Reader(EventLog(database, EventTypes())) for database in (one, two)]
        following = [asyncio.create_task(reader.follow(ended)) for reader in readers]
        refused = sum(await asyncio.gather(*(write(url, number, transactions, seconds) for number in range(writers))))
        ended.set()
        await asyncio.gather(*following)
    committed = {row[0] for row in await connection.fetch("select position from holdfast.event")}
    await connection.close()
    return [reader.account(committed, refused) for reader in readers]
