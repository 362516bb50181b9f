"""Browsers that are signed in."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from holdfast.access import Permission, Session
from holdfast.api.frame.acting import Acting
from holdfast.api.frame.asking import Asking
from holdfast.api.frame.frame import Frame
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Cursor, Id, Limit, Page, page_of
from holdfast.api.nouns.stream import hub_of
from holdfast.errors import SessionNotFound

router = NounRouter("sessions")


class SessionOut(BaseModel):
    """A browser that is signed in."""

    id: Id
    name: str
    token_id: Id | None
    client: str | None
    agent: str | None
    created_at: datetime
    seen_at: datetime = Field(description="to the minute")
    expires_at: datetime
    is_current: bool
    actions: list[str]

    @classmethod
    def of(cls, session: Session, asking: Asking) -> SessionOut:
        """As it is sent."""
        return cls(
            **{name: getattr(session, name) for name in Session.__struct_fields__},
            is_current=session.id == asking.who.session_id,
            actions=asking.legal([("end", Permission.TOKENS_MANAGE)]),
        )


@router.read("/sessions", needs=Permission.TOKENS_MANAGE)
async def list_sessions(asking: Asking, cursor: Cursor, limit: Limit = 50) -> Page[SessionOut]:
    """Open sessions, the newest first; whoever is confined to queues sees those that are as well."""
    frame: Frame = asking.request.app.state.frame
    sessions = frame.signing_in.sessions(asking.database)
    before = cursor.integer() if cursor else None
    rows = await sessions.list(before=before, limit=limit + 1, queues=asking.queues_allowed)
    shown, following = page_of(rows, limit, lambda row: [row.id])
    return Page(items=[SessionOut.of(row, asking) for row in shown], next=following)


@router.act("/sessions/{id}/end", needs=Permission.TOKENS_MANAGE, audit="session.end", status_code=204)
async def end_session(acting: Acting, id: Id) -> None:
    """Sign a browser out."""
    acting.target("session", id)
    frame: Frame = acting.request.app.state.frame
    name = await frame.signing_in.sessions(acting.database).end(id, queues=acting.queues_allowed)
    if name is None:
        raise SessionNotFound(f"there is no session {id}, or it has ended", remedy="list them again")
    acting.note(before={"name": name})
    acting.afterwards(lambda: hub_of(acting.request).dismiss(lambda who: who.session_id == id))
