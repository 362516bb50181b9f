"""Every page with something on it: in both themes, on a phone, for people who do not see it, and for pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe

from tests.browser.busy import BusyDay, busy_day
from tests.browser.conftest import Visits
from tests.browser.processes import Processes
from tests.browser.shop import open_shop
from tests.browser.visitor import DESKTOP, PHONE, Visitor

# What the law and the issue ask for; best practices that axe has beside them are opinions.
_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}


async def faults(visitor: Visitor) -> list[str]:
    """What axe finds on the page that is open."""
    page = visitor.page
    # While the dashboard stays loaded so does axe: compiling it anew takes the browser as long as a page to judge.
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(Axe().axe_script)
    violations = await page.evaluate("async options => (await axe.run(options)).violations", _RULES)
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in violations
        for node in violation["nodes"]
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def day(module_processes: Processes) -> AsyncIterator[BusyDay]:
    """One for all who look at it: they change nothing."""
    async with open_shop(module_processes.database_url) as shop, busy_day(module_processes, shop) as day:
        yield day


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light", {"viewport": DESKTOP, "color_scheme": "light"}),
        ("dark", {"viewport": DESKTOP, "color_scheme": "dark"}),
        ("phone", {"viewport": PHONE, "color_scheme": "light", "has_touch": True}),
    ],
    ids=["light", "dark", "phone"],
)
async def test_every_page_can_be_used_by_everybody(
    day: BusyDay, visits: Visits, name: str, options: dict[str, object]
) -> None:
    problems: dict[str, list[str]] = {}
    visitor = await visits(day.url, reduced_motion="reduce", **options)
    await visitor.visit("/help")
    # test_hostile_data.py opens each of these addresses by itself.
    for page, path in day.pages.items():
        await visitor.go_on(path)
        await visitor.settled()
        await visitor.shoot(f"{name}/{page}")
        wide = await visitor.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        found = await faults(visitor) + ([f"it is {wide} px too wide"] if wide > 0 else [])
        if found:
            problems[page] = found

    assert problems == {}


async def test_an_empty_installation_teaches(processes: Processes, visits: Visits) -> None:
    visitor = await visits(await processes.api())
    silent = []
    for page in (
        *("jobs", "queues", "limits", "batches", "failures", "schedules", "events", "projections", "workers"),
        *("operations", "audit"),
    ):
        await visitor.visit(f"/{page}")
        await visitor.settled()
        await visitor.shoot(f"empty/{page}")
        if not await visitor.main.locator(".empty").count():
            silent.append(page)

    assert silent == []
