"""The people of the shop whose application is tried: they enqueue, place orders, and leave transactions open."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from holdfast import Event, Holdfast
from tests.waiting import eventually

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

    async def batch(self, name: str, *, to_nobody: int = 0) -> int:
        """Three letters that are one batch, which calls a charge back; some more wait in a queue that nobody serves."""
        app = Holdfast(self.app.settings.database_url)

        @app.task(name="send_welcome", queue="mail")
        async def send_welcome(user_id: int) -> None: ...

        @app.task(name="charge", queue="billing")
        async def charge(order_id: int) -> None: ...

        async with app, app.batch(name, on_finish=charge.with_args(11)) as batch:
            batch.add_many(send_welcome, [(number,) for number in range(3)])
            batch.add_many(send_welcome.options(queue="nobody"), [(number,) for number in range(to_nobody)])
        assert batch.id is not None
        return batch.id

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

    async def outcome_of(self, job: int) -> str:
        """How a job ended; waits for its end."""
        return (await self.app.jobs.wait(job, timeout_seconds=30)).state

    async def until_running(self, count: int) -> None:
        """Wait until so many jobs are being run."""

        async def so_many() -> bool:
            rows = await self.connection.fetch("select unnest(job_ids) from holdfast.lease")
            return len(rows) == count

        await eventually(so_many, within_seconds=30)

    async def until_declared(self, schedule: str) -> None:
        """Wait until a worker has written a schedule down."""
        await eventually(lambda: self._knows(schedule), within_seconds=30)

    async def _knows(self, schedule: str) -> bool:
        return any(info.name == schedule for info in await self.app.schedules.list())

    async def occurrences(self, schedule: str) -> int:
        """How many moments of the past a schedule has decided about."""
        return len(await self.app.schedules.occurrences(schedule, limit=100))

    async def rows_of_model_is(self, count: int) -> bool:
        """Whether the read model holds so many orders."""
        return bool(await self.connection.fetchval("select count(*) = $1 from open_order", count))

    async def log_reaches(self, events: int) -> bool:
        """Whether readers of the log see so many events."""
        return len(await self.app.events.read_last(events)) == events

    async def has_parked(self, projection: str, streams: int) -> bool:
        """Whether so many streams of a projection wait for a person."""
        return len(await self.app.projections.parked(projection)) >= streams

    async def fingerprint_of(self, task: str) -> str:
        """The group of a task's failures; waits until one is known."""

        async def known() -> str | None:
            groups = await self.app.failures.list()
            return next((group.fingerprint for group in groups if group.task == task), None)

        return str(await eventually(known, within_seconds=30))

    async def worker_named(self, name: str) -> int:
        """The id of a worker by what people call it."""
        return int(await self.connection.fetchval("select max(id) from holdfast.worker where name = $1", name))

    async def audit(self) -> list[tuple[str, str | None]]:
        """What was done, and why."""
        rows = await self.connection.fetch("select action, reason from holdfast.audit")
        return [(row["action"], row["reason"]) for row in rows]


@asynccontextmanager
async def open_shop(database_url: str) -> AsyncIterator[Shop]:
    """The shop on this database, with the table that its projection fills."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(_TABLE)
    async with Holdfast(database_url) as app:
        yield Shop(connection, app)
    await connection.close()
