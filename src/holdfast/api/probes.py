"""Probes for whoever runs the process: they stand at the root, need nobody's name, and say little.

``/livez`` never touches the database: an outage of it must not have every process restarted. The others ask it once a
second at most, however many strangers call: their answers are shared.
"""

from __future__ import annotations

import asyncio
from importlib import metadata
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.routing import Route

from holdfast.api.frame.frame import Frame
from holdfast.api.frame.shared_answer import SharedAnswer
from holdfast.api.live.hub import Hub
from holdfast.db import DRIVER_ERRORS, load_migrations, load_statements
from holdfast.errors import HoldfastError
from holdfast.events import projections
from holdfast.observe import Noun, Sight, Status, Verdict, judge, look, unavailable

_SQL = load_statements("holdfast.api", "api.sql")
_PING_SECONDS: Final = 1.0
FRESH_SECONDS: Final = 1.0
SIGHT_FRESH_SECONDS: Final = 5.0
"""A look at the whole costs more than a ping."""


def add_to(api: FastAPI) -> None:
    """Put the probes beside the routes of the API."""
    probes = Probes(api)
    for path, endpoint in (
        ("/livez", probes.live),
        ("/health/live", probes.live),
        ("/readyz", probes.ready),
        ("/startupz", probes.started),
        ("/health", probes.health),
        ("/up", probes.health),
        ("/verdict", probes.verdict),
    ):
        api.router.routes.append(Route(path, endpoint, methods=["GET"], include_in_schema=False))


class Probes:
    """The probes of one API, and the answers that they share."""

    def __init__(self, api: FastAPI) -> None:
        self._state = api.state
        self._frame: Frame = api.state.frame
        self._has_started = False
        self._database = SharedAnswer(self._ping, fresh_seconds=FRESH_SECONDS)
        self._sight = SharedAnswer(self._look, fresh_seconds=SIGHT_FRESH_SECONDS)

    async def live(self, _request: Request) -> JSONResponse:
        """The process answers: it need not be restarted. True while it drains, and while the database is away."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _request: Request) -> JSONResponse:
        """Whether it may be sent requests: the database answers within a second, its tasks go on, it does not end."""
        failing = ["draining"] if self._frame.draining else []
        hub: Hub | None = getattr(self._state, "hub", None)
        if hub is not None and hub.is_stuck and not self._frame.draining:
            failing.append("live_updates")
        if (problem := await self._database.get()) is not None:
            failing.append(problem)
        return JSONResponse({"status": "unready" if failing else "ok", "failing": failing}, 503 if failing else 200)

    async def started(self, _request: Request) -> JSONResponse:
        """Whether it has come up: the schema is there, and as new as this program. What has come up stays so."""
        problem = None if self._has_started else await self._database.get()
        self._has_started = self._has_started or problem is None
        failing = [problem] if problem else []
        return JSONResponse({"status": "starting" if failing else "ok", "failing": failing}, 503 if failing else 200)

    async def health(self, request: Request) -> JSONResponse:
        """For platforms that know one address: the database answers, and which version this is.

        With ``lag=1`` how far the projections are behind, too: unhealthy beyond the setting ``health_max_lag``.
        """
        problem = await self._database.get()
        failing = [problem] if problem else []
        content: dict[str, Any] = {"db": problem or "ok", "version": metadata.version("holdfast")}
        if request.query_params.get("lag", "0") not in ("", "0"):
            lag, behind = (None, []) if problem else await self._lag()
            failing += behind
            content |= {"lag": lag, "threshold": self._frame.settings.health_max_lag, "failing": failing}
        return JSONResponse({"status": "unhealthy" if failing else "ok", **content}, 503 if failing else 200)

    async def verdict(self, _request: Request) -> JSONResponse:
        """Whether the whole gets on, not this process: for alerts, never for a restart.

        No names: those are told at ``/api/v1/verdict``, to whoever may see them.
        """
        sight = await self._sight.get()
        verdict = sight if isinstance(sight, Verdict) else judge(sight)
        reasons = [{"kind": reason.kind, "severity": reason.severity} for reason in verdict.reasons]
        is_ok = verdict.status is Status.OK
        return JSONResponse({"status": verdict.status, "reasons": reasons}, 200 if is_ok else 503)

    async def _lag(self) -> tuple[int | None, list[str]]:
        """Events that wait in the projection that is furthest behind, and what is wrong with the way they take.

        Counted to the last event of the log, not to what is published: without a publisher nothing would ever wait.
        """
        sight = await self._sight.get()
        if isinstance(sight, Verdict):
            return None, [reason.kind for reason in sight.reasons]
        found = projections.judge(sight.projected, self._frame.settings.health_max_lag)
        stuck = [reason.kind for reason in judge(sight).reasons if reason.subject.kind is Noun.LOG]
        return found.lag, [*([] if found.ok else ["projections"]), *stuck]

    async def _ping(self) -> str | None:
        """What is wrong with the database, in a word; ``None``: nothing."""
        try:
            async with asyncio.timeout(_PING_SECONDS):
                app = self._frame.app
                await app.open(_PING_SECONDS)
                row = await app.database.fetchrow(_SQL["installation"], timeout_seconds=_PING_SECONDS)
        except HoldfastError as error:
            return error.code
        except DRIVER_ERRORS:
            return "database_unavailable"
        return None if row["schema_version"] >= load_migrations()[-1].version else "migration"

    async def _look(self) -> Sight | Verdict:
        """The whole; or the verdict that a database deserves that does not answer."""
        try:
            return await look((await self._frame.reading()).database)
        except HoldfastError as error:
            return unavailable(error.message, error.remedy)
        except DRIVER_ERRORS as error:
            return unavailable(str(error) or type(error).__name__)
