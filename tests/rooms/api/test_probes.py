"""Probes: what they say, when they are unwell, and how little they ask of the database however many call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from holdfast import Holdfast
from holdfast.api import create_api, probes
from holdfast.api.live import hub as live
from holdfast.observe import feel_pulse
from tests.rooms.api.listening import served
from tests.situations.ten import TEN, Situation
from tests.waiting import eventually

ALL = ("/livez", "/health/live", "/readyz", "/startupz", "/health", "/up", "/verdict")
OF_THE_DATABASE = ("/readyz", "/startupz", "/health", "/up", "/health?lag=1", "/verdict")
SITUATION = {str(one): one for one in TEN}


def calling(api: FastAPI) -> httpx.AsyncClient:
    """Somebody from anywhere, with no credential and any name for the host."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(api, client=("10.0.0.7", 1)), base_url="http://anything")


@pytest.fixture
async def anybody(app: Holdfast) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(create_api(app, auth=True)) as client:
        yield client


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is shared with whoever asks later."""
    monkeypatch.setattr(probes, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(probes, "SIGHT_FRESH_SECONDS", 0.0)


async def test_all_is_well(anybody: httpx.AsyncClient) -> None:
    for path in ALL:
        assert (await anybody.get(path)).status_code == 200, path


async def test_a_process_that_ends_is_not_ready_and_lives(app: Holdfast) -> None:
    api = create_api(app, auth=True)
    async with calling(api) as client:
        api.state.frame.drain()

        assert (await client.get("/readyz")).json() == {"status": "unready", "failing": ["draining"]}
        assert (await client.get("/livez")).status_code == 200


async def test_without_a_database_it_lives_and_is_not_well() -> None:
    async with calling(create_api(Holdfast("postgresql://holdfast@127.0.0.1:1/none"), auth=True)) as client:
        assert (await client.get("/livez")).status_code == 200
        for path in OF_THE_DATABASE:
            answer = await client.get(path)
            assert (answer.status_code, "database_unavailable" in answer.text) == (503, True), path


async def test_a_schema_older_than_the_program_is_not_served(anybody: httpx.AsyncClient, outsider: Any) -> None:
    await outsider.execute(
        "delete from holdfast.migration where version = (select max(version) from holdfast.migration)"
    )

    assert (await anybody.get("/readyz")).json() == {"status": "unready", "failing": ["migration"]}
    assert (await anybody.get("/startupz")).status_code == 503


@pytest.mark.usefixtures("forgetful")
async def test_what_has_come_up_is_not_asked_again(app: Holdfast, outsider: Any) -> None:
    async with calling(create_api(app, auth=True)) as client:
        assert (await client.get("/startupz")).status_code == 200
        await outsider.execute("delete from holdfast.migration")

        assert (await client.get("/startupz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503


@pytest.mark.usefixtures("forgetful")
async def test_however_many_strangers_call_the_database_is_asked_once(app: Holdfast, outsider: Any) -> None:
    """What asks is held up by a lock, so that all who ask can be counted in the server."""
    anybody = calling(create_api(app, auth=True))
    await anybody.get("/readyz")
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with outsider.transaction():
        await outsider.execute("lock table holdfast.migration in access exclusive mode")
        calls = [asyncio.create_task(anybody.get(path)) for path in ("/readyz", "/health", "/up") * 20]
        most = 0
        while not all(call.done() for call in calls):
            most = max(most, await outsider.fetchval(waiting))

    assert most == 1
    assert {(await call).status_code for call in calls} == {503}
    await anybody.aclose()


@pytest.mark.parametrize("path", OF_THE_DATABASE)
async def test_an_answer_is_shared_for_a_moment(
    app: Holdfast, outsider: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(probes, "FRESH_SECONDS", 3600.0)
    monkeypatch.setattr(probes, "SIGHT_FRESH_SECONDS", 3600.0)
    async with calling(create_api(app, auth=True)) as client:
        first = await client.get(path)
        await outsider.execute("drop schema holdfast cascade")
        again = await client.get(path)

    assert (again.status_code, again.json()) == (first.status_code, first.json())


async def test_live_updates_that_stand_still_make_it_unready(app: Holdfast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STUCK_SECONDS", 0.5)
    going_on = asyncio.Event()
    feel = feel_pulse

    async def feel_late(*arguments: Any) -> Any:
        await going_on.wait()
        return await feel(*arguments)

    monkeypatch.setattr(live, "feel_pulse", feel_late)
    async with served(create_api(app, auth=False)) as here, calling(here.api) as client:
        await here.listen("jobs")

        async def failing() -> list[str]:
            told: list[str] = (await client.get("/readyz")).json()["failing"]
            return told

        await eventually(lambda: _is(failing(), ["live_updates"]))
        monkeypatch.setattr(live, "STUCK_SECONDS", 30.0)
        going_on.set()
        await eventually(lambda: _is(failing(), []))


async def _is(told: Any, wanted: list[str]) -> bool:
    return bool(await told == wanted)


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("name", ["paused with backlog", "missed schedule", "event log stalled", "nobody listens"])
async def test_the_verdict_is_for_alerts_and_names_nobody(app: Holdfast, database_url: str, name: str) -> None:
    situation: Situation = SITUATION[name]
    async with calling(create_api(app, auth=True)) as client:
        assert (await client.get("/verdict")).json() == {"status": "OK", "reasons": []}
        async with situation.seeded(database_url):
            answer = await client.get("/verdict")

    assert (answer.status_code, answer.json()["status"]) == (503, situation.status)
    assert situation.kind in [reason["kind"] for reason in answer.json()["reasons"]]
    assert all(reason.keys() == {"kind", "severity"} for reason in answer.json()["reasons"])


@pytest.mark.usefixtures("forgetful")
async def test_without_any_projection_there_is_nothing_that_keeps_up(app: Holdfast) -> None:
    async with calling(create_api(app, auth=True)) as client:
        told = (await client.get("/health?lag=1")).json()

        assert (told["status"], told["lag"], told["threshold"]) == ("unhealthy", 0, 5_000)
        assert told["failing"] == ["projections"]
        assert (await client.get("/health?lag=0")).json().keys() == {"status", "db", "version"}


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize(
    ("name", "failing"),
    [("projection stopped at a poison event", ["projections"]), ("event log stalled", ["log_stalled"])],
)
async def test_a_projection_that_does_not_get_on_is_unhealthy(
    app: Holdfast, database_url: str, name: str, failing: list[str]
) -> None:
    async with calling(create_api(app, auth=True)) as client, SITUATION[name].seeded(database_url):
        answer = await client.get("/health?lag=1")

    assert (answer.status_code, answer.json()["failing"]) == (503, failing)
