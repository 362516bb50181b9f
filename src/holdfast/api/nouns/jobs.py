"""Jobs: lists, one whole, why it does not run, what it has logged, and what it opened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field

from holdfast.access import Permission, looks_secret, redacted_text
from holdfast.api.frame.asking import Asked, Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Cursor, Id, JobId, Limit, Page, Position, page_of
from holdfast.api.nouns.job_shapes import JobLine, JobOut, JobsPage, MomentOut
from holdfast.errors import Forbidden, JobNotFound
from holdfast.jobs import FIELDS, JobFilter, JobInfo, LogLine, Place

router = NounRouter("jobs")

Filter = Annotated[
    str, Query(max_length=2_000, description='terms such as queue=mail state=failed error~"timed out" age>1h')
]
QueueName = Annotated[str | None, Query(max_length=500)]
_PRIVATE = ("args", "key")
"""Fields of the filter that are made of arguments."""
_MEANINGS = {
    "state": "where the job stands",
    "queue": "the line it waits in",
    "task": "what it does",
    "key": "its unique key, with the task before it",
    "error": "= the type of its last error, ~ text in type or message",
    "failure": "a group of failures, by its fingerprint",
    "args": "an argument by name: args.user_id=42",
    "id": "ids",
    "priority": "0 runs first, 9 last",
    "attempt": "number of attempts",
    "age": "since it was enqueued: 90s, 10m, 2h, 3d",
    "ended": "since it ended",
    "due": "until a scheduled job is due",
}


class CountOut(BaseModel):
    """How many; a lower bound unless it is exact."""

    count: int
    is_exact: bool


class ReasonOut(BaseModel):
    """Why a job does not run: what stands in the way, and what to do about it."""

    code: str
    text: str
    remedy: str | None
    facts: dict[str, Any] = Field(description="what the sentence is made of")


class WhyOut(BaseModel):
    """Where a job stands, and every reason for it, the decisive one first."""

    job: Id
    task: str
    queue: str
    state: str
    text: str
    reasons: list[ReasonOut]


class LogLineOut(BaseModel):
    """One line that a job has logged."""

    at: datetime
    attempt: int
    worker: Id
    level: str
    logger: str
    message: str

    @classmethod
    def of(cls, line: LogLine) -> LogLineOut:
        """As it is sent, without what looks secret."""
        values = {name: getattr(line, name) for name in cls.model_fields}
        return cls(**{**values, "message": redacted_text(line.message)})


class LogPage(Page[LogLineOut]):
    """Lines of a log, which may go on."""

    last: str | None = Field(description="cursor of the last line there is: what is said later comes after it")


class FieldOut(BaseModel):
    """A field of the filter language."""

    name: str
    operators: list[str]
    meaning: str
    values: list[str] | None


class TaskOut(BaseModel):
    """A task that workers have declared."""

    name: str
    queue: str
    priority: int
    max_attempts: int
    timeout_seconds: float | None
    declared_at: datetime
    failures: int
    parameters: list[str] | None = Field(description="names of its arguments; null: this server does not have its code")


@router.read("/jobs", needs=Permission.JOBS_READ)
async def list_jobs(asking: Asking, cursor: Cursor, filter: Filter = "", limit: Limit = 50) -> JobsPage:
    """The newest jobs that a filter finds; ready ones alone: the last that became ready first."""
    found = permitted_filter(asking, filter).among(asking.queues_allowed)
    page = await asking.jobs.search(found, after=cursor.text() if cursor else None, limit=limit)
    infos = await asking.jobs.lines([match.id for match in page.jobs])
    return JobsPage(
        items=await JobLine.each(asking, infos),
        next=None if page.next is None else Position((page.next,)).encode(),
        searched_to=page.searched_to,
    )


@router.read("/jobs/counts", needs=Permission.JOBS_READ)
async def count_jobs(asking: Asking, queue: QueueName = None) -> dict[str, CountOut]:
    """How many jobs stand in each state: counted up to ten thousand, completed ones since the beginning."""
    allowed = asking.queues_allowed
    queues = allowed if queue is None else {queue} & (allowed if allowed is not None else {queue})
    counts = await asking.jobs.counts(queues=queues)
    return {place: CountOut(count=counts[place][0], is_exact=counts[place][1]) for place in Place}


@router.read("/jobs/{id}", needs=Permission.JOBS_READ)
async def show_job(asking: Asking, id: JobId) -> JobOut:
    """One job, with everything that happened to it."""
    return await whole_job(asking, id)


@router.read("/jobs/{id}/history", needs=Permission.JOBS_READ)
async def show_job_history(asking: Asking, id: JobId) -> Page[MomentOut]:
    """What happened to a job, oldest first; what is due comes last."""
    await visible_job(asking, id)
    moments = await asking.jobs.timeline(id)
    return Page(items=await MomentOut.each(asking, moments), next=None)


@router.read("/jobs/{id}/why", needs=Permission.JOBS_READ)
async def explain_job(asking: Asking, id: JobId) -> WhyOut:
    """Why a job does not run, or does, or has: what the claim looks at, and who holds it."""
    await visible_job(asking, id)
    answer = await asking.jobs.why(id)
    if not asking.sees_args:
        answer = answer.without_messages()
    told = answer.as_dict()
    reasons = [
        ReasonOut(
            code=reason["code"],
            text=redacted_text(reason["text"]),
            remedy=reason["remedy"],
            facts=_facts_of(reason),
        )
        for reason in told["reasons"]
    ]
    return WhyOut(
        job=id,
        task=answer.task,
        queue=answer.queue,
        state=answer.place,
        text=redacted_text(answer.text),
        reasons=reasons,
    )


@router.read("/jobs/{id}/logs", needs=Permission.JOBS_ARGS)
async def list_logs(asking: Asking, id: JobId, cursor: Cursor, limit: Limit = 200) -> LogPage:
    """What a job has logged, in the order it was said; from ``last`` on later calls go on."""
    await visible_job(asking, id)
    after = (cursor.integer(0), cursor.integer(1)) if cursor else None
    lines = await asking.jobs.log_page(id, after=after, limit=limit + 1)
    shown, following = page_of(lines, limit, lambda line: [line.lease, line.number])
    last = Position((shown[-1].lease, shown[-1].number)) if shown else cursor
    return LogPage(
        items=[LogLineOut.of(line) for line in shown], next=following, last=None if last is None else last.encode()
    )


@router.read("/jobs/{id}/children", needs=Permission.JOBS_READ)
async def list_children(asking: Asking, id: JobId, cursor: Cursor, limit: Limit = 50) -> Page[JobLine]:
    """Jobs of the batches that a job opened, or was called back for, oldest id first."""
    await visible_job(asking, id)
    ids = await asking.batches.ids("children", id, after=cursor.integer() if cursor else 0, limit=limit + 1)
    return await lines_page(asking, ids, limit)


@router.read("/tasks", needs=Permission.JOBS_READ)
async def list_tasks(asking: Asking) -> Page[TaskOut]:
    """Tasks that workers have declared, by name."""
    known = asking.app.tasks
    items = [
        TaskOut(
            name=task.name,
            queue=task.queue,
            priority=task.priority,
            max_attempts=task.max_attempts,
            timeout_seconds=task.timeout_seconds,
            declared_at=task.declared_at,
            failures=task.failures,
            parameters=list(known[task.name].signature.names) if task.name in known else None,
        )
        for task in await asking.jobs.tasks(queues=asking.queues_allowed)
    ]
    return Page(items=items, next=None)


@router.read("/filter", needs=Permission.JOBS_READ)
async def show_filter(asking: Asking) -> Page[FieldOut]:  # noqa: ARG001  (the same for everybody)
    """The fields of the filter language, with their operators."""
    values = {"state": list(map(str, Place))}
    return Page(
        items=[
            FieldOut(name=name, operators=list(operators), meaning=_MEANINGS[name], values=values.get(name))
            for name, operators in FIELDS.items()
        ],
        next=None,
    )


def permitted_filter(asked: Asked, text: str) -> JobFilter:
    """The filter, if it asks for nothing that the principal is not shown: what can be sought can be found out.

    Raises ``FilterInvalid``, ``Forbidden``.
    """
    found = JobFilter.parse(text)
    for term in found.terms:
        if any(map(looks_secret, term.path)):
            raise Forbidden(
                f"the values of {'.'.join(term.path)} are hidden, and cannot be sought",
                remedy="filter by another argument, or by id",
            )
        if not asked.sees_args and (term.field in _PRIVATE or (term.field == "error" and term.op == "~")):
            raise Forbidden(
                f"{asked.who.name} may not see what {term.field}{term.op} looks at",
                remedy=f"ask an admin for a token that permits {Permission.JOBS_ARGS.value}, or leave it out",
            )
    return found


async def visible_job(asked: Asked, job_id: int) -> JobInfo:
    """The job, if the principal may know of it. Raises ``JobNotFound``."""
    info = await asked.jobs.show(job_id)
    if asked.queues_allowed is not None and info.queue not in asked.queues_allowed:
        raise JobNotFound(f"there is no job {job_id}", remedy="it is none of your queues', or retention has let it go")
    return info


async def whole_job(asked: Asked, job_id: int) -> JobOut:
    """Everything about a job that the principal may see. Raises ``JobNotFound``."""
    info = await visible_job(asked, job_id)
    return await JobOut.whole(asked, info, await asked.jobs.timeline(job_id))


async def lines_page(asked: Asked, ids: Sequence[int], limit: int) -> Page[JobLine]:
    """One more id than are shown was asked for; jobs of queues that the principal may not see are left out."""
    infos = await asked.jobs.lines(ids[:limit])
    allowed = asked.queues_allowed
    shown = [info for info in infos if allowed is None or info.queue in allowed]
    following = Position((ids[limit - 1],)).encode() if len(ids) > limit else None
    return Page(items=await JobLine.each(asked, shown), next=following)


def _facts_of(reason: dict[str, Any]) -> dict[str, Any]:
    """Ids as strings, as everywhere; what others ask of the database stays on the page of the database."""
    return {name: _outside(value) for name, value in reason.items() if name not in ("code", "text", "remedy", "query")}


def _outside(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return str(value) if abs(value) >= 2**53 else value
    if isinstance(value, dict):
        return {name: _outside(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_outside(part) for part in value]
    return redacted_text(value) if isinstance(value, str) else value
