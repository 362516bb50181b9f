"""Probes for whoever runs the process: they stand at the root, need nobody's name, and say little.

``/livez`` never touches the database: an outage of it must not have every process restarted.
"""

from __future__ import annotations

import asyncio
from importlib import metadata

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.routing import Route

from holdfast.api.frame.frame import Frame
from holdfast.db import DRIVER_ERRORS, load_migrations, load_statements
from holdfast.errors import HoldfastError

_SQL = load_statements("holdfast.api", "api.sql")
_PING_SECONDS = 1.0


def add_to(api: FastAPI) -> None:
    """Put the probes beside the routes of the API."""
    for path, endpoint in (
        ("/livez", live),
        ("/health/live", live),
        ("/readyz", ready),
        ("/startupz", started),
        ("/health", health),
        ("/up", health),
    ):
        api.router.routes.append(Route(path, endpoint, methods=["GET"], include_in_schema=False))


async def live(_request: Request) -> JSONResponse:
    """The process answers: it need not be restarted. True while it drains, and while the database is away."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> JSONResponse:
    """Whether it may be sent requests: the database answers within a second, and it does not end."""
    frame: Frame = request.app.state.frame
    failing = ["draining"] if frame.draining else []
    if (problem := await _database(frame)) is not None:
        failing.append(problem)
    return JSONResponse({"status": "unready" if failing else "ok", "failing": failing}, 503 if failing else 200)


async def started(request: Request) -> JSONResponse:
    """Whether it has come up: the schema is there, and as new as this program."""
    problem = await _database(request.app.state.frame)
    return JSONResponse(
        {"status": "starting" if problem else "ok", "failing": [problem] if problem else []}, 503 if problem else 200
    )


async def health(request: Request) -> JSONResponse:
    """For platforms that know one address: the database answers, and which version this is."""
    problem = await _database(request.app.state.frame)
    content = {
        "status": "unhealthy" if problem else "ok",
        "db": problem or "ok",
        "version": metadata.version("holdfast"),
    }
    return JSONResponse(content, 503 if problem else 200)


async def _database(frame: Frame) -> str | None:
    """What is wrong with the database, in a word; ``None``: nothing."""
    try:
        async with asyncio.timeout(_PING_SECONDS):
            await frame.app.open(_PING_SECONDS)
            row = await frame.app.database.fetchrow(_SQL["installation"], timeout_seconds=_PING_SECONDS)
    except HoldfastError as error:
        return error.code
    except DRIVER_ERRORS:
        return "database_unavailable"
    return None if row["schema_version"] >= load_migrations()[-1].version else "migration"
