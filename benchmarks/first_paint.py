"""How soon a person sees something: the dashboard of a running API, opened by a browser that has never been there.

    python -m benchmarks.first_paint http://127.0.0.1:8765 [--rounds 10]

Fill the database first (`benchmarks.api` does, with five million finished and a million waiting jobs). Each round opens
each page with an empty cache: until the first paint with content, and until the page has shown what it asked for. The
bar is 1.5 s to the first paint; exit status 1 when one is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
from time import perf_counter

from playwright.async_api import Browser, async_playwright, expect
from rich.console import Console
from rich.table import Table

from tools.browser import ADVICE, find_browser

BAR_SECONDS = 1.5
PAGES = ("/", "/jobs", "/jobs?filter=state%3Dfailed", "/queues", "/failures", "/schedules", "/workers", "/database")
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


async def look(browser: Browser, address: str) -> tuple[float, float]:
    """Seconds to the first paint with content, and until nothing on the page is loading any more."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        page = await context.new_page()
        begun = perf_counter()
        await page.goto(address)
        await expect(page.get_by_role("main").get_by_role("heading", level=1)).to_be_visible(timeout=30_000)
        await expect(page.get_by_text("Loading …")).to_have_count(0, timeout=30_000)
        await expect(page.locator("[aria-busy=true]")).to_have_count(0, timeout=30_000)
        shown = perf_counter() - begun
        return float(await page.evaluate(_PAINT)) / 1000, shown
    finally:
        await context.close()


async def measure(url: str, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Every page so many times, turn and turn about."""
    program = find_browser()
    if program is None:
        raise SystemExit(f"no Chromium on PATH. {ADVICE}")
    found: dict[str, list[tuple[float, float]]] = {page: [] for page in PAGES}
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=arguments)
        await look(browser, url)  # the browser's own first time is not ours
        for _ in range(rounds):
            for page in PAGES:
                found[page].append(await look(browser, url + page))
        await browser.close()
    return found


def main() -> int:
    """Entry of the script."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_paint", description=__doc__)
    parser.add_argument("url", help="of an API that runs")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    found = asyncio.run(measure(options.url.rstrip("/"), options.rounds))
    table = Table("page", "first paint, median", "worst", "all shown, median", "worst", title="seconds, cold cache")
    worst = 0.0
    for page, looks in found.items():
        paints, shown = [one for one, _ in looks], [other for _, other in looks]
        worst = max(worst, statistics.median(paints))
        figures = (statistics.median(paints), max(paints), statistics.median(shown), max(shown))
        table.add_row(page, *(f"{figure:.2f}" for figure in figures))
    Console().print(table)
    return int(worst > BAR_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
