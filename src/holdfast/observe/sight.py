"""What one look at the database finds: the facts that the verdict, the tiles and the metrics are made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from holdfast.db import Database, load_statements
from holdfast.events import projections

_SQL = load_statements("holdfast.observe", "sight.sql")
COUNT_UP_TO: Final = 10_000
"""Depths are counted so far and said to be more beyond."""
SILENT_SECONDS: Final = 15.0
"""A worker that should live and has not beaten for so long is not heard of."""
_DEAD_WITHIN_SECONDS: Final = 600.0
T = TypeVar("T")


class QueueSight(Struct, frozen=True):
    """A queue; ``completed``, ``failed`` and ``retried`` are of the last five minutes."""

    name: str
    ready: int
    ready_is_exact: bool
    oldest_seconds: float | None
    scheduled: int
    blocked: int
    running: int
    paused_at: datetime | None
    pause_reason: str | None
    paused_by: str | None
    completed: int
    failed: int
    retried: int

    @property
    def waits(self) -> bool:
        """Whether jobs are ready here and may be claimed."""
        return self.ready > 0 and self.paused_at is None


class WorkerSight(Struct, frozen=True):
    """A worker that lives, or ended a short while ago; since when it beat, asked for jobs, and got one."""

    id: int
    name: str
    host: str
    pid: int
    state: str
    queues: tuple[str, ...]
    concurrency: int
    running: tuple[int, ...]
    end_reason: str | None
    silent_seconds: float | None
    age_seconds: float
    ended_seconds: float | None
    asked_seconds: float | None
    claimed_seconds: float | None

    @property
    def live(self) -> bool:
        """Whether it is heard of. Nobody declares the last worker dead, so the word of the database is not enough."""
        return self.state == "live" and (self.silent_seconds or 0.0) < SILENT_SECONDS

    @property
    def title(self) -> str:
        """As people know it."""
        return self.name or f"worker {self.id}"


class LaneSight(Struct, frozen=True):
    """A lane behind whose holder others wait, and which has been held for a minute and longer."""

    lane: str
    job: str
    task: str
    queue: str
    worker: int
    worker_name: str
    seconds: float
    waiting: int
    usual_seconds: float | None


class FailureSight(Struct, frozen=True):
    """Failed attempts of the last five minutes that have queue, task and type of error in common; from a sample."""

    queue: str
    task: str
    error: str
    count: int
    message: str | None
    job: str


class ScheduleSight(Struct, frozen=True):
    """A schedule that is due."""

    name: str
    overdue_seconds: float
    queue: str | None = None
    """Where its jobs go, if it says so."""


class NextSchedule(Struct, frozen=True):
    """The schedule that is due next."""

    name: str
    next_at: datetime
    queue: str | None = None


class HolderSight(Struct, frozen=True):
    """A session or prepared transaction with an open append."""

    pid: int | None
    application: str | None
    username: str | None
    client: str | None
    state: str | None
    age_seconds: float | None
    query: str | None
    prepared: str | None


class LogSight(Struct, frozen=True):
    """The event log. ``waiting_seconds``: how long the first event that readers cannot see yet has been there."""

    settled: int
    drawn: int
    highest: int
    waiting_seconds: float | None
    holders: tuple[HolderSight, ...]


class ConnectionsOf(Struct, frozen=True):
    """How many connections one application has."""

    application: str
    count: int


class ServerSight(Struct, frozen=True):
    """The server; ``allowed`` are the connections that are not kept back for superusers."""

    version: str
    standby: bool
    allowed: int
    connections: int
    users: tuple[ConnectionsOf, ...]


class Sight(Struct, frozen=True):
    """Everything, as it stood at one moment."""

    at: datetime
    queues: tuple[QueueSight, ...]
    workers: tuple[WorkerSight, ...]
    lanes: tuple[LaneSight, ...]
    failures: tuple[FailureSight, ...]
    schedules: tuple[ScheduleSight, ...]
    log: LogSight
    server: ServerSight
    next_schedule: NextSchedule | None
    projected: Sequence[projections.ProjectionInfo] = field(default_factory=tuple)

    @property
    def live(self) -> list[WorkerSight]:
        """The workers that live."""
        return [worker for worker in self.workers if worker.live]

    @property
    def unheard(self) -> list[WorkerSight]:
        """The workers that should live and do not beat."""
        return [worker for worker in self.workers if worker.state == "live" and not worker.live]

    def listeners(self, queue: str) -> list[WorkerSight]:
        """The live workers that serve a queue."""
        return [worker for worker in self.live if queue in worker.queues]

    def of_queues(self, queues: frozenset[str] | None) -> Sight:
        """What somebody sees who may see these queues only; None: all."""
        if queues is None:
            return self
        following = self.next_schedule
        return replace(
            self,
            queues=tuple(queue for queue in self.queues if queue.name in queues),
            workers=tuple(worker for worker in self.workers if queues.intersection(worker.queues)),
            lanes=tuple(lane for lane in self.lanes if lane.queue in queues),
            failures=tuple(failure for failure in self.failures if failure.queue in queues),
            schedules=tuple(schedule for schedule in self.schedules if schedule.queue in queues),
            next_schedule=following if following is not None and following.queue in queues else None,
        )


async def look(database: Database, *, timeout_seconds: float = 3.0) -> Sight:
    """Look once. Raises what the database raises; ``verdict.unavailable`` makes a verdict of it."""
    row = await database.fetchrow(_SQL["sight"], COUNT_UP_TO, _DEAD_WITHIN_SECONDS, timeout_seconds=timeout_seconds)
    return Sight(
        row["at"],
        _part(row, "queues", tuple[QueueSight, ...]),
        _part(row, "workers", tuple[WorkerSight, ...]),
        _part(row, "lanes", tuple[LaneSight, ...]),
        _part(row, "failures", tuple[FailureSight, ...]),
        _part(row, "schedules", tuple[ScheduleSight, ...]),
        _part(row, "log", LogSight),
        _part(row, "server", ServerSight),
        None if row["next_schedule"] is None else _part(row, "next_schedule", NextSchedule),
        await projections.Projections(database).list(),
    )


def _part(row: Any, name: str, kind: type[T]) -> T:
    return msgspec.json.decode(row[name], type=kind)
