"""What others write is text: no payload in any stored field runs, and the policy has nothing to stop."""

from __future__ import annotations

import pytest

from tests.browser.busy import busy_day
from tests.browser.conftest import Visits
from tests.browser.payloads import EVERYTHING, PAYLOADS
from tests.browser.processes import Processes
from tests.browser.shop import Shop


@pytest.mark.timeout(300)
async def test_nothing_that_is_stored_ever_runs(processes: Processes, shop: Shop, visits: Visits) -> None:
    hostile = EVERYTHING.replace("\x07", "").replace("\x1b", "")[:450]
    async with busy_day(processes, shop, words=hostile) as day:
        visitor = await visits(day.url)
        visitor.page.on("dialog", lambda dialog: visitor.complaints.append(f"dialog: {dialog.message}"))
        for path in day.pages.values():
            await visitor.visit(path)
            await visitor.settled()
            assert await visitor.breaches() == [], path
        shown = await visitor.page.content()

    assert "<script>pwned" not in shown


async def test_every_payload_would_be_noticed(processes: Processes, visits: Visits) -> None:
    """The alarm works: a page that lets HTML through sets it off."""
    visitor = await visits(await processes.api())
    await visitor.visit("/help")

    await visitor.page.evaluate("html => { document.body.insertAdjacentHTML('beforeend', html) }", PAYLOADS[1])
    await visitor.page.wait_for_function("window.__breaches.length + window.__ran.length > 0")

    assert await visitor.breaches() != []
    await visitor.page.evaluate("window.__breaches.length = window.__ran.length = 0")
    visitor.complaints.clear()
