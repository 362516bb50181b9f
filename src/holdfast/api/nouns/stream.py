"""Live updates as server-sent events: one stream for everything that a browser watches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib import metadata
from typing import Annotated, Any, Final

from fastapi import Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from holdfast.access import Openness, Permission, Principal
from holdfast.api.frame.asking import Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.live.hub import Hub
from holdfast.api.live.listener import Listener
from holdfast.api.live.topics import watched_by
from holdfast.api.nouns.overview import tiles_of, verdict_of_error, verdict_out
from holdfast.clock import monotonic, now
from holdfast.observe import Sight, judge

router = NounRouter("stream")

_LONGEST_SECONDS: Final = 900.0
"""After that the browser comes back, and shows anew who it is: what its token permits may have changed."""


@router.read(
    "/stream",
    needs=Openness.SIGNED_IN,
    endless=True,
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def open_stream(
    asking: Asking,
    topics: Annotated[str, Query(max_length=2_000, description="stats, jobs, job:ID, queues, …; comma-separated")],
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
) -> StreamingResponse:
    """What changes, as it changes.

    ``hello`` comes first; unless it says ``resumed``, fetch again what was fetched before it. ``patch`` {topic, id,
    version}: that has changed, fetch it. ``stats``: verdict, tiles and queues, at most once a second. ``reset``: fetch
    everything again. ``bye``: this server ends, come back after ``retry_ms``; or you were signed out.
    """
    watched = watched_by(asking.who, topics.split(","))
    hub = hub_of(asking.request)
    hello = {"server_time": now().isoformat(), "version": metadata.version("holdfast")}
    listener = hub.join(asking.who, watched, hello, last_event_id)
    return _LiveResponse(hub, listener)


def hub_of(request: Request) -> Hub:
    """The hub of this API."""
    state = request.app.state
    hub: Hub | None = getattr(state, "hub", None)
    if hub is None:
        hub = state.hub = Hub(state.frame, _stats)
    return hub


class _LiveResponse(StreamingResponse):
    """The open answer. Whoever is gone before its first byte leaves, too: what was never begun has no end to do it."""

    def __init__(self, hub: Hub, listener: Listener) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_frames(listener), media_type="text/event-stream", headers=headers)
        self._hub, self._listener = hub, listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until one side ends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.leave(self._listener)


async def _frames(listener: Listener) -> AsyncIterator[bytes]:
    give_up_at = monotonic() + _LONGEST_SECONDS
    async for frame in listener.frames():
        yield frame
        if monotonic() > give_up_at:
            return


def _stats(who: Principal, sight: Sight | None, error: Exception | None) -> dict[str, Any]:
    """The data of ``stats``, as this principal may see it."""
    if sight is None:
        verdict = verdict_of_error(error or TimeoutError("no answer yet"))
        return {"at": now().isoformat(), "verdict": verdict_out(who, verdict).model_dump(), "tiles": None, "queues": []}
    mine = sight.of_queues(who.queues)
    queues = mine.queues if who.may(Permission.QUEUES_READ) else ()
    return {
        "at": mine.at.isoformat(),
        "verdict": verdict_out(who, judge(mine)).model_dump(),
        "tiles": tiles_of(who, mine).model_dump(mode="json"),
        "queues": [
            {
                "name": queue.name,
                "ready": queue.ready,
                "ready_is_exact": queue.ready_is_exact,
                "oldest_seconds": queue.oldest_seconds,
                "scheduled": queue.scheduled,
                "blocked": queue.blocked,
                "running": queue.running,
                "paused": queue.paused_at is not None,
            }
            for queue in queues
        ],
    }
