"""``create_api``: the frame, the nouns and the probes put together."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import metadata

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount

from holdfast.api import exposition, probes
from holdfast.api.dashboard import DashboardRoute, Files
from holdfast.api.frame import problems
from holdfast.api.frame.frame import Frame
from holdfast.api.frame.middleware import Envelope
from holdfast.api.frame.openapi import describe
from holdfast.api.frame.routing import NounRouter
from holdfast.api.nouns import NOUNS
from holdfast.app import Holdfast

PREFIX = "/api/v1"


def create_api(app: Holdfast, *, auth: bool | None = None) -> FastAPI:
    """The HTTP API of an application: serve it, or mount it in a FastAPI application of your own.

    ``auth``: whether callers must be known; ``None``: as the setting says, and if that says nothing, they must. With
    ``False`` everybody on this machine is an admin, and nobody else is served. The application is opened when it is
    first needed; served alone, it is closed at the end.
    """
    guarded = auth if auth is not None else app.settings.auth is not False
    frame = Frame(app, guarded=guarded)
    api = FastAPI(
        title="Holdfast",
        version=metadata.version("holdfast"),
        description="Everything that the dashboard and the command line do.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(frame),
    )
    api.state.frame = frame
    for kind in (RequestValidationError, HTTPException):
        api.add_exception_handler(kind, problems.answer)
    if frame.origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=sorted(frame.origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "X-Request-Id"],
            expose_headers=["ETag", "Retry-After", "X-Request-Id", "Idempotency-Replayed"],
        )
    api.add_middleware(Envelope)
    for router in noun_routers():
        api.router.routes += router.routes_below(PREFIX)
    for page in app.pages:
        if page.routes is not None:
            api.router.routes += page.routes.routes_below(f"{PREFIX}/project")
        api.router.routes.append(Mount(f"/project{page.path}", app=Files(page.module.parent), name=page.title))
    api.router.routes += exposition.router.routes_below("")
    probes.add_to(api)
    # Last: every address that is nobody else's is the page's.
    api.router.routes.append(DashboardRoute())
    api.openapi = describe(api)  # type: ignore[method-assign]  # how FastAPI documents to extend it
    return api


def noun_routers() -> list[NounRouter]:
    """The router of every noun that is listed."""
    routers: list[NounRouter] = []
    for noun in NOUNS:
        module = importlib.import_module(f"holdfast.api.nouns.{noun}")
        routers.append(module.router)
    return routers


def _lifespan(frame: Frame) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def living(_api: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            frame.drain()
            await frame.throttle.close()
            await frame.app.close(2.0)

    return living
