"""F9, F11: an application's transaction holds whatever it can lock; no statement of a worker ever waits for it.

The server is asked who waits for whom; how fast the worker is meanwhile is the benchmarks' business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from holdfast import Holdfast, Job, Retry, Snooze
from holdfast.jobs import Keeper, Promoter
from tests.interleavings.broken_builds import CLAIM_WAITS
from tests.interleavings.stage import Mutation, Stage
from tests.lock_watch import lock_watch
from tests.rooms.jobs.hand import Hand, assert_conserved
from tests.rooms.working import working
from tests.waiting import eventually

OTHERS = 600

PROMOTION_WAITS = Mutation(
    "a promotion waits for what others have locked",
    (
        (
            "promote_v1",
            "ORDER BY s.due_at LIMIT p_limit FOR UPDATE SKIP LOCKED",
            "ORDER BY s.due_at LIMIT p_limit FOR UPDATE",
        ),
    ),
)
SWEEP_WAITS = Mutation(
    "the sweep of keys waits for what others have locked",
    (
        (
            "sweep_v1",
            (
                "holdfast.is_finished_v1(x.job_id) AND (x.until IS NULL OR x.until < holdfast.now())\n"
                "        LIMIT p_most FOR UPDATE SKIP LOCKED"
            ),
            "true\n        LIMIT p_most FOR UPDATE",
        ),
    ),
)


class Shop:
    """Tasks of every kind."""

    def __init__(self, app: Holdfast) -> None:
        @app.task
        async def plain(n: int) -> int:
            return n

        @app.task(retry=Retry(max_attempts=2, delay_seconds=0.05))
        async def fails_once(job: Job) -> None:
            if job.attempt == 1:
                raise ValueError("the first time")

        @app.task
        async def snoozes_once(job: Job) -> Snooze | None:
            key = job.id
            if key in self.snoozed:
                return None
            self.snoozed.add(key)
            return Snooze(0.05)

        @app.task(transactional=True)
        async def pays(job: Job) -> None:
            async with job.transaction() as tx:
                await tx.execute("SELECT 1")

        @app.task(retry=Retry(max_attempts=1))
        async def breaks() -> None:
            raise ValueError("always")

        self.snoozed: set[int] = set()
        self.plain, self.fails_once, self.snoozes_once = plain, fails_once, snoozes_once
        self.pays, self.breaks = pays, breaks


async def others(shop: Shop) -> Sequence[int]:
    """What the worker is to get on with."""
    ids = list(await shop.plain.enqueue_many([(n,) for n in range(OTHERS)]))
    ids += await shop.fails_once.enqueue_many([()] * 20)
    ids += await shop.snoozes_once.enqueue_many([()] * 20)
    ids += await shop.pays.enqueue_many([()] * 20)
    ids += [await shop.plain.options(unique=f"k{n}").enqueue(n) for n in range(20)]
    ids += [await shop.plain.options(run_in=0.3).enqueue(n) for n in range(20)]
    return ids


async def hold_everything(app: Holdfast, shop: Shop, application: Any) -> Any:
    """A transaction that has used every function there is, and has locked every row that it can see besides."""
    failed = await shop.breaks.enqueue()
    await app.drain()
    for n in range(20):
        await shop.plain.options(unique=f"held{n}").enqueue(n)
        await shop.plain.options(unique=f"later{n}", run_in=0.2).enqueue(n)
    await shop.plain.enqueue_many([(n,) for n in range(100)])
    stopped = await shop.plain.options(priority=9).enqueue(0)
    transaction = application.transaction()
    await transaction.start()
    for n in range(20):
        for key in ("held", "later", "new"):
            await shop.plain.options(unique=f"{key}{n}").using(application).enqueue(n)
    await shop.plain.using(application).enqueue(1)
    await application.execute("SELECT holdfast.cancel_v1(ARRAY[$1::bigint], 'no more')", stopped)
    await application.execute("SELECT holdfast.retry_v1($1)", failed)
    await application.execute("SELECT holdfast.pause_queue_v1('another', 'closed')")
    for table in ("ready", "scheduled", "unique_key", "job", "outcome"):
        await application.execute(f"SELECT FROM holdfast.{table} FOR UPDATE")
    return transaction


async def keep_house(app: Holdfast, dead: Hand) -> None:
    """What a worker does now and then, now."""
    keeper = Keeper(app.database, retention_days=30)
    await keeper.tidy()
    await keeper.fold()
    await Promoter(app.database).promote()
    await dead.die()


async def at_work_beside_it(app: Holdfast, url: str) -> list[str]:
    """A worker and all that it does beside an open transaction; says what waited for that."""
    shop = Shop(app)
    async with lock_watch(url) as watch:
        application = await asyncpg.connect(url)
        pid = application.get_server_pid()
        await shop.plain.enqueue_many([(n,) for n in range(3)])
        dead = await Hand.registered(app.database)
        await dead.claim(3)
        transaction = await hold_everything(app, shop, application)
        ids = await others(shop)
        async with working(app) as worker:
            keeping = asyncio.create_task(keep_house(app, dead))

            def over() -> bool:
                return bool(watch.waits_for(pid)) or (worker.report.completed >= len(ids) and keeping.done())

            try:
                await eventually(over, within_seconds=30)
            finally:
                await transaction.rollback()
            await keeping
        await application.close()
        return watch.waits_for(pid)


async def test_no_statement_of_a_worker_waits_for_an_application(app: Holdfast, database_url: str) -> None:
    assert await at_work_beside_it(app, database_url) == []
    await assert_conserved(app.database)


@pytest.mark.parametrize("broken", [CLAIM_WAITS, PROMOTION_WAITS, SWEEP_WAITS], ids=str)
async def test_a_worker_that_waits_is_caught(app: Holdfast, database_url: str, broken: Mutation) -> None:
    async with Stage(database_url) as stage:
        await stage.install(broken)

    assert await at_work_beside_it(app, database_url)
