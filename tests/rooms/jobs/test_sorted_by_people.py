"""A database that sorts as people do: what Holdfast sorts and compares is its own, and goes by bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from holdfast import Holdfast, Limit
from holdfast.jobs import declare_tasks
from tests.rooms.jobs.hand import Hand, admit, assert_conserved, assert_gates_kept
from tests.servers import DatabaseServer


@pytest.fixture
def url(server: DatabaseServer) -> Iterator[str]:
    url = server.create_database_for_people()
    yield url
    server.drop_database(url)


@pytest.fixture
async def app(url: str) -> AsyncIterator[Holdfast]:
    async with Holdfast(url) as app:
        yield app


async def test_lanes_and_limits_go_straight_all_the_same(app: Holdfast) -> None:
    @app.task
    async def work(n: int) -> None: ...

    @app.task(limits=[Limit("api", 1)])
    async def limited(n: int) -> None: ...

    await declare_tasks(app.database, [work, limited])
    hand, over = await Hand.registered(app.database), list[str]()
    hand.hot.left_gates.hand_over = over.extend
    lane = [int(await work.options(lane="Zoë").enqueue(n)) for n in range(2)]
    line = [int(await limited.enqueue(n)) for n in range(30)]
    await admit(app)
    claimed = await hand.claim()
    assert [job.id for job in claimed] == [lane[0], line[0]]
    await app.limits.set("api", 100)
    assert [job.id for job in await hand.go_on(*claimed)] == [lane[1], *line[1:]]
    assert over == []
    await assert_gates_kept(app.database)
    await assert_conserved(app.database)
