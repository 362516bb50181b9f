"""Overview, history, schedules, workers, events, projections and the database over HTTP: what is shown and done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from holdfast import Holdfast, Retry
from holdfast.access import Audit, Permission, Principal, Role
from holdfast.api import create_api
from holdfast.events import Event
from holdfast.observe import roll_up
from tests.rooms.api.conftest import MakeToken, Serve
from tests.situations.places import at_work, later, seen

VIEWER = frozenset(
    {
        Permission.STATS_READ,
        Permission.SCHEDULES_READ,
        Permission.WORKERS_READ,
        Permission.EVENTS_READ,
        Permission.PROJECTIONS_READ,
        Permission.DATABASE_READ,
    }
)


@pytest.fixture
async def viewer(app: Holdfast) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may look, at queue "mail" alone, and sees no arguments."""
    who = Principal("eve", "token", VIEWER, queues=frozenset({"mail"}))

    async def principal_of(_request: Any) -> Principal:
        return who

    api = create_api(app, auth=True)
    api.state.frame.principal_of = principal_of
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
        yield client


async def audited(app: Holdfast) -> list[tuple[str, str | None, str]]:
    """Action, target and result of every row of the audit, the oldest first."""
    rows = await Audit(app.database).list(limit=200)
    return [(row.action, row.target, row.result) for row in reversed(rows)]


async def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


# ---- overview and history ------------------------------------------------------------------------------------------


async def _nothing() -> None: ...


async def test_the_overview_of_an_empty_installation_is_ok_with_zeros(http: httpx.AsyncClient) -> None:
    overview = await ok(await http.get("/overview"))

    assert overview["verdict"] == {"status": "OK", "reasons": []}
    assert (overview["tiles"]["ready"], overview["tiles"]["workers"]) == (0, 0)
    assert (overview["tiles"]["oldest_seconds"], overview["tiles"]["next_schedule"]) == (None, None)


async def test_who_sees_some_queues_sees_no_others_in_the_overview(app: Holdfast, viewer: httpx.AsyncClient) -> None:
    @app.task
    async def work() -> None: ...

    for queue in ("mail", "secret"):
        await work.options(queue=queue).enqueue()
    app.schedule("* * * * *", name="secretly", queue="secret")(_nothing)
    await app.declare()
    overview = await ok(await viewer.get("/overview"))

    assert (overview["tiles"]["ready"], overview["tiles"]["queues"]) == (1, 1)
    assert "secret" not in json.dumps(overview)
    assert (await viewer.get("/history?queue=secret")).status_code == 403
    await app.queues.pause("secret")
    await roll_up(app.database)
    history = await ok(await viewer.get("/history"))
    assert "secret" not in json.dumps(history)


@pytest.mark.parametrize(("span", "seconds", "buckets"), [("1h", 60, 60), ("24h", 600, 144), ("7d", 3600, 168)])
async def test_the_history_has_every_bucket(http: httpx.AsyncClient, span: str, seconds: int, buckets: int) -> None:
    history = await ok(await http.get(f"/history?range={span}"))

    assert (history["resolution_seconds"], len(history["buckets"])) == (seconds, buckets)
    assert history["buckets"][0]["wait_p50_seconds"] is None


async def test_a_range_that_does_not_exist_is_refused(http: httpx.AsyncClient) -> None:
    assert (await http.get("/history?range=2h")).status_code == 422


# ---- schedules -----------------------------------------------------------------------------------------------------


async def test_a_schedule_is_shown_paused_resumed_triggered_and_edited(app: Holdfast, http: httpx.AsyncClient) -> None:
    @app.schedule("0 7 * * mon-fri", timezone="Europe/Zurich", name="morning")
    async def morning() -> None: ...

    await app.declare()
    (listed,) = (await ok(await http.get("/schedules")))["items"]
    assert (listed["name"], listed["state"], listed["cron"]) == ("morning", "active", "0 7 * * mon-fri")
    assert listed["actions"] == ["trigger", "backfill", "pause", "edit"]

    paused = await ok(await http.post("/schedules/pause", json={"name": "morning", "reason": "holiday"}))
    assert (paused["state"], paused["pause_reason"], paused["upcoming"]) == ("paused", "holiday", [])
    assert "resume" in paused["actions"]
    resumed = await ok(await http.post("/schedules/resume", json={"name": "morning"}))
    assert (resumed["state"], len(resumed["upcoming"])) == ("active", 5)
    triggered = await ok(await http.post("/schedules/trigger", json={"name": "morning"}))
    assert (triggered["origin"], triggered["state"]) == ("trigger", "started")
    assert isinstance(triggered["job"], str)
    edited = await ok(await http.post("/schedules/edit", json={"name": "morning", "cron": "0 8 * * *"}))
    assert (edited["cron"], edited["edited"], edited["is_edited"]) == ("0 8 * * *", ["cron", "every_seconds"], True)
    args = {"to": "board", "api_key": "k-1"}
    shown = await ok(await http.post("/schedules/edit", json={"name": "morning", "args": args}))
    assert shown["args"] == args | {"api_key": "[redacted]"}
    await ok(await http.post("/schedules/edit", json={"name": "morning", "args": shown["args"] | {"to": "all"}}))
    assert (await app.schedules.show("morning")).plan.args == {"to": "all", "api_key": "k-1"}
    reset = await ok(await http.post("/schedules/reset", json={"name": "morning"}))
    assert (reset["cron"], reset["is_edited"]) == ("0 7 * * mon-fri", False)
    assert await audited(app) == [
        (f"schedule.{act}", "morning", "done")
        for act in ("pause", "resume", "trigger", "edit", "edit", "edit", "reset")
    ]


async def test_nobody_moves_a_schedule_into_a_queue_that_is_not_theirs(
    app: Holdfast, serve: Serve, token: MakeToken
) -> None:
    @app.schedule("0 7 * * *", name="morning", queue="mail")
    async def morning() -> None: ...

    await app.declare()
    api, header = await serve(), await token(Role.ADMIN, queues=["mail"])
    answer = await api.post("/schedules/edit", json={"name": "morning", "queue": "billing"}, headers=header)
    assert answer.status_code == 403
    assert (await app.schedules.show("morning")).plan.queue == "mail"


async def test_a_backfill_is_previewed_and_does_what_the_preview_said(app: Holdfast, http: httpx.AsyncClient) -> None:
    @app.schedule("0 * * * *", name="hourly", overlap="allow")
    async def hourly() -> None: ...

    await app.declare()
    until = datetime.now(UTC).replace(minute=30, second=0, microsecond=0) - timedelta(hours=1)
    asked = {"name": "hourly", "since": (until - timedelta(hours=3)).isoformat(), "until": until.isoformat()}
    preview = await ok(await http.get("/schedules/backfill/preview", params=asked))
    assert (preview["runs"], [step["runs"] for step in preview["steps"]]) == (3, [True] * 3)
    made = await ok(await http.post("/schedules/backfill", json=asked))
    assert [one["at"] for one in made] == [step["at"] for step in preview["steps"]]
    assert (await ok(await http.get("/schedules/backfill/preview", params=asked)))["runs"] == 0


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("pause", {"name": "nobody"}, 404, "schedule_unknown"),
        ("edit", {"name": "hourly", "cron": "61 * * * *"}, 422, "value_refused"),
        ("edit", {"name": "hourly", "timezone": "Mars/Olympus"}, 422, "value_refused"),
        ("edit", {"name": "hourly", "timezone": "../../etc/passwd"}, 422, "value_refused"),
        ("edit", {"name": "hourly", "timezone": "/etc/localtime"}, 422, "value_refused"),
        ("edit", {"name": "hourly", "cron": "* * * * * * *"}, 422, "value_refused"),
        ("edit", {"name": "hourly", "cron": "0-999999999 * * * *"}, 422, "value_refused"),
        ("edit", {"name": "hourly", "every_seconds": 1e-9}, 422, "value_refused"),
        ("backfill", {"name": "hourly", "since": "0001-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, 422, None),
        ("backfill", {"name": "hourly", "since": "2001-01-01T00:00:00Z", "until": "2199-01-01T00:00:00Z"}, 422, None),
        ("backfill", {"name": "hourly", "since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, 422, None),
        ("backfill", {"name": "hourly", "since": "2026-01-02T00:00:00", "until": "2026-01-03T00:00:00Z"}, 422, None),
        ("trigger", {"name": "hourly", "forse": True}, 422, "request_invalid"),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_has_changed(
    app: Holdfast, http: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, code: str | None
) -> None:
    @app.schedule("0 * * * *", name="hourly")
    async def hourly() -> None: ...

    await app.declare()
    before = await app.schedules.show("hourly")
    problem = await ok(await http.post(f"/schedules/{path}", json=body), status)

    assert code is None or problem["code"] == code
    assert await app.schedules.show("hourly") == before


# ---- workers -------------------------------------------------------------------------------------------------------


async def test_workers_are_listed_and_one_is_shown_with_what_it_holds(
    app: Holdfast, http: httpx.AsyncClient, viewer: httpx.AsyncClient
) -> None:
    release = asyncio.Event()

    @app.task(queue="exports")
    async def export() -> None:
        await release.wait()

    job_id = await export.enqueue()
    async with at_work(app, "exports", name="w-1"):
        await seen(app, lambda sight: any(worker.running for worker in sight.live))
        try:
            (listed,) = (await ok(await http.get("/workers")))["items"]
            assert (listed["name"], listed["state"], listed["running"]) == ("w-1", "live", [str(job_id)])
            assert listed["asked_seconds"] < 30
            shown = await ok(await http.get(f"/workers/{listed['id']}"))
            assert [(job["id"], job["running"]) for job in shown["held"]] == [(str(job_id), True)]
            assert (await ok(await viewer.get("/workers")))["items"] == [], "it serves no queue of theirs"
            assert (await viewer.get(f"/workers/{listed['id']}")).status_code == 404
        finally:
            release.set()
    assert (await http.get("/workers/99999999")).status_code == 404


# ---- events --------------------------------------------------------------------------------------------------------


async def append(http: httpx.AsyncClient, stream: str, *types: str, **more: Any) -> Any:
    return await ok(
        await http.post(
            "/events", json={"stream": stream, "events": [{"type": kind, "data": {"n": 1}} for kind in types], **more}
        ),
        201,
    )


async def test_events_are_appended_and_read_in_pages_both_ways(app: Holdfast, http: httpx.AsyncClient) -> None:
    await append(http, "order-1", "Placed", "Paid", expected_version="none")
    await append(http, "order-2", "Placed")
    await app.events.settled()
    log = await ok(await http.get("/events/log"))
    assert (log["settled"], log["is_behind"], log["stalled_by"]) == (log["drawn"], False, [])

    async def walked(query: str) -> list[tuple[str, int]]:
        found, cursor = [], ""
        while True:
            page = await ok(await http.get(f"/events?limit=1&{query}{cursor}"))
            found += [(event["stream"], event["version"]) for event in page["items"]]
            if page["next"] is None:
                return found
            cursor = f"&cursor={page['next']}"

    oldest_first = [("order-1", 1), ("order-1", 2), ("order-2", 1)]
    assert await walked("newest_first=false") == oldest_first
    assert await walked("newest_first=true") == oldest_first[::-1]
    assert await walked("type=Placed") == [("order-2", 1), ("order-1", 1)]
    assert await walked("stream=order-1") == [("order-1", 2), ("order-1", 1)]
    assert await walked("stream=order-1&newest_first=false") == oldest_first[:2]
    assert await walked("stream=order-1&type=Paid") == [("order-1", 2)]
    assert await walked("stream=order-1&type=Shipped") == []
    assert await walked("stream=order-1&after=1&newest_first=false") == [("order-1", 2)]
    assert (await ok(await http.get("/events?limit=1")))["items"][0]["data"] == {"n": 1}


async def test_a_long_stream_is_narrowed_down_in_short_pages(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.api.nouns.events._FEED_PAGE", 2)
    monkeypatch.setattr("holdfast.api.nouns.events._MOST_LOOKS", 2)
    await append(http, "order-1", "Rare", *["Made"] * 9, "Rare")
    first = await ok(await http.get("/events?stream=order-1&type=Rare"))
    second = await ok(await http.get(f"/events?stream=order-1&type=Rare&cursor={first['next']}"))
    third = await ok(await http.get(f"/events?stream=order-1&type=Rare&cursor={second['next']}"))

    found = [[event["version"] for event in page["items"]] for page in (first, second, third)]
    assert (found, third["next"]) == ([[11], [], [1]], None)


async def test_an_append_at_another_version_is_a_conflict_and_nothing_is_there(
    app: Holdfast, http: httpx.AsyncClient
) -> None:
    await append(http, "order-1", "Placed")
    answer = await http.post(
        "/events", json={"stream": "order-1", "events": [{"type": "Paid"}], "expected_version": "none"}
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "version_conflict")
    assert await app.events.version_of("order-1") == 1
    assert (await audited(app))[-1] == ("event.append", "order-1", "failed")


async def test_streams_are_listed_by_prefix(app: Holdfast, http: httpx.AsyncClient) -> None:
    for stream in ("order-1", "order-2", "account-1", "order-3", "orders"):
        await append(http, stream, "Made", "Changed")
    page = await ok(await http.get("/events/streams?prefix=order-&limit=2"))
    rest = await ok(await http.get(f"/events/streams?prefix=order-&limit=2&cursor={page['next']}"))

    assert [one["stream"] for one in page["items"] + rest["items"]] == ["order-1", "order-2", "order-3"]
    assert {one["version"] for one in page["items"]} == {2}
    assert rest["next"] is None


async def test_the_feed_is_lines_and_goes_on_after_a_position(app: Holdfast, http: httpx.AsyncClient) -> None:
    for n in range(3):
        await append(http, f"s-{n}", *["Made"] * 400)
    await app.events.settled()
    lines = [json.loads(line) for line in (await http.get("/events/feed")).text.splitlines()]
    assert len(lines) == 1200
    half = lines[:600]
    rest = await http.get(f"/events/feed?after={half[-1]['position']}")

    assert rest.headers["content-type"] == "application/x-ndjson"
    assert half + [json.loads(line) for line in rest.text.splitlines()] == lines


async def test_data_of_events_is_hidden_from_whoever_sees_no_arguments(
    app: Holdfast, http: httpx.AsyncClient, viewer: httpx.AsyncClient
) -> None:
    await app.events.append("order-1", [Event("Placed", {"card": "4111"}, metadata={"by": "zoe"})])
    await app.events.settled()

    for path in ("/events", "/events?stream=order-1", "/events/feed"):
        answer = await viewer.get(path)
        assert "order-1" in answer.text
        assert "4111" not in answer.text
        assert "zoe" not in answer.text


# ---- projections ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def poisoned(app: Holdfast) -> None:
    """A projection that has parked a stream."""

    @app.projection("balances", retry=Retry(max_attempts=1))
    async def balances(tx: object, event: object) -> None:
        raise ValueError("no account 4111")

    await app.events.append("account-1", [Event("Opened", {})])
    async with at_work(app, "default", name="w-1"):
        await seen(app, lambda sight: any(each.undecided for each in sight.projected))


@pytest.mark.usefixtures("poisoned")
async def test_a_projection_is_shown_paused_and_a_parked_stream_is_skipped(
    app: Holdfast, http: httpx.AsyncClient
) -> None:
    (listed,) = (await ok(await http.get("/projections")))["items"]
    assert (listed["name"], listed["parked"], listed["undecided"]) == ("balances", 1, 1)
    shown = await ok(await http.get("/projections/show?name=balances"))
    assert len(shown["partitions"]) == 64
    assert [one["stream"] for one in shown["parked_streams"]] == ["account-1"]
    assert {"pause", "skip", "unpark", "reset"} <= set(shown["actions"])

    paused = await ok(await http.post("/projections/pause", json={"name": "balances", "reason": "repair"}))
    assert (paused["state"], paused["pause_reason"]) == ("paused", "repair")
    assert "resume" in paused["actions"]
    await ok(await http.post("/projections/resume", json={"name": "balances"}))
    body = {"name": "balances", "stream": "account-1", "reason": "closed long ago"}
    skipped = await ok(await http.post("/projections/skip", json=body))
    assert [(one["stream"], one["reason"]) for one in skipped["skipped"]] == [("account-1", "closed long ago")]
    again = await http.post("/projections/rebuild", json={"name": "balances"})
    assert (again.status_code, again.json()["code"]) == (409, "rebuild_refused")
    assert ("projection.skip", "balances", "done") in await audited(app)


@pytest.mark.usefixtures("poisoned")
async def test_what_an_event_failed_with_is_hidden_from_whoever_sees_no_arguments(viewer: httpx.AsyncClient) -> None:
    answer = await viewer.get("/projections/show?name=balances")

    assert "4111" not in answer.text
    assert answer.json()["parked_streams"][0]["error"]["type"] == "ValueError"
    assert answer.json()["actions"] == []


async def test_a_rebuild_is_begun_switched_to_and_rolled_back_over_http(
    app: Holdfast, http: httpx.AsyncClient, outsider: Any
) -> None:
    await outsider.execute("create table totals (stream text primary key, n bigint not null)")

    @app.projection("totals", tables=("totals",))
    async def totals(tx: Any, event: Any) -> None:
        await tx.execute(
            "insert into totals values ($1, 1) on conflict (stream) do update set n = totals.n + 1", event.stream
        )

    await app.events.append("order-1", [Event("Placed", {}), Event("Paid", {})])
    async with at_work(app, "default", name="w-1"):
        await seen(app, lambda sight: any(each.lag_events == 0 for each in sight.projected))
        building = await ok(await http.post("/projections/rebuild", json={"name": "totals"}))
        assert building["building"] == 2
        assert {"switch", "abandon"} <= set(building["actions"])
        switched = await ok(await http.post("/projections/switch", json={"name": "totals"}))
        assert (switched["model"], switched["kept"], switched["building"]) == (2, 1, None)
        assert await outsider.fetchval("select n from totals where stream = 'order-1'") == 2
        back = await ok(await http.post("/projections/rollback", json={"name": "totals"}))
        assert (back["model"], back["kept"]) == (1, 2)
    assert [row for row in await audited(app) if row[0] == "projection.switch"] == [
        ("projection.switch", None, "begun"),
        ("projection.switch", "totals", "done"),
    ]


@pytest.mark.parametrize("verb", ["rebuild", "reset"])
async def test_tables_that_are_not_there_are_a_problem_with_a_remedy(
    app: Holdfast, http: httpx.AsyncClient, verb: str
) -> None:
    @app.projection("totals", tables=("never_made",))
    async def totals(tx: Any, event: Any) -> None: ...

    async with at_work(app, "default", name="w-1"):
        await seen(app, lambda sight: bool(sight.projected))
        answer = await http.post(f"/projections/{verb}", json={"name": "totals"})
    problem = answer.json()
    assert (answer.status_code, problem["detail"]) == (
        409,
        "the tables of projection 'totals': relation \"never_made\" does not exist",
    )
    assert "tables=" in problem["remedy"]
    assert (f"projection.{verb}", "totals", "failed") in await audited(app)


# ---- the database --------------------------------------------------------------------------------------------------


async def test_the_session_that_stalls_the_log_is_found_and_ended(
    app: Holdfast, http: httpx.AsyncClient, database_url: str
) -> None:
    forgotten = await asyncpg.connect(database_url, server_settings={"application_name": "nightly-import"})
    try:
        await forgotten.execute("begin")
        await app.events.using(forgotten).append("s", [Event("Opened", {})])
        (holder,) = (await ok(await http.get("/events/log")))["stalled_by"]
        database = await ok(await http.get("/database"))
        (backend,) = [one for one in database["backends"] if one["holds_log"]]
        assert (backend["pid"], backend["application"]) == (holder["pid"], "nightly-import")
        assert backend["actions"] == ["cancel", "terminate"]
        path = f"/database/backends/{backend['pid']}/terminate"
        ended = await ok(await http.post(path, json={"started_at": backend["started_at"], "reason": "stalls the log"}))
        assert (ended["application"], ended["done"]) == ("nightly-import", "terminate")
        assert (await http.post(path, json={})).status_code == 404
    finally:
        forgotten.terminate()
    assert (await ok(await http.get("/events/log")))["stalled_by"] == []
    assert ("database.terminate", str(backend["pid"]), "done") in await audited(app)


async def test_a_schedule_that_is_due_is_in_the_verdict_of_whoever_sees_schedules(
    app: Holdfast, http: httpx.AsyncClient, database_url: str
) -> None:
    @app.schedule("*/5 * * * *", name="cleanup")
    async def cleanup() -> None: ...

    await app.declare()
    await later(database_url, 3600)
    (reason,) = (await ok(await http.get("/verdict")))["reasons"]

    assert (reason["kind"], reason["subject"]) == ("schedule_missed", {"kind": "schedule", "id": "cleanup"})
