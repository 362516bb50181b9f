"""Queues: what waits, since when, who serves it, how fast it goes; pause and resume."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from holdfast.access import Permission
from holdfast.api.frame.acting import Acted, Acting
from holdfast.api.frame.asking import Asked, Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Body, Cursor, Id, Limit, Name, Page, page_of
from holdfast.api.nouns.failures import FailureOut
from holdfast.api.nouns.jobs import CountOut
from holdfast.errors import QueueUnknown
from holdfast.jobs import QueueView
from holdfast.observe import Workers

router = NounRouter("queues")

_FAILURES_SHOWN = 5


class PausedOut(BaseModel):
    """Who paused a queue, when and why."""

    at: datetime
    by: str | None
    reason: str | None


class RatesOut(BaseModel):
    """Jobs a second over the last five whole minutes."""

    enqueued_per_second: float
    ended_per_second: float
    failed_per_second: float


class TotalsOut(BaseModel):
    """Counted since the beginning."""

    completed: int
    failed: int
    cancelled: int
    retried: int
    lost: int


class QueueOut(BaseModel):
    """A queue."""

    name: str
    ready: CountOut
    scheduled: CountOut
    blocked: CountOut
    running: int
    oldest_seconds: float | None = Field(description="how long the job that waits longest has been ready or before")
    paused: PausedOut | None
    rates: RatesOut
    totals: TotalsOut
    run_mean_seconds: float | None = Field(description="how long jobs took, over the last five whole minutes")
    buckets: list[int] = Field(description="jobs that ended in each of the last thirty minutes, the oldest first")
    workers: int
    slots: int = Field(description="jobs that its workers can run at a time, other queues of theirs included")
    drained_in_seconds: float | None = Field(description="at this rate; null where nobody can tell")
    actions: list[str]

    @classmethod
    def of(cls, asked: Asked, view: QueueView) -> QueueOut:
        """As this principal may see it."""
        return cls(**_facts(asked, view))


class ServingOut(BaseModel):
    """A worker that claims from a queue."""

    id: Id
    name: str | None


class QueueDetail(QueueOut):
    """A queue, whole."""

    tasks: list[str] = Field(description="tasks that workers have declared for it")
    serving: list[ServingOut] = Field(description="live workers that claim from it")
    failures: list[FailureOut] = Field(description="the groups that failed last")


class QueueNamed(Body):
    """A queue by its name, and why."""

    name: Annotated[str, Field(min_length=1, max_length=500)]
    reason: str | None = Field(default=None, max_length=1_000)


@router.read("/queues", needs=Permission.QUEUES_READ)
async def list_queues(asking: Asking, cursor: Cursor, limit: Limit = 200) -> Page[QueueOut]:
    """Every queue that has jobs, had some, is paused, or has a worker; by name."""
    after = cursor.text() if cursor else None
    found = await asking.queues.views(queues=asking.queues_allowed, after=after, limit=limit + 1)
    shown, following = page_of(found, limit, lambda view: [view.name])
    return Page(items=[QueueOut.of(asking, view) for view in shown], next=following)


@router.read("/queues/show", needs=Permission.QUEUES_READ)
async def show_queue(asking: Asking, name: Name) -> QueueDetail:
    """One queue, with its tasks, its workers, and what failed last in it."""
    return await _detail(asking, name)


@router.act("/queues/pause", needs=Permission.QUEUES_PAUSE, audit="queue.pause")
async def pause_queue(acting: Acting, body: QueueNamed) -> QueueDetail:
    """Claim nothing more from a queue; what runs, runs on. Pausing twice is once."""
    await _begin(acting, body)
    changed = await acting.queues.pause(body.name, reason=body.reason, by=acting.who.name)
    acting.note(before={"paused": not changed}, after={"paused": True})
    return await _detail(acting, body.name)


@router.act("/queues/resume", needs=Permission.QUEUES_PAUSE, audit="queue.resume")
async def resume_queue(acting: Acting, body: QueueNamed) -> QueueDetail:
    """Claim from a queue again. Resuming twice is once."""
    await _begin(acting, body)
    changed = await acting.queues.resume(body.name)
    acting.note(before={"paused": changed}, after={"paused": False})
    return await _detail(acting, body.name)


async def _begin(acting: Acted, body: QueueNamed) -> None:
    acting.target("queue", body.name)
    acting.note(reason=body.reason)
    await _visible(acting, body.name)


async def _visible(asked: Asked, name: str) -> QueueView:
    if asked.queues_allowed is not None and name not in asked.queues_allowed:
        raise QueueUnknown(f"there is no queue {name!r}", remedy="it is none of yours, or was never used")
    return await asked.queues.view(name)


async def _detail(asked: Asked, name: str) -> QueueDetail:
    view = await _visible(asked, name)
    failures = await asked.failures.list(queues=[name], limit=_FAILURES_SHOWN)
    names = await Workers(asked.database).names(view.worker_ids)
    return QueueDetail(
        **_facts(asked, view),
        tasks=list(await asked.queues.tasks_of(name)),
        serving=[ServingOut(id=worker, name=names.get(worker)) for worker in view.worker_ids],
        failures=[FailureOut.of(asked, group) for group in failures],
    )


def _facts(asked: Asked, view: QueueView) -> dict[str, Any]:
    paused = view.paused_at is not None
    return {
        "name": view.name,
        "ready": CountOut(count=view.ready, is_exact=view.ready_is_exact),
        "scheduled": CountOut(count=view.scheduled, is_exact=view.scheduled_is_exact),
        "blocked": CountOut(count=view.blocked, is_exact=view.blocked_is_exact),
        "running": view.running,
        "oldest_seconds": view.oldest_seconds,
        "paused": PausedOut(at=view.paused_at, by=view.paused_by, reason=view.pause_reason) if view.paused_at else None,
        "rates": RatesOut(**{name: getattr(view, name) for name in RatesOut.model_fields}),
        "totals": TotalsOut(**{name: getattr(view, name) for name in TotalsOut.model_fields}),
        "run_mean_seconds": view.run_mean_seconds,
        "buckets": list(view.buckets),
        "workers": view.workers,
        "slots": view.slots,
        "drained_in_seconds": view.drained_in_seconds,
        "actions": asked.legal([("resume" if paused else "pause", Permission.QUEUES_PAUSE)]),
    }
