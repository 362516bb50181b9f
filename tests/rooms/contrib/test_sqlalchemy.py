"""SQLAlchemy: the job and the session's rows are both there or neither, with every dialect, sync and async."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, event, insert, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from holdfast import Holdfast
from holdfast.contrib.sqlalchemy import _LastWords
from holdfast.contrib.sqlalchemy import database_url as url_of
from holdfast.errors import ArgumentsInvalid, DriverUnsupported

Look = Callable[[], tuple[list[int], list[int]]]


class Model(DeclarativeBase):
    pass


class User(Model):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]


def with_driver(url: str, driver: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://").replace("postgres://", f"postgresql+{driver}://")


@pytest.fixture(params=["psycopg", "psycopg2"])
def engine(request: pytest.FixtureRequest, database_url: str, outside: psycopg.Connection) -> Iterator[Engine]:
    made = create_engine(with_driver(database_url, request.param), poolclass=NullPool)
    yield made
    made.dispose()


@pytest.fixture(params=["asyncpg", "psycopg"])
async def async_engine(
    request: pytest.FixtureRequest, database_url: str, outside: psycopg.Connection
) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(with_driver(database_url, request.param), poolclass=NullPool)
    yield made
    await made.dispose()


def welcome_of(app: Holdfast) -> Any:
    return app.find_task("welcome")


def test_session_commits_both_or_rolls_both_back(engine: Engine, app: Holdfast, committed: Look) -> None:
    with Session(engine) as session:
        session.add(User(id=1, name="Ada"))  # pending: nothing has begun yet
        job_id = welcome_of(app).using(session).enqueue_sync(1)
        assert committed() == ([], [])
        session.commit()
        assert committed() == ([1], [1])
        assert job_id > 0
        session.add(User(id=2))
        welcome_of(app).using(session).enqueue_sync(2)
        session.rollback()
    assert committed() == ([1], [1])


def test_a_build_that_stores_the_job_elsewhere_is_caught(
    engine: Engine, app: Holdfast, committed: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.jobs.task.Request.using", lambda request, _connection: request)
    with Session(engine) as session:
        session.add(User(id=1))
        welcome_of(app).using(session).enqueue_sync(1)
        session.rollback()
    assert committed() == ([], [1])
    asyncio.run(app.close())


def test_enqueue_first_begins_the_transaction_of_the_session(engine: Engine, app: Holdfast, committed: Look) -> None:
    with Session(engine) as session:
        welcome_of(app).using(session).enqueue_sync(1)
        assert session.in_transaction()
        assert committed() == ([], [])
        session.rollback()
        welcome_of(app).using(session).enqueue_sync(2)
        session.commit()
    assert committed() == ([], [2])


def test_a_flush_that_fails_at_commit_takes_the_job_along(engine: Engine, app: Holdfast, committed: Look) -> None:
    with Session(engine) as session:
        session.execute(insert(User).values(id=1))
        session.commit()
        session.add(User(id=1))  # taken; found out at the flush of the commit
        welcome_of(app).using(session).enqueue_sync(1)
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
    assert committed() == ([1], [])


def test_nothing_is_flushed_for_the_job_and_an_id_that_is_not_drawn_yet_is_refused(
    engine: Engine, app: Holdfast, committed: Look
) -> None:
    with Session(engine) as session:
        user = User(name="Ada")
        session.add(user)
        with pytest.raises(ArgumentsInvalid, match="user_id"):
            welcome_of(app).using(session).enqueue_sync(user.id)
        assert user in session.new
        session.rollback()
    assert committed() == ([], [])


def test_a_savepoint_takes_its_job_along(engine: Engine, app: Holdfast, committed: Look) -> None:
    with Session(engine) as session, session.begin():
        welcome_of(app).using(session).enqueue_sync(1)
        with session.begin_nested() as savepoint:
            session.add(User(id=2))
            welcome_of(app).using(session).enqueue_sync(2)
            savepoint.rollback()
        with session.begin_nested():
            welcome_of(app).using(session).enqueue_sync(3)
    assert committed() == ([], [1, 3])


def test_a_job_that_the_server_refuses_in_a_savepoint_leaves_the_transaction_usable(
    engine: Engine, app: Holdfast, committed: Look
) -> None:
    with Session(engine) as session, session.begin():
        session.add(User(id=1))
        with pytest.raises(Exception, match="smallint"), session.begin_nested():
            welcome_of(app).options(max_attempts=40_000).using(session).enqueue_sync(1)
    assert committed() == ([1], [])


def test_connections_and_scoped_sessions_serve_as_well(engine: Engine, app: Holdfast, committed: Look) -> None:
    with engine.begin() as connection:
        connection.execute(insert(User).values(id=1))
        welcome_of(app).using(connection).enqueue_sync(1)
        assert welcome_of(app).using(connection).enqueue_many_sync([(2,), {"user_id": 3}])
    scoped = scoped_session(sessionmaker(engine))
    scoped.add(User(id=4))
    welcome_of(app).using(scoped).enqueue_sync(4)
    scoped.commit()
    scoped.remove()
    assert committed() == ([1, 4], [1, 2, 3, 4])


def test_every_option_travels(engine: Engine, app: Holdfast, outside: psycopg.Connection) -> None:
    with Session(engine) as session:
        wanted = welcome_of(app).options(run_in="1h", priority=1, unique="100% $1 :x", max_attempts=2)
        first = wanted.using(session).enqueue_sync(1)
        again = wanted.using(session).enqueue_sync(1)
        session.commit()
    assert (again, first.existing, again.existing) == (first, False, True)
    row = outside.execute(
        "select j.priority, j.unique_key, j.max_attempts, s.due_at > now() + interval '59 minutes'"
        " from holdfast.job j join holdfast.scheduled s on s.job_id = j.id"
    ).fetchone()
    assert row == (1, "welcome:100% $1 :x", 2, True)


async def test_async_session_commits_both_or_rolls_both_back(
    async_engine: AsyncEngine, app: Holdfast, committed: Look
) -> None:
    async with AsyncSession(async_engine) as session:
        session.add(User(id=1))
        await welcome_of(app).using(session).enqueue(1)
        assert committed() == ([], [])
        await session.commit()
        await welcome_of(app).using(session).enqueue(2)  # the first statement of its transaction
        await session.rollback()
        async with session.begin_nested() as savepoint:
            await welcome_of(app).using(session).enqueue(3)
            await savepoint.rollback()
        await welcome_of(app).using(session).enqueue_many([(4,), (5,)])
        await session.commit()
    assert committed() == ([1], [1, 4, 5])


async def test_async_connections_scoped_sessions_and_run_sync_serve_as_well(
    async_engine: AsyncEngine, app: Holdfast, committed: Look
) -> None:
    async with async_engine.begin() as connection:
        await connection.execute(insert(User).values(id=1))
        await welcome_of(app).using(connection).enqueue(1)
        await connection.rollback()
    async with async_engine.begin() as connection:
        await welcome_of(app).using(connection).enqueue(2)
    scoped = async_scoped_session(async_sessionmaker(async_engine), asyncio.current_task)
    await welcome_of(app).using(scoped).enqueue(3)
    # Code written for a sync session, in an application that is async around it.
    await scoped().run_sync(lambda session: welcome_of(app).using(session).enqueue_sync(4))
    await scoped.commit()
    await scoped.remove()
    assert committed() == ([], [2, 3, 4])


async def test_a_sync_session_may_be_used_from_async_code(database_url: str, app: Holdfast, committed: Look) -> None:
    engine = create_engine(with_driver(database_url, "psycopg"), poolclass=NullPool)
    with Session(engine) as session:
        await welcome_of(app).using(session).enqueue(1)
        session.commit()
    assert committed() == ([], [1])


async def test_an_async_session_is_not_for_sync_callers(async_engine: AsyncEngine, app: Holdfast) -> None:
    async with AsyncSession(async_engine) as session:
        with pytest.raises(DriverUnsupported, match="await"):
            welcome_of(app).using(session).enqueue_sync(1)


def listening(url: str, queue: str) -> psycopg.Connection:
    """A session that is to the server what an idle worker of the queue is."""
    session = psycopg.connect(url, autocommit=True)
    session.execute(f"listen holdfast_{session.info.backend_pid}")
    session.execute("select pg_advisory_lock_shared(1212567, holdfast.idle_key_v1(%s))", (queue,))
    return session


def heard(session: psycopg.Connection) -> list[str]:
    return [note.payload for note in session.notifies(timeout=0.2, stop_after=1)]


def test_a_worker_that_became_idle_while_the_transaction_was_open_is_woken(
    engine: Engine, app: Holdfast, database_url: str, a_while_passes: Callable[[], None]
) -> None:
    with engine.connect() as connection:
        welcome_of(app).using(connection).enqueue_sync(1)  # nobody is idle now
        a_while_passes()
        with listening(database_url, "mail") as worker:
            connection.commit()
            assert heard(worker) == ["mail"]
            connection.execute(text("select 1"))
            connection.commit()  # nothing enqueued: nobody is woken
            assert heard(worker) == []


def test_a_build_that_rings_only_at_the_insert_is_caught(
    engine: Engine,
    app: Holdfast,
    database_url: str,
    a_while_passes: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("holdfast.jobs.producer.wanted_at_once", lambda _jobs: set())
    with engine.connect() as connection:
        welcome_of(app).using(connection).enqueue_sync(1)
        a_while_passes()
        with listening(database_url, "mail") as worker:
            connection.commit()
            assert heard(worker) == []


async def test_so_it_is_through_an_async_session(
    async_engine: AsyncEngine, app: Holdfast, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.contrib.sqlalchemy.WORTH_SAYING_SECONDS", 0)
    async with AsyncSession(async_engine) as session:
        await welcome_of(app).using(session).enqueue(1)
        await session.rollback()
        await welcome_of(app).options(run_in="1h").using(session).enqueue(2)
        with listening(database_url, "mail") as worker:
            await session.commit()
            assert heard(worker) == []  # rolled back, or for later
            await welcome_of(app).using(session).enqueue(3)
            await session.commit()
            assert heard(worker) == ["mail"]


def test_many_jobs_of_a_long_transaction_cost_one_statement_more_and_of_a_short_one_none(
    engine: Engine, app: Holdfast, a_while_passes: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *call: seen.append(call[2].split("*/")[0]))
    with Session(engine) as session:
        for user_id in range(5):
            welcome_of(app).using(session).enqueue_sync(user_id)
        a_while_passes()
        session.commit()
        assert seen == ["/* holdfast:enqueue "] * 5 + ["/* holdfast:ring "]
        seen.clear()
        monkeypatch.setattr("holdfast.contrib.sqlalchemy.WORTH_SAYING_SECONDS", 3600)
        welcome_of(app).using(session).enqueue_sync(6)
        session.commit()
    assert seen == ["/* holdfast:enqueue "]


def test_nothing_is_kept_of_connections_that_are_gone(engine: Engine, app: Holdfast) -> None:
    def kept() -> int:
        return sum(connection.engine is engine for connection in list(_LastWords._all))

    with Session(engine) as session:
        welcome_of(app).using(session).enqueue_sync(1)
        assert kept() == 1
        session.commit()
    gc.collect()
    assert kept() == 0


def test_another_database_is_refused(app: Holdfast) -> None:
    engine = create_engine("sqlite://")
    with Session(engine) as session, pytest.raises(DriverUnsupported, match=r"sqlite\+pysqlite"):
        welcome_of(app).using(session).enqueue_sync(1)
    with pytest.raises(DriverUnsupported, match="sqlalchemy"):
        welcome_of(app).using(engine).enqueue_sync(1)
    engine.dispose()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_the_url_without_the_driver(driver: str) -> None:
    given = f"postgresql+{driver}://me:p%40ss@db.example:6000/shop?application_name=web"
    plain = "postgresql://me:p%40ss@db.example:6000/shop?application_name=web"
    assert url_of(given) == plain
    engine = create_async_engine(given) if driver == "asyncpg" else create_engine(given)
    assert url_of(engine) == url_of(engine.url) == plain
