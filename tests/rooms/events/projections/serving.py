"""Events to read, projections to read them, and processes' worth of projectors inside one test."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from holdfast import Holdfast
from holdfast.events.projections import FixedPartitions, Projection, ProjectorOptions, Projectors
from tests.waiting import eventually

OPTIONS = ProjectorOptions(lease_seconds=5.0, poll_seconds=0.02)


class Log:
    """Appends through SQL, and publishes what it appended."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def append(self, stream: str, *events: Any, type: str = "Counted", tags: Sequence[str] = ()) -> list[int]:
        rows = await self.connection.fetch(
            "select position from holdfast.append_events($1, $2::text::jsonb)",
            stream,
            json.dumps([{"type": type, "data": event, "tags": list(tags)} for event in events]),
        )
        await self.tick()
        return [row["position"] for row in rows]

    async def tick(self) -> None:
        await self.connection.fetch("select holdfast.tick_v1(0, null, null)")

    async def fill(self, streams: int, events: int, *, prefix: str = "s") -> None:
        """``events`` numbered events in each of so many streams, round and round."""
        for n in range(events):
            await self.connection.executemany(
                "select holdfast.append_events($1, $2::text::jsonb)",
                [(f"{prefix}-{s}", json.dumps([{"type": "Counted", "data": {"n": n}}])) for s in range(streams)],
            )
        await self.tick()

    async def make_history(self) -> None:
        """The table in which handlers note what they were given, in the order in which they were."""
        await self.connection.execute(
            "create table seen (seq bigserial, position bigint not null, stream text not null,"
            " by text not null default '')"
        )

    async def seen(self, table: str = "seen") -> list[int]:
        return [row["position"] for row in await self.connection.fetch(f"select position from {table} order by seq")]

    async def all_positions(self) -> list[int]:
        return [row[0] for row in await self.connection.fetch("select position from holdfast.event order by position")]

    async def check_history(self, table: str = "seen") -> list[str]:
        """What is wrong with it: events twice, missing, or out of their order in a stream."""
        rows = await self.connection.fetch(f"select position, stream from {table} order by seq")
        found = Counter(row["position"] for row in rows)
        troubles = [f"{position} was handled {times} times" for position, times in found.items() if times > 1]
        troubles += [f"{position} is missing" for position in set(await self.all_positions()) - found.keys()]
        last: dict[str, int] = {}
        for row in rows:
            if row["position"] < last.get(row["stream"], 0):
                troubles.append(f"{row['position']} came after {last[row['stream']]}")
            last[row["stream"]] = row["position"]
        return troubles


async def note(tx: Any, event: Any) -> None:
    await tx.execute("insert into seen (position, stream) values ($1, $2)", event.position, event.stream)


@asynccontextmanager
async def serving(
    app: Holdfast,
    *projections: Projection,
    key: int | None = None,
    total: int | None = None,
    **options: Any,
) -> AsyncIterator[Projectors]:
    """A process's worth of projectors for the length of the ``with``."""
    fixed = FixedPartitions(key, total) if key is not None and total is not None else None
    projectors = Projectors(
        app.database, projections or app.declared_projections(), replace(OPTIONS, fixed=fixed, **options)
    )
    await projectors.declare()
    running = asyncio.create_task(projectors.run())
    try:
        yield projectors
    finally:
        projectors.stop()
        await asyncio.wait_for(asyncio.gather(running, return_exceptions=True), 20)


async def drain(app: Holdfast, *names: str, **options: Any) -> None:
    """Handle everything that is settled, then end: what ``projection run --drain`` does."""
    projectors = Projectors(
        app.database,
        app.declared_projections(names or None),
        replace(OPTIONS, until_caught_up=True, **options),
    )
    await projectors.declare()
    await asyncio.wait_for(projectors.run(), 30)


def partitions_of(projectors: Projectors, model: int = 1) -> set[int]:
    """What the first projector of a process holds."""
    share = projectors.projectors[0].shares.get(model)
    return set(share.held) if share else set()


async def shares(*processes: Projectors, sizes: Sequence[int]) -> None:
    """Wait until the processes hold so many partitions each."""

    async def fair() -> bool:
        return sorted(len(partitions_of(each)) for each in processes) == sorted(sizes)

    await eventually(fair)
