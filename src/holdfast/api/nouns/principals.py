"""Who asks: what they may do."""

from __future__ import annotations

from pydantic import BaseModel, Field

from holdfast.access import Openness
from holdfast.api.frame.asking import Asking
from holdfast.api.frame.routing import NounRouter

router = NounRouter("principals")


class MeOut(BaseModel):
    """The one who asks."""

    name: str
    kind: str = Field(description="local, token, session, oidc or public")
    roles: list[str]
    permissions: list[str]
    queues: list[str] | None = Field(description="the only queues that may be seen and touched; null: all")
    csrf_token: str | None = Field(description="what a session sends as X-CSRF-Token with everything that is no GET")


@router.read("/me", needs=Openness.SIGNED_IN)
async def show_me(asking: Asking) -> MeOut:
    """Who I am to this server, and what I may do."""
    who = asking.who
    return MeOut(
        name=who.name,
        kind=who.kind,
        roles=list(who.roles),
        permissions=sorted(who.permissions),
        queues=None if who.queues is None else sorted(who.queues),
        csrf_token=who.csrf_token,
    )
