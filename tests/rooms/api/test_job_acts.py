"""Verbs over HTTP: what they do, what they refuse and why, what stands in the audit."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from holdfast import Holdfast
from holdfast.access import Audit, Role
from holdfast.api import create_api
from tests.rooms.api.conftest import MakeToken, Serve
from tests.rooms.api.test_jobs import VERBS
from tests.rooms.jobs.test_search import one_in_each_place

BODIES: dict[str, Any] = {
    "retry": {},
    "cancel": {"reason": "no more"},
    "reschedule": {"run_in": "2h"},
    "priority": {"priority": 9},
    "edit": {"args": {"n": 7}, "unchecked": True},
    "purge": {},
}


@pytest.mark.parametrize("verb", BODIES)
async def test_a_verb_does_it_where_it_is_legal_and_says_what_would_be_where_it_is_not(
    app: Holdfast, http: httpx.AsyncClient, verb: str
) -> None:
    places = await one_in_each_place(app)
    for place, (job_id, _) in places.items():
        answer = await http.post(f"/jobs/{job_id}/{verb}", json=BODIES[verb])
        body = answer.json()
        if verb in VERBS[place]:
            assert answer.status_code == 200, body
            if verb == "priority":
                assert body["priority"] == 9
            elif verb == "edit":
                assert body["args"] == {"n": 7}
            elif place == "running":
                assert body["cancel_requested"]
            else:
                wanted = {"retry": "ready", "cancel": "cancelled", "reschedule": "scheduled", "purge": "purged"}
                assert body["state"] == wanted[verb], place
        else:
            assert (answer.status_code, body["code"], body["state"]) == (409, "illegal_move", place)
            assert body["actions"] == VERBS[place]
            assert (await app.jobs.show(job_id)).state == place


async def test_what_was_done_and_what_was_refused_stands_in_the_audit(app: Holdfast, http: httpx.AsyncClient) -> None:
    places = await one_in_each_place(app)
    ready, completed = places["ready"][0], places["completed"][0]
    await http.post(f"/jobs/{ready}/cancel", json={"reason": "no more"})
    await http.post(f"/jobs/{completed}/cancel", json={})
    refused, done = await Audit(app.database).list(limit=2)
    assert (done.action, done.result, done.target, done.reason) == ("job.cancel", "done", str(ready), "no more")
    assert (done.before["state"], done.after["state"]) == ("ready", "cancelled")
    assert (refused.result, refused.code, refused.target) == ("failed", "illegal_move", str(completed))


async def test_edited_arguments_are_checked_where_the_task_is_known(app: Holdfast) -> None:
    @app.task(queue="mail")
    async def send(n: int) -> None: ...

    job_id = await send.enqueue(1)
    async with _client(app) as http:
        wrong = await http.post(f"/jobs/{job_id}/edit", json={"args": {"n": "two"}})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "arguments_invalid")
        right = await http.post(f"/jobs/{job_id}/edit", json={"args": {"n": 2}, "reason": "typo"})
        assert right.json()["args"] == {"n": 2}


async def test_arguments_of_a_task_that_this_server_does_not_know_are_only_edited_unchecked(
    app: Holdfast, http: httpx.AsyncClient
) -> None:
    job_id = await app.jobs.enqueue_by_name("elsewhere", {"n": 1}, queue="mail")
    refused = await http.post(f"/jobs/{job_id}/edit", json={"args": {"n": 2}})
    assert (refused.status_code, refused.json()["code"]) == (422, "task_unknown")
    assert "unchecked" in refused.json()["remedy"]
    edited = await http.post(f"/jobs/{job_id}/edit", json={"args": {"n": 2}, "unchecked": True})
    assert (edited.status_code, edited.json()["args"]) == (200, {"n": 2})


async def test_a_secret_that_is_shown_hidden_survives_an_edit_and_a_copy(
    app: Holdfast, http: httpx.AsyncClient, serve: Serve, token: MakeToken
) -> None:
    args = {"n": 1, "password": "s3cret", "to": [{"url": "https://u:pw@host/"}]}
    job_id = await app.jobs.enqueue_by_name("elsewhere", args, queue="mail")
    shown = (await http.get(f"/jobs/{job_id}")).json()["args"]
    assert (shown["password"], shown["to"][0]["url"]) == ("[redacted]", "https://u:***@host/")

    edit = {"args": shown | {"n": 2}, "replace": True, "unchecked": True}
    await http.post(f"/jobs/{job_id}/edit", json=edit)
    assert (await app.jobs.show(job_id)).args == args | {"n": 2}
    copy = await http.post("/jobs", json={"task": "elsewhere", "queue": "mail", "args": shown, "like": str(job_id)})
    assert (await app.jobs.show(int(copy.json()["id"]))).args == args | {"n": 1}

    blind = await http.post("/jobs", json={"task": "elsewhere", "queue": "mail", "args": shown})
    assert (blind.status_code, blind.json()["detail"]) == (422, "the value of 'password' is hidden, not known")
    producer, header = await serve(), await token(Role.PRODUCER)
    body = {"task": "elsewhere", "queue": "mail", "args": shown, "like": str(job_id)}
    assert (await producer.post("/jobs", json=body, headers=header)).status_code == 403


async def test_a_job_is_enqueued_with_its_options_by_the_code_or_by_what_was_declared(
    app: Holdfast, http: httpx.AsyncClient
) -> None:
    @app.task(queue="mail", priority=3)
    async def send(n: int) -> None: ...

    await app.declare()
    body = {"task": "send", "args": {"n": 1}, "priority": 1, "run_in": "1h", "unique": "k", "lane": "l"}
    async with _client(app) as knows:
        for client in (knows, http):
            answer = await client.post("/jobs", json=body | {"unique": f"k{client is http}"})
            assert answer.status_code == 201, answer.text
            info = await app.jobs.show(int(answer.json()["id"]))
            assert (info.task, info.queue, info.priority, info.state, info.args) == (
                "send",
                "mail",
                1,
                "scheduled",
                {"n": 1},
            )
            again = await client.post("/jobs", json=body | {"unique": f"k{client is http}"})
            assert again.json() == {"id": answer.json()["id"], "existing": True}
        wrong = await knows.post("/jobs", json={"task": "send", "args": {"m": 1}})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "arguments_invalid")
        at = await knows.post("/jobs", json={"task": "send", "args": {"n": 1}, "run_at": "2099-01-01T00:00:00Z"})
        assert (await app.jobs.show(int(at.json()["id"]))).due_at is not None
    nobody = await http.post("/jobs", json={"task": "elsewhere"})
    assert (nobody.status_code, nobody.json()["code"]) == (422, "task_unknown")
    for bad in ({}, {"task": ""}, {"task": "t", "args": [1]}, {"task": "t", "run_at": "2099-01-01T00:00:00"}):
        assert (await http.post("/jobs", json=bad)).status_code == 422, bad
    row, *_ = [row for row in await Audit(app.database).list() if row.result == "done"]
    assert (row.action, row.target_kind) == ("job.enqueue", "job")


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("reschedule", {}),
        ("reschedule", {"run_in": "1h", "run_at": "2099-01-01T00:00:00Z"}),
        ("reschedule", {"run_in": "soon"}),
        ("reschedule", {"run_at": "2099-01-01T00:00:00"}),
        ("reschedule", {"run_in": -5}),
        ("reschedule", {"run_in": 1e300}),
        ("priority", {}),
        ("priority", {"priority": 10}),
        ("edit", {}),
        ("edit", {"args": {"n": "\u0000"}, "unchecked": True}),
        ("cancel", {"raeson": "typo"}),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(
    app: Holdfast, http: httpx.AsyncClient, verb: str, body: Any
) -> None:
    places = await one_in_each_place(app)
    before = await app.jobs.show(places["ready"][0])
    answer = await http.post(f"/jobs/{places['ready'][0]}/{verb}", json=body)
    assert 400 <= answer.status_code < 500, answer.text
    assert await app.jobs.show(places["ready"][0]) == before


async def test_each_verb_needs_its_permission(app: Holdfast, serve: Serve, token: MakeToken) -> None:
    places = await one_in_each_place(app)
    api, viewer, operator = await serve(), await token(Role.VIEWER), await token(Role.OPERATOR)
    for verb, body in BODIES.items():
        job_id = places["failed" if verb == "retry" else "ready"][0]
        refused = await api.post(f"/jobs/{job_id}/{verb}", json=body, headers=viewer)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), verb
        if verb in ("edit", "purge"):
            assert (await api.post(f"/jobs/{job_id}/{verb}", json=body, headers=operator)).status_code == 403
    producer = await token(Role.PRODUCER)
    answer = await api.post("/jobs", json={"task": "t", "queue": "q"}, headers=producer)
    assert answer.status_code == 201
    assert (await api.get("/jobs", headers=producer)).status_code == 403


def _client(app: Holdfast) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_api(app, auth=False))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1")
