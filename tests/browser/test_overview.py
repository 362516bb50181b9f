"""Whoever opens the overview reads what is wrong, and what to do, in each of ten bad situations."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visits
from tests.browser.processes import Processes
from tests.situations.ten import TEN, Situation


@pytest.mark.parametrize("situation", TEN, ids=str)
async def test_the_overview_says_what_is_wrong(
    situation: Situation, database_url: str, processes: Processes, visits: Visits
) -> None:
    url = await processes.api()
    async with situation.seeded(database_url):
        visitor = await visits(url)
        await visitor.visit("/")
        verdict = visitor.main.locator(".verdict")

        await expect(verdict).to_contain_text(situation.status)
        await expect(verdict).to_contain_text(re.compile(situation.sentence))
        await expect(verdict).to_contain_text("What to do")
        await visitor.settled()
        await visitor.shoot(f"overview/{situation.name}")


async def test_all_is_well_when_it_is(processes: Processes, visits: Visits) -> None:
    visitor = await visits(await processes.api())
    await visitor.visit("/")

    await expect(visitor.main.locator(".verdict")).to_contain_text("Everything gets on")


async def test_charts_say_where_another_version_began_to_work(processes: Processes, visits: Visits) -> None:
    processes.worker("mail")
    visitor = await visits(await processes.api())
    await visitor.visit("/")
    chart = visitor.main.get_by_role("figure").first
    await chart.get_by_role("button", name="Table").click()

    await expect(chart.get_by_role("listitem").filter(has_text="version 2026.11")).to_be_visible(timeout=45_000)
