"""Batches: jobs with one end."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from holdfast.access import Permission
from holdfast.api.frame.acting import Acting
from holdfast.api.frame.asking import Asked, Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Cursor, Id, Limit, Page, Reason, page_of
from holdfast.api.nouns.job_shapes import JobLine
from holdfast.api.nouns.jobs import lines_page
from holdfast.errors import BatchNotFound, Forbidden
from holdfast.jobs import BatchInfo

router = NounRouter("batches")

_MEMBERS_LOOKED_AT = 20


class BatchOut(BaseModel):
    """How far a batch is."""

    id: Id
    name: str | None
    state: str = Field(description="running, completed, failed or cancelled")
    parent_job: Id | None
    created_at: datetime
    finished_at: datetime | None
    members: int
    open: int
    completed: int
    failed: int
    cancelled: int
    retried: int
    cancel_reason: str | None
    callbacks: list[Id] = Field(description="jobs that its end has called")
    actions: list[str]

    @classmethod
    def of(cls, asked: Asked, info: BatchInfo) -> BatchOut:
        """As this principal may see it."""
        values = {name: getattr(info, name) for name in cls.model_fields if name != "actions"}
        legal = [("cancel", Permission.JOBS_CANCEL)] if info.state == "running" else []
        return cls(**{**values, "callbacks": list(info.callbacks)}, actions=asked.legal(legal))


@router.read("/batches", needs=Permission.JOBS_READ)
async def list_batches(
    asking: Asking, cursor: Cursor, *, unfinished: bool = False, limit: Limit = 50
) -> Page[BatchOut]:
    """The newest batches first."""
    before = cursor.integer() if cursor else None
    found = await asking.batches.list(unfinished=unfinished, before=before, limit=limit + 1)
    shown, following = page_of(found, limit, lambda info: [info.id])
    visible = [info for info in shown if await _may_see(asking, info.id)]
    return Page(items=[BatchOut.of(asking, info) for info in visible], next=following)


@router.read("/batches/{id}", needs=Permission.JOBS_READ)
async def show_batch(asking: Asking, id: Id) -> BatchOut:
    """How far a batch is."""
    return BatchOut.of(asking, await _visible(asking, id))


@router.read("/batches/{id}/members", needs=Permission.JOBS_READ)
async def list_members(asking: Asking, id: Id, cursor: Cursor, limit: Limit = 50) -> Page[JobLine]:
    """The jobs of a batch, the oldest id first."""
    await _visible(asking, id)
    ids = await asking.batches.ids("members", id, after=cursor.integer() if cursor else 0, limit=limit + 1)
    return await lines_page(asking, ids, limit)


@router.act("/batches/{id}/cancel", needs=Permission.JOBS_CANCEL, audit="batch.cancel")
async def cancel_batch(acting: Acting, id: Id, body: Reason) -> BatchOut:
    """Cancel a batch with its members and what they opened; nobody is called back. Cancelling twice is once."""
    acting.target("batch", id)
    before = await _visible(acting, id)
    allowed = acting.queues_allowed
    if allowed is not None and not await acting.batches.is_within(id, allowed):
        raise Forbidden(
            f"batch {id} has members in queues that are not yours", remedy="cancel the jobs of your queues one by one"
        )
    await acting.batches.cancel(id, reason=body.reason)
    after = await acting.batches.show(id)
    acting.note(before={"state": before.state}, after={"state": after.state}, reason=body.reason)
    return BatchOut.of(acting, after)


async def _visible(asked: Asked, batch_id: int) -> BatchInfo:
    """The batch, if the principal may know of it. Raises ``BatchNotFound``."""
    info = await asked.batches.show(batch_id)
    if not await _may_see(asked, batch_id):
        raise BatchNotFound(f"there is no batch {batch_id}", remedy="it is none of your queues', or was let go")
    return info


async def _may_see(asked: Asked, batch_id: int) -> bool:
    """Whether its first members are all in queues that the principal may see."""
    allowed = asked.queues_allowed
    return allowed is None or await asked.batches.is_within(batch_id, allowed, most=_MEMBERS_LOOKED_AT)
