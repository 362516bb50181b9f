"""Tokens and sessions: who is let in, until when, and what a browser must send."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from holdfast import Holdfast
from holdfast.access import Audit, Permission, Role, Tokens
from holdfast.api.frame.signing_in import COOKIE
from tests.rooms.api.conftest import MakeToken, Serve
from tests.waiting import eventually

PAUSE: Any = {"json": {"name": "mail"}}


async def signed_in(api: httpx.AsyncClient, header: dict[str, str]) -> dict[str, str]:
    """Sign this client in; the header that its acts need."""
    answer = await api.post("/session", json={"token": header["Authorization"].removeprefix("Bearer ")})
    assert answer.status_code == 200, answer.text
    return {"X-CSRF-Token": answer.json()["csrf_token"]}


async def test_a_token_lets_in(serve: Serve, token: MakeToken) -> None:
    api = await serve()
    me = (await api.get("/me", headers=await token(Role.VIEWER, queues=["mail", "crawl"]))).json()

    assert (me["kind"], me["roles"], me["queues"]) == ("token", ["viewer"], ["crawl", "mail"])
    assert "jobs:read" in me["permissions"]
    assert "jobs:args" not in me["permissions"]


async def test_permissions_of_a_token_add_to_its_role(serve: Serve, token: MakeToken) -> None:
    api = await serve()
    header = await token(Role.PRODUCER, permissions=[Permission.JOBS_READ])

    assert (await api.get("/me", headers=header)).json()["permissions"] == ["jobs:enqueue", "jobs:read"]


@pytest.mark.parametrize(
    "header",
    [
        "Bearer hft_wrong",
        "Bearer",
        "Bearer ",
        "Basic YWRhOmFkYQ==",
        "hft_wrong",
        "Bearer " + "x" * 5000,
        "Bearer a.b.c",
    ],
)
async def test_what_is_no_token_is_refused_and_noted(serve: Serve, app: Holdfast, header: str) -> None:
    answer = await (await serve()).get("/me", headers={"Authorization": header})
    [row] = await Audit(app.database).list()

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert (row.actor, row.result, row.code) == ("nobody", "denied", "unauthenticated")


async def test_a_revoked_token_lets_in_no_more(serve: Serve, app: Holdfast, token: MakeToken) -> None:
    api, header = await serve(), await token()
    [known] = await Tokens(app.database).list()
    assert (await api.get("/me", headers=header)).status_code == 200

    await Tokens(app.database).revoke(known.id, by="test")
    answer = await api.get("/me", headers=header)

    assert (answer.status_code, "revoked" in answer.json()["detail"]) == (401, True)


async def test_an_expired_token_lets_in_no_more(serve: Serve, outsider: Any, token: MakeToken) -> None:
    api, header = await serve(), await token(expires_in_seconds=60)
    assert (await api.get("/me", headers=header)).status_code == 200

    await outsider.execute("update holdfast.access_token set expires_at = now() - interval '1 second'")
    answer = await api.get("/me", headers=header)

    assert (answer.status_code, "expired" in answer.json()["detail"]) == (401, True)


async def test_only_a_digest_of_a_secret_is_stored(serve: Serve, outsider: Any, token: MakeToken) -> None:
    api, header = await serve(), await token()
    await signed_in(api, header)
    dump = await outsider.fetchval(
        "select string_agg(row_to_json(t)::text, '') || (select string_agg(row_to_json(s)::text, '') "
        "from holdfast.access_session s) || (select string_agg(row_to_json(a)::text, '') from holdfast.audit a) "
        "from holdfast.access_token t"
    )

    assert header["Authorization"].removeprefix("Bearer ") not in dump
    assert api.cookies[COOKIE] not in dump


async def test_when_a_token_was_used_is_noted(serve: Serve, app: Holdfast, token: MakeToken) -> None:
    api, header = await serve(), await token()
    assert (await Tokens(app.database).list())[0].used_at is None
    await api.get("/me", headers=header)

    assert (await Tokens(app.database).list())[0].used_at is not None


async def test_the_first_token_is_made_once(app: Holdfast) -> None:
    first = await Tokens(app.database).create_first()

    assert first is not None
    assert (await Tokens(app.database).principal_of(first)).roles == (Role.ADMIN,)
    assert await Tokens(app.database).create_first() is None


async def test_a_viewer_may_not_act_and_is_told_what_is_missing(serve: Serve, app: Holdfast, token: MakeToken) -> None:
    answer = await (await serve()).post("/acts/pause", headers=await token(Role.VIEWER), **PAUSE)
    [row] = await Audit(app.database).list()

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "queues:pause" in answer.json()["detail"]
    assert (row.actor, row.action, row.result) == ("viewer", "queue.pause", "denied")


async def test_the_public_reads_where_it_is_allowed_to(serve: Serve) -> None:
    closed, opened = await serve(), await serve(public_read=True)

    assert (await closed.get("/me")).status_code == 401
    assert (await opened.get("/me")).json()["roles"] == ["public"]
    assert (await opened.post("/acts/pause", **PAUSE)).status_code == 401


async def test_a_browser_signs_in_and_acts(serve: Serve, app: Holdfast, token: MakeToken) -> None:
    api = await serve()
    csrf = await signed_in(api, await token(Role.OPERATOR))
    me = (await api.get("/me")).json()

    assert (me["kind"], me["roles"], me["csrf_token"]) == ("session", ["operator"], csrf["X-CSRF-Token"])
    assert (await api.post("/acts/pause", headers=csrf, **PAUSE)).status_code == 200
    assert [(row.action, row.actor_kind) for row in await Audit(app.database).list()] == [
        ("queue.pause", "session"),
        ("session.open", "session"),
    ]


@pytest.mark.parametrize("header", [{}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "wrong"}, {"X-CSRF-Token": "é"}])
async def test_a_session_without_its_csrf_token_cannot_act(
    serve: Serve, token: MakeToken, header: dict[str, str]
) -> None:
    api = await serve()
    await signed_in(api, await token())
    raw = {name.encode(): value.encode("latin-1") for name, value in header.items()}
    answer = await api.post("/acts/pause", headers=httpx.Headers(raw), **PAUSE)

    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")


async def test_the_cookie_is_read_by_no_script_and_sent_by_no_other_site(serve: Serve, token: MakeToken) -> None:
    secret = (await token())["Authorization"].removeprefix("Bearer ")
    plain = await (await serve()).post("/session", json={"token": secret})
    over_tls = await (await serve(host="https://ops.example")).post("/session", json={"token": secret})

    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(plain.headers["set-cookie"].split("; "))
    assert "Secure" not in plain.headers["set-cookie"]
    assert "Secure" in over_tls.headers["set-cookie"]


async def test_signing_in_gives_a_new_session_and_ends_the_old(serve: Serve, token: MakeToken) -> None:
    api, header = await serve(), await token()
    await signed_in(api, header)
    planted = api.cookies[COOKIE]
    await api.post(
        "/session",
        json={"token": header["Authorization"].removeprefix("Bearer ")},
        headers={"X-CSRF-Token": (await api.get("/me")).json()["csrf_token"]},
    )

    assert api.cookies[COOKIE] != planted
    api.cookies.clear()
    assert (await api.get("/me", headers={"Cookie": f"{COOKIE}={planted}"})).status_code == 401


async def test_signing_out_ends_the_session(serve: Serve, token: MakeToken) -> None:
    api = await serve()
    csrf = await signed_in(api, await token())
    kept = api.cookies[COOKIE]

    assert (await api.delete("/session")).status_code == 403
    assert (await api.delete("/session", headers=csrf)).status_code == 204
    assert (await api.get("/me", headers={"Cookie": f"{COOKIE}={kept}"})).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        "update holdfast.access_session set expires_at = now() - interval '1 second'",
        "update holdfast.access_session set seen_at = now() - interval '13 hours'",
        "update holdfast.access_session set ended_at = now()",
        "update holdfast.access_token set revoked_at = now(), revoked_by = 'test'",
        "update holdfast.access_token set expires_at = now() - interval '1 second'",
    ],
)
async def test_a_session_ends(serve: Serve, outsider: Any, token: MakeToken, change: str) -> None:
    api = await serve()
    await signed_in(api, await token())
    assert (await api.get("/me")).status_code == 200

    await outsider.execute(change)

    assert (await api.get("/me")).status_code == 401


async def test_a_session_may_what_its_token_may_now(serve: Serve, outsider: Any, token: MakeToken) -> None:
    api = await serve()
    await signed_in(api, await token())
    await outsider.execute("update holdfast.access_token set role = 'viewer'")

    assert (await api.get("/me")).json()["roles"] == ["viewer"]


async def test_sessions_are_seen_and_ended_by_an_admin(serve: Serve, token: MakeToken) -> None:
    admin, browser = await serve(), await serve()
    header = await token()
    await signed_in(browser, header)
    [session] = (await admin.get("/sessions", headers=header)).json()["items"]

    assert (session["name"], session["is_current"], session["actions"]) == ("admin", False, ["end"])
    assert (await admin.post(f"/sessions/{session['id']}/end", headers=header)).status_code == 204
    assert (await browser.get("/me")).status_code == 401
    assert (await admin.post(f"/sessions/{session['id']}/end", headers=header)).status_code == 404


async def test_wrong_credentials_are_slowed_down_and_right_ones_are_not(serve: Serve, token: MakeToken) -> None:
    api, header = await serve(sign_in_rate="3/minute"), await token()
    wrong = [await api.post("/session", json={"token": "hft_wrong"}) for _ in range(5)]

    assert [answer.status_code for answer in wrong] == [401, 401, 401, 429, 429]
    assert 1 <= int(wrong[-1].headers["retry-after"]) <= 60
    assert (await api.get("/me", headers=header)).status_code == 200
    assert (
        await (await serve(sign_in_rate="3/minute", client="10.0.0.9")).get("/me", headers=header)
    ).status_code == 200


async def test_a_token_is_made_shown_once_and_revoked(serve: Serve, token: MakeToken) -> None:
    api, header = await serve(), await token()
    made = await api.post(
        "/tokens", json={"name": "shop", "role": "producer", "queues": ["mail"], "expires_in_days": 90}, headers=header
    )
    new = {"Authorization": f"Bearer {made.json()['secret']}"}

    assert made.status_code == 201
    assert (await api.get("/me", headers=new)).json()["queues"] == ["mail"]
    listed = (await api.get("/tokens", headers=header)).json()["items"]
    assert [(row["name"], row["standing"]) for row in listed] == [("shop", "good"), ("admin", "good")]
    assert made.json()["secret"] not in str(listed)
    revoked = await api.post(f"/tokens/{listed[0]['id']}/revoke", headers=header)
    assert (revoked.json()["standing"], revoked.json()["actions"]) == ("revoked", [])
    assert (await api.get("/me", headers=new)).status_code == 401
    assert (await api.post(f"/tokens/{listed[0]['id']}/revoke", headers=header)).status_code == 404


@pytest.mark.parametrize(
    ("maker", "wanted", "status"),
    [
        ({"role": None, "permissions": [Permission.TOKENS_MANAGE]}, {"role": "admin"}, 403),
        ({"queues": ["mail"]}, {"role": "viewer", "queues": ["exports"]}, 403),
        ({"queues": ["mail"]}, {"role": "viewer"}, 201),
        ({}, {}, 422),
        ({}, {"role": "emperor"}, 422),
        ({}, {"role": "viewer", "queues": []}, 422),
        ({}, {"role": "viewer", "expires_in_days": -1}, 422),
    ],
)
async def test_nobody_gives_away_what_they_do_not_have(
    serve: Serve, token: MakeToken, maker: dict[str, Any], wanted: dict[str, Any], status: int
) -> None:
    api, header = await serve(), await token(**{"role": Role.ADMIN, **maker})
    made = await api.post("/tokens", json={"name": "x", **wanted}, headers=header)

    assert made.status_code == status, made.text
    if status == 201:
        assert made.json()["token"]["queues"] == ["mail"]


async def test_an_admin_of_some_queues_sees_and_ends_credentials_of_these_alone(
    serve: Serve, app: Holdfast, token: MakeToken
) -> None:
    api, confined = await serve(), await token(Role.ADMIN, queues=["mail", "crawl"])
    whole, part = await token(Role.ADMIN), await token(Role.VIEWER, queues=["mail"])
    for header in (whole, part):
        await api.post("/session", json={"token": header["Authorization"].removeprefix("Bearer ")})
        api.cookies.clear()

    tokens = (await api.get("/tokens", headers=confined)).json()["items"]
    sessions = (await api.get("/sessions", headers=confined)).json()["items"]
    assert [sorted(one["queues"]) for one in tokens] == [["mail"], ["crawl", "mail"]]
    assert [one["name"] for one in sessions] == ["viewer"]
    everything = [(await api.get(f"/{what}", headers=whole)).json()["items"] for what in ("tokens", "sessions")]
    other_token = next(one for one in everything[0] if one["queues"] is None)
    other_session = next(one for one in everything[1] if one["name"] == "admin")
    for address in (f"/tokens/{other_token['id']}/revoke", f"/sessions/{other_session['id']}/end"):
        assert (await api.post(address, headers=confined)).status_code == 404, address
    for address in (f"/sessions/{sessions[0]['id']}/end", f"/tokens/{tokens[0]['id']}/revoke"):
        assert (await api.post(address, headers=confined)).is_success, address
    assert (await Tokens(app.database).show(int(other_token["id"]))).standing == "good"


async def test_the_audit_is_not_for_whoever_is_confined_to_queues(serve: Serve, token: MakeToken) -> None:
    api, confined = await serve(), await token(Role.ADMIN, queues=["mail"])
    await api.post("/acts/pause", headers=await token(), **PAUSE)

    assert (await api.get("/audit", headers=confined)).status_code == 403
    assert (await api.get("/overview", headers=confined)).json()["changes"] == []


async def test_settings_are_shown_without_passwords(serve: Serve, token: MakeToken, database_url: str) -> None:
    api = await serve(ratelimit_storage_uri="redis://:hunter2@127.0.0.1:1/0")
    answer = await api.get("/settings", headers=await token())
    shown = {row["name"]: row["value"] for row in answer.json()["settings"]}

    assert "hunter2" not in answer.text
    assert shown["ratelimit_storage_uri"] == "redis://:***@127.0.0.1:1/0"
    assert (await api.get("/settings", headers=await token(Role.OPERATOR))).status_code == 403


async def test_a_server_that_only_reads_refuses_every_act(serve: Serve, app: Holdfast) -> None:
    api = await serve(auth=False, read_only=True)
    answer = await api.post("/acts/pause", **PAUSE)

    assert (answer.status_code, answer.json()["code"]) == (403, "read_only")
    assert (await api.get("/info")).json()["read_only"] is True
    assert [row.code for row in await Audit(app.database).list()] == ["read_only"]


async def test_a_database_that_only_reads_says_so(serve: Serve, outsider: Any, database_url: str) -> None:
    name = database_url.rpartition("/")[2].partition("?")[0]
    await outsider.execute(f'alter database "{name}" set default_transaction_read_only = on')
    api = await serve(auth=False)

    async def said() -> bool:  # a busy machine may first answer that the database did not, in time
        answer = await api.post("/acts/pause", **PAUSE)
        assert answer.status_code in (403, 503)
        return "read" in answer.json()["detail"] or "writes" in answer.json()["detail"]

    await eventually(said)
