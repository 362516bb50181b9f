"""The pytest fixtures of Holdfast: pytest finds them by itself, and none does anything until a test asks for it.

Settings, in ``pytest.ini`` or ``pyproject.toml``: ``holdfast_app = "shop.jobs:app"`` names the application under test;
``holdfast_server_url`` a PostgreSQL whose role may create databases, instead of one started for the tests.

Every fixture is a plain function, so that they serve tests with and without an event loop, whatever runs it;
``holdfast_open`` alone needs pytest-asyncio.
"""

from __future__ import annotations

import asyncio
import importlib.util
import pkgutil
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from holdfast.app import Holdfast
from holdfast.db import ThrowawayDatabases
from holdfast.testing import Inline, MovedClock, throwaway_server


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two settings."""
    parser.addini("holdfast_app", "the Holdfast application under test, as module:attribute", default="")
    parser.addini("holdfast_server_url", "a PostgreSQL server to create databases on; empty: start one", default="")


@pytest.fixture(scope="session")
def holdfast_server_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """A server on which this role may create databases: the one that is named, or one of this session's own."""
    named = pytestconfig.getini("holdfast_server_url")
    if named:
        yield named
        return
    with throwaway_server() as url:
        yield url


@pytest.fixture(scope="session")
def holdfast_prepare() -> Callable[[str], object]:
    """Override it: a function that gets the template's URL and makes in it what every test's database should hold."""
    return lambda _url: None


@pytest.fixture(scope="session")
def holdfast_template(holdfast_server_url: str, holdfast_prepare: Callable[[str], object]) -> Iterator[tuple[Any, str]]:
    """The databases of the session, and the template that they are copies of: migrated and prepared once."""
    databases = ThrowawayDatabases(holdfast_server_url)
    template = databases.create_template(holdfast_prepare)
    yield databases, template
    databases.drop(template)


@pytest.fixture
def holdfast_database_url(holdfast_template: tuple[Any, str]) -> Iterator[str]:
    """A database of this test's own, with Holdfast's schema; dropped after it, whoever is still connected."""
    databases, template = holdfast_template
    url = databases.create_copy(template)
    yield url
    databases.drop(url)


@pytest.fixture
def holdfast_app(pytestconfig: pytest.Config) -> Holdfast:
    """The application under test: what the setting names. Override it where tests make their own."""
    where = pytestconfig.getini("holdfast_app")
    if not where:
        raise pytest.UsageError('no application: set holdfast_app = "module:attribute", or override this fixture')
    app: Holdfast = pkgutil.resolve_name(where)
    return app


@pytest.fixture
def holdfast_database(holdfast_app: Holdfast, holdfast_database_url: str) -> Iterator[Holdfast]:
    """The application on a database of this test's own. Afterwards it stays where no database is: nothing leaks out."""
    holdfast_app.configure(holdfast_database_url)
    yield holdfast_app
    # What sync callers and assertions opened; an event loop of the test's own is closed by whoever opened on it.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(lambda: asyncio.run(holdfast_app.close())).result()


@pytest.fixture
def holdfast_inline(request: pytest.FixtureRequest, holdfast_app: Holdfast) -> Iterator[Inline]:
    """Jobs run at once, where they are enqueued; nothing is stored, and no database is needed.

    But for ``job.transaction()`` without a connection of the caller's: it gets a database of this test's own.
    """

    def point_at_database() -> None:
        request.getfixturevalue("holdfast_database")

    with Inline(holdfast_app, point_at_database=point_at_database) as inline:
        yield inline


@pytest.fixture
def holdfast_clock(holdfast_database_url: str) -> Iterator[MovedClock]:
    """Time to be moved, here and in the test's database."""
    with MovedClock(holdfast_database_url) as clock:
        yield clock


if importlib.util.find_spec("pytest_asyncio") is not None:
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def holdfast_open(holdfast_database: Holdfast) -> AsyncIterator[Holdfast]:
        """The application on a database of this test's own, open on the test's event loop."""
        async with holdfast_database as app:
            yield app
