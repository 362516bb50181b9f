"""A worker led by hand: it claims and lets go exactly when a test says so, through the same calls as a real one."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from msgspec.structs import replace

from holdfast import Holdfast
from holdfast.clock import monotonic
from holdfast.db import Database, Statement
from holdfast.jobs import (
    Claimed,
    Exit,
    Finished,
    Gatekeeper,
    HotPath,
    Left,
    Outcome,
    Task,
    audit,
    audit_gates,
    encode_error,
    rescue,
)

T = TypeVar("T")

_REGISTER = Statement(
    "register", "SELECT holdfast.register_worker_v1('by hand', 'here', 1, 'none', '0', $1::text[], 1, false)"
)
_DECLARE_DEAD = Statement("declare_dead", "SELECT holdfast.declare_dead_v1($1::bigint, 'by the test')")


class Hand:
    """One registered worker without a loop."""

    def __init__(self, database: Database, worker: int, queues: tuple[str, ...]) -> None:
        self.database = database
        self.worker = worker
        self.hot = HotPath(database, worker, queues)

    @classmethod
    async def registered(cls, database: Database, *queues: str) -> Hand:
        names = queues or ("default",)
        return cls(database, await database.fetchval(_REGISTER, list(names)), names)

    async def claim(self, limit: int = 100) -> list[Claimed]:
        # Settled marks, so that a claim sees everything however soon it comes after another.
        self.hot.order.distrust_hints()
        return (await self._call(self.hot.work([], limit))).claimed

    async def claim_one(self) -> Claimed:
        (claimed,) = await self.claim(1)
        return claimed

    async def complete(
        self, *jobs: Claimed, result: str | None = None, again: bool = False, comes_back: bool = False
    ) -> list[int]:
        finished = [_finished(job, Outcome.COMPLETED, result=result) for job in jobs]
        return await self._call(self.hot.finish(finished, again=again, comes_back=comes_back))

    async def go_on(self, *jobs: Claimed, limit: int = 100) -> list[Claimed]:
        """Complete these and claim with the same call, as a busy worker does."""
        self.hot.order.distrust_hints()
        finished = [_finished(job, Outcome.COMPLETED) for job in jobs]
        return (await self._call(self.hot.work(finished, limit))).claimed

    async def fail(self, *jobs: Claimed) -> list[int]:
        error = encode_error("Broken", "by the test")
        return await self._call(self.hot.finish([_finished(job, Outcome.FAILED, error=error) for job in jobs]))

    async def retry_later(self, *jobs: Claimed, delay_seconds: float = 3600.0) -> list[int]:
        error = encode_error("Broken", "by the test")
        left = [Left(job, Exit.RETRY, delay_seconds, job.attempt + 1, monotonic(), error=error) for job in jobs]
        return await self._call(self.hot.leave(left))

    async def give_back(self, *jobs: Claimed) -> list[int]:
        left = [Left(job, Exit.RETURN, 0.0, job.attempt, monotonic()) for job in jobs]
        return await self._call(self.hot.leave(left))

    async def _call(self, call: Awaitable[T]) -> T:
        """One call, after which the connection is free for other hands."""
        try:
            return await call
        finally:
            await self.hot.close()

    async def die(self, *, max_losses: int = 3) -> int:
        """Be declared dead, and have others take over; returns how many jobs they took."""
        assert await self.database.fetchval(_DECLARE_DEAD, self.worker)
        return await rescue(self.database, self.worker, max_losses=max_losses)


def stale(job: Claimed) -> Claimed:
    """The same job in the hands of somebody whose lease does not exist."""
    return replace(job, lease=job.lease + 1_000_000)


async def assert_conserved(database: Database) -> None:
    """Every job stands in exactly one place."""
    misplaced, _ = await audit(database)
    assert misplaced == []


async def admit(app: Holdfast, *freed: int, sweep: bool = False) -> list[str]:
    """Look at the gates as a worker does after these jobs have ended; ``sweep`` looks at all of them."""
    keeper = Gatekeeper(app.database, sweep_every_seconds=float("inf"))
    if sweep:
        keeper.sweep_now()
    keeper.freed(freed)
    queues, _ = await keeper.look()
    return queues


async def in_lane(task: Task[..., Any], count: int, lane: str = "a") -> list[int]:
    """So many jobs in one lane, each enqueued by itself."""
    return [int(await task.options(lane=lane).enqueue(n)) for n in range(count)]


async def assert_gates_kept(database: Database) -> None:
    """Never more slots than a gate has, each held by a job that may run, and nobody runs without."""
    assert await audit_gates(database) == []


def _finished(job: Claimed, outcome: Outcome, *, result: str | None = None, error: str | None = None) -> Finished:
    return Finished(job, outcome, monotonic(), 0.0, result=result, error=error)
