"""Fixtures every test may ask for: a server, a fresh migrated database, a durable server to crash."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from holdfast.db.embedded import Binaries, OwnedServer
from tests.servers import (
    DURABLE,
    FORGETFUL,
    DatabaseServer,
    binaries_for,
    described_server,
    run_migrations,
    throwaway_server,
)

# Tests start hundreds of processes. Where the shell says that Python must write no bytecode, as images of containers
# often do, each of them would compile all of Holdfast for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        choices=("embedded", "system"),
        default="embedded",
        help="which PostgreSQL to start: the embedded default, or the newest of the system's own "
        "(HOLDFAST_TEST_DSN names a running one instead)",
    )
    parser.addoption(
        "--only-with-server",
        action="store_true",
        help="leave out the tests that speak to no server: they say the same whichever it is",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--only-with-server"):
        without = [item for item in items if "server" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in set(without)]
    if hasattr(config, "workerinput"):  # one process of several
        items.sort(key=_patience_seconds, reverse=True)


def _patience_seconds(item: pytest.Item) -> float:
    """What is given the longest time begins first: if it began last, the other processes would end before it."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


# Tests that share what their module makes once, and would make it in every process of xdist.
_TOGETHER = ("tests/browser/test_atlas.py", "tests/browser/test_pages.py", "tests/packaging/")
_FLEETS, _FLEETS_AT_ONCE = "tests/acceptance/", 2


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Every test goes to whoever is free, but for those that stay together, one after another.

    By name and not by ``xdist_group``: pytest 9 lets that mark pass without effect.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_FLEETS):
            # With a fleet in every process, the machine would be late for all. Others fill the time in which they wait.
            return f"{_FLEETS}{zlib.crc32(nodeid.encode()) % _FLEETS_AT_ONCE}"
        return next((together for together in _TOGETHER if nodeid.startswith(together)), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    return _Scheduling(config, log)


def pytest_report_header(config: pytest.Config) -> str:
    return described_server(config.getoption("--server"))


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Commands run inside the test process set the log up for themselves: the next test must hear it again."""
    logger = logging.getLogger("holdfast")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture(scope="session")
def binaries(request: pytest.FixtureRequest) -> Binaries:
    """The programs that this session's servers are started from."""
    return binaries_for(request.config.getoption("--server"))


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """One server for the whole session."""
    given = os.environ.get("HOLDFAST_TEST_DSN")
    if given is not None:
        databases = DatabaseServer(given)
        yield databases
        databases.close()
        return
    with throwaway_server(binaries_for(request.config.getoption("--server")), FORGETFUL) as owned:
        databases = DatabaseServer(owned.url)
        yield databases
        databases.close()


@pytest.fixture
def database_url(server: DatabaseServer) -> Iterator[str]:
    """A database of this test's own, migrated."""
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def empty_database_url(server: DatabaseServer) -> Iterator[str]:
    """A database of this test's own with nothing in it."""
    url = server.create_database(migrated=False)
    yield url
    server.drop_database(url)


@pytest.fixture
def durable_server(binaries: Binaries) -> Iterator[OwnedServer]:
    """A server of this test's own that keeps what it committed: `crash()` kills it, `start()` recovers it.

    Its `url` stays the same over a restart. Its database is empty; `durable_database_url` is migrated.
    """
    with throwaway_server(binaries, DURABLE) as owned:
        yield owned


@pytest.fixture
def durable_database_url(durable_server: OwnedServer) -> str:
    """The migrated database of `durable_server`."""
    run_migrations(durable_server.url)
    return durable_server.url
