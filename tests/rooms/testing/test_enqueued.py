"""What was enqueued is found where it stands, and an assertion that does not hold fails with what there is instead."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from holdfast import Holdfast
from holdfast.errors import ArgumentsInvalid, ConfigurationError, DriverUnsupported
from holdfast.testing import (
    all_enqueued,
    all_enqueued_async,
    assert_enqueued,
    assert_enqueued_async,
    drain_sync,
    refute_enqueued,
    refute_enqueued_async,
)
from tests.rooms.contrib.test_sqlalchemy import with_driver


def test_a_sync_test_sees_what_was_committed(shop: Any, holdfast_database: Holdfast) -> None:
    refute_enqueued(shop.send_welcome)
    job_id = shop.send_welcome.enqueue_sync(42, language="de")
    assert assert_enqueued(shop.send_welcome, user_id=42).id == job_id
    assert assert_enqueued(shop.send_welcome, user_id=42, language="de").state == "ready"
    refute_enqueued(shop.send_welcome, user_id=43)
    refute_enqueued(shop.resize)
    assert drain_sync(holdfast_database, ["mail"]).completed == 1
    assert [job.state for job in all_enqueued(shop.send_welcome)] == ["completed"]


async def test_an_async_test_sees_it_too(shop: Any, holdfast_open: Holdfast) -> None:
    await shop.send_welcome.enqueue_many([(1,), (2,), (1,)])
    assert [job.args["user_id"] for job in all_enqueued(shop.send_welcome)] == [1, 2, 1]
    assert len(all_enqueued(shop.send_welcome, user_id=1)) == 2
    assert (await assert_enqueued_async(shop.send_welcome, user_id=2)).queue == "mail"


def test_an_argument_left_to_its_default_is_not_in_the_job(shop: Any, holdfast_database: Holdfast) -> None:
    shop.send_welcome.enqueue_sync(1)
    refute_enqueued(shop.send_welcome, language="en")


def test_a_failing_assertion_says_what_there_is(shop: Any, holdfast_database: Holdfast) -> None:
    with pytest.raises(AssertionError, match=r"no send_welcome\(user_id=42\) was enqueued.*\n  nothing"):
        assert_enqueued(shop.send_welcome, user_id=42)
    shop.send_welcome.options(run_in="1h", queue="slow").enqueue_sync(7)
    with pytest.raises(AssertionError, match=r"send_welcome\(user_id=7\) scheduled on queue slow, priority 5, due 20"):
        assert_enqueued(shop.send_welcome.options(queue="mail", priority=1), user_id=7)
    with pytest.raises(AssertionError, match=r"was enqueued after all"):
        refute_enqueued(shop.send_welcome, user_id=7)


def test_a_misspelt_argument_is_an_error_also_where_nothing_should_be(shop: Any, holdfast_database: Holdfast) -> None:
    with pytest.raises(ArgumentsInvalid, match="user: is not a parameter"):
        refute_enqueued(shop.send_welcome, user=42)
    with pytest.raises(ArgumentsInvalid, match="user_id"):
        refute_enqueued(shop.send_welcome, user_id="forty-two")


def test_options_that_differ_from_the_tasks_own_count(shop: Any, holdfast_database: Holdfast) -> None:
    tomorrow = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    shop.send_welcome.options(queue="slow", priority=2, unique="a").enqueue_sync(1)
    shop.send_welcome.options(run_at=tomorrow).enqueue_sync(2)
    assert_enqueued(shop.send_welcome, user_id=1)
    assert_enqueued(shop.send_welcome.options(queue="slow", priority=2, unique="a"), user_id=1)
    assert_enqueued(shop.send_welcome.options(run_at=tomorrow), user_id=2)
    refute_enqueued(shop.send_welcome.options(queue="slower"), user_id=1)
    refute_enqueued(shop.send_welcome.options(priority=3), user_id=1)
    refute_enqueued(shop.send_welcome.options(unique="b"), user_id=1)
    refute_enqueued(shop.send_welcome.options(unique=True), user_id=2)
    refute_enqueued(shop.send_welcome.options(run_at=tomorrow + timedelta(hours=1)), user_id=2)
    with pytest.raises(ConfigurationError, match="run_in"):
        refute_enqueued(shop.send_welcome.options(run_in="1d"), user_id=2)


@pytest.fixture
def rolled_back_session(holdfast_database_url: str) -> Iterator[Session]:
    """The usual recipe: the test's session lives in a transaction that is never committed."""
    engine = create_engine(with_driver(holdfast_database_url, "psycopg"), poolclass=NullPool)
    with engine.connect() as connection, connection.begin() as transaction:
        yield Session(connection, join_transaction_mode="create_savepoint")
        transaction.rollback()


def test_inside_a_rolled_back_session_it_is_seen_and_never_stored(
    shop: Any, holdfast_database: Holdfast, rolled_back_session: Session
) -> None:
    shop.send_welcome.using(rolled_back_session).enqueue_sync(1)
    rolled_back_session.commit()  # of the code under test: a savepoint
    assert_enqueued(shop.send_welcome.using(rolled_back_session), user_id=1)
    refute_enqueued(shop.send_welcome)  # as others see it
    shop.send_welcome.using(rolled_back_session).enqueue_sync(2)
    rolled_back_session.rollback()
    refute_enqueued(shop.send_welcome.using(rolled_back_session), user_id=2)


async def test_inside_async_transactions(shop: Any, holdfast_database: Holdfast) -> None:
    url = holdfast_database.settings.database_url
    assert url is not None
    engine = create_async_engine(with_driver(url, "asyncpg"), poolclass=NullPool)
    async with AsyncSession(engine) as session:
        await shop.send_welcome.using(session).enqueue(1)
        await assert_enqueued_async(shop.send_welcome.using(session), user_id=1)
        await refute_enqueued_async(shop.send_welcome.using(session), user_id=2)
        with pytest.raises(AssertionError, match=r"user_id=1\) ready"):
            await assert_enqueued_async(shop.send_welcome.using(session), user_id=2)
        with pytest.raises(AssertionError, match="after all"):
            await refute_enqueued_async(shop.send_welcome.using(session))
        with pytest.raises(DriverUnsupported, match="await"):
            assert_enqueued(shop.send_welcome.using(session), user_id=1)
        refute_enqueued(shop.send_welcome)
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    await shop.send_welcome.using(connection).enqueue(3)
    assert [job.args for job in await all_enqueued_async(shop.send_welcome.using(connection))] == [{"user_id": 3}]
    await transaction.rollback()
    await connection.close()
    await engine.dispose()


def test_inside_a_psycopg_transaction(shop: Any, holdfast_database_url: str) -> None:
    with psycopg.connect(holdfast_database_url) as connection:
        shop.send_welcome.using(connection).enqueue_sync(1)
        assert_enqueued(shop.send_welcome.using(connection), user_id=1)
        connection.rollback()
        refute_enqueued(shop.send_welcome.using(connection))
