"""What was done over HTTP and by commands, by whom, and what was refused."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field

from holdfast.access import Audit, Permission, Recorded
from holdfast.api.frame.asking import Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Cursor, Id, Limit, Moment, Page, page_of
from holdfast.errors import Forbidden

router = NounRouter("audit")

_Word = Annotated[str | None, Query(max_length=500)]


class AuditOut(BaseModel):
    """One row of the audit."""

    id: Id
    at: datetime
    actor: str
    actor_kind: str
    action: str
    result: str = Field(description="done, begun, failed or denied")
    target_kind: str | None
    target: str | None
    reason: str | None
    before: Any
    after: Any
    code: str | None
    detail: str | None
    request_id: str | None
    client: str | None

    @classmethod
    def of(cls, row: Recorded) -> AuditOut:
        """As it is sent."""
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


@router.read("/audit", needs=Permission.AUDIT_READ)
async def list_audit(
    asking: Asking,
    cursor: Cursor,
    actor: _Word = None,
    action: _Word = None,
    target: _Word = None,
    since: Moment | None = None,
    limit: Limit = 50,
) -> Page[AuditOut]:
    """The newest rows of the audit first. A row has no queue, so none is shown to whoever is confined to some."""
    if asking.queues_allowed is not None:
        raise Forbidden("the audit tells of all queues", remedy="ask somebody who is not confined to some queues")
    rows = await Audit(asking.database).list(
        actor=actor,
        action=action,
        target=target,
        since=since,
        before=cursor.integer() if cursor else None,
        limit=limit + 1,
    )
    shown, following = page_of(rows, limit, lambda row: [row.id])
    return Page(items=[AuditOut.of(row) for row in shown], next=following)
