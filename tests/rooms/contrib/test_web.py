"""Flask and FastAPI: the database from the configuration, the life of the application, the context of a task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import psycopg
import pytest
from fastapi import Depends, FastAPI, Request
from flask import Flask, current_app, g, has_app_context
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from holdfast import Holdfast
from holdfast.contrib.fastapi import Opened, lifespan
from holdfast.contrib.flask import init_app
from holdfast.errors import ConfigurationError, MigrationError
from holdfast.testing import drain_sync
from tests.rooms.contrib.test_sqlalchemy import with_driver

Look = Callable[[], tuple[list[int], list[int]]]


@pytest.mark.parametrize("setting", ["HOLDFAST_DATABASE_URL", "SQLALCHEMY_DATABASE_URI"])
def test_flask_takes_the_database_from_its_configuration(setting: str, database_url: str) -> None:
    web, app = Flask("shop"), Holdfast("postgresql://elsewhere.invalid/x")
    web.config[setting] = with_driver(database_url, "psycopg2")
    init_app(web, app)
    assert app.settings.database_url == database_url
    assert web.extensions["holdfast"] is app


def test_flask_without_a_setting_leaves_the_choice_alone(database_url: str) -> None:
    app = Holdfast(database_url)
    init_app(Flask("shop"), app)
    assert app.settings.database_url == database_url


def test_flask_views_enqueue_in_the_transaction_of_their_session(
    database_url: str, app: Holdfast, committed: Look
) -> None:
    web = Flask("shop")
    init_app(web, app)
    engine = create_engine(with_driver(database_url, "psycopg"), poolclass=NullPool)
    session = scoped_session(sessionmaker(engine))  # what Flask-SQLAlchemy's db.session is

    @web.post("/users/<int:user_id>")
    def sign_up(user_id: int) -> str:
        session.execute(text("insert into public.users (id) values (:id)"), {"id": user_id})
        app.find_task("welcome").using(session).enqueue_sync(user_id)
        if user_id == 13:
            session.rollback()
            return "no"
        session.commit()
        return "yes"

    with web.test_client() as client:
        assert [client.post(f"/users/{user_id}").text for user_id in (1, 13)] == ["yes", "no"]
    session.remove()
    assert committed() == ([1], [1])


def test_flask_tasks_run_in_a_context_of_their_own(database_url: str) -> None:
    web, app = Flask("shop"), Holdfast(database_url)
    web.config["GREETING"] = "hello"
    seen: list[Any] = []

    @app.task
    def before() -> None:
        seen.append((current_app.config["GREETING"], hasattr(g, "mine")))
        g.mine = True

    init_app(web, app)

    @app.task
    async def after() -> None:
        seen.append((current_app.config["GREETING"], hasattr(g, "mine")))
        await asyncio.sleep(0)
        g.mine = True

    for task in (before, before, after, after):
        task.enqueue_sync()
    assert drain_sync(app, concurrency=1).completed == 4
    assert seen == [("hello", False)] * 4
    assert not has_app_context()
    asyncio.run(app.close())


def client_of(api: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://shop.test")


async def test_fastapi_opens_with_the_api_and_closes_with_it(app: Holdfast, outside: psycopg.Connection) -> None:
    order: list[str] = []

    @asynccontextmanager
    async def mine(api: FastAPI) -> AsyncIterator[dict[str, str]]:
        order.append(f"begun while open: {app.database.server_version > 0}")
        yield {"shop": "corner"}
        order.append(f"ended while open: {app.database.server_version > 0}")

    api = FastAPI(lifespan=lifespan(app, then=mine))

    @api.post("/jobs/{user_id}")
    async def enqueue(user_id: int, queue: Opened) -> int:
        assert queue is app
        return await queue.find_task("welcome").enqueue(user_id)

    async with api.router.lifespan_context(api) as state, client_of(api) as client:
        assert state == {"shop": "corner"}
        answer = await client.post("/jobs/7")
        assert answer.status_code == 200
        assert (await app.jobs.show(answer.json())).args == {"user_id": 7}
    assert order == ["begun while open: True", "ended while open: True"]
    with pytest.raises(ConfigurationError, match="not open"):
        _ = app.database


async def test_fastapi_does_not_start_without_the_schema(empty_database_url: str) -> None:
    api = FastAPI(lifespan=lifespan(Holdfast(empty_database_url)))
    living = api.router.lifespan_context(api)
    with pytest.raises(MigrationError, match="lacks"):
        await living.__aenter__()


async def session_of(request: Request) -> AsyncIterator[AsyncSession]:
    """The usual dependency: a transaction that is as long as the path function."""
    async with AsyncSession(request.app.state.engine) as opened, opened.begin():
        yield opened


async def test_fastapi_enqueues_in_the_transaction_of_a_session_dependency(
    database_url: str, app: Holdfast, committed: Look
) -> None:
    engine = create_async_engine(with_driver(database_url, "asyncpg"), poolclass=NullPool)
    api = FastAPI()  # `using` needs no open application: the session is the connection
    api.state.engine = engine

    @api.post("/users/{user_id}")
    async def sign_up(user_id: int, db: Annotated[AsyncSession, Depends(session_of, scope="function")]) -> int:
        await db.execute(text("insert into public.users (id) values (:id)"), {"id": user_id})
        return await app.find_task("welcome").using(db).enqueue(user_id)

    async with client_of(api) as client:
        assert (await client.post("/users/1")).status_code == 200
        with pytest.raises(Exception, match="duplicate key"):
            await client.post("/users/1")
    await engine.dispose()
    assert committed() == ([1], [1])
