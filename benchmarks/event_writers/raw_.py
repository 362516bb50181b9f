"""The raw limit: a prepared INSERT into the same table with the same indexes, no function, no expected version."""

from __future__ import annotations

import asyncio
import json
import secrets
import uuid

import asyncpg
import uvloop
from measure import PAYLOAD, STREAMS, Window, options

from holdfast.db import load_statements, migrate

SQL = load_statements("benchmarks", "events.sql")


def new_id() -> uuid.UUID:
    return uuid.UUID(int=secrets.randbits(128), version=4)


async def prepare(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await migrate(connection)
    await connection.close()


async def write(dsn: str, window: Window, batch: int, work_seconds: float) -> None:
    connection = await asyncpg.connect(dsn)
    one = await connection.prepare(SQL["raw_one"].sql)
    many = await connection.prepare(SQL["raw_many"].sql)
    work = await connection.prepare(SQL["work"].sql)
    text, name, versions = json.dumps(PAYLOAD), secrets.token_hex(4), [0] * STREAMS
    await window.wait(asyncio.sleep)
    number = 0

    async def append() -> None:
        stream, version = f"order-{name}-{number % STREAMS}", versions[number % STREAMS]
        if batch == 1:
            await one.fetchval(version + 1, new_id(), 7, stream, "OrderPlaced", text)
        else:
            ids = [new_id() for _ in range(batch)]
            await many.fetch(version, ids, 7, stream, ["OrderPlaced"] * batch, [text] * batch)
        versions[number % STREAMS] += batch

    while window.open:
        number += 1
        if work_seconds:
            async with connection.transaction():
                await append()
                await work.fetchval(work_seconds)
        else:
            await append()
        window.count(batch)
    await connection.close()


async def main() -> None:
    asked = options()
    if asked.prepare:
        await prepare(asked.dsn)
        return
    window = Window(asked)
    await asyncio.gather(*(write(asked.dsn, window, asked.batch, asked.work_ms / 1000) for _ in range(asked.writers)))
    window.answer()


uvloop.run(main())
