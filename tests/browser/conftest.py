"""A real server, real workers, a real browser."""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.browser.processes import Processes, running_on
from tests.browser.shop import Shop, open_shop
from tests.browser.visitor import Visitor, arrive
from tests.servers import DatabaseServer
from tools.browser import ADVICE, find_browser

HERE = Path(__file__).parent
Visits = Callable[..., Awaitable[Visitor]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them share one loop, because the browser belongs to it; starting processes takes its time."""
    for item in items:
        if HERE in item.path.parents and isinstance(item, pytest.Function):
            item.add_marker(pytest.mark.timeout(120))
            if inspect.iscoroutinefunction(item.function):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium of the system."""
    program = find_browser()
    if program is None:
        pytest.fail(f"no Chromium on PATH. {ADVICE}", pytrace=False)
    expect.set_options(timeout=10_000)
    # A container gives no room for Chromium's own sandbox; root has none of it either.
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        await browser.close()


@pytest.fixture
def processes(database_url: str, tmp_path: Path) -> Iterator[Processes]:
    """The processes of one test, on its own database."""
    with running_on(database_url, tmp_path) as processes:
        yield processes


@pytest.fixture(scope="module")
def module_processes(server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Those of a module whose tests only look, on a database of theirs."""
    url = server.create_database()
    with running_on(url, tmp_path_factory.mktemp("module")) as processes:
        yield processes
    server.drop_database(url)


@pytest_asyncio.fixture(loop_scope="session")
async def shop(database_url: str) -> AsyncIterator[Shop]:
    """The test's own hand in the database: what its people enqueue and order."""
    async with open_shop(database_url) as shop:
        yield shop


@pytest_asyncio.fixture(loop_scope="session")
async def visits(browser: Browser) -> AsyncIterator[Visits]:
    """Opens windows; at the end no page may have had anything to complain about."""
    visitors: list[Visitor] = []

    async def visit(url: str, **options: Any) -> Visitor:
        visitors.append(await arrive(browser, url, **options))
        return visitors[-1]

    yield visit
    problems = [problem for visitor in visitors for problem in [*visitor.complaints, *await visitor.breaches()]]
    for visitor in visitors:
        await visitor.context.close()
    assert problems == []
