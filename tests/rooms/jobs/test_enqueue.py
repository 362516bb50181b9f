"""Into the queue: one, many, in the caller's transaction, from SQL, from threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import psycopg
import pytest

from holdfast import Holdfast
from holdfast.errors import ArgumentsInvalid, ConfigurationError, DriverUnsupported
from holdfast.jobs import NewJob, Task
from tests.rooms.jobs.hand import Hand, assert_conserved

COUNT = "SELECT count(*) FROM holdfast.job"


@pytest.fixture
def work(app: Holdfast) -> Task[..., Any]:
    @app.task
    async def work(n: int = 0) -> None: ...

    return work


async def test_ids_come_back_in_the_order_of_the_calls(app: Holdfast, work: Task[..., Any]) -> None:
    ids = await work.enqueue_many([(n,) if n % 2 else {"n": n} for n in range(3000)])
    assert len(set(ids)) == 3000
    for n in (0, 1, 1499, 2999):
        assert (await app.jobs.show(ids[n])).args == {"n": n}
    hand = await Hand.registered(app.database)
    assert [job.id for job in await hand.claim(500)] == ids[:500]


async def test_more_than_one_statement_can_hold_are_still_in_order(app: Holdfast, work: Task[..., Any]) -> None:
    ids = await work.enqueue_many([(n,) for n in range(10_050)])
    assert (await app.jobs.show(ids[10_049])).args == {"n": 10_049}
    assert len(set(ids)) == 10_050
    assert await work.enqueue_many([]) == []


async def _on_asyncpg(url: str, work: Task[..., Any], *, commit: bool) -> None:
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    await work.using(connection).enqueue(1)
    await work.using(connection).enqueue_many([(2,), (3,)])
    await (transaction.commit() if commit else transaction.rollback())
    await connection.close()


async def _on_asyncpg_pool(url: str, work: Task[..., Any], *, commit: bool) -> None:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await work.using(connection).enqueue_many([(1,), (2,), (3,)])
        await (transaction.commit() if commit else transaction.rollback())


async def _on_psycopg_async(url: str, work: Task[..., Any], *, commit: bool) -> None:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await work.using(connection).enqueue(1)
        await work.using(connection).enqueue_many([(2,), (3,)])
        await (connection.commit() if commit else connection.rollback())


async def _on_psycopg(url: str, work: Task[..., Any], *, commit: bool) -> None:
    def in_a_thread() -> None:
        with psycopg.connect(url) as connection:
            work.using(connection).enqueue_sync(1)
            work.using(connection).enqueue_many_sync([(2,), (3,)])
            (connection.commit if commit else connection.rollback)()

    await asyncio.to_thread(in_a_thread)


Way = Callable[..., Awaitable[None]]


@pytest.mark.parametrize("commit", [False, True])
@pytest.mark.parametrize("way", [_on_asyncpg, _on_asyncpg_pool, _on_psycopg_async, _on_psycopg])
async def test_on_a_connection_of_the_callers_jobs_share_its_fate(
    app: Holdfast, work: Task[..., Any], outsider: Any, database_url: str, way: Way, *, commit: bool
) -> None:
    await way(database_url, work, commit=commit)
    assert await outsider.fetchval(COUNT) == (3 if commit else 0)
    assert await app.queues.backlog(["default"]) == (3 if commit else 0)
    await assert_conserved(app.database)


async def test_a_connection_of_an_unknown_driver_is_refused_by_name(work: Task[..., Any]) -> None:
    with pytest.raises(DriverUnsupported, match="asyncpg"):
        await work.using(object()).enqueue(1)


async def test_from_sql_a_declared_task_needs_only_its_name(app: Holdfast, outsider: Any) -> None:
    @app.task(name="welcome", queue="mail", priority=2, timeout_seconds=9.0)
    async def welcome(user_id: int) -> int:
        return user_id

    await app.drain()  # declares the task
    job_id = await outsider.fetchval("""SELECT holdfast.enqueue('welcome', '{"user_id": 42}')""")
    info = await app.jobs.show(job_id)
    assert (info.queue, info.priority, info.timeout_seconds, info.args) == ("mail", 2, 9.0, {"user_id": 42})
    assert (await app.drain(["mail"])).completed == 1
    assert await app.jobs.result(job_id) == 42
    twice = """SELECT holdfast.enqueue('welcome', '{"user_id": 1}', unique_key => 'u', run_at => '2060-01-01')"""
    assert await outsider.fetchval(twice) == await outsider.fetchval(twice)
    unique = welcome.options(unique="u")
    assert (await unique.enqueue(1)).existing  # one key, however it is said


async def test_from_sql_an_unknown_task_and_odd_arguments_are_explained(outsider: Any) -> None:
    with pytest.raises(asyncpg.PostgresError, match='no worker has declared a task named "nothing"') as caught:
        await outsider.fetchval("SELECT holdfast.enqueue('nothing')")
    assert caught.value.sqlstate == "HF005"
    assert "queue =>" in caught.value.hint
    for args in ("[1]", "7", "null"):
        with pytest.raises(asyncpg.PostgresError, match="must be a JSON object") as caught:
            await outsider.fetchval("SELECT holdfast.enqueue('t', $1::jsonb, queue => 'q')", args)
        assert caught.value.sqlstate == "HF004"
    with pytest.raises(asyncpg.PostgresError, match="must be a JSON object"):
        await outsider.fetchval("SELECT holdfast.enqueue('t', NULL, queue => 'q')")
    assert await outsider.fetchval(COUNT) == 0


async def test_a_hundred_callers_share_a_few_commits(work: Task[..., Any], outsider: Any) -> None:
    await work.enqueue()  # connected, ids drawn
    ids = await asyncio.gather(*(work.enqueue(n) for n in range(100)))
    assert len(set(ids)) == 100
    commits = await outsider.fetchval("SELECT count(DISTINCT xmin::text) FROM holdfast.job WHERE id = ANY ($1)", ids)
    assert commits <= 5


async def test_a_bad_row_among_a_hundred_strangers_fails_alone(app: Holdfast, work: Task[..., Any]) -> None:
    """It passes every check of ours and only the server refuses it."""
    producer = await app.producer()
    good = [NewJob("work", "default", f'{{"n": {n}}}', 5, 0) for n in range(99)]
    bad = NewJob("work", "default", "{}", 5, 0, max_attempts=0)
    jobs = [*good[:50], bad, *good[50:]]
    answers = await asyncio.gather(*(producer.enqueue(job) for job in jobs), return_exceptions=True)
    assert isinstance(answers.pop(50), ArgumentsInvalid)
    assert len({answer for answer in answers if isinstance(answer, int)}) == 99
    assert await app.queues.backlog(["default"]) == 99
    await assert_conserved(app.database)


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"max_attempts": 70_000},
        {"timeout_seconds": -1.0},
        {"queue": "a\x00b"},
        {"unique": "a\x00"},
    ],
)
@pytest.mark.parametrize("many", [False, True])
async def test_options_that_cannot_be_stored_are_refused(
    work: Task[..., Any], outsider: Any, options: dict[str, Any], *, many: bool
) -> None:
    request = work.options(**options)
    with pytest.raises(ArgumentsInvalid):
        await (request.enqueue_many([(1,), (2,)]) if many else request.enqueue(1))
    assert await outsider.fetchval(COUNT) == 0


def test_options_that_contradict_are_refused_where_they_are_given(work: Task[..., Any]) -> None:
    naive = datetime(2030, 1, 1)  # noqa: DTZ001
    for options in (
        {"run_in": 5, "run_at": datetime.now(UTC)},
        {"run_at": naive},
        {"run_in": -1},
        {"run_in": "soon"},
        {"priority": 10},
        {"unique": ""},
    ):
        with pytest.raises(ConfigurationError):
            work.options(**options)


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({"run_in": 90}, 90),
        ({"run_in": "1h30m"}, 5400),
        ({"run_in": timedelta(days=2)}, 172_800),
        ({"run_at": datetime(2060, 1, 1, tzinfo=UTC)}, None),
    ],
)
async def test_a_job_for_later_is_scheduled_for_then(
    app: Holdfast, work: Task[..., Any], options: dict[str, Any], seconds: float | None
) -> None:
    info = await app.jobs.show(await work.options(**options).enqueue())
    assert info.state == "scheduled"
    assert info.due_at is not None
    if seconds is None:
        assert info.due_at == options["run_at"]
    else:
        assert (info.due_at - info.enqueued_at).total_seconds() == pytest.approx(seconds, abs=1)


async def test_a_job_for_a_moment_that_is_over_is_ready(app: Holdfast, work: Task[..., Any]) -> None:
    for options in ({"run_in": 0}, {"run_at": datetime(2020, 1, 1, tzinfo=UTC)}):
        job_id = await work.options(**options).enqueue()
        assert (await app.jobs.show(job_id)).state == "ready"


async def test_threads_without_a_loop_enqueue_through_one_connection_of_the_app(
    app: Holdfast, work: Task[..., Any], outsider: Any
) -> None:
    def from_threads() -> list[int]:
        with ThreadPoolExecutor(16) as threads:
            return list(threads.map(work.enqueue_sync, range(64)))

    ids = await asyncio.to_thread(from_threads)
    assert len(set(ids)) == 64
    assert [(await app.jobs.show(ids[n])).args["n"] for n in (0, 63)] == [0, 63]
    many = await asyncio.to_thread(work.enqueue_many_sync, [(1,), (2,)])
    assert len(many) == 2
    portals = await outsider.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'holdfast'"
    )
    assert portals <= 2 * 12  # the pools of the loop and those of one portal


async def test_a_sync_enqueue_inside_a_loop_says_which_form_to_use(work: Task[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match="await the async form"):
        work.enqueue_sync(1)


def test_a_script_without_any_loop_enqueues_and_closes(database_url: str) -> None:
    app = Holdfast(database_url)

    @app.task
    def work(n: int) -> int:
        return n

    job_id = work.enqueue_sync(5)

    async def look() -> str:
        async with app:
            return (await app.jobs.show(job_id)).state

    assert asyncio.run(look()) == "ready"
