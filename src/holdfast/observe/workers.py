"""Worker processes as people see them: whether they live, whether they ask for jobs, what they hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from holdfast.db import Database, load_statements
from holdfast.errors import WorkerNotFound
from holdfast.observe.sight import SILENT_SECONDS
from holdfast.observe.verdict import PATIENCE

_SQL = load_statements("holdfast.observe", "workers.sql")
_MOST_HELD: Final = 500

WorkerState = Literal["live", "stuck", "silent", "stopped", "lost"]


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker. ``running``: the jobs that it really executes; ``asked_seconds``: since it last asked for jobs."""

    id: int
    name: str
    state: WorkerState
    """live; stuck: it beats and does not ask for jobs; silent: it does not beat; stopped; lost: declared dead."""
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]
    concurrency: int
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    running: tuple[int, ...]
    silent_seconds: float | None
    asked_seconds: float | None
    claimed_seconds: float | None


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job that a worker has claimed; it runs, or waits in the worker's prefetch."""

    id: int
    task: str
    queue: str
    priority: int
    running: bool
    claimed_at: datetime
    seconds: float


class Workers:
    """Workers: list them, look at one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, *, ended_within_seconds: float = 3600.0) -> Sequence[WorkerInfo]:
        """Live workers and those that ended lately, the newest first."""
        return [_info(row) for row in await self._database.fetch(_SQL["workers"], ended_within_seconds, None)]

    async def names(self, workers: Collection[int]) -> Mapping[int, str]:
        """The names of those that have one and are not forgotten; nothing is asked about nobody."""
        if not workers:
            return {}
        return {row["id"]: row["name"] for row in await self._database.fetch(_SQL["names"], sorted(workers))}

    async def show(self, worker: int) -> tuple[WorkerInfo, Sequence[HeldJob]]:
        """One worker and what it holds. Raises ``WorkerNotFound``."""
        rows = await self._database.fetch(_SQL["workers"], 0.0, worker)
        if not rows:
            raise WorkerNotFound(
                f"there is no worker {worker}", remedy="it ended over an hour ago, or never began: look at the list"
            )
        info = _info(rows[0])
        held = await self._database.fetch(_SQL["held"], worker, _MOST_HELD)
        return info, [
            HeldJob(
                row["job_id"],
                row["task"],
                row["queue"],
                row["priority"],
                row["job_id"] in info.running,
                row["claimed_at"],
                row["seconds"],
            )
            for row in held
        ]


def _info(row: Any) -> WorkerInfo:
    values = dict(row)
    values |= {"queues": tuple(row["queues"]), "running": tuple(row["running"]), "state": _state(row)}
    return WorkerInfo(**values)


def _state(row: Any) -> WorkerState:
    if row["state"] != "live":
        return "stopped" if row["end_reason"] == "stopped" else "lost"
    if (row["silent_seconds"] or 0.0) >= SILENT_SECONDS:
        return "silent"
    return "stuck" if (row["asked_seconds"] or 0.0) > PATIENCE.idle else "live"
