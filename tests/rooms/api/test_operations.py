"""Failures, operations, queues and limits over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg
import pytest

from holdfast import Holdfast
from holdfast.access import Audit, Permission, Role
from holdfast.db import Statement
from holdfast.jobs import Operator
from tests.rooms.api.conftest import MakeToken, Serve
from tests.rooms.jobs.hand import Hand
from tests.waiting import eventually

_FOLD = Statement("fold", "SELECT holdfast.fold_failures_v1(1000)")


@pytest.fixture
def send(app: Holdfast) -> Any:
    @app.task(queue="mail")
    async def send(n: int) -> None: ...

    return send


@pytest.fixture
async def failed(app: Holdfast, send: Any) -> list[int]:
    """Five jobs that have failed, counted."""
    ids = list(await send.enqueue_many([(n,) for n in range(5)]))
    hand = await Hand.registered(app.database, "mail")
    await hand.fail(*await hand.claim())
    await app.database.fetchval(_FOLD)
    return ids


async def apply(app: Holdfast) -> None:
    operator = Operator(app.database, retention_days=30)
    while await operator.turn():
        pass


# --- failures


async def test_failures_are_listed_shown_and_marked(app: Holdfast, http: httpx.AsyncClient, failed: list[int]) -> None:
    [group] = (await http.get("/failures")).json()["items"]
    assert (group["task"], group["error_type"], group["count"], group["state"]) == ("send", "Broken", 5, "new")
    assert (len(group["buckets"]), sum(group["buckets"]), group["actions"]) == (24, 5, ["mark", "retry", "purge"])
    path = f"/failures/{group['fingerprint']}"
    detail = (await http.get(path)).json()
    assert [int(job["id"]) for job in detail["jobs"]] == failed[::-1]
    assert (detail["standing"], detail["standing_is_exact"]) == (5, True)
    marked = await http.post(f"{path}/mark", json={"state": "resolved", "note": "1.2"})
    assert (marked.json()["state"], marked.json()["note"], marked.json()["marked_by"]) == ("resolved", "1.2", "local")
    [row] = await Audit(app.database).list()
    assert (row.action, row.target, row.before, row.after) == (
        "failure.mark",
        group["fingerprint"],
        {"state": "new"},
        {"state": "resolved"},
    )
    assert (await http.get("/failures", params={"queue": "elsewhere"})).json()["items"] == []
    assert (await http.get("/failures/0123")).json()["code"] == "failure_unknown"
    assert (await http.post(f"{path}/mark", json={"state": "regressed"})).status_code == 422


# --- operations


async def test_what_failed_in_one_way_is_previewed_started_and_retried(
    app: Holdfast, http: httpx.AsyncClient, failed: list[int]
) -> None:
    [group] = (await http.get("/failures")).json()["items"]
    wanted = {"verb": "retry", "filter": f"failure={group['fingerprint']}"}
    preview = (await http.post("/operations/preview", json=wanted)).json()
    assert (preview["jobs"], preview["is_exact"], len(preview["sample"])) == (5, True, 5)
    assert preview["groups"] == [{"state": "failed", "task": "send", "error_type": "Broken", "count": 5}]
    answer = await http.post("/operations", json={"token": preview["token"], "reason": "provider is back"})
    operation = answer.json()
    assert (answer.status_code, operation["state"], operation["actions"]) == (202, "running", ["cancel"])
    assert (operation["by"], operation["reason"], operation["planned"]) == ("local", "provider is back", 5)
    await apply(app)
    done = (await http.get(f"/operations/{operation['id']}")).json()
    assert (done["state"], done["moved"], done["actions"]) == ("finished", 5, [])
    assert {info.state for info in await app.jobs.show_many(failed)} == {"ready"}
    assert [row["id"] for row in (await http.get("/operations")).json()["items"]] == [operation["id"]]
    assert [row.action for row in await Audit(app.database).list()] == ["operation.start", "operation.preview"]


async def test_a_token_is_good_once_and_for_whoever_made_the_preview(
    app: Holdfast, serve: Serve, token: MakeToken, failed: list[int]
) -> None:
    api, ada, bob = await serve(), await token(Role.OPERATOR), await token(Role.ADMIN)
    wanted = {"verb": "retry", "filter": "queue=mail"}
    preview = (await api.post("/operations/preview", json=wanted, headers=ada)).json()
    stolen = await api.post("/operations", json={"token": preview["token"]}, headers=bob)
    assert (stolen.status_code, stolen.json()["code"]) == (409, "operation_refused")
    assert (await api.post("/operations", json={"token": preview["token"]}, headers=ada)).status_code == 202
    again = await api.post("/operations", json={"token": preview["token"]}, headers=ada)
    assert (again.status_code, "already" in again.json()["detail"]) == (409, True)
    assert (await api.post("/operations", json={"token": "guess"}, headers=ada)).status_code == 409


async def test_an_operation_needs_what_its_verb_needs(
    app: Holdfast, serve: Serve, token: MakeToken, failed: list[int]
) -> None:
    api, operator, viewer = await serve(), await token(Role.OPERATOR), await token(Role.VIEWER)
    purge = {"verb": "purge", "filter": "queue=mail"}
    refused = await api.post("/operations/preview", json=purge, headers=operator)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    for verb in ("retry", "cancel", "purge"):
        wanted = {"verb": verb, "filter": ""}
        assert (await api.post("/operations/preview", json=wanted, headers=viewer)).status_code == 403
    allowed = await token(None, permissions=[Permission.JOBS_READ, Permission.JOBS_PURGE])
    preview = (await api.post("/operations/preview", json=purge, headers=allowed)).json()
    assert preview["warnings"] == ["purged jobs are gone, with their results and errors; there is no way back"]
    assert (await api.post("/operations", json={"token": preview["token"]}, headers=allowed)).status_code == 202
    await apply(app)
    assert await app.jobs.show_many(failed) == []


async def test_whoever_is_confined_to_queues_moves_only_these(
    app: Holdfast, serve: Serve, token: MakeToken, send: Any
) -> None:
    mine, other = await send.enqueue(1), await send.options(queue="secret").enqueue(2)
    api, confined = await serve(), await token(Role.ADMIN, queues=["mail"])
    wanted = {"verb": "cancel", "filter": ""}
    preview = (await api.post("/operations/preview", json=wanted, headers=confined)).json()
    assert ([job["id"] for job in preview["sample"]], preview["jobs"]) == ([str(mine)], 1)
    started = (await api.post("/operations", json={"token": preview["token"]}, headers=confined)).json()
    whole = await token()
    theirs = (await api.post("/operations/preview", json=wanted, headers=whole)).json()
    theirs = (await api.post("/operations", json={"token": theirs["token"]}, headers=whole)).json()
    listed = (await api.get("/operations", headers=confined)).json()["items"]
    assert [row["id"] for row in listed] == [started["id"]]
    assert (await api.get(f"/operations/{theirs['id']}", headers=confined)).status_code == 404
    assert (await api.post(f"/operations/{theirs['id']}/cancel", json={}, headers=confined)).status_code == 404
    await api.post(f"/operations/{theirs['id']}/cancel", json={}, headers=whole)
    await apply(app)
    assert (await app.jobs.show(mine)).state == "cancelled"
    assert (await app.jobs.show(other)).state == "ready"


async def test_a_running_operation_is_cancelled_a_finished_one_is_not(
    app: Holdfast, http: httpx.AsyncClient, failed: list[int]
) -> None:
    token = (await http.post("/operations/preview", json={"verb": "purge", "filter": ""})).json()["token"]
    operation = (await http.post("/operations", json={"token": token})).json()["id"]
    cancelled = await http.post(f"/operations/{operation}/cancel", json={"reason": "oops"})
    assert (cancelled.json()["state"], cancelled.json()["ended_by"]) == ("cancelled", "local")
    await apply(app)
    assert len(await app.jobs.show_many(failed)) == 5
    token = (await http.post("/operations/preview", json={"verb": "purge", "filter": ""})).json()["token"]
    operation = (await http.post("/operations", json={"token": token})).json()["id"]
    await apply(app)
    late = await http.post(f"/operations/{operation}/cancel", json={})
    assert (late.status_code, late.json()["code"]) == (409, "operation_refused")


@pytest.mark.parametrize(
    "body",
    [
        {"verb": "complete", "filter": ""},
        {"verb": "retry"},
        {"verb": "retry", "filter": "quue=x"},
        {"verb": "retry", "filter": "", "priority": 1},
        {"verb": "priority", "filter": ""},
        {"verb": "priority", "filter": "", "priority": 10},
        {"verb": "reschedule", "filter": ""},
        {"verb": "reschedule", "filter": "", "run_in": "soon"},
        {"verb": "cancel", "filter": "args.x=\u0000"},
    ],
)
async def test_a_preview_that_makes_no_sense_is_refused(http: httpx.AsyncClient, body: Any) -> None:
    answer = await http.post("/operations/preview", json=body)
    assert 400 <= answer.status_code < 500, answer.text
    assert (await http.get("/operations")).json()["items"] == []


# --- queues and limits


async def test_queues_show_what_waits_who_paused_them_and_who_serves_them(
    app: Holdfast, http: httpx.AsyncClient, send: Any, failed: list[int], outsider: Any
) -> None:
    await send.enqueue(1)
    await send.options(run_in="1h").enqueue(2)
    await send.options(queue="other").enqueue(2)

    async def minute_is_young() -> bool:
        """What is told is told of full minutes: none may begin between here and the answer."""
        return bool(await outsider.fetchval("SELECT extract(second FROM clock_timestamp()) < 40"))

    await eventually(minute_is_young)
    await outsider.execute(
        """INSERT INTO holdfast.tally (queue, minute, enqueued, completed, failed, took_us)
           SELECT 'mail', date_trunc('minute', now()) - n * interval '1 minute', 60, 30, 6, 3600000
           FROM generate_series(1, 7) AS n"""
    )
    paused = await http.post("/queues/pause", json={"name": "mail", "reason": "provider down"})
    assert (paused.json()["paused"]["by"], paused.json()["paused"]["reason"]) == ("local", "provider down")
    mail, other = (await http.get("/queues")).json()["items"]
    assert (mail["ready"], mail["scheduled"]) == ({"count": 1, "is_exact": True}, {"count": 1, "is_exact": True})
    assert (mail["workers"], mail["actions"], other["actions"]) == (1, ["resume"], ["pause"])
    assert mail["oldest_seconds"] > 0
    assert mail["rates"] == {"enqueued_per_second": 1.0, "ended_per_second": 0.6, "failed_per_second": 0.1}
    assert mail["run_mean_seconds"] == pytest.approx(0.1)
    assert mail["drained_in_seconds"] == pytest.approx(1 / 0.6)
    assert (len(mail["buckets"]), mail["buckets"][-8:]) == (30, [0, *[36] * 7])
    assert other["drained_in_seconds"] is None
    shown = (await http.get("/queues/show", params={"name": "mail"})).json()
    assert (len(shown["serving"]), shown["failures"][0]["count"]) == (1, 5)
    resumed = await http.post("/queues/resume", json={"name": "mail"})
    assert (resumed.json()["paused"], resumed.json()["actions"]) == (None, ["pause"])
    assert [row.action for row in await Audit(app.database).list()] == ["queue.resume", "queue.pause"]
    assert (await http.post("/queues/pause", json={"name": "nowhere"})).json()["code"] == "queue_unknown"
    first = (await http.get("/queues", params={"limit": 1})).json()
    rest = (await http.get("/queues", params={"limit": 1, "cursor": first["next"]})).json()
    assert ([q["name"] for q in first["items"] + rest["items"]], rest["next"]) == (["mail", "other"], None)


async def test_limits_are_shown_set_and_reset(app: Holdfast, http: httpx.AsyncClient, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "select holdfast.declare_limits_v1('{limit:api,rate:api}', '{5,100}', '{null,60000000}',"
            " array['{}', '{}']::jsonb[])"
        )
    [changed] = (await http.post("/limits/set", json={"name": "api", "capacity": 7})).json()["items"]
    assert (changed["kind"], changed["capacity"], changed["declared"], changed["actions"]) == (
        "limit",
        7,
        5,
        ["set", "reset"],
    )
    [row] = await Audit(app.database).list()
    assert (row.before, row.after) == ({"capacity": 5}, {"capacity": 7})
    limits = {(limit["kind"], limit["name"]): limit for limit in (await http.get("/limits")).json()["items"]}
    assert limits["rate", "api"]["capacity"] == 100
    [reset] = (await http.post("/limits/reset", json={"name": "api"})).json()["items"]
    assert (reset["capacity"], reset["actions"]) == (5, ["set"])
    unknown = await http.post("/limits/set", json={"name": "apy", "capacity": 1})
    assert 400 <= unknown.status_code < 500, unknown.text
