"""Every route for every kind of caller: only what is declared gets through. The list is made from the routers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import httpx
import pytest

from holdfast import Holdfast
from holdfast.access import ROLES, Audit, Openness, Permission, Role
from tests.rooms.api.conftest import MakeToken, Serve
from tests.rooms.api.every_route import Reached, every_route

ROUTES = list(every_route())
REFUSED = (401, 403)


async def problems(
    api: httpx.AsyncClient, headers: dict[str, str], expected: Callable[[Reached], Iterable[int] | None]
) -> list[str]:
    """Routes that answered otherwise. ``None`` expects to get through: whatever it is, no refusal and no mistake."""
    found = []
    for route in ROUTES:
        wanted = expected(route)
        if wanted is None and route.declared.endless:
            continue
        status = (await route.ask(api, headers)).status_code
        if (wanted is None and (status in REFUSED or status >= 500)) or (wanted is not None and status not in wanted):
            found.append(f"{route.name}: {status}, expected {wanted or 'to get through'}")
    return found


def for_anybody(route: Reached) -> bool:
    return route.declared.needs is Openness.ANYBODY


async def test_nobody_gets_through_without_a_credential(serve: Serve) -> None:
    assert await problems(await serve(), {}, lambda route: (401, 422) if for_anybody(route) else (401,)) == []


@pytest.mark.parametrize("header", ["Bearer hft_nobody", "Bearer a.b.c", "Basic eDp5", "nonsense"])
async def test_nobody_gets_through_with_a_wrong_credential(serve: Serve, header: str) -> None:
    api = await serve(sign_in_rate=None)

    assert await problems(api, {"Authorization": header}, lambda _: (401,)) == []


@pytest.mark.parametrize(
    "change",
    [
        "update holdfast.access_token set expires_at = now() - interval '1 second'",
        "update holdfast.access_token set revoked_at = now(), revoked_by = 'test'",
    ],
    ids=["expired", "revoked"],
)
async def test_nobody_gets_through_with_a_credential_of_yesterday(
    serve: Serve, outsider: Any, token: MakeToken, change: str
) -> None:
    api, header = await serve(sign_in_rate=None), await token(Role.ADMIN)
    await outsider.execute(change)

    assert await problems(api, header, lambda _: (401,)) == []


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.PUBLIC])
async def test_a_role_gets_through_where_its_permissions_say(serve: Serve, token: MakeToken, role: Role) -> None:
    api, header = await serve(), await token(role)

    def expected(route: Reached) -> Iterable[int] | None:
        return None if route.permission is None or route.permission in ROLES[role] else (403,)

    assert await problems(api, header, expected) == []


async def test_the_public_gets_through_where_the_public_may(serve: Serve) -> None:
    def expected(route: Reached) -> Iterable[int] | None:
        return None if route.permission is None or route.permission in ROLES[Role.PUBLIC] else (401,)

    assert await problems(await serve(public_read=True), {}, expected) == []


async def test_every_permission_but_the_one_it_needs_is_not_enough(serve: Serve, token: MakeToken) -> None:
    api = await serve()
    found = []
    for permission in {route.permission for route in ROUTES} - {None}:
        header = await token(None, permissions=set(Permission) - {permission})
        for route in (route for route in ROUTES if route.permission is permission):
            answer = await route.ask(api, header)
            if answer.status_code != 403:
                found.append(f"{route.name}: {answer.status_code} without {permission}")

    assert found == []


async def test_the_one_permission_it_needs_is_enough(serve: Serve, token: MakeToken) -> None:
    api = await serve()
    found = []
    for route in (route for route in ROUTES if route.permission is not None and not route.declared.endless):
        answer = await route.ask(api, await token(None, permissions=[route.permission]))
        if answer.status_code in REFUSED or answer.status_code >= 500:
            found.append(f"{route.name}: {answer.status_code} {answer.text}")

    assert found == []


async def sign_in(api: httpx.AsyncClient, header: dict[str, str]) -> dict[str, str]:
    api.cookies.clear()
    answer = await api.post("/session", json={"token": header["Authorization"].removeprefix("Bearer ")})
    return {"X-CSRF-Token": answer.json()["csrf_token"]}


async def test_a_session_gets_through_with_its_csrf_token_and_not_without(serve: Serve, token: MakeToken) -> None:
    api, header = await serve(), await token(Role.ADMIN)
    found = []
    for route in (route for route in ROUTES if not route.declared.endless):
        csrf = await sign_in(api, header)
        without = (await route.ask(api, {})).status_code
        through = (await route.ask(api, csrf)).status_code
        if (without == 403) == (route.declared.audit is None) or through in REFUSED or through >= 500:
            found.append(f"{route.name}: {without} without, {through} with")

    assert found == []


async def test_a_server_that_only_reads_refuses_every_act(serve: Serve, token: MakeToken) -> None:
    def expected(route: Reached) -> Iterable[int] | None:
        return (403,) if route.declared.audit is not None and route.permission is not None else None

    assert await problems(await serve(read_only=True), await token(Role.ADMIN), expected) == []


async def test_every_refusal_of_somebody_known_is_in_the_audit(serve: Serve, app: Holdfast, token: MakeToken) -> None:
    api, header = await serve(), await token(Role.METRICS)
    refused = [route.name for route in ROUTES if (await route.ask(api, header)).status_code == 403]
    rows = await Audit(app.database).list(limit=1000)

    assert len([row for row in rows if row.result == "denied"]) == len(refused) > 5


TRICKY_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY")
TRICKY_ADDRESSES = (
    "/api/v1/tokens/",
    "/api/v1//tokens",
    "//api/v1/tokens",
    "/API/V1/TOKENS",
    "/api/v1/%74okens",
    "/api/v1/./tokens",
    "/api/v1/me/../tokens",
    "/api/v1/me/%2e%2e/tokens",
    "/livez/../api/v1/tokens",
    "/api/v1/tokens;x=1",
    "/api/v1/tokens%00",
    "/api/v1/tokens%2f",
)


async def test_no_trick_with_path_or_method_gets_past(serve: Serve) -> None:
    api = await serve()
    headers = {"X-HTTP-Method-Override": "GET", "X-Original-URL": "/livez", "X-Forwarded-Host": "localhost"}
    past = []
    for method, address in product(TRICKY_METHODS, TRICKY_ADDRESSES):
        url = api.base_url.copy_with(raw_path=address.encode())
        answer = await api.send(api.build_request(method, url, headers=headers))
        if answer.status_code not in (401, 403, 404, 405, 422):
            past.append(f"{method} {address}: {answer.status_code} {answer.text}")

    assert past == []
