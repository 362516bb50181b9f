"""The same key and the same request: done once, answered twice."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from holdfast import Holdfast
from holdfast.access import Audit, Role
from tests.rooms.api.conftest import MakeToken, Serve

KEY = {"Idempotency-Key": "5f0c-1"}


async def rows(app: Holdfast) -> int:
    return len(await Audit(app.database).list(limit=200))


async def test_a_request_that_is_repeated_is_done_once(app: Holdfast, http: httpx.AsyncClient) -> None:
    first = await http.post("/acts/pause", json={"name": "mail"}, headers=KEY)
    again = await http.post("/acts/pause", json={"name": "mail"}, headers=KEY)

    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (200, {"changed": True})
    assert again.headers["idempotency-replayed"] == "true"
    assert await rows(app) == 1


@pytest.mark.parametrize("path", ["/acts/pause?x=1", "/acts/apart?name=mail"])
async def test_a_key_of_another_request_is_refused(http: httpx.AsyncClient, path: str) -> None:
    await http.post("/acts/pause", json={"name": "mail"}, headers=KEY)
    other = await http.post(path, json={"name": "mail"}, headers=KEY)
    body = await http.post("/acts/pause", json={"name": "crawl"}, headers=KEY)

    assert (other.status_code, other.json()["code"]) == (409, "key_reused")
    assert (body.status_code, body.json()["code"]) == (409, "key_reused")


async def test_requests_that_meet_are_done_once(app: Holdfast, http: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(http.post("/acts/pause", json={"name": "mail"}, headers=KEY) for _ in range(8)))

    assert {(answer.status_code, answer.text) for answer in answers} == {(200, '{"changed":true}')}
    assert await rows(app) == 1


@pytest.mark.parametrize("path", ["/acts/half?name=mail", "/acts/broken?name=mail", "/acts/apart?nome=mail"])
async def test_what_failed_may_be_tried_again_under_its_key(http: httpx.AsyncClient, path: str) -> None:
    first = await http.post(path, headers=KEY)
    again = await http.post(path, headers=KEY)

    assert first.status_code == again.status_code >= 400
    assert again.json()["code"] != "key_reused"


async def test_an_act_of_several_transactions_is_done_once(app: Holdfast, http: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert (await http.post("/acts/apart?name=mail", headers=KEY)).status_code == 200

    assert await rows(app) == 2


async def test_keys_of_others_are_others(serve: Serve, app: Holdfast, token: MakeToken) -> None:
    api = await serve()
    for header in (await token(Role.OPERATOR), await token(Role.OPERATOR)):
        answer = await api.post("/acts/pause", json={"name": "mail"}, headers={**header, **KEY})
        assert "idempotency-replayed" not in answer.headers

    assert await rows(app) == 2


async def test_a_secret_is_shown_once_even_under_a_key(serve: Serve, token: MakeToken) -> None:
    api, header = await serve(), {**await token(), **KEY}
    first = await api.post("/tokens", json={"name": "shop", "role": "viewer"}, headers=header)
    again = await api.post("/tokens", json={"name": "shop", "role": "viewer"}, headers=header)

    assert (first.status_code, again.status_code) == (201, 409)
    assert len((await api.get("/tokens", headers=header)).json()["items"]) == 2


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "a b"])
async def test_a_key_that_is_none_is_refused(http: httpx.AsyncClient, key: str) -> None:
    answer = await http.post("/acts/pause", json={"name": "mail"}, headers={"Idempotency-Key": key})

    assert (answer.status_code, answer.json()["code"]) == (400, "request")
