"""What every answer has: an id, a problem that says what to do, an ETag; and who is let in without authentication."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from holdfast import Holdfast
from holdfast.access import Audit, Role
from holdfast.api import create_api
from tests.rooms.api.conftest import MakeToken


async def test_me_is_the_local_admin_without_authentication(http: httpx.AsyncClient) -> None:
    me = (await http.get("/me")).json()

    assert (me["name"], me["kind"], me["roles"], me["csrf_token"]) == ("local", "local", ["admin"], None)
    assert "jobs:purge" in me["permissions"]


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "192.168.1.5:8765"])
async def test_another_name_for_this_machine_is_refused(http: httpx.AsyncClient, host: str) -> None:
    answer = await http.get("/me", headers={"Host": host})

    assert answer.status_code == 401


async def test_another_machine_is_refused(app: Holdfast) -> None:
    transport = httpx.ASGITransport(create_api(app, auth=False), client=("10.0.0.7", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
        answer = await client.get("/me")

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_that_is_shown_is_looked_at_where_none_is_needed(
    http: httpx.AsyncClient, app: Holdfast, token: MakeToken, outsider: Any
) -> None:
    header = await token(Role.VIEWER)
    me = (await http.get("/me", headers=header)).json()
    assert (me["kind"], me["roles"]) == ("token", ["viewer"])

    await outsider.execute("update holdfast.access_token set expires_at = now() - interval '1 second'")
    wrong: list[dict[str, str]] = [header, {"Authorization": "Bearer hft_wrong"}, {"Authorization": "Bearer"}]
    assert [(await http.get("/me", headers=one)).status_code for one in wrong] == [401, 401, 401]
    # What a proxy in front asks for is no token of ours.
    assert (await http.get("/me", headers={"Authorization": "Basic YWRhOmFkYQ=="})).json()["kind"] == "local"
    assert {row.result for row in await Audit(app.database).list()} == {"denied"}


async def test_with_authentication_nobody_is_let_in_without_a_token(app: Holdfast) -> None:
    transport = httpx.ASGITransport(create_api(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
        answer = await client.get("/me")

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_info_says_what_is_installed(http: httpx.AsyncClient) -> None:
    info = (await http.get("/info")).json()

    assert info["postgres"]["primary"] is True
    assert (info["read_only"], info["auth"], info["pages"]) == (False, False, [])
    assert info["schema_version"] >= 15


async def test_a_path_that_is_not_there_is_a_problem(http: httpx.AsyncClient) -> None:
    answer = await http.get("/nothing", headers={"X-Request-Id": "abc-1"})
    problem = answer.json()

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == problem["request_id"] == "abc-1"
    assert (answer.status_code, problem["code"]) == (404, "no_such_path")


async def test_a_request_id_that_is_none_is_replaced(http: httpx.AsyncClient) -> None:
    answer = await http.get("/me", headers={"X-Request-Id": 'x" onload=alert(1)'})

    assert answer.headers["x-request-id"].isalnum()


@pytest.mark.parametrize(
    ("query", "where"),
    [("limit=0", ["query", "limit"]), ("limit=201", ["query", "limit"]), ("since=yesterday", ["query", "since"])],
)
async def test_a_value_that_does_not_fit_is_named(http: httpx.AsyncClient, query: str, where: list[str]) -> None:
    answer = await http.get(f"/audit?{query}")
    problem = answer.json()

    assert (answer.status_code, problem["code"]) == (422, "request_invalid")
    assert [error["loc"] for error in problem["errors"]] == [where]


async def test_an_answer_that_is_known_already_is_not_sent_again(http: httpx.AsyncClient) -> None:
    first = await http.get("/me")
    again = await http.get("/me", headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


async def test_a_path_with_a_nul_is_refused(http: httpx.AsyncClient) -> None:
    for path in ("/audit?actor=%00", "/%00"):
        assert (await http.get(path)).status_code in (404, 422)


async def test_without_a_database_it_says_when_to_come_back() -> None:
    api = create_api(Holdfast("postgresql://holdfast@127.0.0.1:1/none"), auth=False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://localhost") as client:
        answer = await client.get("/api/v1/audit")

    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert int(answer.headers["retry-after"]) > 0
