"""Workers: who they are, whether they ask for jobs, what they hold."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from holdfast.access import Permission
from holdfast.api.frame.answers import Out
from holdfast.api.frame.asking import Asked, Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Cursor, Id, Limit, Page, page_of
from holdfast.errors import WorkerNotFound
from holdfast.observe import WorkerInfo, Workers

router = NounRouter("workers")


class WorkerOut(Out):
    """A worker process."""

    id: Id
    name: str
    state: str = Field(
        description="live; stuck: it beats and does not ask for jobs; silent: it does not beat; stopped; lost"
    )
    host: str
    pid: int
    version: str
    queues: list[str]
    concurrency: int
    running: list[Id]
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    silent_seconds: float | None = Field(description="since its last beat")
    asked_seconds: float | None = Field(description="since it last asked for jobs")
    claimed_seconds: float | None = Field(description="since it last got one")


class HeldJobOut(Out):
    """A job that it has claimed."""

    id: Id
    task: str
    queue: str
    priority: int
    running: bool = Field(description="false: it waits in the worker for a free slot")
    claimed_at: datetime
    seconds: float


class OneWorkerOut(WorkerOut):
    """A worker and the jobs that it holds, the longest held first; 500 at the most."""

    held: list[HeldJobOut]


@router.read("/workers", needs=Permission.WORKERS_READ)
async def list_workers(asking: Asking, cursor: Cursor, limit: Limit = 50) -> Page[WorkerOut]:
    """Live workers, and those that ended within the last hour, the newest first."""
    before = cursor.integer() if cursor else None
    found = [one for one in await Workers(asking.database).list() if _is_theirs(asking, one)]
    shown, following = page_of([one for one in found if before is None or one.id < before], limit, lambda one: [one.id])
    return Page(items=[WorkerOut.model_validate(one) for one in shown], next=following)


@router.read("/workers/{id}", needs=Permission.WORKERS_READ)
async def show_worker(asking: Asking, id: Id) -> OneWorkerOut:
    """One worker and what it holds."""
    info, held = await Workers(asking.database).show(id)
    if not _is_theirs(asking, info):
        raise WorkerNotFound(f"there is no worker {id}")
    jobs = [HeldJobOut.model_validate(job) for job in held if asking.who.may_touch(job.queue)]
    return OneWorkerOut(**WorkerOut.model_validate(info).model_dump(), held=jobs)


def _is_theirs(asking: Asked, worker: WorkerInfo) -> bool:
    return asking.queues_allowed is None or bool(asking.queues_allowed.intersection(worker.queues))
