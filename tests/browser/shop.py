"""The people of the shop whose application is tried: they enqueue, place orders, and leave transactions open."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from holdfast import Event, Holdfast

_TABLE = "create table if not exists open_order (id bigint primary key, total bigint not null)"
_ENQUEUE = "select holdfast.enqueue($1, $2, queue => $3, lane => $4, run_at => $5)"


class Shop:
    """A connection of the application's own, and its consoles."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], app: Holdfast) -> None:
        self.connection = connection
        self.app = app

    async def enqueue(self, task: str, queue: str, lane: str | None = None, run_at: Any = None, **args: Any) -> int:
        """A job, as any language would enqueue it: no worker needs to have declared the task."""
        return int(await self.connection.fetchval(_ENQUEUE, task, json.dumps(args), queue, lane, run_at))

    async def place_orders(self, first: int, count: int) -> None:
        """As many events, each in a stream of its own."""
        for number in range(first, first + count):
            data = {"order_id": number, "total": 100 + number}
            await self.app.events.append(f"order-{number}", Event("OrderPlaced", data))

    @asynccontextmanager
    async def forgotten_transaction(self, name: str) -> AsyncIterator[int]:
        """A session, by its application's name, that has appended and goes on doing nothing; its pid."""
        forgetful = await asyncpg.connect(self.app.settings.database_url, server_settings={"application_name": name})
        try:
            await forgetful.execute("begin")
            await self.app.events.using(forgetful).append(
                "order-open", Event("OrderPlaced", {"order_id": 0, "total": 1})
            )
            yield forgetful.get_server_pid()
        finally:
            forgetful.terminate()


@asynccontextmanager
async def open_shop(database_url: str) -> AsyncIterator[Shop]:
    """The shop on this database, with the table that its projection fills."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(_TABLE)
    async with Holdfast(database_url) as app:
        yield Shop(connection, app)
    await connection.close()
