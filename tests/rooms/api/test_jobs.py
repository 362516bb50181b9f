"""Jobs over HTTP: lists, one whole, why, logs; what is not shown to whoever may not see it."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest

from holdfast import Holdfast, Job, Retry
from holdfast.access import Permission, Role
from holdfast.db import Statement
from tests.rooms.api.conftest import MakeToken, Serve
from tests.rooms.jobs.hand import Hand
from tests.rooms.jobs.test_search import one_in_each_place
from tests.rooms.working import working
from tests.waiting import eventually

_FOLD = Statement("fold", "SELECT holdfast.fold_failures_v1(1000)")
VERBS = {
    "scheduled": ["retry", "cancel", "reschedule", "priority", "edit", "purge"],
    "blocked": ["cancel", "reschedule", "priority", "edit", "purge"],
    "ready": ["cancel", "reschedule", "priority", "edit", "purge"],
    "running": ["cancel"],
    "completed": ["purge"],
    "failed": ["retry", "edit", "purge"],
    "cancelled": ["retry", "edit", "purge"],
}


async def ids_of(http: httpx.AsyncClient, **params: Any) -> list[int]:
    """The ids of every page."""
    ids, cursor = list[int](), None
    while True:
        answer = await http.get("/jobs", params={**params, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        ids += [int(job["id"]) for job in answer.json()["items"]]
        cursor = answer.json()["next"]
        if cursor is None:
            return ids


async def test_jobs_are_listed_page_by_page_each_with_what_is_legal(app: Holdfast, http: httpx.AsyncClient) -> None:
    places = await one_in_each_place(app)
    assert await ids_of(http, limit=3) == sorted((i for ids in places.values() for i in ids), reverse=True)
    for place, ids in places.items():
        answer = await http.get("/jobs", params={"filter": f"state={place}"})
        items = answer.json()["items"]
        assert [int(job["id"]) for job in items] == sorted(ids, reverse=True)
        assert {job["state"] for job in items} == {place}
        assert [job["actions"] for job in items] == [VERBS[place]] * 2
        assert items[0]["args"] == {"n": 1}


async def test_a_filter_or_a_cursor_that_is_not_understood_is_refused_with_a_remedy(http: httpx.AsyncClient) -> None:
    answer = await http.get("/jobs", params={"filter": "quue=mail"})
    assert (answer.status_code, answer.json()["code"]) == (422, "filter_invalid")
    assert answer.json()["remedy"] == "did you mean queue?"
    for cursor in ("x", "WyJqMSJd%00", "WzFd", "WyJ4MTIiXQ"):
        assert (await http.get("/jobs", params={"cursor": cursor})).status_code == 422
    assert (await http.get("/jobs", params={"limit": 201})).status_code == 422


async def test_states_are_counted(app: Holdfast, http: httpx.AsyncClient) -> None:
    await one_in_each_place(app)
    counts = (await http.get("/jobs/counts")).json()
    expected = {"count": 2, "is_exact": True}
    for place in ("scheduled", "blocked", "ready", "running", "failed", "cancelled"):
        assert counts[place] == expected, place
    assert counts["completed"]["is_exact"] is False
    assert (await http.get("/jobs/counts", params={"queue": "mail"})).json()["running"] == expected
    none = (await http.get("/jobs/counts", params={"queue": "elsewhere"})).json()
    assert {count["count"] for count in none.values()} == {0}


async def test_one_job_has_its_life_in_order(app: Holdfast, http: httpx.AsyncClient) -> None:
    @app.task(queue="mail", retry=Retry(max_attempts=2, delay_seconds=0))
    async def send(job: Job, user_id: int) -> str:
        if job.attempt == 1:
            raise ConnectionError("refused")
        return "sent"

    job_id = await send.options(run_in="1h").enqueue(7)
    await app.jobs.edit(job_id, {"user_id": 8}, reason="typo")
    await app.jobs.prioritize(job_id, priority=1)
    await app.jobs.retry(job_id)
    async with working(app, ("mail",)):
        await app.jobs.wait(job_id, timeout_seconds=20)
    job = (await http.get(f"/jobs/{job_id}")).json()
    assert (job["id"], job["state"], job["result"], job["args"]) == (str(job_id), "completed", "sent", {"user_id": 8})
    assert [(m["what"], m["outcome"]) for m in job["timeline"]] == [
        ("enqueued", None),
        ("edited", None),
        ("edited", None),
        ("attempt", "failed"),
        ("attempt", "completed"),
        ("completed", None),
    ]
    assert (job["timeline"][1]["args"], job["timeline"][1]["reason"]) == ({"user_id": 7}, "typo")
    assert job["timeline"][2]["priority"] == 5
    assert job["timeline"][3]["error"]["type"] == "ConnectionError"
    assert job["timeline"][3]["error"]["frame"].endswith("send")
    assert (await http.get(f"/jobs/{job_id}/history")).json()["items"] == job["timeline"]


async def test_a_running_and_a_scheduled_job_say_what_goes_on_and_what_is_to_come(
    app: Holdfast, http: httpx.AsyncClient
) -> None:
    places = await one_in_each_place(app)
    running = (await http.get(f"/jobs/{places['running'][0]}")).json()
    assert [(m["what"], m["outcome"], m["ended_at"]) for m in running["timeline"][1:]] == [("attempt", "running", None)]
    await app.jobs.cancel(places["running"][0], reason="stuck")
    asked = (await http.get(f"/jobs/{places['running'][0]}")).json()
    assert (asked["timeline"][-1]["what"], asked["timeline"][-1]["reason"]) == ("asked", "stuck")
    scheduled = (await http.get(f"/jobs/{places['scheduled'][0]}")).json()
    assert scheduled["timeline"][-1]["what"] == "due"
    cancelled = (await http.get(f"/jobs/{places['cancelled'][0]}")).json()
    assert (cancelled["timeline"][-1]["what"], cancelled["error"]["type"]) == ("cancelled", "Cancelled")


async def test_why_says_what_stands_in_the_way(app: Holdfast, http: httpx.AsyncClient) -> None:
    places = await one_in_each_place(app)
    await app.queues.pause("mail", reason="provider down", by="ada")
    why = (await http.get(f"/jobs/{places['ready'][0]}/why")).json()
    assert (why["state"], why["job"]) == ("ready", str(places["ready"][0]))
    assert any("paused" in reason["text"] and "ada" in reason["text"] for reason in why["reasons"])
    assert all(reason["code"] for reason in why["reasons"])


async def test_logs_are_read_on_from_where_they_ended(app: Holdfast, http: httpx.AsyncClient) -> None:
    @app.task
    async def talk(job: Job) -> None:
        for n in range(5):
            logging.getLogger("shop").warning("line %d postgres://u:secret@host/db", n)

    job_id = await talk.enqueue()
    async with working(app):
        await app.jobs.wait(job_id, timeout_seconds=20)

        async def five() -> bool:
            return len(await app.jobs.logs(job_id)) == 5

        await eventually(five)
    first = (await http.get(f"/jobs/{job_id}/logs", params={"limit": 3})).json()
    assert [line["message"] for line in first["items"]] == [f"line {n} postgres://u:***@host/db" for n in range(3)]
    rest = (await http.get(f"/jobs/{job_id}/logs", params={"cursor": first["next"]})).json()
    assert (len(rest["items"]), rest["next"]) == (2, None)
    later = (await http.get(f"/jobs/{job_id}/logs", params={"cursor": rest["last"]})).json()
    assert (later["items"], later["last"]) == ([], rest["last"])


async def test_children_and_members_are_listed(app: Holdfast, http: httpx.AsyncClient) -> None:
    @app.task
    async def part(n: int) -> int:
        return n

    @app.task
    async def whole(job: Job) -> None:
        async with job.batch("parts") as batch:
            for n in range(3):
                batch.add(part, n)

    job_id = await whole.enqueue()
    await app.drain()
    children = (await http.get(f"/jobs/{job_id}/children", params={"limit": 2})).json()
    assert [job["args"]["n"] for job in children["items"]] == [0, 1]
    rest = (await http.get(f"/jobs/{job_id}/children", params={"limit": 2, "cursor": children["next"]})).json()
    assert ([job["args"]["n"] for job in rest["items"]], rest["next"]) == ([2], None)
    [batch] = (await http.get("/batches")).json()["items"]
    assert (batch["name"], batch["state"], batch["members"], batch["parent_job"], batch["actions"]) == (
        "parts",
        "completed",
        3,
        str(job_id),
        [],
    )
    assert children["items"][0]["batch"] == batch["id"]
    members = (await http.get(f"/batches/{batch['id']}/members")).json()
    assert len(members["items"]) == 3
    assert (await http.get("/batches", params={"unfinished": "true"})).json()["items"] == []
    assert (await http.get("/batches/77")).json()["code"] == "batch_not_found"


async def test_who_may_not_see_arguments_sees_none_anywhere(app: Holdfast, serve: Serve, token: MakeToken) -> None:
    @app.task(queue="mail")
    async def send(user_id: int, password: str, nested: dict[str, str]) -> None: ...

    job_id = await send.options(unique="user-77").enqueue(77, "hunter2", {"apiKey": "k123"})
    await app.jobs.edit(job_id, {"user_id": 78})
    api, viewer, operator = await serve(), await token(Role.VIEWER), await token(Role.OPERATOR)
    for path in (f"/jobs/{job_id}", "/jobs", f"/jobs/{job_id}/history", f"/jobs/{job_id}/why"):
        shown = await api.get(path, headers=viewer)
        assert shown.status_code == 200, shown.text
        assert not any(secret in shown.text for secret in ('"user_id":', "user-77", "hunter2", "k123")), path
    assert (await api.get(f"/jobs/{job_id}/logs", headers=viewer)).status_code == 403
    whole = (await api.get(f"/jobs/{job_id}", headers=viewer)).json()
    assert (whole["args"], whole["hidden"]) == (None, ["args", "result", "logs", "messages"])
    shown = await api.get(f"/jobs/{job_id}", headers=operator)
    assert shown.json()["args"] == {"user_id": 78, "password": "[redacted]", "nested": {"apiKey": "[redacted]"}}
    assert "hunter2" not in shown.text
    assert shown.json()["actions"] == ["cancel", "reschedule", "priority"]
    assert whole["actions"] == []


async def test_errors_tell_whoever_may_not_see_arguments_their_type_alone(
    app: Holdfast, serve: Serve, token: MakeToken
) -> None:
    @app.task(retry=Retry(max_attempts=1))
    async def send(address: str) -> None:
        raise ValueError(f"nobody reads {address}")

    job_id = await send.enqueue("ada@example.org")
    await app.drain()
    await app.database.fetchval(_FOLD)
    api, public, operator = await serve(), await serve(public_read=True), await token(Role.OPERATOR)
    [group] = (await public.get("/failures")).json()["items"]
    about = [f"/jobs/{job_id}", f"/jobs/{job_id}/history", f"/jobs/{job_id}/why", "/jobs", "/failures"]
    for path in (*about, f"/failures/{group['fingerprint']}"):
        shown, known = await public.get(path), await api.get(path, headers=operator)
        assert ("ValueError" in shown.text, "ada@" in shown.text) == (True, False), path
        assert "nobody reads ada@example.org" in known.text, path


@pytest.mark.parametrize("what", ["args.user_id=77", "args.user_id~7", "key~user", 'error~"on the wire"'])
async def test_what_is_hidden_cannot_be_found_by_a_filter(serve: Serve, token: MakeToken, what: str) -> None:
    api, operator = await serve(public_read=True), await token(Role.OPERATOR)
    retrying = await token(None, permissions=[Permission.JOBS_READ, Permission.JOBS_RETRY])

    assert (await api.get("/jobs", params={"filter": what}, headers=operator)).status_code == 200
    sought = await api.get("/jobs", params={"filter": f"queue=mail {what}"})
    previewed = await api.post("/operations/preview", json={"verb": "retry", "filter": what}, headers=retrying)
    assert [(one.status_code, one.json()["code"]) for one in (sought, previewed)] == [(403, "forbidden")] * 2


async def test_the_value_of_a_secret_argument_cannot_be_sought_by_anybody(http: httpx.AsyncClient) -> None:
    for what in ("args.password~h", "args.user.apiKey=1", "args.token!=x"):
        answer = await http.get("/jobs", params={"filter": what})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), what


async def test_a_worker_is_shown_by_its_name(app: Holdfast, http: httpx.AsyncClient) -> None:
    @app.task(queue="mail")
    async def send(n: int) -> None: ...

    async with working(app, ("mail",), name="w-mail-7"):
        job = await send.enqueue(1)
        await app.jobs.wait(job, timeout_seconds=20)
        queue = (await http.get("/queues/show", params={"name": "mail"})).json()
    whole = (await http.get(f"/jobs/{job}")).json()
    (line,) = (await http.get("/jobs")).json()["items"]
    moments = (await http.get(f"/jobs/{job}/history")).json()["items"]

    assert queue["serving"] == [{"id": whole["worker"], "name": "w-mail-7"}]
    assert (whole["worker_name"], line["worker_name"]) == ("w-mail-7", "w-mail-7")
    assert [one["worker_name"] for one in moments if one["what"] == "attempt"] == ["w-mail-7"]


async def test_what_is_hidden_in_an_argument_cannot_be_sought_through_it(
    app: Holdfast, http: httpx.AsyncClient
) -> None:
    @app.task(queue="mail")
    async def log_in(user: dict[str, Any], many: list[Any], tags: list[str], source: str, header: str) -> None: ...

    secret = {"name": "ada", "password": "hunter2"}
    job = await log_in.enqueue(
        secret, [[secret]], ["red", "blue"], "postgres://shop:hunter2@db/shop", "Bearer hunter2hunter2"
    )

    async def found(*terms: str) -> list[list[str]]:
        answers = [await http.get("/jobs", params={"filter": term}) for term in terms]
        return [[one["id"] for one in answer.json()["items"]] for answer in answers]

    whole = 'args.user="' + json.dumps(secret).replace('"', '\\"') + '"'
    hidden = [
        "args.user~h",
        "args.many~hunter",
        "args.many.0~hunter",
        "args.source~hunter",
        "args.header~hunter",
        whole,
    ]
    assert await found(*hidden) == [[]] * len(hidden)
    open_ones = ("args.user.name=ada", "args.tags~red", "args.tags.1=blue", "args.source~shop:***@db")
    assert await found(*open_ones) == [[str(job)]] * 4


async def test_whoever_is_confined_to_queues_learns_nothing_of_others(
    app: Holdfast, serve: Serve, token: MakeToken
) -> None:
    @app.task(queue="mail")
    async def send(n: int) -> None: ...

    mine = await send.enqueue(1)
    other = await send.options(queue="secret").enqueue(2)
    async with app.batch("theirs") as batch:
        batch.add(send.options(queue="secret"), 3)
    hand = await Hand.registered(app.database, "secret")
    await hand.fail(await hand.claim_one())
    await app.database.fetchval(_FOLD)
    api, confined = await serve(), await token(Role.ADMIN, queues=["mail"])
    assert [job["id"] for job in (await api.get("/jobs", headers=confined)).json()["items"]] == [str(mine)]
    answer = await api.get("/jobs", params={"filter": "queue=secret"}, headers=confined)
    assert answer.json()["items"] == []
    for path in (f"/jobs/{other}", f"/jobs/{other}/why", f"/jobs/{other}/logs", f"/batches/{batch.id}"):
        assert (await api.get(path, headers=confined)).status_code == 404, path
    for verb in ("cancel", "retry", "purge"):
        assert (await api.post(f"/jobs/{other}/{verb}", json={}, headers=confined)).status_code == 404
    assert [queue["name"] for queue in (await api.get("/queues", headers=confined)).json()["items"]] == ["mail"]
    assert (await api.get("/queues/show", params={"name": "secret"}, headers=confined)).status_code == 404
    assert (await api.post("/queues/pause", json={"name": "secret"}, headers=confined)).status_code == 404
    assert (await api.get("/failures", headers=confined)).json()["items"] == []
    assert (await api.get("/batches", headers=confined)).json()["items"] == []
    counts = (await api.get("/jobs/counts", headers=confined)).json()
    assert (counts["ready"]["count"], counts["failed"]["count"]) == (1, 0)
    elsewhere = await api.get("/jobs/counts", params={"queue": "secret"}, headers=confined)
    assert elsewhere.json()["failed"]["count"] == 0
    refused = await api.post("/jobs", json={"task": "send", "queue": "secret", "args": {"n": 1}}, headers=confined)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await api.post("/limits/set", json={"name": "x", "capacity": 1}, headers=confined)).status_code == 403


async def test_whoever_is_confined_to_queues_cancels_no_batch_that_reaches_into_others(
    app: Holdfast, serve: Serve, token: MakeToken
) -> None:
    @app.task(queue="mail")
    async def send(n: int) -> None: ...

    async with app.batch("mine") as mine:
        mine.add(send, 1)
    async with app.batch("ours") as ours:
        for n in range(30):
            ours.add(send, n)
        ours.add(send.options(queue="secret"), 30)
    api, confined = await serve(), await token(Role.OPERATOR, queues=["mail"])

    refused = await api.post(f"/batches/{ours.id}/cancel", json={}, headers=confined)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await app.batches.show(ours.id or 0)).state == "running"
    assert (await api.post(f"/batches/{mine.id}/cancel", json={}, headers=confined)).status_code == 200


@pytest.mark.parametrize("job", ["0", "77", "9223372036854775807"])
async def test_a_job_that_is_not_there_is_not_found(http: httpx.AsyncClient, job: str) -> None:
    for path in ("", "/why", "/history", "/logs", "/children"):
        answer = await http.get(f"/jobs/{job}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found"), path
    for bad in ("x", "-1", "9223372036854775808", "01", "1e3"):
        assert (await http.get(f"/jobs/{bad}")).status_code in (404, 422)


async def test_tasks_and_the_filter_language_are_described(app: Holdfast, http: httpx.AsyncClient) -> None:
    @app.task(queue="mail", priority=2)
    async def send(n: int) -> None: ...

    await app.declare()
    [task] = (await http.get("/tasks")).json()["items"]
    assert (task["name"], task["queue"], task["priority"], task["parameters"]) == ("send", "mail", 2, None)
    fields = {field["name"]: field for field in (await http.get("/filter")).json()["items"]}
    assert fields["state"]["values"] == sorted(fields["state"]["values"], key=list(VERBS).index)
    assert fields["error"]["operators"] == ["=", "!=", "~", "!~"]
    assert all(field["meaning"] for field in fields.values())
