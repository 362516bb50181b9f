"""The functions of the schema as tests call them: one connection, plain Python values, nothing of the worker's code."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

SOLO, KEYED, SUSPECT, GATED, BATCHED = 1, 2, 4, 8, 16
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
        gates: str | None = None,
    ) -> list[int]:
        delays = None if delay_seconds is None else [int(delay_seconds * 1_000_000)] * count
        return list(
            await self.value(
                "enqueue_v1",
                *(None, [queue] * count, ["task"] * count, ["{}"] * count, [priority] * count, [flags] * count),
                *(delays, None, [None] * count, [None] * count, [None] * count, None),
                *(() if gates is None else ([gates] * count,)),
            )
        )

    async def limit(self, name: str, capacity: int) -> None:
        """Declare ``limit:NAME``."""
        await self.value("declare_limits_v1", [f"limit:{name}"], [capacity], [None], ["{}"])

    async def admit(self, *freed: int, sweep: bool = False) -> int | None:
        """How many jobs became ready; None: another worker is at it. ``sweep``: look at every gate."""
        row = (await self.rows("admit_v1", list(freed), [], 0, "" if sweep else None, 1000))[0]
        return int(row["seated"]) if row["is_mine"] else None

    async def gate_troubles(self) -> list[str]:
        """The complaints of the law of gates."""
        return [f"{row['gate']} {row['job_id']}: {row['trouble']}" for row in await self.rows("audit_gates_v1")]

    async def enqueue_keyed(
        self, *keys: str, queue: str = QUEUE, delay_seconds: float | None = None, gates: str | None = None
    ) -> list[int]:
        count = len(keys)
        delays = None if delay_seconds is None else [int(delay_seconds * 1_000_000)] * count
        return list(
            await self.value(
                "enqueue_keyed_v1",
                *(None, [queue] * count, ["task"] * count, ["{}"] * count, [PRIORITY] * count, [0] * count),
                *(delays, None, [None] * count, [None] * count, list(keys), None),
                *(() if gates is None else ([gates] * count,)),
            )
        )

    async def open_batch(
        self, count: int, *, parent: int | None = None, name: str | None = None
    ) -> tuple[int, list[int]]:
        """A batch that calls ``over`` when it has ended, and its members, in one transaction."""
        over = '{"task": "over", "queue": "callbacks", "args": {}, "priority": 5, "flags": 0}'
        async with self.connection.transaction():
            batch = int(await self.value("open_batch_v1", None, None, None, None, None, over))
            return batch, await self.join(batch, count) if count else []

    async def join(self, batch: int, count: int = 1) -> list[int]:
        return list(
            await self.value(
                "enqueue_into_v1",
                *(
                    batch,
                    None,
                    None,
                    [QUEUE] * count,
                    ["task"] * count,
                    ["{}"] * count,
                    [PRIORITY] * count,
                    [0] * count,
                ),
                *(None, None, [None] * count, [None] * count, None, None),
            )
        )

    async def save_checkpoint(self, lease: int, job: int) -> list[int]:
        """Returns the refused jobs."""
        return list(await self.value("save_checkpoints_v1", [lease], [job], ["1"]))

    async def checkpoints(self) -> int:
        return int(await self.connection.fetchval("select count(*) from holdfast.checkpoint"))

    async def report_progress(self, lease: int, job: int) -> None:
        await self.value("report_progress_v1", [lease], [job], [1], [2], ["half"], [0])

    async def settle(self) -> int:
        return int(await self.value("settle_batches_v1", 1000))

    async def callbacks(self, batch: int) -> int:
        query = "select count(*) from holdfast.batch_callback where batch_id = $1"
        return int(await self.connection.fetchval(query, batch))

    async def claim(
        self,
        worker: int,
        lease: int,
        limit: int = 10,
        *,
        levels: tuple[Sequence[str], Sequence[int], Sequence[int]] = ((QUEUE,), (PRIORITY,), (0,)),
        kept: Sequence[str] = (),
    ) -> list[Any]:
        """``kept``: gates that jobs of this worker have left. Rows of kind 3 and 4 name those it did not go on at."""
        return await self.rows("claim_v1", worker, lease, limit, *map(list, levels), list(kept))

    async def go_on(
        self,
        lease: int,
        jobs: Sequence[int],
        worker: int,
        base: int,
        limit: int = 10,
        *,
        attempt: int = 1,
        levels: tuple[Sequence[str], Sequence[int], Sequence[int]] = ((QUEUE,), (PRIORITY,), (0,)),
    ) -> list[Any]:
        """End these jobs as completed, all with company, and claim with the same call; rows as those of a claim."""
        count = len(jobs)
        return await self.rows(
            "work_v1",
            *([lease] * count, list(jobs), [COMPLETED] * count, [attempt] * count, [1000] * count, [1000] * count),
            *(None, None, [QUEUE], [1] * count, [], False, worker, base, limit, *map(list, levels), list(jobs)),
        )

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
        (row,) = await self.rows(
            "finish_v1",
            *([lease] * count, list(jobs), [state] * count, [attempt] * count, [1000] * count, [1000] * count),
            *(None, errors, [QUEUE], [1] * count, list(done), again, company and list(company)),
        )
        return list(row["refused"])

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

    async def purge(self, *jobs: int) -> dict[int, str]:
        return {row["job_id"]: row["answer"] for row in await self.rows("purge_v1", list(jobs))}

    async def prioritize(self, *jobs: int, priority: int) -> dict[int, str]:
        return {row["job_id"]: row["answer"] for row in await self.rows("prioritize_v1", list(jobs), priority)}

    async def reschedule(self, *jobs: int, delay_seconds: float) -> dict[int, str]:
        due_at = await self.connection.fetchval(
            "select holdfast.now() + make_interval(secs => $1::double precision)", delay_seconds
        )
        return {row["job_id"]: row["answer"] for row in await self.rows("reschedule_v1", list(jobs), due_at)}

    async def edit(self, job: int, before: str, after: str) -> str:
        return str(await self.value("edit_v1", job, before, after, "test"))

    async def count_loss(self, lease: int, job: int, *, counted: bool = True) -> tuple[int, int] | None:
        rows = await self.rows("count_loss_v1", lease, job, QUEUE, counted, "its process died")
        return (rows[0]["losses"], rows[0]["counted"]) if rows else None

    async def promote(self, mark: datetime) -> int:
        return int((await self.rows("promote_v1", mark, 1000))[0]["promoted"])

    async def places(self, jobs: Sequence[int]) -> dict[int, str]:
        return {row["job_id"]: row["place"] for row in await self.rows("places_v1", list(jobs))}

    async def audit(self) -> list[str]:
        """The conservation law's complaints."""
        return [f"job {row['job_id']} stands in {row['places']}" for row in await self.rows("audit_v1")]
