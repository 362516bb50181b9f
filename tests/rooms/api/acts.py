"""A noun for tests, with acts that end in every way."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from holdfast import Holdfast
from holdfast.access import Permission
from holdfast.api import create_api
from holdfast.api.frame.acting import Acting
from holdfast.api.frame.application import PREFIX
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Body, Name
from holdfast.errors import IllegalMove

router = NounRouter("acts")


class PauseIn(Body):
    """What to pause, and why."""

    name: str
    reason: str | None = None
    extra: Any = None


@router.act("/acts/pause", needs=Permission.QUEUES_PAUSE, audit="queue.pause")
async def pause(acting: Acting, body: PauseIn) -> dict[str, bool]:
    """Pauses a queue: one statement of a console."""
    acting.target("queue", body.name)
    acting.note(before={"paused": False, "password": "hunter2"}, after={"paused": True}, reason=body.reason)
    return {"changed": await acting.queues.pause(body.name, reason=body.reason, by=acting.who.name)}


@router.act("/acts/half", needs=Permission.QUEUES_PAUSE, audit="queue.half")
async def half(acting: Acting, name: Name) -> None:
    """Pauses a queue and then finds that it may not."""
    acting.target("queue", name)
    await acting.queues.pause(name)
    refused = IllegalMove("it is half done", remedy="do it whole")
    refused.state, refused.actions = "half", ("whole",)
    raise refused


@router.act("/acts/broken", needs=Permission.QUEUES_PAUSE, audit="queue.broken")
async def broken(acting: Acting, name: Name) -> None:
    """Pauses a queue and then breaks."""
    await acting.queues.pause(name)
    raise RuntimeError("a mistake of ours")


@router.act("/acts/apart", needs=Permission.QUEUES_PAUSE, audit="queue.apart", apart=True)
async def apart(acting: Acting, name: Name) -> None:
    """Pauses a queue in a transaction of its own."""
    await acting.queues.pause(name)


def api_with_acts(app: Holdfast, *, auth: bool | None = False) -> FastAPI:
    """The API of an application with this noun beside the others."""
    api = create_api(app, auth=auth)
    api.router.routes += router.routes_below(PREFIX)
    return api
