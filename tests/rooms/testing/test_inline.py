"""Inline: jobs run where they are enqueued, in the same thread, task and transaction, and nothing is stored."""

from __future__ import annotations

import threading
from typing import Any

import asyncpg
import psycopg
import pytest

from holdfast import Holdfast, current_job
from holdfast.testing import Inline, all_enqueued, assert_enqueued, refute_enqueued

NOWHERE = "postgresql://nowhere.invalid/x"


def test_sync_jobs_run_at_once_without_any_database(shop: Any, holdfast_inline: Inline) -> None:
    shop.app.configure(NOWHERE)
    shop.resize.enqueue_sync("cat.png")
    assert shop.done == [("cat.png", "resize", 1), 7]
    assert assert_enqueued(shop.resize, image="cat.png").result == 7
    assert assert_enqueued(shop.send_welcome, user_id=7).result == "en 7"
    refute_enqueued(shop.settle)
    assert current_job() is None


async def test_async_jobs_run_at_once_and_what_they_enqueue_too(shop: Any, holdfast_inline: Inline) -> None:
    shop.app.configure(NOWHERE)
    await shop.send_welcome.enqueue(1, language="de")
    await shop.resize.enqueue("dog.png")  # a plain function that calls enqueue_sync, inside a running loop
    await shop.send_welcome.options(queue="slow").enqueue_many([(2,), {"user_id": 3}])
    assert shop.done == [1, ("dog.png", "resize", 1), 7, 2, 3]
    assert [job.state for job in all_enqueued(shop.send_welcome)] == ["completed"] * 4
    assert_enqueued(shop.send_welcome.options(queue="slow"), user_id=3)
    with pytest.raises(AssertionError, match=r"language='de'\) completed"):
        assert_enqueued(shop.send_welcome, user_id=9)


def test_plain_functions_stay_in_the_thread_of_the_caller(shop: Any, holdfast_inline: Inline) -> None:
    threads: list[int] = []
    app: Holdfast = shop.app

    @app.task
    def where() -> None:
        threads.append(threading.get_ident())

    where.enqueue_sync()
    assert threads == [threading.get_ident()]


def test_an_error_is_raised_where_the_job_was_enqueued(shop: Any, holdfast_inline: Inline) -> None:
    with pytest.raises(ValueError, match="unlucky"):
        shop.send_welcome.enqueue_sync(13)
    assert assert_enqueued(shop.send_welcome, user_id=13).state == "failed"
    holdfast_inline.raise_errors = False
    shop.send_welcome.enqueue_sync(13)
    assert str(assert_enqueued(shop.send_welcome).error) == "unlucky"


def test_arguments_and_results_go_through_json_as_they_would(shop: Any, holdfast_inline: Inline) -> None:
    seen: list[Any] = []
    app: Holdfast = shop.app

    @app.task
    def note(pair: tuple[int, int], anything: Any) -> Any:
        seen.append((pair, anything))
        return object() if anything is None else anything

    note.enqueue_sync((1, 2), (3, 4))
    assert seen == [((1, 2), [3, 4])]
    with pytest.raises(Exception, match="not JSON"):
        note.enqueue_sync((1, 2), None)


async def test_jobs_for_later_wait_and_hold_their_key(shop: Any, holdfast_inline: Inline) -> None:
    first = await shop.send_welcome.options(run_in="2h", unique=True).enqueue(2)
    again = await shop.send_welcome.options(run_in="1h", unique=True).enqueue(2)
    await shop.send_welcome.options(run_in="1h").enqueue(1)
    assert (again, again.existing) == (first, True)
    assert shop.done == []
    assert assert_enqueued(shop.send_welcome, user_id=2).state == "scheduled"
    assert await holdfast_inline.run_scheduled() == 2
    assert shop.done == [1, 2]
    assert not (await shop.send_welcome.options(unique=True).enqueue(2)).existing


def test_snoozed_jobs_wait_for_the_next_time(shop: Any, holdfast_inline: Inline) -> None:
    shop.poll.enqueue_sync(3)
    assert assert_enqueued(shop.poll, left=3).state == "scheduled"
    assert [holdfast_inline.run_scheduled_sync() for _ in range(3)] == [1, 1, 0]
    assert assert_enqueued(shop.poll, left=3).result == "there"


async def test_the_jobs_transaction_is_a_savepoint_of_the_test(
    shop: Any, holdfast_inline: Inline, holdfast_database: Holdfast, holdfast_database_url: str
) -> None:
    connection = await asyncpg.connect(holdfast_database_url)
    await connection.execute("create table public.settled (id integer primary key)")
    transaction = connection.transaction()
    await transaction.start()
    await shop.settle.using(connection).enqueue(5)
    assert await connection.fetchval("select array_agg(id) from public.settled") == [5]
    assert assert_enqueued(shop.settle, order_id=5).result == {"settled": 5}
    assert shop.done == [5]
    with pytest.raises(asyncpg.UniqueViolationError):
        await shop.settle.using(connection).enqueue(5)
    assert await connection.fetchval("select count(*) from public.settled") == 1  # it is usable still
    await transaction.rollback()
    assert await connection.fetchval("select count(*) from public.settled") == 0
    assert await connection.fetchval("select count(*) from holdfast.every_job") == 0
    await connection.close()


def test_without_a_connection_the_jobs_transaction_is_committed_in_the_tests_own_database(
    shop: Any, holdfast_inline: Inline, holdfast_database_url: str
) -> None:
    shop.app.configure(NOWHERE)  # as it may be somebody's real one
    with psycopg.connect(holdfast_database_url, autocommit=True) as connection:
        connection.execute("create table public.settled (id integer primary key)")
        shop.settle.enqueue_sync(5)
        assert connection.execute("select id from public.settled").fetchall() == [(5,)]


def test_afterwards_jobs_are_stored_again(shop: Any, holdfast_database: Holdfast) -> None:
    with Inline(shop.app) as inline:
        shop.send_welcome.enqueue_sync(1)
        assert len(inline.seen) == 1
    refute_enqueued(shop.send_welcome)
    shop.send_welcome.enqueue_sync(2)
    assert_enqueued(shop.send_welcome, user_id=2)
    assert len(inline.seen) == 1
