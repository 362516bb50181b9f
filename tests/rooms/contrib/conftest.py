"""An application with one task, what the queue holds of it, and a table of the caller's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from holdfast import Holdfast, clock


@pytest.fixture
def app(database_url: str) -> Holdfast:
    """An application with a task ``welcome(user_id: int)``, not open: a caller's transaction does not need it."""
    made = Holdfast(database_url)

    @made.task(queue="mail")
    async def welcome(user_id: int) -> str:
        return f"welcome {user_id}"

    return made


@pytest.fixture
def a_while_passes() -> Iterator[Callable[[], None]]:
    """Lets a transaction have been open for long, as this process sees it."""
    yield lambda: clock.set_ahead(1)
    clock.set_ahead(0)


@pytest.fixture
def outside(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection that sees what is committed; the table ``users`` is there."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("create table public.users (id integer primary key, name text)")
        yield connection


@pytest.fixture
def committed(outside: psycopg.Connection) -> Callable[[], tuple[list[int], list[int]]]:
    """Which users, and jobs for which users, anybody else can see."""

    def look() -> tuple[list[int], list[int]]:
        users = outside.execute("select id from public.users order by id").fetchall()
        jobs = outside.execute("select (args->>'user_id')::int from holdfast.every_job order by 1").fetchall()
        return [row[0] for row in users], [row[0] for row in jobs]

    return look
