"""No route without a permission, and no mutation without a name in the audit."""

from __future__ import annotations

import inspect
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from holdfast import Holdfast
from holdfast.access import Openness, Permission
from holdfast.api import create_api
from holdfast.api.dashboard import DashboardRoute
from holdfast.api.frame.application import noun_routers
from holdfast.api.frame.routing import GuardedRoute, NounRouter
from tests.rooms.api.conftest import Serve

PROBES = {"/livez", "/health/live", "/readyz", "/startupz", "/health", "/up", "/verdict", "/api/v1/openapi.json"}
FOR_ANYBODY = {"/session"}


def unguarded(routes: list[BaseRoute]) -> list[str]:
    """Routes that no declaration stands behind; the files of the dashboard are no data of anybody's."""
    found = [route for route in routes if not isinstance(route, GuardedRoute | DashboardRoute)]
    return sorted(str(getattr(route, "path", route)) for route in found if getattr(route, "path", "") not in PROBES)


def misdeclared(routers: list[NounRouter]) -> list[str]:
    """Routes for anybody that are not the way in, and acts that are no act."""
    problems = []
    for declared in (declared for router in routers for declared, _ in router.routes):
        if declared.needs is Openness.ANYBODY and declared.path not in FOR_ANYBODY:
            problems.append(f"{declared.path} is open to anybody")
        if (declared.method == "GET") == (declared.audit is not None):
            problems.append(f"{declared.method} {declared.path} changes something without a name in the audit")
    return problems


@pytest.fixture
def api() -> FastAPI:
    return create_api(Holdfast("postgresql://nowhere.invalid/none"), auth=True)


def test_every_route_says_what_it_needs(api: FastAPI) -> None:
    assert len([route for route in api.routes if isinstance(route, GuardedRoute)]) >= 3
    assert unguarded(api.routes) == []
    assert misdeclared(noun_routers()) == []


def test_a_route_without_a_permission_is_seen(api: FastAPI) -> None:
    api.router.routes.append(APIRoute("/api/v1/backdoor", lambda: None))

    assert unguarded(api.routes) == ["/api/v1/backdoor"]


def test_a_route_cannot_be_declared_without_a_permission() -> None:
    for declare in (NounRouter("jobs").read, NounRouter("jobs").act):
        needs = inspect.signature(declare).parameters["needs"]
        assert needs.default is inspect.Parameter.empty
        incomplete: Any = declare
        with pytest.raises(TypeError, match="needs"):
            incomplete("/jobs")


def test_a_route_for_anybody_and_an_act_that_hides_are_seen() -> None:
    router = NounRouter("jobs")

    @router.read("/jobs/all", needs=Openness.ANYBODY)
    async def everything() -> None: ...

    @router.act("/jobs/peek", needs=Permission.JOBS_READ, audit="job.peek", method="GET")
    async def peek() -> None: ...

    assert len(misdeclared([router])) == 2


def test_the_description_names_what_each_operation_needs(api: FastAPI) -> None:
    document = api.openapi()
    operations = [operation for path in document["paths"].values() for operation in path.values()]

    assert document["openapi"].startswith("3.1")
    assert all(operation["x-needs"] for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


async def test_the_description_says_where_no_credential_is_needed(serve: Serve) -> None:
    """``{}`` among the ways in is none at all."""
    guarded, public, local = await serve(), await serve(public_read=True), await serve(auth=False)

    async def open_ones(api: httpx.AsyncClient) -> set[str]:
        paths = (await api.get("/openapi.json")).json()["paths"]
        operations = [operation for path in paths.values() for operation in path.values()]
        return {one["operationId"] for one in operations if one["security"] == [{"bearer": []}, {"session": []}, {}]}

    assert await open_ones(guarded) == set()
    assert {"list_jobs", "show_me"} < await open_ones(public)
    assert {"list_tokens", "show_database", "cancel_job"} & await open_ones(public) == set()
    assert {"list_jobs", "list_tokens", "cancel_job"} < await open_ones(local)
