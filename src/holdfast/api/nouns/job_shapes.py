"""Jobs as they are sent: in lists, one by one, and what happened to them. Who may not see arguments gets none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from holdfast.access import Permission, redacted, redacted_text
from holdfast.api.frame.asking import Asked
from holdfast.api.frame.values import Id, Page
from holdfast.jobs import JobInfo, Moment, Progress, actions
from holdfast.observe import Workers

VERBS = {
    "retry": Permission.JOBS_RETRY,
    "cancel": Permission.JOBS_CANCEL,
    "reschedule": Permission.JOBS_RESCHEDULE,
    "priority": Permission.JOBS_RESCHEDULE,
    "edit": Permission.JOBS_EDIT,
    "purge": Permission.JOBS_PURGE,
}
"""What people do to jobs, and what they need for it."""
HIDDEN_MESSAGE = "[hidden]"
"""For the message of an error: it may quote arguments, so whoever may not see these is told the type alone."""


class ErrorOut(BaseModel):
    """What went wrong. In lists only the first line of the message, and no traceback."""

    type: str
    message: str
    traceback: str | None = None
    frame: str | None = Field(default=None, description="the function of the application in which it was raised")

    @classmethod
    def of(cls, asked: Asked, error: Any) -> ErrorOut | None:
        """As this principal may see it, without what looks secret."""
        if not isinstance(error, dict):
            return None
        if not asked.sees_args:
            error = {**error, "message": HIDDEN_MESSAGE, "traceback": None}
        told = {name: redacted_text(str(error[name])) for name in cls.model_fields if error.get(name) is not None}
        return cls(**{"type": "", "message": "", **told})


class ProgressOut(BaseModel):
    """How far a running job is, as it says."""

    done: float
    total: float | None
    message: str | None
    reported_at: datetime

    @classmethod
    def of(cls, progress: Progress | None) -> ProgressOut | None:
        """As it is sent."""
        if progress is None:
            return None
        return cls(
            done=progress.done,
            total=progress.total,
            message=None if progress.message is None else redacted_text(progress.message),
            reported_at=progress.reported_at,
        )


class JobLine(BaseModel):
    """A job in a list."""

    id: Id
    task: str
    queue: str
    state: str = Field(description="scheduled, blocked, ready, running, completed, failed or cancelled")
    priority: int = Field(description="0 runs first, 9 last")
    args: Any = Field(description="null to whoever may not see them, and in lists when they are large")
    attempt: int | None
    max_attempts: int | None
    timeout_seconds: float | None
    enqueued_at: datetime
    due_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    worker: Id | None
    worker_name: str | None = Field(description="null: it was given none, or is forgotten")
    error: ErrorOut | None
    progress: ProgressOut | None
    unique_key: str | None
    batch: Id | None
    cancel_requested: bool
    actions: list[str] = Field(description="what is legal in this state, and permitted to you")

    @classmethod
    async def each(cls, asked: Asked, infos: Sequence[JobInfo]) -> list[JobLine]:
        """As this principal may see them."""
        names = await _names_of(asked, [info.worker for info in infos])
        return [cls(**_facts(asked, info, names)) for info in infos]


class MomentOut(BaseModel):
    """One thing that happened to a job."""

    at: datetime
    what: str = Field(
        description="enqueued, attempt, lost, edited, linked, asked (to stop), due, completed, failed, cancelled"
    )
    ended_at: datetime | None = Field(description="an attempt took from `at` until then")
    outcome: str | None = Field(description="how an attempt ended: completed, failed, cancelled; running: it has not")
    attempt: int | None
    worker: Id | None
    worker_name: str | None = Field(description="null: it was given none, or is forgotten")
    error: ErrorOut | None
    reason: str | None
    args: Any = Field(description="the arguments before an edit")
    priority: int | None = Field(description="the priority before it was changed")
    engine: str | None
    external_id: str | None
    log_url: str | None
    counted: bool | None = Field(description="whether a loss counts against the job")

    @classmethod
    async def each(cls, asked: Asked, moments: Sequence[Moment]) -> list[MomentOut]:
        """As this principal may see them."""
        names = await _names_of(asked, [moment.worker for moment in moments])
        return [cls._of(asked, moment, names) for moment in moments]

    @classmethod
    def _of(cls, asked: Asked, moment: Moment, names: Mapping[int, str]) -> MomentOut:
        values = {name: getattr(moment, name, None) for name in cls.model_fields}
        values |= {"error": ErrorOut.of(asked, moment.error), "args": asked.shown(moment.args)}
        return cls(**values | {"worker_name": names.get(moment.worker or 0)})


class JobOut(JobLine):
    """A job, whole."""

    result: Any = Field(description="null to whoever may not see it")
    hidden: list[str] = Field(description="what you may not see of it: args, result, logs, messages (of errors)")
    timeline: list[MomentOut]

    @classmethod
    async def whole(cls, asked: Asked, info: JobInfo, moments: list[Moment]) -> JobOut:
        """As this principal may see it."""
        return cls(
            **_facts(asked, info, await _names_of(asked, [info.worker])),
            result=asked.shown(info.result),
            hidden=[] if asked.sees_args else ["args", "result", "logs", "messages"],
            timeline=await MomentOut.each(asked, moments),
        )


class JobsPage(Page[JobLine]):
    """A page of jobs. One that is not full is the last one only if ``next`` is null."""

    searched_to: datetime | None = Field(
        description="the search took its time and stopped at jobs enqueued then; `next` goes on from there"
    )


async def _names_of(asked: Asked, workers: Iterable[int | None]) -> Mapping[int, str]:
    return await Workers(asked.database).names({worker for worker in workers if worker is not None})


def _facts(asked: Asked, info: JobInfo, names: Mapping[int, str]) -> dict[str, Any]:
    values = {name: getattr(info, name, None) for name in JobLine.model_fields}
    legal = actions(info.state)
    values |= {
        "worker_name": names.get(info.worker or 0),
        "args": asked.shown(info.args),
        "error": ErrorOut.of(asked, info.error),
        "progress": ProgressOut.of(info.progress),
        "unique_key": redacted(info.unique_key) if asked.sees_args else None,
        "actions": asked.legal([(verb, needs) for verb, needs in VERBS.items() if verb in legal]),
    }
    return values
