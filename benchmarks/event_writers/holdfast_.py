"""Holdfast as an application uses it: `app.events.append`, in the transaction of its own where it does other work."""

from __future__ import annotations

import asyncio
import secrets

import uvloop
from measure import PAYLOAD, STREAMS, Window, options

from holdfast import Event, Holdfast
from holdfast.db import load_statements

SQL = load_statements("benchmarks", "events.sql")


async def write(app: Holdfast, window: Window, batch: int, work_seconds: float) -> None:
    name, number = secrets.token_hex(4), 0
    await window.wait(asyncio.sleep)
    while window.open:
        number += 1
        stream = f"order-{name}-{number % STREAMS}"
        events = [Event("OrderPlaced", PAYLOAD) for _ in range(batch)]
        if work_seconds:
            async with app.database.connection() as connection, connection.transaction():
                await app.events.using(connection).append(stream, events)
                await connection.fetchval(SQL["work"].sql, work_seconds)
        else:
            await app.events.append(stream, events)
        window.count(batch)


async def main() -> None:
    asked = options()
    app = Holdfast(asked.dsn)
    if asked.prepare:
        await app.migrate()
        await app.close()
        return
    async with app:
        window = Window(asked)
        await asyncio.gather(*(write(app, window, asked.batch, asked.work_ms / 1000) for _ in range(asked.writers)))
    window.answer()


uvloop.run(main())
