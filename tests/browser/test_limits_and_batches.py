"""Limits and batches: what a person sees of them, and changes; workers by the names that people gave them."""

from __future__ import annotations

import re

from playwright.async_api import expect

from tests.browser.conftest import Visits
from tests.browser.processes import Processes
from tests.browser.shop import Shop
from tests.waiting import eventually


async def test_a_limit_is_changed_and_reset(processes: Processes, shop: Shop, visits: Visits) -> None:
    processes.worker("reports")
    await eventually(lambda: _declared(shop))
    for month in ("2026-01", "2026-02"):
        await shop.enqueue("print_report", "reports", month=month)
    visitor = await visits(await processes.api())
    await visitor.visit("/limits")
    row = visitor.main.get_by_role("row").filter(has_text="printer").first
    await expect(row).to_contain_text("1 / 1")
    await expect(row.get_by_role("button", name="Reset")).to_have_count(0)

    await row.get_by_role("button", name="Change").click()
    form = visitor.page.get_by_role("dialog")
    await expect(form.get_by_label("New capacity")).to_have_value("1")
    await form.get_by_label("New capacity").fill("-1")
    await expect(form.get_by_role("button", name="Change")).to_be_disabled()
    await form.get_by_label("New capacity").fill("4")
    await form.get_by_label(re.compile("^Reason")).fill("a second printer")
    await visitor.shoot("forms/limit")
    await form.get_by_role("button", name="Change").click()
    await expect(visitor.page.get_by_text("Limit printer is 4")).to_be_visible()
    await expect(row).to_contain_text("declared 1")
    assert ("limit.set", "a second printer") in await shop.audit()

    await row.get_by_role("button", name="Reset").click()
    question = visitor.page.get_by_role("dialog")
    await question.get_by_label(re.compile("^Reason")).fill("it is broken")
    await question.get_by_role("button", name="Reset").click()
    await expect(visitor.page.get_by_text("Limit printer is as declared")).to_be_visible()
    await expect(row).not_to_contain_text("declared")
    assert ("limit.reset", "it is broken") in await shop.audit()
    processes.tell("reports-may-end")


async def _declared(shop: Shop) -> bool:
    return any(limit.name == "printer" for limit in await shop.app.limits.list())


async def test_a_batch_is_found_looked_into_and_cancelled(processes: Processes, shop: Shop, visits: Visits) -> None:
    processes.worker("mail,billing")
    finished = await shop.batch("welcome the new ones")
    assert (await shop.app.batches.wait(finished, timeout_seconds=30)).state == "completed"
    unfinished = await shop.batch("", to_nobody=2)
    visitor = await visits(await processes.api())
    page, main = visitor.page, visitor.main
    await visitor.visit("/")
    await page.get_by_role("navigation").get_by_role("link", name="Batches").click()
    row = main.get_by_role("row").filter(has_text="welcome the new ones")
    await expect(row).to_contain_text("3 of 3 ended")
    await row.get_by_role("link", name=re.compile("welcome the new ones")).click()
    await expect(main.get_by_role("link", name="charge")).to_be_visible()
    await expect(main.get_by_role("row").filter(has_text="send_welcome")).to_have_count(3)

    await page.go_back()
    await main.get_by_role("button", name="Unfinished").click()
    await expect(row).to_have_count(0)
    await main.get_by_role("link", name=str(unfinished)).click()
    await expect(main).to_contain_text("3 of 5 ended")
    await main.get_by_role("button", name="Cancel").click()
    question = page.get_by_role("alertdialog")
    await question.get_by_label(re.compile("^Reason")).fill("wrong month")
    await question.get_by_role("button", name="Cancel …").click()
    await expect(page.get_by_text(f"Batch {unfinished} is cancelled")).to_be_visible()
    await expect(main.get_by_role("button", name="Cancel …")).to_have_count(0)
    await expect(main).to_contain_text("wrong month")
    assert ("batch.cancel", "wrong month") in await shop.audit()
    job = (await shop.app.batches.ids("members", unfinished, after=0, limit=1))[0]
    await visitor.visit(f"/jobs/{job}")
    await main.get_by_role("link", name=str(unfinished)).click()
    await expect(main.get_by_role("heading", level=1)).to_contain_text(f"Batch {unfinished}")


async def test_a_worker_bears_its_name_wherever_it_is_shown(processes: Processes, shop: Shop, visits: Visits) -> None:
    processes.worker("mail", "--name", "w-mail-7")
    job = await shop.enqueue("send_welcome", "mail", user_id=7)
    assert await shop.outcome_of(job) == "completed"
    visitor = await visits(await processes.api())
    await visitor.visit("/queue?name=mail")
    await expect(visitor.main.get_by_role("link", name="w-mail-7")).to_be_visible()
    await visitor.visit(f"/jobs/{job}")
    # In its facts, and in its timeline.
    await expect(visitor.main.get_by_role("link", name="w-mail-7", exact=True)).to_be_visible()
    await visitor.main.get_by_role("link", name="on worker w-mail-7").click()
    await expect(visitor.main.get_by_role("heading", level=1)).to_have_text("w-mail-7")
