"""Between the copy of a straggler and the detach of its partition a job has two rows. It is one job all the same.

Behind a pooler without a direct URL nothing is ever detached: there it stays so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.jobs import FailureFolder
from tests.rooms.jobs.hand import Hand, assert_conserved

KEEP = """
    SELECT holdfast.keep_stragglers_v1(p.name, p.until_id)
    FROM holdfast.expired_partitions_v1('-400 days') AS p"""
ROWS = (
    "SELECT (SELECT count(*) FROM holdfast.job WHERE id = $1) + (SELECT count(*) FROM holdfast.job_kept WHERE id = $1)"
)
KeepAside = Callable[..., Awaitable[None]]


@pytest.fixture
def keep_aside(outsider: Any) -> KeepAside:
    """Retention has copied what is unfinished, of every partition, and not detached any."""

    async def keep(*jobs: int) -> None:
        await outsider.execute(KEEP)
        for job in jobs:
            assert await outsider.fetchval(ROWS, job) == 2

    return keep


async def test_a_rescued_straggler_is_ready_once(app: Holdfast, keep_aside: KeepAside, outsider: Any) -> None:
    @app.task
    async def work() -> None: ...

    plain, laned = await work.enqueue(), await work.options(lane="a").enqueue()
    await outsider.fetch("SELECT holdfast.admit_v1('{}', NULL, 0, '', 100)")
    hand = await Hand.registered(app.database)
    assert {claimed.id for claimed in await hand.claim()} == {plain, laned}
    await keep_aside(plain, laned)
    assert await hand.die() == 2
    standing = "SELECT job_id FROM holdfast.ready UNION ALL SELECT job_id FROM holdfast.blocked ORDER BY 1"
    assert [row[0] for row in await outsider.fetch(standing)] == [plain, laned]
    await assert_conserved(app.database)


async def test_a_released_straggler_is_ready_once(app: Holdfast, keep_aside: KeepAside, outsider: Any) -> None:
    @app.task
    async def work() -> None: ...

    job = await work.enqueue()
    hand = await Hand.registered(app.database)
    claimed = await hand.claim_one()
    await keep_aside(job)
    assert await outsider.fetchval("SELECT holdfast.release_lease_v1($1)", claimed.lease) == 1
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.ready") == 1


async def test_a_straggler_that_fails_is_one_failure(app: Holdfast, keep_aside: KeepAside) -> None:
    @app.task
    async def work() -> None: ...

    job = await work.enqueue()
    hand = await Hand.registered(app.database)
    claimed = await hand.claim_one()
    await keep_aside(job)
    await hand.fail(claimed)
    assert await FailureFolder(app.database, retention_days=30).fold() == 1
    (group,) = await app.failures.list()
    assert group.failures == 1


async def test_a_straggler_is_seen_once(app: Holdfast, keep_aside: KeepAside) -> None:
    @app.task
    async def work() -> None: ...

    async with app.batch() as batch:
        batch.add(work)
        batch.add(work)
    first, second = batch.job_ids
    await keep_aside(first, second)
    assert batch.id is not None
    assert [job.id async for job in app.batches.members(batch.id)] == [first, second]
    assert [job.id for job in await app.jobs.list()] == [second, first]
    assert (await app.jobs.where("state=ready").preview()).jobs == 2


async def test_a_batch_counts_a_cancelled_straggler_once(app: Holdfast, keep_aside: KeepAside) -> None:
    @app.task
    async def work() -> None: ...

    async with app.batch() as batch:
        batch.add(work)
        batch.add(work)
    assert batch.id is not None
    await keep_aside(*batch.job_ids)
    assert await app.jobs.cancel(batch.job_ids[0]) == {batch.job_ids[0]: "cancelled"}
    info = await app.batches.show(batch.id)
    assert (info.open, info.cancelled) == (1, 1)
