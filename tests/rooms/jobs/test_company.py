"""Jobs with company: every path by which one ends or leaves its lease tells the one function; plain jobs never do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.queue_calls import CANCELLED, COMPLETED, FAILED, QUEUE, RETRY, RETURN, SNOOZE, SOLO, QueueCalls, lease_number

BATCHED = 16
LISTEN = """
    CREATE TABLE told (n integer GENERATED ALWAYS AS IDENTITY, job_id bigint, lease bigint, move smallint);
    CREATE OR REPLACE FUNCTION holdfast.tell_company_v1(p_jobs bigint[], p_leases bigint[], p_moves smallint[])
    RETURNS text[]
    LANGUAGE sql VOLATILE AS $$
        INSERT INTO told (job_id, lease, move)
        SELECT i.job_id, i.lease, i.move FROM unnest(p_jobs, p_leases, p_moves) AS i(job_id, lease, move);
        SELECT NULL::text[]
    $$"""


class Listening(QueueCalls):
    """A worker whose function is told what moves, and remembers."""

    worker: int
    lease: int

    async def claimed(self, flags: int, count: int = 1) -> list[int]:
        jobs = await self.enqueue(count, flags=flags)
        rows = await self.claim(self.worker, self.lease)
        assert sorted(row["job_id"] for row in rows) == jobs
        self.lease = rows[0]["lease"]
        return jobs

    async def told(self) -> list[tuple[int, int]]:
        """(job, move) in order."""
        return [tuple(row) for row in await self.connection.fetch("SELECT job_id, move FROM told ORDER BY n")]


@pytest.fixture
async def calls(outsider: Any, app: Any) -> Listening:
    await outsider.execute(LISTEN)
    listening = Listening(outsider)
    listening.worker = await listening.register()
    listening.lease = lease_number(listening.worker, 1)
    return listening


Path = Callable[[Listening, list[int]], Awaitable[Any]]


async def cancel_before_leaving(calls: Listening, jobs: list[int]) -> None:
    await calls.cancel(*jobs)
    await calls.leave(calls.lease, jobs, RETURN, flags=BATCHED)


async def lost(calls: Listening, jobs: list[int]) -> None:
    await calls.declare_dead(calls.worker)
    await calls.rescue(calls.worker)


async def lost_while_cancelled(calls: Listening, jobs: list[int]) -> None:
    await calls.cancel(*jobs)
    await lost(calls, jobs)


async def lost_too_often(calls: Listening, jobs: list[int]) -> None:
    await calls.connection.execute("INSERT INTO holdfast.loss VALUES ($1, 1, now(), true)", jobs[0])
    await calls.declare_dead(calls.worker)
    await calls.rescue(calls.worker, 1)


PATHS: dict[str, tuple[Path, int]] = {
    "completed": (lambda calls, jobs: calls.finish(calls.lease, jobs, COMPLETED, company=jobs), 1),
    "completed again": (lambda calls, jobs: calls.finish(calls.lease, jobs, COMPLETED, company=jobs, again=True), 1),
    "failed": (lambda calls, jobs: calls.finish(calls.lease, jobs, FAILED, company=jobs), 2),
    "cancelled while running": (lambda calls, jobs: calls.finish(calls.lease, jobs, CANCELLED, company=jobs), 3),
    "retried": (lambda calls, jobs: calls.leave(calls.lease, jobs, RETRY, delay_seconds=9, flags=BATCHED), 11),
    "snoozed": (lambda calls, jobs: calls.leave(calls.lease, jobs, SNOOZE, flags=BATCHED), 12),
    "returned": (lambda calls, jobs: calls.leave(calls.lease, jobs, RETURN, flags=BATCHED), 13),
    "cancelled on its way out": (cancel_before_leaving, 3),
    "rescued": (lost, 14),
    "rescued and cancelled": (lost_while_cancelled, 3),
    "lost too often": (lost_too_often, 2),
    "released": (lambda calls, _: calls.value("release_lease_v1", calls.lease), 14),
}


@pytest.mark.parametrize("path", PATHS)
async def test_every_way_out_of_a_lease_is_told_once(calls: Listening, path: str) -> None:
    walk, move = PATHS[path]
    jobs = await calls.claimed(BATCHED)
    await walk(calls, jobs)
    assert await calls.told() == [(jobs[0], move)]


@pytest.mark.parametrize("path", PATHS)
async def test_plain_jobs_never_tell(calls: Listening, path: str) -> None:
    walk, _ = PATHS[path]
    jobs = await calls.claimed(0)
    await calls.connection.execute("UPDATE holdfast.job SET flags = 0")
    if path.startswith(("completed", "failed", "cancelled while")):
        await calls.finish(calls.lease, jobs)
    elif path in ("retried", "snoozed", "returned", "cancelled on its way out"):
        await calls.leave(calls.lease, jobs, RETURN)
    else:
        await walk(calls, jobs)
    assert await calls.told() == []


async def test_a_completion_in_the_job_s_own_transaction_is_told(calls: Listening) -> None:
    jobs = await calls.claimed(SOLO | BATCHED)
    assert await calls.value("finish_solo_v1", calls.lease, jobs[0], 1, 1000, None, QUEUE, SOLO | BATCHED)
    assert await calls.told() == [(jobs[0], 1)]


async def test_a_job_cancelled_while_it_waits_is_told_and_so_is_its_return(calls: Listening) -> None:
    waiting, later = await calls.enqueue(flags=BATCHED), await calls.enqueue(flags=BATCHED, delay_seconds=60)
    await calls.cancel(*waiting, *later)
    assert sorted(await calls.told()) == [(job, 3) for job in sorted(waiting + later)]
    assert await calls.retry(waiting[0]) == "moved"
    assert (await calls.told())[-1] == (waiting[0], 21)


async def test_a_job_dropped_by_its_claim_is_told(calls: Listening) -> None:
    jobs = await calls.enqueue(flags=BATCHED)
    await calls.connection.execute("INSERT INTO holdfast.cancel_request VALUES ($1, now(), 'test')", jobs[0])
    assert await calls.claim(calls.worker, calls.lease) == []
    assert await calls.told() == [(jobs[0], 3)]


async def test_a_repeated_completion_is_told_once_and_a_refused_one_never(calls: Listening) -> None:
    jobs = await calls.claimed(BATCHED, 2)
    await calls.finish(calls.lease, jobs[:1], company=jobs[:1])
    assert await calls.finish(calls.lease, jobs[:1], company=jobs[:1], again=True) == []
    assert await calls.finish(calls.lease + 1000, jobs[1:], company=jobs[1:]) == jobs[1:]
    assert await calls.told() == [(jobs[0], 1)]


async def test_a_job_purged_while_it_waits_is_told_and_one_that_had_ended_is_not_told_again(calls: Listening) -> None:
    ended = await calls.claimed(BATCHED)
    await calls.finish(calls.lease, ended, company=ended)
    waiting = await calls.enqueue(flags=BATCHED)
    assert await calls.purge(*waiting, *ended) == dict.fromkeys(waiting + ended, "purged")
    assert await calls.told() == [(ended[0], 1), (waiting[0], 3)]
