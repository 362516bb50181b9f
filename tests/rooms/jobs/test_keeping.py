"""What is done beside the jobs: counters, partitions, retention, and the audit of the two laws."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from holdfast import Holdfast
from holdfast.errors import JobNotFound
from holdfast.jobs import Keeper, Promoter, audit
from tests.rooms.jobs.hand import Hand, assert_conserved
from tests.waiting import eventually

TOTALS = """
    SELECT enqueued, completed, failed, cancelled, retried, lost, reopened
    FROM holdfast.tally WHERE queue = $1 AND minute = '-infinity'"""


async def fold_later(outsider: Any, *offsets: str) -> None:
    """Fold at later moments of the clock: arrivals are counted a minute late."""
    for offset in offsets:
        await outsider.execute(f"SET holdfast.clock_offset = '{offset}'")
        assert await outsider.fetchval("SELECT holdfast.fold_v1()")
    await outsider.execute("RESET holdfast.clock_offset")


async def test_counters_equal_the_truth(app: Holdfast, outsider: Any) -> None:
    @app.task(queue="mail")
    async def work(n: int = 0) -> None: ...

    hand = await Hand.registered(app.database, "mail")
    ids = await work.enqueue_many([(n,) for n in range(20)])
    one, two, three, four, *_ = claimed = await hand.claim(10)
    await hand.complete(*claimed[4:])
    await hand.fail(one, two)
    await hand.retry_later(three)
    await app.jobs.retry(one.id)
    await app.jobs.cancel(ids[-1], three.id)
    await hand.die()
    assert four.id in ids
    await fold_later(outsider, "70 seconds", "140 seconds", "210 seconds")
    assert tuple(await outsider.fetchrow(TOTALS, "mail")) == (20, 6, 2, 2, 1, 1, 1)
    (mail,) = [queue for queue in await app.queues.list() if queue.name == "mail"]
    unfinished = 20 - 6 - 2 - 2 + 1
    assert mail.unfinished_about == unfinished
    assert mail.ready + mail.scheduled + mail.running == unfinished
    minutes = await outsider.fetchrow(
        "SELECT sum(enqueued), sum(completed), sum(failed), sum(cancelled), sum(retried), sum(lost), sum(reopened)"
        " FROM holdfast.tally WHERE queue = 'mail' AND minute > '-infinity'"
    )
    assert tuple(minutes) == (20, 6, 2, 2, 1, 1, 1)
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.tally_delta") == 0


async def test_an_arrival_that_commits_late_is_counted_all_the_same(
    app: Holdfast, outsider: Any, database_url: str
) -> None:
    @app.task
    async def work() -> None: ...

    late = await asyncpg.connect(database_url)
    transaction = late.transaction()
    await transaction.start()
    await work.using(late).enqueue()
    await work.enqueue()
    await fold_later(outsider, "70 seconds", "140 seconds", "210 seconds")
    assert await outsider.fetchval(TOTALS, "default") is None  # its range is not settled while it is open
    await transaction.commit()
    await late.close()
    await fold_later(outsider, "280 seconds", "350 seconds")
    assert await outsider.fetchval(TOTALS, "default") == 2


async def test_only_one_folds_at_a_time(app: Holdfast, outsider: Any) -> None:
    async with outsider.transaction():
        assert await outsider.fetchval("SELECT holdfast.fold_v1()")
        assert not await Keeper(app.database, retention_days=30).fold()
    assert await Keeper(app.database, retention_days=30).fold()


async def test_partitions_exist_for_days_ahead(outsider: Any) -> None:
    days = "SELECT extract(day FROM holdfast.id_time(ceiling_id) - holdfast.now()) FROM holdfast.storage"
    assert await outsider.fetchval(days) >= 8
    await outsider.execute("SET holdfast.clock_offset = '20 days'")
    assert await outsider.fetchval("SELECT holdfast.make_partitions_v1()") >= 2
    assert await outsider.fetchval(days) >= 8
    assert await outsider.fetchval("SELECT holdfast.make_partitions_v1()") == 0


@pytest.mark.parametrize("days", [30, 400])
async def test_an_enqueue_makes_a_missing_partition_itself(app: Holdfast, outsider: Any, days: int) -> None:
    await outsider.execute(f"SET holdfast.clock_offset = '{days} days'")
    job_id = await outsider.fetchval("SELECT holdfast.enqueue('t', queue => 'q')")
    assert (await app.jobs.show(job_id)).state == "ready"
    await assert_conserved(app.database)


@asynccontextmanager
async def days_later(database_url: str, days: int) -> AsyncIterator[Holdfast]:
    """The same application after a jump of the clock, for every session that begins from now on."""
    admin = await asyncpg.connect(database_url)
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {name} SET holdfast.clock_offset = '{days} days'")
    await admin.close()
    async with Holdfast(database_url) as app:
        yield app


async def old_jobs(app: Holdfast) -> dict[str, int]:
    """One job in every kind of place."""

    @app.task
    async def work() -> None: ...

    hand = await Hand.registered(app.database)
    ids: dict[str, int] = {}
    ids["completed"] = await work.enqueue()
    await hand.complete(await hand.claim_one())
    ids["failed"] = await work.enqueue()
    await hand.fail(await hand.claim_one())
    ids["cancelled"] = await work.enqueue()
    await app.jobs.cancel(ids["cancelled"])
    ids["retried"] = await work.enqueue()
    await hand.retry_later(await hand.claim_one(), delay_seconds=90 * 86_400.0)
    ids["running"] = await work.enqueue()
    await hand.claim_one()
    ids["scheduled"] = await work.options(run_in="90d").enqueue()
    ids["ready"] = await work.enqueue()
    return ids


async def test_retention_lets_go_of_what_is_finished_and_of_nothing_else(
    app: Holdfast, database_url: str, outsider: Any
) -> None:
    ids = await old_jobs(app)
    async with days_later(database_url, 45) as later:
        keeper = Keeper(later.database, retention_days=30)
        await keeper.tidy()
        assert await keeper.retain() >= 1
        for gone in ("completed", "failed", "cancelled"):
            with pytest.raises(JobNotFound):
                await later.jobs.show(ids[gone])
        for kept, state in (
            ("retried", "scheduled"),
            ("running", "running"),
            ("scheduled", "scheduled"),
            ("ready", "ready"),
        ):
            assert (await later.jobs.show(ids[kept])).state == state
        assert len(await later.jobs.history(ids["retried"])) == 1
        await assert_conserved(later.database)
        assert await keeper.retain() == 0
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.job_kept") == 4


async def test_stragglers_run_to_their_end_beside_new_jobs(app: Holdfast, database_url: str, outsider: Any) -> None:
    ids = await old_jobs(app)
    async with days_later(database_url, 100) as later:

        @later.task(name="work")
        async def work() -> str:
            return "late, but done"

        keeper = Keeper(later.database, retention_days=30)
        await keeper.tidy()
        await keeper.retain()
        await Promoter(later.database).promote()
        new = await work.enqueue()
        await outsider.execute("UPDATE holdfast.worker SET state = 'dead'")
        await outsider.execute("SELECT holdfast.rescue_v1(id, 3) FROM holdfast.worker")
        report = await later.drain()
        assert (report.completed, report.failed) == (5, 0)
        for kept in (ids["retried"], ids["running"], ids["scheduled"], ids["ready"], new):
            assert await later.jobs.result(kept) == "late, but done"
        await assert_conserved(later.database)
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.outcome_kept") == 4
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.outcome") == 1


async def test_a_straggler_can_fail_be_retried_and_be_cancelled(app: Holdfast, database_url: str) -> None:
    ids = await old_jobs(app)
    async with days_later(database_url, 45) as later:
        keeper = Keeper(later.database, retention_days=30)
        await keeper.tidy()
        await keeper.retain()
        hand = await Hand.registered(later.database)
        await hand.fail(await hand.claim_one())
        assert (await later.jobs.show(ids["ready"])).state == "failed"
        await later.jobs.retry(ids["ready"])
        await later.jobs.cancel(ids["ready"], ids["scheduled"])
        assert (await later.jobs.show(ids["ready"])).state == "cancelled"
        assert (await later.jobs.show(ids["scheduled"])).state == "cancelled"
        await assert_conserved(later.database)


async def test_an_interrupted_retention_is_taken_up_where_it_stopped(app: Holdfast, database_url: str) -> None:
    ids = await old_jobs(app)
    async with days_later(database_url, 45) as later:
        keeper = Keeper(later.database, retention_days=30)
        await keeper.tidy()
        (name, until), *_ = await later.database.user.fetch("SELECT * FROM holdfast.expired_partitions_v1('30 days')")
        await later.database.user.execute("SELECT holdfast.keep_stragglers_v1($1, $2)", name, until)
        hand = await Hand.registered(later.database)
        await hand.complete(await hand.claim_one())  # between the copy and the detach
        assert await keeper._detach(name)
        await assert_conserved(later.database)
        await keeper.retain()
        assert (await later.jobs.show(ids["ready"])).state == "completed"
        assert (await later.jobs.show(ids["scheduled"])).state == "scheduled"
        await assert_conserved(later.database)
        assert await later.database.user.fetchval("SELECT count(*) FROM holdfast.detached_partitions_v1()") == 0


async def test_a_reader_of_an_old_partition_delays_its_end_and_no_enqueue(app: Holdfast, database_url: str) -> None:
    await old_jobs(app)
    reader = await asyncpg.connect(database_url)
    async with days_later(database_url, 45) as later:

        @later.task
        async def work() -> None: ...

        keeper = Keeper(later.database, retention_days=30)
        await keeper.tidy()
        reading = reader.transaction(isolation="repeatable_read")
        await reading.start()
        assert await reader.fetchval("SELECT count(*) FROM holdfast.job") == 7
        retaining = asyncio.create_task(keeper.retain())

        async def retention_waits() -> bool:
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
            return bool(await later.database.user.fetchval(waits))

        await eventually(retention_waits)
        for _ in range(20):
            await asyncio.wait_for(work.enqueue(), 2)
        hand = await Hand.registered(later.database)
        assert len(await asyncio.wait_for(hand.complete(*await hand.claim()), 5)) == 0
        assert not retaining.done()
        await reading.rollback()
        await asyncio.wait_for(retaining, 30)
        await keeper.retain()
        assert await later.database.user.fetchval("SELECT count(*) FROM holdfast.expired_partitions_v1('30 days')") == 0
        await assert_conserved(later.database)
    await reader.close()


PLANTED: dict[str, tuple[str, list[str]]] = {
    "no place": ("DELETE FROM holdfast.ready", []),
    "two places": (
        """INSERT INTO holdfast.scheduled
           SELECT now() + interval '1 h', job_id, queue, priority, 1, 0 FROM holdfast.ready""",
        ["ready", "scheduled"],
    ),
    "finished and ready": (
        """INSERT INTO holdfast.outcome (job_id, lease, state, attempt, finished_at)
           SELECT job_id, 0, 1, 1, now() FROM holdfast.ready""",
        ["outcome", "ready"],
    ),
    "leased and ready": (
        "INSERT INTO holdfast.lease SELECT 1, ARRAY[job_id], now() FROM holdfast.ready",
        ["lease", "ready"],
    ),
    "twice ready": (
        "INSERT INTO holdfast.ready SELECT queue, priority, seq + 1, job_id, 1, 0 FROM holdfast.ready",
        ["ready", "ready"],
    ),
    "no job": ("DELETE FROM holdfast.job", ["ready", "no job row"]),
}


@pytest.mark.parametrize("violation", PLANTED)
async def test_the_audit_finds_a_job_that_stands_wrong(app: Holdfast, outsider: Any, violation: str) -> None:
    @app.task
    async def work() -> None: ...

    job_id = await work.enqueue()
    await assert_conserved(app.database)
    statement, places = PLANTED[violation]
    await outsider.execute(statement)
    misplaced, _ = await audit(app.database)
    assert misplaced == [(job_id, places)]


async def test_the_audit_finds_jobs_that_nobody_is_going_to_move(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work() -> None: ...

    hand = await Hand.registered(app.database)
    leased = await work.enqueue()
    await hand.claim_one()
    ready = await work.enqueue()
    overdue = await work.options(run_in=1).enqueue()
    assert await audit(app.database) == ([], [])
    await outsider.execute("UPDATE holdfast.worker SET state = 'dead'")
    name = await outsider.fetchval("SELECT current_database()")
    await outsider.execute(f"ALTER DATABASE {name} SET holdfast.clock_offset = '1 minute'")
    async with Holdfast(app.settings.database_url) as later:
        misplaced, unmoved = await audit(later.database)
    assert misplaced == []
    assert {(job_id, place) for job_id, place, _ in unmoved} == {
        (leased, "lease"),
        (ready, "ready"),
        (overdue, "scheduled"),
    }
    await app.queues.pause("default")
    assert not [job_id for job_id, place, _ in (await audit(app.database))[1] if place == "ready"]
