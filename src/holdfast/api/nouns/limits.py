"""Limits and rates: how many jobs run at once, or start within a time, and who waits for that."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from holdfast.access import Permission
from holdfast.api.frame.acting import Acted, Acting
from holdfast.api.frame.asking import Asked, Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Body, Capacity, Page
from holdfast.errors import Forbidden
from holdfast.jobs import LimitInfo

router = NounRouter("limits")

_MOST_KEYS = 1_000
_Name = Annotated[str, Field(min_length=1, max_length=500, description="of a limit, or rate:NAME")]


class LimitOut(BaseModel):
    """A limit or rate, or one key of it that is in use."""

    name: str
    kind: str = Field(description="limit or rate")
    key: str | None
    capacity: int
    declared: int = Field(description="the capacity that the application declares")
    per_seconds: float | None = Field(description="of a rate: its window")
    taken: int
    waiting: int = Field(description="counted up to 10 000")
    actions: list[str]

    @classmethod
    def of(cls, asked: Asked, info: LimitInfo) -> LimitOut:
        """As this principal may see it."""
        values = {name: getattr(info, name) for name in cls.model_fields if name not in ("actions", "key")}
        legal = [("set", Permission.LIMITS_SET)]
        if info.capacity != info.declared:
            legal.append(("reset", Permission.LIMITS_SET))
        # Keys are made of arguments.
        key = info.key if asked.sees_args or not info.key else "[hidden]"
        return cls(**values, key=key, actions=asked.legal(legal) if asked.queues_allowed is None else [])


class LimitIn(Body):
    """Another capacity."""

    name: _Name
    capacity: Capacity = Field(description="0 lets nobody pass")
    reason: str | None = Field(default=None, max_length=1_000)


class LimitNamed(Body):
    """A limit by its name."""

    name: _Name
    reason: str | None = Field(default=None, max_length=1_000)


@router.read("/limits", needs=Permission.QUEUES_READ)
async def list_limits(asking: Asking) -> Page[LimitOut]:
    """Every limit and rate that workers have declared, with a line for each key in use, a thousand at most."""
    return Page(items=await _limits(asking, None), next=None)


@router.act("/limits/set", needs=Permission.LIMITS_SET, audit="limit.set")
async def set_limit(acting: Acting, body: LimitIn) -> Page[LimitOut]:
    """Another capacity from now on, until it is reset. Jobs that have passed go on."""
    before = await _begin(acting, body.name, body.reason)
    await acting.limits.set(body.name, body.capacity)
    acting.note(before={"capacity": before}, after={"capacity": body.capacity})
    return Page(items=await _limits(acting, body.name), next=None)


@router.act("/limits/reset", needs=Permission.LIMITS_SET, audit="limit.reset")
async def reset_limit(acting: Acting, body: LimitNamed) -> Page[LimitOut]:
    """The capacity that the application declares."""
    before = await _begin(acting, body.name, body.reason)
    await acting.limits.reset(body.name)
    after = await _limits(acting, body.name)
    acting.note(before={"capacity": before}, after={"capacity": after[0].capacity if after else None})
    return Page(items=after, next=None)


async def _begin(acting: Acted, name: str, reason: str | None) -> int | None:
    """Limits are not of one queue: whoever is confined to some may not change them."""
    acting.target("limit", name)
    acting.note(reason=reason)
    if acting.queues_allowed is not None:
        raise Forbidden("limits are shared by all queues", remedy="ask somebody who is not confined to some queues")
    found = await _limits(acting, name)
    return found[0].capacity if found else None


async def _limits(asked: Asked, name: str | None) -> list[LimitOut]:
    infos = await asked.limits.list(most=_MOST_KEYS)
    kind, _, bare = name.rpartition(":") if name else ("", "", "")
    wanted = None if name is None else (kind or "limit", bare)
    return [LimitOut.of(asked, info) for info in infos if wanted is None or (info.kind, info.name) == wanted]
