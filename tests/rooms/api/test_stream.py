"""The live stream: what is told to whom, what it costs, how it is resumed, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from holdfast import Holdfast, clock
from holdfast.access import LOCAL, PUBLIC, Permission, Principal, Role, Tokens
from holdfast.api import create_api
from holdfast.api.live.hub import ABSENT_SECONDS, Hub
from holdfast.api.live.listener import TOO_SLOW_SECONDS, Listener, message
from holdfast.api.live.topics import Watched, watched_by
from holdfast.clock import monotonic
from holdfast.db import Database
from holdfast.errors import Forbidden, ValueRefused
from tests.rooms.api.listening import Served, served
from tests.waiting import eventually


@pytest.fixture
async def here(app: Holdfast) -> AsyncIterator[Served]:
    async with served(create_api(app, auth=False)) as one:
        yield one


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each statement was sent to the database."""
    sent: list[float] = []
    send = Database._run_once

    async def counted(self: Database, *arguments: Any) -> Any:
        sent.append(monotonic())
        return await send(self, *arguments)

    monkeypatch.setattr(Database, "_run_once", counted)
    return sent


async def test_it_says_hello_then_how_it_stands_then_what_changes(app: Holdfast, here: Served) -> None:
    stream = await here.listen("stats,queues,jobs")
    stats = await eventually(lambda: stream.of("stats"))
    assert stats[0]["verdict"] == {"status": "OK", "reasons": []}
    (hello,) = stream.of("hello")
    assert (hello["resumed"], hello["refused"]) == (False, [])

    await app.queues.pause("mail")
    await eventually(lambda: "queues" in [patch["topic"] for patch in stream.of("patch")])
    assert "jobs" not in [patch["topic"] for patch in stream.of("patch")]
    await eventually(lambda: stream.of("stats")[-1]["tiles"]["queues_paused"] == 1)


async def test_one_job_is_watched_to_its_end(app: Holdfast, here: Served) -> None:
    @app.task
    async def work() -> None: ...

    watched, other = await work.enqueue(), await work.enqueue()
    stream = await here.listen(f"job:{watched}")
    await eventually(lambda: here.api.state.hub._felt)
    await app.jobs.cancel(other)
    await app.drain()
    patches = await eventually(lambda: stream.of("patch"))

    assert {(patch["topic"], patch["id"]) for patch in patches} == {("job", str(watched))}


@pytest.mark.timeout(120)
async def test_two_hundred_listeners_cost_less_than_a_statement_a_second(app: Holdfast, asked: list[float]) -> None:
    secrets = [(await Tokens(app.database).create("tv", by="test", role=Role.VIEWER))[1] for _ in range(10)]
    async with served(create_api(app, auth=True)) as here:
        topics = "stats,jobs,projections,events"
        bearers = [{"Authorization": f"Bearer {secrets[n % 10]}"} for n in range(200)]
        streams = []
        for start in range(0, 200, 20):  # all at once they would wait for each other longer than a statement may take
            few = (here.listen(topics, headers=bearer) for bearer in bearers[start : start + 20])
            streams += await asyncio.gather(*few)
        assert {stream.status for stream in streams} == {200}
        await eventually(lambda: all(stream.of("stats") for stream in streams), within_seconds=30)
        began, before = monotonic(), len(asked)
        await eventually(lambda: all(len(stream.of("stats")) >= 4 for stream in streams), within_seconds=60)

        assert (len(asked) - before) / (monotonic() - began) <= 1.0
        assert here.api.state.hub.count == 200


async def test_when_nobody_listens_nothing_is_asked(here: Served, asked: list[float]) -> None:
    assert asked == [], "nobody has listened yet"
    stream = await here.listen("stats,jobs")
    await eventually(lambda: stream.of("stats"))
    hub = here.api.state.hub
    await stream.close()
    await eventually(lambda: hub.count == 0 and hub._task.done())
    told = len(asked)
    assert (await eventually(lambda: [len(asked)])) == [told]


async def test_whoever_comes_back_hears_what_they_missed(app: Holdfast, here: Served) -> None:
    staying, going = await here.listen("queues,workers"), await here.listen("queues,workers")
    await eventually(lambda: here.api.state.hub._felt)
    await app.queues.pause("mail")
    await eventually(lambda: going.of("patch"))
    last_id = going.last_id
    await going.close()
    await app.queues.pause("exports")
    await eventually(lambda: len(staying.of("patch")) == 2)

    back = await here.listen("queues,workers", last_id=last_id)
    await eventually(lambda: back.of("patch"))
    assert back.of("hello")[0]["resumed"] is True
    assert [patch["topic"] for patch in back.of("patch")] == ["queues"]
    up_to_date = await here.listen("queues,workers", last_id=staying.last_id)
    await eventually(lambda: up_to_date.of("hello"))
    assert up_to_date.of("patch") == []


@pytest.mark.parametrize("last_id", ["abc-5", "nonsense", "0-0", "-"])
async def test_whoever_comes_from_another_process_begins_anew(here: Served, last_id: str) -> None:
    stream = await here.listen("jobs", last_id=last_id)

    (reset,) = await eventually(lambda: stream.of("reset"))
    assert "does not know" in reset["because"]
    assert stream.of("hello")[0]["resumed"] is False


async def test_at_the_end_of_the_process_streams_end_first(app: Holdfast) -> None:
    async with served(create_api(app, auth=False)) as here:
        stream = await here.listen("stats")
        await eventually(lambda: stream.of("hello"))
        here.api.state.frame.drain()
        await asyncio.wait_for(stream.ended.wait(), 5)
        assert stream.heard[-1].event == "bye"
        assert stream.heard[-1].data["retry_ms"] > 0


async def test_a_database_that_goes_away_is_told_and_so_is_its_return(app: Holdfast, here: Served) -> None:
    stream = await here.listen("stats")
    await eventually(lambda: stream.of("stats"))
    pools, app.database._pools = app.database._pools, {}
    try:
        await eventually(lambda: stream.of("stats")[-1]["verdict"]["status"] == "STALLED")
    finally:
        app.database._pools = pools
    await eventually(lambda: stream.of("stats")[-1]["verdict"]["status"] == "OK")


@pytest.mark.parametrize(
    ("topics", "status"), [("", 422), ("nonsense", 422), ("job:x", 422), ("job:-1", 422), (",".join("ab" * 40), 422)]
)
async def test_topics_that_do_not_exist_are_refused(http: httpx.AsyncClient, topics: str, status: int) -> None:
    assert (await http.get("/stream", params={"topics": topics})).status_code == status


async def test_one_principal_cannot_open_streams_without_end(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def principal_of(_request: Any) -> Principal:
        return replace(LOCAL, name="eve", kind="token")

    here.api.state.frame.principal_of = principal_of
    monkeypatch.setattr("holdfast.api.live.hub.MOST_OF_ONE", 3)
    statuses = [(await here.listen("jobs")).status for _ in range(4)]

    assert statuses == [200, 200, 200, 429]


async def test_strangers_leave_room_for_whoever_is_known(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    who = PUBLIC

    async def principal_of(_request: Any) -> Principal:
        return who

    here.api.state.frame.principal_of = principal_of
    monkeypatch.setattr("holdfast.api.live.hub.MOST_OF_THE_PUBLIC", 2, raising=False)
    strangers = [(await here.listen("jobs")).status for _ in range(3)]
    who = LOCAL

    assert (strangers, (await here.listen("jobs")).status) == ([200, 200, 429], 200)


# ---- without a server ------------------------------------------------------------------------------------------------


def somebody(*permissions: Permission, queues: frozenset[str] | None = None) -> Principal:
    return Principal("eve", "token", frozenset(permissions), queues=queues)


def test_topics_are_filtered_by_permission() -> None:
    watched = watched_by(somebody(Permission.JOBS_READ), ["jobs", "job:5", "events", "stats"])

    assert (watched.topics, watched.jobs, watched.refused) == (frozenset({"jobs"}), frozenset({5}), ("events", "stats"))
    with pytest.raises(Forbidden):
        watched_by(somebody(Permission.JOBS_READ), ["events"])
    with pytest.raises(ValueRefused):
        watched_by(LOCAL, [f"job:{n}" for n in range(51)])


async def test_whoever_takes_nothing_for_minutes_is_forgotten(app: Holdfast) -> None:
    api = create_api(app, auth=False)
    hub = Hub(api.state.frame, lambda _who, _sight, _error: {})
    listener = hub.join(LOCAL, Watched(frozenset({"jobs"}), frozenset(), ()), {}, None)
    assert (hub.count, listener.waiting) == (1, 1)
    try:
        clock.set_ahead(ABSENT_SECONDS + 1)
        await eventually(lambda: hub.count == 0)
    finally:
        clock.set_ahead(0)
        api.state.frame.drain()

    assert [b"event: reset" in frame async for frame in listener.frames()] == [True]


async def test_a_job_of_another_queue_is_not_heard_of(app: Holdfast, here: Served) -> None:
    @app.task
    async def work() -> None: ...

    mine, theirs = await work.options(queue="mail").enqueue(), await work.options(queue="secret").enqueue()
    who = replace(LOCAL, queues=frozenset({"mail"}))

    async def principal_of(_request: Any) -> Principal:
        return who

    here.api.state.frame.principal_of = principal_of
    stream = await here.listen(f"job:{mine},job:{theirs}")
    await eventually(lambda: here.api.state.hub._felt)
    await app.jobs.cancel(theirs)
    await app.jobs.cancel(mine)
    await eventually(lambda: stream.of("patch"))

    assert {patch["id"] for patch in stream.of("patch")} == {str(mine)}


async def test_a_slow_listener_costs_no_more_memory_and_begins_anew_in_the_end() -> None:
    listener = Listener(LOCAL, Watched(frozenset({"jobs", "stats"}), frozenset(), ()), "e")
    for n in range(10_000):
        listener.tell(message("jobs", "patch", {"version": n}, n))
        listener.tell(message("stats", "stats", {"n": n}, n))
    assert listener.waiting == 2
    try:
        clock.set_ahead(TOO_SLOW_SECONDS + 1)
        listener.tell(message("jobs", "patch", {"version": -1}, 10_001))
    finally:
        clock.set_ahead(0)
    listener.tell(message("stats", "stats", {}, 10_002))

    frame = await anext(listener.frames())
    assert frame.count(b"event: ") == 1
    assert b"event: reset" in frame
