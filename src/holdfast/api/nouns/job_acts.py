"""What people and programs do to jobs: enqueue, and every verb that moves one."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictFloat

from holdfast.access import Permission
from holdfast.api.frame.acting import Acted, Acting
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Body, Id, JobId, Moment, Priority, Reason
from holdfast.api.nouns.job_shapes import JobOut
from holdfast.api.nouns.jobs import visible_job, whole_job
from holdfast.errors import Forbidden
from holdfast.jobs import JobInfo, Place, Verb, demand, refusal

router = NounRouter("jobs")

_Name = Annotated[str, Field(min_length=1, max_length=500)]
_Duration = Annotated[
    StrictFloat | str, Field(description="seconds, or text such as 90s, 10m, 1h30m, 2d", union_mode="left_to_right")
]


class JobIn(Body):
    """A job to be."""

    task: _Name
    args: dict[str, Any] = Field(default_factory=dict)
    queue: _Name | None = Field(default=None, description="default: the task's own")
    priority: Priority | None = None
    run_in: _Duration | None = None
    run_at: Moment | None = None
    unique: _Name | None = Field(default=None, description="a key: while a job holds it, nothing is inserted")
    lane: _Name | None = Field(default=None, description="jobs of a lane run one at a time, in order")
    like: JobId | None = Field(
        default=None,
        description="a job that this is a copy of: secrets that were shown hidden are taken from it",
    )


class EnqueuedOut(BaseModel):
    """The job, or the one that holds its unique key."""

    id: Id
    existing: bool


class RescheduleIn(Reason):
    """Another time, one of the two."""

    run_in: _Duration | None = None
    run_at: Moment | None = None


class PriorityIn(Reason):
    """Another priority."""

    priority: Priority = Field(description="0 runs first, 9 last")


class EditIn(Reason):
    """Other arguments."""

    args: dict[str, Any]
    replace: bool = Field(default=False, description="these are all it has; otherwise they go over those it has")
    unchecked: bool = Field(default=False, description="do not check them against the signature of the task")


class PurgedOut(BaseModel):
    """A job that is gone."""

    id: Id
    state: str = "purged"


@router.act("/jobs", needs=Permission.JOBS_ENQUEUE, audit="job.enqueue", status_code=201)
async def enqueue_job(acting: Acting, body: JobIn) -> EnqueuedOut:
    """Put a job into a queue."""
    acting.target("task", body.task)
    queue = await _queue_of(acting, body)
    if acting.queues_allowed is not None and queue not in acting.queues_allowed:
        raise Forbidden(f"you may enqueue into {', '.join(sorted(acting.queues_allowed))}", remedy="name one of them")
    args = acting.meant(body.args, await _args_of(acting, body.like))
    options = {name: getattr(body, name) for name in ("queue", "priority", "run_in", "run_at", "unique", "lane")}
    if body.task in acting.app.tasks:
        async with acting.database.connection() as connection:
            request = acting.app.tasks[body.task].options(**options).using(connection)
            job_id = await request.enqueue(**args)
    else:
        job_id = await acting.jobs.enqueue_by_name(body.task, args, **options)
    acting.target("job", job_id)
    acting.note(after={"task": body.task, "queue": queue, "args": args})
    return EnqueuedOut(id=job_id, existing=job_id.existing)


@router.act("/jobs/{id}/retry", needs=Permission.JOBS_RETRY, audit="job.retry")
async def retry_job(acting: Acting, id: JobId, body: Reason) -> JobOut:
    """Run a failed or cancelled job again, a scheduled one now."""
    await _begin(acting, id, body.reason)
    await acting.jobs.retry(id)
    return await _end(acting, id)


@router.act("/jobs/{id}/cancel", needs=Permission.JOBS_CANCEL, audit="job.cancel")
async def cancel_job(acting: Acting, id: JobId, body: Reason) -> JobOut:
    """Cancel a job that waits; one that runs is asked to stop."""
    await _begin(acting, id, body.reason)
    answers = await acting.jobs.cancel(id, reason=body.reason)
    if answers[id] == "finished":
        raise refusal(id, Verb.CANCEL, Place((await acting.jobs.show(id)).state))
    demand(id, Verb.CANCEL, answers[id])
    return await _end(acting, id)


@router.act("/jobs/{id}/reschedule", needs=Permission.JOBS_RESCHEDULE, audit="job.reschedule")
async def reschedule_job(acting: Acting, id: JobId, body: RescheduleIn) -> JobOut:
    """Let a waiting job be due at another time."""
    await _begin(acting, id, body.reason)
    answers = await acting.jobs.reschedule(id, run_in=body.run_in, run_at=body.run_at)
    demand(id, Verb.RESCHEDULE, answers[id])
    return await _end(acting, id)


@router.act("/jobs/{id}/priority", needs=Permission.JOBS_RESCHEDULE, audit="job.priority")
async def prioritize_job(acting: Acting, id: JobId, body: PriorityIn) -> JobOut:
    """Give a waiting job another priority."""
    await _begin(acting, id, body.reason)
    answers = await acting.jobs.prioritize(id, priority=body.priority)
    demand(id, Verb.PRIORITIZE, answers[id])
    return await _end(acting, id)


@router.act("/jobs/{id}/edit", needs=Permission.JOBS_EDIT, audit="job.edit")
async def edit_job(acting: Acting, id: JobId, body: EditIn) -> JobOut:
    """Correct the arguments of a job that does not run and has not completed; the old ones stay in its history."""
    info = await _begin(acting, id, body.reason)
    args = acting.meant(body.args, info.args)
    await acting.jobs.edit(id, args, replace=body.replace, reason=body.reason, unchecked=body.unchecked)
    return await _end(acting, id)


@router.act("/jobs/{id}/purge", needs=Permission.JOBS_PURGE, audit="job.purge")
async def purge_job(acting: Acting, id: JobId, body: Reason) -> PurgedOut:
    """Delete a job that does not run, with everything about it."""
    await _begin(acting, id, body.reason)
    answers = await acting.jobs.purge(id)
    demand(id, Verb.PURGE, answers[id])
    acting.note(after={"state": "purged"})
    return PurgedOut(id=id)


async def _begin(acting: Acted, job_id: int, reason: str | None) -> JobInfo:
    """Name the job in the audit, with how it was. Raises ``JobNotFound`` also for one that may not be seen."""
    acting.target("job", job_id)
    acting.note(reason=reason)
    info = await visible_job(acting, job_id)
    acting.note(before=_told(info))
    return info


async def _end(acting: Acted, job_id: int) -> JobOut:
    acting.note(after=_told(await acting.jobs.show(job_id)))
    return await whole_job(acting, job_id)


def _told(info: JobInfo) -> dict[str, Any]:
    return {
        "state": info.state,
        "priority": info.priority,
        "due_at": None if info.due_at is None else info.due_at.isoformat(),
        "args": info.args,
        "cancel_requested": info.cancel_requested,
    }


async def _args_of(acting: Acted, like: int | None) -> Any:
    if like is None:
        return {}
    acting.who.demand(Permission.JOBS_ARGS)
    return (await visible_job(acting, like)).args


async def _queue_of(acting: Acted, body: JobIn) -> str | None:
    """The queue that a job would go into; ``None``: nobody has declared the task."""
    if body.queue is not None:
        return body.queue
    if body.task in acting.app.tasks:
        return acting.app.tasks[body.task].queue
    return next((task.queue for task in await acting.jobs.tasks() if task.name == body.task), None)
