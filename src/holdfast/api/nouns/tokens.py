"""Tokens: the credentials of programs and people."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from holdfast.access import Permission, Role, Token, Tokens, permissions_of
from holdfast.api.frame.acting import Acting
from holdfast.api.frame.asking import Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Body, Cursor, Id, Limit, Page, page_of
from holdfast.api.nouns.stream import hub_of
from holdfast.errors import Forbidden

router = NounRouter("tokens")

_DAY_SECONDS = 86_400
_QueueName = Annotated[str, Field(min_length=1, max_length=500)]


class TokenOut(BaseModel):
    """A token; its secret is shown once, when it is made."""

    id: Id
    name: str
    role: str | None
    permissions: list[str]
    queues: list[str] | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    used_at: datetime | None = Field(description="to the minute")
    revoked_at: datetime | None
    revoked_by: str | None
    standing: str = Field(description="good, expired or revoked")
    actions: list[str]

    @classmethod
    def of(cls, token: Token, asking: Asking) -> TokenOut:
        """As it is sent."""
        legal = asking.legal([("revoke", Permission.TOKENS_MANAGE)])
        return cls(
            **{name: getattr(token, name) for name in Token.__struct_fields__},
            actions=legal if token.revoked_at is None else [],
        )


class TokenIn(Body):
    """What a new token permits."""

    name: str = Field(min_length=1, max_length=200, pattern=r"\S")
    role: Role | None = None
    permissions: list[Permission] = Field(default=[], max_length=len(Permission))
    queues: list[_QueueName] | None = Field(default=None, min_length=1, max_length=100)
    expires_in_days: float | None = Field(default=None, gt=0, le=3650)


class NewTokenOut(BaseModel):
    """A new token and its secret."""

    token: TokenOut
    secret: str = Field(description="shown this once")


@router.read("/tokens", needs=Permission.TOKENS_MANAGE)
async def list_tokens(asking: Asking, cursor: Cursor, limit: Limit = 50) -> Page[TokenOut]:
    """The newest tokens first, also those that open nothing; whoever is confined to queues sees those that are, too."""
    before = cursor.integer() if cursor else None
    rows = await Tokens(asking.database).list(before=before, limit=limit + 1, queues=asking.queues_allowed)
    shown, following = page_of(rows, limit, lambda row: [row.id])
    return Page(items=[TokenOut.of(row, asking) for row in shown], next=following)


@router.act("/tokens", needs=Permission.TOKENS_MANAGE, audit="token.create", secret=True, status_code=201)
async def create_token(acting: Acting, body: TokenIn) -> NewTokenOut:
    """Make a token. It permits at most what its maker may do, in the queues of its maker."""
    queues = _within(acting, body)
    tokens = Tokens(acting.database)
    token_id, secret = await tokens.create(
        body.name,
        by=acting.who.name,
        role=body.role,
        permissions=body.permissions,
        queues=queues,
        expires_in_seconds=None if body.expires_in_days is None else body.expires_in_days * _DAY_SECONDS,
    )
    acting.target("token", token_id)
    token = await tokens.show(token_id)
    acting.note(after={"name": token.name, "role": token.role, "permissions": token.permissions, "queues": queues})
    return NewTokenOut(token=TokenOut.of(token, acting), secret=secret)


@router.act("/tokens/{id}/revoke", needs=Permission.TOKENS_MANAGE, audit="token.revoke")
async def revoke_token(acting: Acting, id: Id) -> TokenOut:
    """Let a token and its sessions open nothing from now on."""
    acting.target("token", id)
    tokens = Tokens(acting.database)
    acting.note(before={"name": await tokens.revoke(id, by=acting.who.name, queues=acting.queues_allowed)})
    acting.afterwards(lambda: hub_of(acting.request).dismiss(lambda who: who.token_id == id))
    return TokenOut.of(await tokens.show(id), acting)


def _within(acting: Acting, body: TokenIn) -> list[str] | None:
    """The queues of the new token. Raises ``Forbidden`` for a token that permits more than its maker may do."""
    wanted = permissions_of([body.role] if body.role else [], body.permissions)
    if not wanted <= acting.who.permissions:
        missing = ", ".join(sorted(wanted - acting.who.permissions))
        raise Forbidden(f"you may not give away what you do not have: {missing}", remedy="ask an admin")
    if acting.who.queues is None:
        return body.queues
    for queue in body.queues or ():
        acting.who.demand_queue(queue)
    return body.queues or sorted(acting.who.queues)
