"""The functions of the schema as tests call them: one connection, plain Python values, nothing of the worker's code."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

SOLO, KEYED, SUSPECT = 1, 2, 4
COMPLETED, FAILED, CANCELLED = 1, 2, 3
RETRY, SNOOZE, RETURN = 1, 2, 3
QUEUE = "q"
PRIORITY = 5
_WORKER_SHIFT = 36


def lease_number(worker: int, number: int) -> int:
    """The lease that this worker drew as its ``number``-th."""
    return worker << _WORKER_SHIFT | number


class QueueCalls:
    """Calls of the schema's functions on one connection."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self.connection = connection

    async def rows(self, function: str, *params: Any) -> list[Any]:
        places = ", ".join(f"${n}" for n in range(1, len(params) + 1))
        return list(await self.connection.fetch(f"select * from holdfast.{function}({places})", *params))

    async def value(self, function: str, *params: Any) -> Any:
        rows = await self.rows(function, *params)
        return rows[0][0] if rows else None

    async def register(self, name: str = "w", queues: Sequence[str] = (QUEUE,)) -> int:
        return int(await self.value("register_worker_v1", name, "host", 1, name, "1", list(queues), 1, False))

    async def enqueue(
        self,
        count: int = 1,
        *,
        queue: str = QUEUE,
        priority: int = PRIORITY,
        flags: int = 0,
        delay_seconds: float | None = None,
    ) -> list[int]:
        delays = None if delay_seconds is None else [int(delay_seconds * 1_000_000)] * count
        return list(
            await self.value(
                "enqueue_v1",
                *(None, [queue] * count, ["task"] * count, ["{}"] * count, [priority] * count, [flags] * count),
                *(delays, None, [None] * count, [None] * count, [None] * count, None),
            )
        )

    async def enqueue_keyed(self, *keys: str, queue: str = QUEUE, delay_seconds: float | None = None) -> list[int]:
        count = len(keys)
        delays = None if delay_seconds is None else [int(delay_seconds * 1_000_000)] * count
        return list(
            await self.value(
                "enqueue_keyed_v1",
                *(None, [queue] * count, ["task"] * count, ["{}"] * count, [PRIORITY] * count, [0] * count),
                *(delays, None, [None] * count, [None] * count, list(keys), None),
            )
        )

    async def claim(
        self,
        worker: int,
        lease: int,
        limit: int = 10,
        *,
        levels: tuple[Sequence[str], Sequence[int], Sequence[int]] = ((QUEUE,), (PRIORITY,), (0,)),
    ) -> list[Any]:
        return await self.rows("claim_v1", worker, lease, limit, *map(list, levels))

    async def finish(
        self,
        lease: int,
        jobs: Sequence[int],
        state: int = COMPLETED,
        *,
        done: Sequence[int] = (),
        again: bool = False,
        attempt: int = 1,
        company: Sequence[int] | None = None,
    ) -> list[int]:
        """Returns the refused jobs."""
        count = len(jobs)
        errors = None if state == COMPLETED else ['{"type": "Boom", "message": "boom"}'] * count
        return list(
            await self.value(
                "finish_v1",
                *([lease] * count, list(jobs), [state] * count, [attempt] * count, [1000] * count, [1000] * count),
                *(None, errors, [QUEUE], [1] * count, list(done), again, company and list(company)),
            )
        )

    async def leave(
        self,
        lease: int,
        jobs: Sequence[int],
        move: int,
        *,
        delay_seconds: float = 0.0,
        attempt: int = 1,
        flags: int = 0,
        queue: str = QUEUE,
        priority: int = PRIORITY,
        done: Sequence[int] = (),
    ) -> list[int]:
        """Returns the refused jobs. ``attempt`` is the one that comes next."""
        count = len(jobs)
        error = '{"type": "Boom", "message": "boom"}' if move == RETRY else None
        return list(
            await self.value(
                "leave_v1",
                *([lease] * count, list(jobs), [move] * count, [int(delay_seconds * 1_000_000)] * count),
                *([attempt] * count, [queue] * count, [priority] * count, [flags] * count, [error] * count),
                *([1000] * count, [1000] * count, list(done)),
            )
        )

    async def finish_solo(self, lease: int, job: int) -> bool:
        return bool(await self.value("finish_solo_v1", lease, job, 1, 1000, None, QUEUE))

    async def declare_dead(self, worker: int) -> bool:
        return bool(await self.value("declare_dead_v1", worker, "test"))

    async def rescue(self, worker: int, max_losses: int = 3) -> int:
        return int(await self.value("rescue_v1", worker, max_losses))

    async def cancel(self, *jobs: int) -> dict[int, str]:
        return {row["job_id"]: row["answer"] for row in await self.rows("cancel_v1", list(jobs), "test")}

    async def retry(self, job: int) -> str:
        return str(await self.value("retry_v1", job))

    async def promote(self, mark: datetime) -> int:
        return int((await self.rows("promote_v1", mark, 1000))[0]["promoted"])

    async def places(self, jobs: Sequence[int]) -> dict[int, str]:
        return {row["job_id"]: row["place"] for row in await self.rows("places_v1", list(jobs))}

    async def audit(self) -> list[str]:
        """The conservation law's complaints."""
        return [f"job {row['job_id']} stands in {row['places']}" for row in await self.rows("audit_v1")]
