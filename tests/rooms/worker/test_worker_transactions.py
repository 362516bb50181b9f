"""Effects and completion in one commit: exactly once, or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from holdfast import Holdfast, Job, Retry
from holdfast.clock import monotonic
from holdfast.errors import ConfigurationError, LeaseLost
from tests.rooms.jobs.hand import Hand, assert_conserved
from tests.rooms.working import working
from tests.waiting import eventually

EFFECT = "INSERT INTO effect (job) VALUES ($1)"


@pytest.fixture(autouse=True)
async def effects(outsider: Any) -> None:
    await outsider.execute("CREATE TABLE effect (job bigint)")


async def effects_of(outsider: Any) -> list[int]:
    return [row[0] for row in await outsider.fetch("SELECT job FROM effect ORDER BY job")]


async def test_effects_and_completion_are_one_commit(app: Holdfast, outsider: Any) -> None:
    seen_inside: list[Any] = []

    @app.task(transactional=True)
    async def work(job: Job, n: int) -> None:
        async with job.transaction() as tx:
            await tx.execute(EFFECT, job.id)
            seen_inside.append((await effects_of(outsider), (await app.jobs.show(job.id)).state))
            tx.result = {"n": n}

    job_id = await work.enqueue(5)
    report = await app.drain()
    assert (report.completed, report.failed) == (1, 0)
    assert seen_inside == [([], "running")]
    assert await effects_of(outsider) == [job_id]
    assert await app.jobs.result(job_id) == {"n": 5}
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.lease") == 0
    await assert_conserved(app.database)


async def test_an_attempt_that_fails_inside_leaves_no_effect_and_the_next_leaves_one(
    app: Holdfast, outsider: Any
) -> None:
    @app.task(transactional=True, retry=Retry(max_attempts=2, delay_seconds=0))
    async def work(job: Job) -> None:
        async with job.transaction() as tx:
            await tx.execute(EFFECT, job.id)
            if job.attempt == 1:
                raise ValueError("after the effect")

    job_id = await work.enqueue()
    assert (await app.drain()).ok
    assert await effects_of(outsider) == [job_id]
    assert len(await app.jobs.history(job_id)) == 1


async def test_an_error_after_the_transaction_changes_nothing(app: Holdfast, outsider: Any) -> None:
    @app.task(transactional=True)
    async def work(job: Job) -> None:
        async with job.transaction() as tx:
            await tx.execute(EFFECT, job.id)
        raise ValueError("too late")

    job_id = await work.enqueue()
    assert (await app.drain()).completed == 1
    assert (await app.jobs.show(job_id)).state == "completed"
    assert await effects_of(outsider) == [job_id]


async def test_a_rescued_job_rolls_back_what_its_first_worker_did(app: Holdfast, outsider: Any) -> None:
    @app.task(transactional=True)
    async def work(job: Job) -> None: ...

    job_id = await work.enqueue()
    hand = await Hand.registered(app.database)
    completed: list[int] = []
    job = Job(await hand.claim_one(), app.database, 60.0, lambda claimed: completed.append(claimed.id))

    async def write() -> None:
        async with job.transaction() as tx:
            await tx.execute(EFFECT, job.id)
            assert await hand.die() == 1  # others believe that this worker is dead, and take over while it is at it

    with pytest.raises(LeaseLost, match="no longer this worker's"):
        await write()
    assert job.should_stop
    assert (completed, await effects_of(outsider)) == ([], [])
    info = await app.jobs.show(job_id)
    assert (info.state, info.attempt) == ("ready", 1)
    assert [event["what"] for event in await app.jobs.history(job_id)] == ["lost"]
    await assert_conserved(app.database)


async def test_a_worker_declared_dead_stops_and_leaves_no_effect(app: Holdfast, outsider: Any) -> None:
    @app.task(transactional=True)
    async def work(job: Job) -> None:
        async with job.transaction() as tx:
            await tx.execute(EFFECT, job.id)
            await outsider.execute("SELECT holdfast.declare_dead_v1($1, 'by the test')", job.fence >> 36)
            await asyncio.Event().wait()

    await work.enqueue()
    report = await app.worker(drain=True).run()
    assert report.fenced
    assert report.exit_status == 8
    assert await effects_of(outsider) == []


async def test_a_transaction_in_a_task_not_declared_for_it_says_how_to_declare_it(app: Holdfast) -> None:
    @app.task(retry=Retry(max_attempts=1))
    async def work(job: Job) -> None:
        async with job.transaction():
            pass

    job_id = await work.enqueue()
    await app.drain()
    error = (await app.jobs.show(job_id)).error
    assert error is not None
    assert error["type"] == "ConfigurationError"
    assert "transactional=True" in error["message"]


async def test_a_second_transaction_of_a_job_is_refused(app: Holdfast, outsider: Any) -> None:
    said: list[str] = []

    @app.task(transactional=True)
    async def work(job: Job) -> None:
        async with job.transaction() as tx:
            await tx.execute(EFFECT, job.id)
        try:
            async with job.transaction() as tx:
                await tx.execute(EFFECT, job.id)
        except ConfigurationError as error:
            said.append(error.message)

    job_id = await work.enqueue()
    await app.drain()
    assert len(said) == 1
    assert await effects_of(outsider) == [job_id]


async def test_a_transactional_task_without_a_transaction_completes_like_any_other(app: Holdfast) -> None:
    @app.task(transactional=True)
    async def work(job: Job) -> str:
        return "nothing to do"

    job_id = await work.enqueue()
    assert (await app.drain()).completed == 1
    assert await app.jobs.result(job_id) == "nothing to do"


async def test_a_transactional_task_must_take_the_job_and_be_async(app: Holdfast) -> None:
    with pytest.raises(ConfigurationError, match="does not take the job"):

        @app.task(transactional=True)
        async def one() -> None: ...

    with pytest.raises(ConfigurationError, match="coroutine function"):

        @app.task(transactional=True)
        def two(job: Job) -> None: ...


async def test_a_result_that_cannot_be_stored_rolls_the_effects_back(app: Holdfast, outsider: Any) -> None:
    @app.task(transactional=True, retry=Retry(max_attempts=1))
    async def work(job: Job) -> None:
        async with job.transaction() as tx:
            await tx.execute(EFFECT, job.id)
            tx.result = float("nan")

    job_id = await work.enqueue()
    assert (await app.drain()).failed == 1
    assert await effects_of(outsider) == []
    assert (await app.jobs.show(job_id)).state == "failed"


async def test_a_connection_that_dies_inside_takes_the_effects_with_it_and_the_job_runs_again(
    app: Holdfast, outsider: Any
) -> None:
    @app.task(transactional=True, retry=Retry(max_attempts=3, delay_seconds=0))
    async def work(job: Job) -> None:
        async with job.transaction() as tx:
            await tx.execute(EFFECT, job.id)
            if job.attempt == 1:
                await outsider.execute("SELECT pg_terminate_backend($1)", await tx.fetchval("SELECT pg_backend_pid()"))
                await tx.execute("SELECT 1")

    job_id = await work.enqueue()
    assert (await app.drain()).completed == 1
    assert await effects_of(outsider) == [job_id]


async def test_many_transactional_jobs_leave_one_effect_each_and_do_not_wait_for_the_poll(
    app: Holdfast, outsider: Any
) -> None:
    @app.task(transactional=True)
    async def work(job: Job) -> None:
        async with job.transaction() as tx:
            await tx.execute(EFFECT, job.id)

    ids = await work.enqueue_many([()] * 40)
    begun_at = monotonic()
    report = await app.drain(concurrency=2)
    # One poll a pair of jobs would take twenty seconds.
    assert monotonic() - begun_at < 10
    assert report.completed == 40
    assert await effects_of(outsider) == ids
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.lease") == 0


async def test_a_frozen_transaction_loses_its_locks_with_its_lease(app: Holdfast, outsider: Any) -> None:
    inside = asyncio.Event()

    @app.task(transactional=True, retry=Retry(max_attempts=1))
    async def work(job: Job) -> None:
        async with job.transaction() as tx:
            await tx.execute(EFFECT, job.id)
            inside.set()
            await asyncio.Event().wait()

    async def idle_limit() -> str | None:
        limit: str | None = await outsider.fetchval(
            "SELECT count(*)::text FROM pg_stat_activity"
            " WHERE state = 'idle in transaction' AND datname = current_database()"
        )
        return limit

    await work.enqueue()
    async with working(app, silence_seconds=0.5, shutdown_soft_seconds=0.1):
        await asyncio.wait_for(inside.wait(), 10)

        async def nobody_idle_in_transaction() -> bool:
            return await idle_limit() == "0"

        await eventually(nobody_idle_in_transaction, within_seconds=5)
    assert await effects_of(outsider) == []


async def test_effects_and_the_job_share_one_database_connection_type(app: Holdfast, outsider: Any) -> None:
    rows: list[Any] = []

    @app.task(transactional=True)
    async def work(job: Job) -> None:
        async with job.transaction() as tx:
            await tx.execute(EFFECT, job.id)
            rows.extend(await tx.fetch("SELECT job FROM effect"))
            rows.append(await tx.fetchrow("SELECT job FROM effect"))
            assert isinstance(tx.connection, asyncpg.Connection) or tx.connection.__class__.__name__
            rows.append(await tx.fetchval("SELECT 7"))

    job_id = await work.enqueue()
    assert (await app.drain()).ok
    assert [row if isinstance(row, int) else row[0] for row in rows] == [job_id, job_id, 7]


async def test_a_job_enqueued_in_the_jobs_transaction_exists_with_its_effects_or_not_at_all(
    app: Holdfast, outsider: Any
) -> None:
    @app.task(queue="next")
    async def follow(n: int) -> None: ...

    @app.task(transactional=True, retry=Retry(max_attempts=2, delay_seconds=0))
    async def work(job: Job) -> None:
        async with job.transaction() as tx:
            await tx.execute(EFFECT, job.id)
            await follow.using(tx).enqueue(job.attempt)
            if job.attempt == 1:
                raise ValueError("after the enqueue")

    job_id = await work.enqueue()
    assert (await app.drain()).ok
    assert await effects_of(outsider) == [job_id]
    assert [job.args for job in await app.jobs.list(queue="next")] == [{"n": 2}]
