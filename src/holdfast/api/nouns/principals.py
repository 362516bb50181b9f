"""Who asks: what they may do, and the session of their browser."""

from __future__ import annotations

from fastapi import Response
from pydantic import BaseModel, Field

from holdfast.access import Openness, Principal, Sessions
from holdfast.api.frame.acting import Acting
from holdfast.api.frame.asking import Asking
from holdfast.api.frame.frame import Frame
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Body
from holdfast.api.nouns.stream import hub_of

router = NounRouter("principals")


class MeOut(BaseModel):
    """The one who asks."""

    name: str
    kind: str = Field(description="local, token, session, oidc or public")
    roles: list[str]
    permissions: list[str]
    queues: list[str] | None = Field(description="the only queues that may be seen and touched; null: all")
    csrf_token: str | None = Field(description="what a session sends as X-CSRF-Token with everything that is no GET")

    @classmethod
    def of(cls, who: Principal) -> MeOut:
        """As it is sent."""
        return cls(
            name=who.name,
            kind=who.kind,
            roles=list(who.roles),
            permissions=sorted(who.permissions),
            queues=None if who.queues is None else sorted(who.queues),
            csrf_token=who.csrf_token,
        )


class SignIn(Body):
    """A credential to sign in with."""

    token: str = Field(min_length=1, max_length=20_000, description="a token of this server, or an OIDC bearer token")


@router.read("/me", needs=Openness.SIGNED_IN)
async def show_me(asking: Asking) -> MeOut:
    """Who I am to this server, and what I may do."""
    return MeOut.of(asking.who)


@router.act("/session", needs=Openness.ANYBODY, audit="session.open", secret=True)
async def sign_in(acting: Acting, body: SignIn, response: Response) -> MeOut:
    """Sign a browser in: it gets a cookie, and with everything that is no GET it sends the `csrf_token`."""
    frame: Frame = acting.request.app.state.frame
    if not frame.guarded:
        acting.act_as(acting.who)
        return MeOut.of(acting.who)
    credential = await frame.signing_in.credential_of(body.token, acting.request, acting.database)
    sessions = frame.signing_in.sessions(acting.database)
    await _end_own(acting, sessions)
    client = acting.request.client
    who, secret = await sessions.open(
        credential, client=client.host if client else None, agent=acting.request.headers.get("user-agent")
    )
    acting.act_as(who)
    acting.target("session", who.session_id or 0)
    frame.signing_in.remember(acting.request, response, secret)
    return MeOut.of(who)


@router.act("/session", needs=Openness.SIGNED_IN, audit="session.end", method="DELETE", status_code=204)
async def sign_out(acting: Acting, response: Response) -> None:
    """Sign this browser out."""
    frame: Frame = acting.request.app.state.frame
    if acting.who.session_id is not None:
        acting.target("session", acting.who.session_id)
    await _end_own(acting, frame.signing_in.sessions(acting.database))
    frame.signing_in.forget(acting.request, response)


async def _end_own(acting: Acting, sessions: Sessions) -> None:
    """End the session that the request came with, if it has one, and its streams."""
    ended = acting.who.session_id
    if ended is not None:
        await sessions.end(ended)
        acting.afterwards(lambda: hub_of(acting.request).dismiss(lambda who: who.session_id == ended))
