"""An act and its row in the audit are committed together, and a refusal leaves a row as well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from holdfast import Holdfast
from holdfast.access import Audit, Recorded


async def audit_of(app: Holdfast) -> list[Recorded]:
    return list(reversed(await Audit(app.database).list(limit=200)))


async def paused(app: Holdfast) -> list[str]:
    return [queue.name for queue in await app.queues.list() if queue.paused_at is not None]


async def test_an_act_and_its_row_are_committed(app: Holdfast, http: httpx.AsyncClient) -> None:
    answer = await http.post("/acts/pause", json={"name": "mail", "reason": "too loud"})
    [row] = await audit_of(app)

    assert (answer.status_code, answer.json()) == (200, {"changed": True})
    assert await paused(app) == ["mail"]
    assert (row.actor, row.action, row.result, row.target_kind, row.target, row.reason) == (
        "local",
        "queue.pause",
        "done",
        "queue",
        "mail",
        "too loud",
    )
    assert (row.before, row.after) == ({"paused": False, "password": "[redacted]"}, {"paused": True})
    assert (row.request_id, row.client) == (answer.headers["x-request-id"], "127.0.0.1")


async def test_an_act_without_its_row_is_none(app: Holdfast, http: httpx.AsyncClient, outsider: Any) -> None:
    await outsider.execute("alter table holdfast.audit add constraint full_disk check (false) not valid")

    answer = await http.post("/acts/pause", json={"name": "mail"})

    assert answer.status_code >= 400
    assert await paused(app) == []


async def test_an_act_that_is_refused_changes_nothing_and_leaves_a_row(app: Holdfast, http: httpx.AsyncClient) -> None:
    answer = await http.post("/acts/half?name=mail")
    problem, [row] = answer.json(), await audit_of(app)

    assert (answer.status_code, problem["code"]) == (409, "illegal_move")
    assert (problem["state"], problem["actions"]) == ("half", ["whole"])
    assert await paused(app) == []
    assert (row.result, row.code, row.target) == ("failed", "illegal_move", "mail")


async def test_a_mistake_of_ours_changes_nothing_and_tells_nobody_why(app: Holdfast, http: httpx.AsyncClient) -> None:
    answer = await http.post("/acts/broken?name=mail")
    [row] = await audit_of(app)

    assert (answer.status_code, answer.json()["code"]) == (500, "holdfast_error")
    assert "mistake of ours" not in answer.text
    assert await paused(app) == []
    assert (row.result, row.detail) == ("failed", "RuntimeError")


async def test_an_act_of_several_transactions_has_a_row_for_its_beginning(
    app: Holdfast, http: httpx.AsyncClient
) -> None:
    await http.post("/acts/apart?name=mail")

    assert [row.result for row in await audit_of(app)] == ["begun", "done"]
    assert await paused(app) == ["mail"]


async def test_a_request_that_cannot_be_read_is_no_act(app: Holdfast, http: httpx.AsyncClient) -> None:
    for body in ({}, {"name": "mail", "color": "red"}, {"name": 7}):
        assert (await http.post("/acts/pause", json=body)).status_code == 422

    assert await audit_of(app) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_cannot_act(app: Holdfast, http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await http.post("/acts/pause", json={"name": "mail"}, headers=headers)
    [row] = await audit_of(app)

    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert (row.result, row.code, row.action) == ("denied", "cross_site", "queue.pause")
    assert await paused(app) == []


async def test_our_own_pages_can(http: httpx.AsyncClient) -> None:
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}

    assert (await http.post("/acts/pause", json={"name": "mail"}, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"name": "mail"}', "text/plain", 415),
        (b"name=mail", "application/x-www-form-urlencoded", 415),
        (b'{"name": "mail"', "application/json", 400),
        (b'{"name": NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (rb'{"name": "a\u0000b"}', "application/json", 422),
        (rb'{"name": "a\ud800b"}', "application/json", 422),
        (b'{"name": "mail", "extra": ' + b"[" * 40 + b"]" * 40 + b"}", "application/json", 413),
        (b'{"name": "mail", "extra": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "application/json", 413),
        (b'{"name": "' + b"x" * 1_000_001 + b'"}', "application/json", 413),
        (b'{"name": "mail", "extra": ' + b"9" * 400 + b"}", "application/json", 200),
    ],
)
async def test_hostile_bodies(http: httpx.AsyncClient, body: bytes, kind: str, status: int) -> None:
    answer = await http.post("/acts/pause", content=body, headers={"Content-Type": kind})

    assert answer.status_code == status, answer.text[:300]


async def test_a_body_that_grows_beyond_what_it_said_is_cut(http: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    answer = await http.post("/acts/pause", content=endless(), headers={"Content-Type": "application/json"})

    assert answer.status_code == 413


async def test_an_address_that_is_too_long_is_refused(http: httpx.AsyncClient) -> None:
    assert (await http.get("/audit?actor=" + "x" * 9_000)).status_code == 413
