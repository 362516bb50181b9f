"""Operations: a verb on everything that a filter finds, previewed, started with a token, done by workers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StrictFloat

from holdfast.access import Permission
from holdfast.api.frame.acting import Acted, Acting
from holdfast.api.frame.asking import Asked, Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Body, Cursor, Id, Limit, Moment, Page, Priority, Reason, page_of
from holdfast.api.nouns.job_shapes import VERBS, JobLine
from holdfast.api.nouns.jobs import permitted_filter
from holdfast.jobs import Found, OperationInfo, OperationPreview

router = NounRouter("operations")

_Duration = Annotated[
    StrictFloat | str, Field(description="seconds, or text such as 90s, 10m, 1h30m, 2d", union_mode="left_to_right")
]


class PreviewIn(Body):
    """A verb and the jobs that it is for."""

    verb: Literal["retry", "cancel", "reschedule", "priority", "purge"]
    filter: str = Field(max_length=2_000, description="as for GET /jobs; empty: every job")
    reason: str | None = Field(default=None, max_length=1_000)
    run_in: _Duration | None = Field(default=None, description="for reschedule")
    run_at: Moment | None = Field(default=None, description="for reschedule, instead of run_in")
    priority: Priority | None = Field(default=None, description="for priority")


class GroupOut(BaseModel):
    """Jobs of one task in one state, with one type of error."""

    state: str
    task: str
    error_type: str | None
    count: int

    @classmethod
    def of(cls, found: Found) -> GroupOut:
        """As it is sent."""
        return cls(state=found.state, task=found.task, error_type=found.error_type, count=found.jobs)


class PreviewOut(BaseModel):
    """What an operation would move, and the token that starts it."""

    token: str = Field(description="good once, for you, until expires_at")
    verb: str
    filter: str
    jobs: int
    is_exact: bool = Field(description="otherwise there are more than these")
    groups: list[GroupOut]
    sample: list[JobLine]
    warnings: list[str]
    expires_at: datetime


class StartIn(Reason):
    """What starts an operation."""

    token: str = Field(min_length=1, max_length=200)


class OperationOut(BaseModel):
    """How far an operation is."""

    id: Id
    verb: str
    filter: str
    by: str | None
    reason: str | None
    state: str = Field(description="running, finished, cancelled or failed")
    planned: int
    planned_is_exact: bool
    moved: int
    skipped: int = Field(description="no longer there when their turn came, or held by somebody")
    failed: int
    trouble: str | None = Field(description="why the last one that failed did")
    due_at: datetime | None
    priority: int | None
    started_at: datetime
    finished_at: datetime | None
    ended_by: str | None
    rate: float | None = Field(description="jobs a second")
    eta_seconds: float | None
    actions: list[str]

    @classmethod
    def of(cls, asked: Asked, info: OperationInfo) -> OperationOut:
        """As this principal may see it."""
        values = {name: getattr(info, name) for name in cls.model_fields if name not in ("by", "actions")}
        legal = [("cancel", Permission.OPERATIONS_CANCEL)] if info.state == "running" else []
        return cls(**values, by=info.requested_by, actions=asked.legal(legal))


@router.act("/operations/preview", needs=Permission.JOBS_READ, audit="operation.preview")
async def preview_operation(acting: Acting, body: PreviewIn) -> PreviewOut:
    """Count what a verb would move, and freeze the filter for ten minutes under a token."""
    acting.who.demand(VERBS[body.verb])
    acting.target("filter", body.filter)
    permitted_filter(acting, body.filter)
    preview = await acting.operations.preview(
        body.verb,
        body.filter,
        reason=body.reason,
        by=acting.who.name,
        queues=acting.queues_allowed,
        run_in=body.run_in,
        run_at=body.run_at,
        priority=body.priority,
    )
    acting.note(after={"verb": body.verb, "jobs": preview.jobs, "is_exact": preview.is_exact}, reason=body.reason)
    return await _previewed(acting, preview)


@router.act("/operations", needs=Permission.JOBS_READ, audit="operation.start", status_code=202)
async def start_operation(acting: Acting, body: StartIn) -> OperationOut:
    """Start what was previewed; workers do it."""
    acting.note(reason=body.reason)
    info = await acting.operations.start(body.token, reason=body.reason, by=acting.who.name)
    acting.target("operation", info.id)
    # Whoever made the preview may have been allowed less since.
    acting.who.demand(VERBS[info.verb])
    acting.note(after={"verb": info.verb, "filter": info.filter, "planned": info.planned})
    return OperationOut.of(acting, info)


@router.read("/operations", needs=Permission.OPERATIONS_READ)
async def list_operations(asking: Asking, cursor: Cursor, limit: Limit = 50) -> Page[OperationOut]:
    """Operations that were started, the newest first."""
    before = cursor.integer() if cursor else None
    found = await asking.operations.list(before=before, limit=limit + 1, queues=asking.queues_allowed)
    shown, following = page_of(found, limit, lambda info: [info.id])
    return Page(items=[OperationOut.of(asking, info) for info in shown], next=following)


@router.read("/operations/{id}", needs=Permission.OPERATIONS_READ)
async def show_operation(asking: Asking, id: Id) -> OperationOut:
    """How far an operation is."""
    return OperationOut.of(asking, await asking.operations.show(id, queues=asking.queues_allowed))


@router.act("/operations/{id}/cancel", needs=Permission.OPERATIONS_CANCEL, audit="operation.cancel")
async def cancel_operation(acting: Acting, id: Id, body: Reason) -> OperationOut:
    """End an operation between two batches; what it has moved stays moved."""
    acting.target("operation", id)
    before = await acting.operations.show(id, queues=acting.queues_allowed)
    info = await acting.operations.cancel(id, by=acting.who.name)
    acting.note(before={"state": before.state}, after={"state": info.state, "moved": info.moved}, reason=body.reason)
    return OperationOut.of(acting, info)


async def _previewed(acting: Acted, preview: OperationPreview) -> PreviewOut:
    infos = await acting.jobs.lines([match.id for match in preview.sample])
    return PreviewOut(
        token=preview.token,
        verb=preview.verb,
        filter=preview.filter,
        jobs=preview.jobs,
        is_exact=preview.is_exact,
        groups=[GroupOut.of(found) for found in preview.groups],
        sample=await JobLine.each(acting, infos),
        warnings=list(preview.warnings),
        expires_at=preview.expires_at,
    )
