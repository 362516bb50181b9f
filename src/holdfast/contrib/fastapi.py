"""Holdfast beside FastAPI (and Starlette): opened and closed with it, at hand in its path functions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request

from holdfast.app import Holdfast


def lifespan(
    app: Holdfast, *, then: Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any] | None]] | None = None
) -> Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """A lifespan for ``FastAPI(lifespan=…)``: the application is open while requests are served.

    ``then`` is a lifespan of your own, entered after and left before. Raises what ``Holdfast.open`` raises, so that an
    API without its schema does not start.
    """

    @asynccontextmanager
    async def living(api: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(app)
            api.state.holdfast = app
            state = await stack.enter_async_context(then(api)) if then is not None else None
            yield state or {}

    return living


def _opened(request: Request) -> Holdfast:
    app: Holdfast = request.app.state.holdfast
    return app


Opened = Annotated[Holdfast, Depends(_opened)]
"""A parameter of a path function: ``async def show(id: int, app: Opened)``."""
