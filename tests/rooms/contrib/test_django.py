"""Django: the job and the rows of ``transaction.atomic`` are both there or neither; tasks that use the ORM."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import django
import psycopg
import pytest
from django.conf import settings
from django.db import IntegrityError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TestCase

from holdfast import Holdfast
from holdfast.contrib.django import database_url as url_of
from holdfast.contrib.django import fresh_connections
from holdfast.errors import ConfigurationError, DriverUnsupported
from holdfast.testing import Inline, assert_enqueued, drain_sync, refute_enqueued
from tests.rooms.contrib.test_sqlalchemy import heard, listening

Look = Callable[[], tuple[list[int], list[int]]]
INSERT = "insert into public.users (id) values (%s)"


@pytest.fixture(autouse=True)
def _django(database_url: str, outside: psycopg.Connection) -> Iterator[None]:
    """Django on this test's database; it is configured once a process, so its default database is pointed elsewhere."""
    if not settings.configured:
        settings.configure(
            DATABASES={
                "default": {"ENGINE": "django.db.backends.postgresql"},
                "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
            }
        )
        django.setup()
    parts = urlsplit(database_url)
    given = {"NAME": parts.path[1:], "USER": parts.username, "PASSWORD": parts.password or ""}
    connection.settings_dict.update(given | {"HOST": parts.hostname or "", "PORT": parts.port or ""})
    yield
    connection.close()


def test_atomic_commits_both_or_rolls_both_back(app: Holdfast, committed: Look) -> None:
    welcome = app.find_task("welcome")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(INSERT, [1])
        welcome.using(connection).enqueue_sync(1)
        assert committed() == ([], [])
    assert committed() == ([1], [1])
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        enqueue_and_insert(cursor, welcome, 2, user_id=1)
    assert committed() == ([1], [1])


def enqueue_and_insert(cursor: Any, welcome: Any, job_for: int, *, user_id: int) -> None:
    welcome.using(connection).enqueue_sync(job_for)
    cursor.execute(INSERT, [user_id])


def test_without_a_block_it_is_stored_at_once(app: Holdfast, committed: Look) -> None:
    assert app.find_task("welcome").using(connections["default"]).enqueue_many_sync([(1,), (2,)])
    assert committed() == ([], [1, 2])


def test_a_connection_of_ones_own_is_used_as_it_is(app: Holdfast, committed: Look) -> None:
    apart = connection.copy()
    apart.set_autocommit(False)
    app.find_task("welcome").using(apart).enqueue_sync(1)
    assert committed() == ([], [])
    apart.commit()
    apart.close()
    assert committed() == ([], [1])


def test_a_savepoint_takes_its_job_along(app: Holdfast, committed: Look) -> None:
    welcome = app.find_task("welcome")
    with transaction.atomic():
        welcome.using(connection).enqueue_sync(1)
        with transaction.atomic():
            welcome.using(connection).enqueue_sync(2)
            transaction.set_rollback(True)
        with transaction.atomic():
            welcome.using(connection).enqueue_sync(3)
    assert committed() == ([], [1, 3])


def test_options_with_percent_signs_and_keys_travel(app: Holdfast, outside: psycopg.Connection) -> None:
    wanted = app.find_task("welcome").options(unique="100% $1", run_in="1h")
    with transaction.atomic():
        first, again = (wanted.using(connection).enqueue_sync(1) for _ in range(2))
    assert (again, again.existing) == (first, True)
    assert outside.execute("select unique_key from holdfast.job").fetchall() == [("welcome:100% $1",)]


async def test_async_code_uses_the_connection_of_djangos_thread(app: Holdfast, committed: Look) -> None:
    await app.find_task("welcome").using(connection).enqueue(1)
    assert committed() == ([], [1])


def test_a_worker_that_became_idle_meanwhile_is_woken_once_after_the_commit(
    app: Holdfast, database_url: str, a_while_passes: Callable[[], None]
) -> None:
    welcome = app.find_task("welcome")
    with transaction.atomic():
        welcome.using(connection).enqueue_sync(1)  # nobody is idle now
        welcome.using(connection).enqueue_sync(2)
        assert len(connection.run_on_commit) == 1
        a_while_passes()
        worker = listening(database_url, "mail")
    assert heard(worker) == ["mail"]
    worker.close()
    worker = listening(database_url, "mail")
    with transaction.atomic():
        with transaction.atomic():
            welcome.options(run_in="1h").using(connection).enqueue_sync(3)
        welcome.options(run_in="1h").using(connection).enqueue_sync(4)
    assert heard(worker) == []
    worker.close()


def test_a_ring_in_a_savepoint_that_is_rolled_back_does_not_take_the_others_along(
    app: Holdfast, database_url: str, a_while_passes: Callable[[], None]
) -> None:
    welcome = app.find_task("welcome")
    with transaction.atomic():
        with transaction.atomic():
            welcome.using(connection).enqueue_sync(1)
            transaction.set_rollback(True)
        welcome.using(connection).enqueue_sync(2)
        a_while_passes()
        worker = listening(database_url, "mail")
    assert heard(worker) == ["mail"]
    worker.close()


def test_another_database_is_refused(app: Holdfast) -> None:
    with pytest.raises(DriverUnsupported, match="sqlite"):
        app.find_task("welcome").using(connections["other"]).enqueue_sync(1)
    with pytest.raises(ConfigurationError, match="sqlite3"):
        url_of("other")


def test_the_url_of_djangos_settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(url_of()) as mine, psycopg.connect(database_url) as given:
        assert mine.info.dsn == given.info.dsn
    usual = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "my shop",
        "USER": "me",
        "PASSWORD": "p@ss",
        "PORT": 6000,
    }
    monkeypatch.setitem(connections.settings, "default", usual | {"HOST": "db", "OPTIONS": {"sslmode": "require"}})
    assert url_of() == "postgresql://me:p%40ss@db:6000/my%20shop?sslmode=require"
    monkeypatch.setitem(connections.settings, "default", usual | {"HOST": "/run/pg"})
    assert url_of() == "postgresql://me:p%40ss@/my%20shop?host=%2Frun%2Fpg&port=6000"


def test_tasks_use_the_orms_connection_and_a_broken_one_is_replaced(app: Holdfast, outside: psycopg.Connection) -> None:
    seen: list[int] = []

    @app.task
    def count_users() -> None:
        with connection.cursor() as cursor:
            cursor.execute("select count(*), pg_backend_pid() from public.users")
            seen.extend(cursor.fetchone())
            assert isinstance(connections["default"], BaseDatabaseWrapper)

    @app.task
    def lose_connection() -> None:
        with connection.cursor() as cursor, pytest.raises(django.db.Error):
            cursor.execute("select pg_terminate_backend(pg_backend_pid())")

    app.around(fresh_connections)
    for task in (count_users, lose_connection, count_users):
        task.enqueue_sync()
        assert drain_sync(app, concurrency=1).ok
    assert [seen[0], seen[2]] == [0, 0]
    assert seen[1] != seen[3]
    asyncio.run(app.close())


def test_in_djangos_testcase_jobs_are_seen_and_rolled_back(app: Holdfast, committed: Look) -> None:
    welcome = app.find_task("welcome")

    @app.task
    def add_user(user_id: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(INSERT, [user_id])

    class OfAUser(TestCase):  # type: ignore[misc]  # Django ships no types
        def test_enqueue(self) -> None:
            welcome.using(connection).enqueue_sync(1)
            assert_enqueued(welcome.using(connection), user_id=1)
            refute_enqueued(welcome.using(connection), user_id=2)

        def test_inline_in_the_tests_own_transaction(self) -> None:
            with Inline(app):
                add_user.using(connection).enqueue_sync(5)
            with connection.cursor() as cursor:
                cursor.execute("select id from public.users")
                assert cursor.fetchall() == [(5,)]

        def test_nothing_is_left_of_the_others(self) -> None:
            refute_enqueued(welcome.using(connection))

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(OfAUser).run(result)
    assert (result.testsRun, result.errors, result.failures) == (3, [], [])
    assert committed() == ([], [])
