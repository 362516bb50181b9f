"""The front door: opening, closing, declaring, draining."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.errors import ConfigurationError, DatabaseUnavailable, JobNotFound, MigrationError, TaskUnknown, TimedOut


async def test_opening_twice_is_once_and_closing_twice_too(database_url: str) -> None:
    app = Holdfast(database_url)
    await asyncio.gather(app.open(), app.open())
    database = app.database
    await app.open()
    assert app.database is database
    await app.close()
    await app.close()


async def test_before_it_is_open_it_says_how_to_open_it(database_url: str) -> None:
    app = Holdfast(database_url)
    with pytest.raises(ConfigurationError, match="async with app"):
        _ = app.jobs
    with pytest.raises(ConfigurationError, match="not open"):
        app.worker()


async def test_the_first_enqueue_opens_it(database_url: str) -> None:
    app = Holdfast(database_url)

    @app.task
    async def work() -> None: ...

    job_id = await work.enqueue()
    assert (await app.jobs.show(job_id)).state == "ready"
    await app.close()


async def test_it_can_be_opened_again_after_it_was_closed(database_url: str) -> None:
    app = Holdfast(database_url)
    for _ in range(2):
        async with app:
            assert (await app.drain()).ok


async def test_a_database_without_the_schema_is_refused_with_the_command_that_makes_it(empty_database_url: str) -> None:
    with pytest.raises(MigrationError, match="holdfast db migrate"):
        await Holdfast(empty_database_url).open()
    async with await Holdfast(empty_database_url).open(bring_up=True) as app:
        assert (await app.drain()).ok


async def test_a_server_that_does_not_come_is_an_error_in_time() -> None:
    with pytest.raises(DatabaseUnavailable):
        await Holdfast("postgresql://nobody@127.0.0.1:1/nothing").open(0.3)


async def test_an_unknown_task_is_answered_with_the_known_ones(app: Holdfast) -> None:
    @app.task
    async def send() -> None: ...

    assert app.find_task("send") is send
    with pytest.raises(TaskUnknown, match="registered tasks: send"):
        app.find_task("sned")


async def test_an_unknown_job_is_not_found_by_any_verb(app: Holdfast) -> None:
    for call in (app.jobs.show(7), app.jobs.retry(7), app.jobs.wait(7), app.jobs.result(7)):
        with pytest.raises(JobNotFound, match="there is no job 7"):
            await call
    assert await app.jobs.history(7) == []


async def test_a_wait_ends_in_time(app: Holdfast) -> None:
    @app.task
    async def work() -> None: ...

    job_id = await work.enqueue()
    with pytest.raises(TimedOut, match="is ready after 0.05 s"):
        await app.jobs.wait(job_id, timeout_seconds=0.05)


async def test_jobs_are_listed_newest_first_by_state_queue_and_task(app: Holdfast) -> None:
    @app.task(queue="a")
    async def one() -> None: ...

    @app.task(queue="b")
    async def two() -> None:
        raise ValueError

    first = await one.enqueue_many([()] * 5)
    second = await two.options(max_attempts=1).enqueue_many([()] * 3)
    later = await one.options(run_in="1h").enqueue()
    await app.drain(["b"])
    listed: dict[str, Any] = {
        "all": await app.jobs.list(),
        "failed": await app.jobs.list(state="failed"),
        "ready": await app.jobs.list(state="ready"),
        "scheduled": await app.jobs.list(state="scheduled"),
        "task": await app.jobs.list(task="two"),
        "queue": await app.jobs.list(queue="a", limit=2),
        "page": await app.jobs.list(queue="a", before=first[2]),
        "none": await app.jobs.list(state="running"),
    }
    newest_first = {name: [job.id for job in jobs] for name, jobs in listed.items()}
    assert newest_first == {
        "all": sorted([*first, *second, later], reverse=True),
        "failed": sorted(second, reverse=True),
        "ready": sorted(first, reverse=True),
        "scheduled": [later],
        "task": sorted(second, reverse=True),
        "queue": sorted([*first, later], reverse=True)[:2],
        "page": sorted(first[:2], reverse=True),
        "none": [],
    }
    with pytest.raises(ConfigurationError, match="there is no state 'done'"):
        await app.jobs.list(state="done")


async def test_the_exit_status_of_a_drain_says_whether_jobs_failed(app: Holdfast) -> None:
    @app.task
    async def work(*, fail: bool) -> None:
        if fail:
            raise ValueError("as told")

    assert (await app.drain()).exit_status == 0
    job_id = await work.options(max_attempts=1).enqueue(fail=True)
    report = await app.drain()
    assert (report.exit_status, report.ok) == (1, False)
    assert [(failure.job_id, failure.task) for failure in report.failures] == [(job_id, "work")]
    assert "as told" in report.failures[0].error


async def test_two_drains_at_once_run_every_job_once(app: Holdfast) -> None:
    ran: list[int] = []

    @app.task
    async def work(n: int) -> None:
        ran.append(n)
        await asyncio.sleep(0)

    await work.enqueue_many([(n,) for n in range(500)])
    reports = await asyncio.gather(app.drain(concurrency=5), app.drain(concurrency=5))
    assert sorted(ran) == list(range(500))
    assert sum(report.completed for report in reports) == 500


def test_each_event_loop_gets_connections_of_its_own(database_url: str) -> None:
    app = Holdfast(database_url)

    @app.task
    async def work(n: int) -> int:
        return n

    async def once() -> int:
        async with app:
            job_id = await work.enqueue(3)
            await app.drain()
            return int(await app.jobs.result(job_id))

    assert [asyncio.run(once()) for _ in range(2)] == [3, 3]
