"""Who waits for whom: a connection that looks every few milliseconds and remembers every wait for a lock it saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

_LOOK_SECONDS = 0.005
_WAITS = """
    SELECT a.pid, pg_blocking_pids(a.pid) AS blockers, regexp_replace(a.query, '\\s+', ' ', 'g') AS query
    FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.wait_event_type = 'Lock'"""


class LockWatch:
    """What has been seen so far. A wait that lasts as long as the lock does cannot be missed."""

    def __init__(self) -> None:
        self.looks = 0
        self._waits: dict[tuple[int, str], set[int]] = {}

    def waits_for(self, *blockers: int) -> list[str]:
        """Statements that waited for one of these sessions."""
        return [query for (_, query), seen in self._waits.items() if seen & set(blockers)]

    def waits_of(self, *pids: int) -> list[str]:
        """Statements of these sessions that waited for anybody."""
        return [query for (pid, query) in self._waits if pid in pids]

    async def look(self, connection: Any) -> None:
        for row in await connection.fetch(_WAITS):
            self._waits.setdefault((row["pid"], row["query"][:200]), set()).update(row["blockers"])
        self.looks += 1

    async def look_on(self, connection: Any) -> None:
        while True:
            await self.look(connection)
            await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def lock_watch(url: str) -> AsyncIterator[LockWatch]:
    """Watch the waits of a database for the length of the ``with``."""
    connection = await asyncpg.connect(url)
    watch = LockWatch()
    looking = asyncio.create_task(watch.look_on(connection))
    try:
        yield watch
        await asyncio.sleep(0)
    finally:
        looking.cancel()
        await asyncio.wait([looking])
        connection.terminate()
    assert looking.cancelled(), looking
    assert watch.looks > 0, "nobody looked"
