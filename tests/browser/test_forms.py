"""Forms: what is typed is what is sent, what the server refuses stands in the form, and nothing typed is lost."""

from __future__ import annotations

import re

from playwright.async_api import Locator, expect

from holdfast import Event
from tests.browser.conftest import Visits
from tests.browser.processes import Processes
from tests.browser.shop import Shop
from tests.browser.visitor import Visitor


async def opened(visitor: Visitor, button: str) -> Locator:
    """The form that a button of the page opens."""
    await visitor.main.get_by_role("button", name=button).click()
    return visitor.page.get_by_role("dialog")


async def test_an_event_is_appended_unless_somebody_was_faster(
    processes: Processes, shop: Shop, visits: Visits
) -> None:
    await shop.app.events.append("order-7", Event("OrderPlaced", {"order_id": 7, "total": 1}))
    processes.worker("mail")  # readers see what a worker has settled
    visitor = await visits(await processes.api())
    await visitor.visit("/events?stream=order-7")
    form = await opened(visitor, "Append an event")
    await expect(form.get_by_label("Stream", exact=True)).to_have_value("order-7")
    await form.get_by_label("Type", exact=True).fill("OrderCorrected")
    data = form.get_by_label("Data, as a JSON object")
    await data.fill('{"total": ')
    await expect(form.get_by_role("button", name="Append")).to_be_disabled()
    await data.fill('{"total": 2}')
    await form.get_by_label("Version that the stream has now").fill("1")
    await form.get_by_label(re.compile("^Reason")).fill("the till was wrong")
    await visitor.shoot("forms/append")

    await shop.app.events.append("order-7", Event("OrderPaid", {}))
    visitor.expects_refusals = True
    await form.get_by_role("button", name="Append").click()
    conflict = form.get_by_role("alert")
    await expect(conflict).to_contain_text("Version conflict")
    await expect(conflict).to_contain_text(re.compile("version 2"))
    await visitor.shoot("forms/append-conflict")
    await expect(data).to_have_value('{"total": 2}')

    await form.get_by_label("Version that the stream has now").fill("2")
    await form.get_by_role("button", name="Append").click()
    await expect(visitor.page.get_by_text("order-7 is at version 3")).to_be_visible()
    await visitor.main.get_by_role("button", name="2 new").click()
    await expect(visitor.main.get_by_role("button", name=re.compile("^OrderCorrected at"))).to_be_visible()
    assert ("event.append", "the till was wrong") in await shop.audit()


async def test_a_schedule_is_edited_and_reset(processes: Processes, shop: Shop, visits: Visits) -> None:
    processes.worker("reports,mail")
    await shop.until_declared("morning_report")
    visitor = await visits(await processes.api())
    await visitor.visit("/schedules?name=morning_report")
    await expect(visitor.main.get_by_role("button", name="Reset to the code")).to_have_count(0)
    form = await opened(visitor, "Edit …")
    await expect(form.get_by_role("button", name="Save")).to_be_disabled()
    cron = form.get_by_label("Cron")
    await expect(cron).to_have_value("0 7 * * mon-fri")
    await cron.fill("61 8 * * *")
    await form.get_by_label("If one still runs").select_option("queue")
    visitor.expects_refusals = True
    await form.get_by_role("button", name="Save").click()
    await expect(form.get_by_role("alert")).to_contain_text("61")
    await cron.fill("0 8 * * *")
    await form.get_by_label(re.compile("^Reason")).fill("later in winter")
    await visitor.shoot("forms/schedule")
    await form.get_by_role("button", name="Save").click()
    await expect(form).to_have_count(0)
    visitor.expects_refusals = False

    info = await shop.app.schedules.show("morning_report")
    assert (info.plan.cron, info.plan.overlap, info.plan.timezone) == ("0 8 * * *", "queue", "Europe/Zurich")
    await visitor.main.get_by_role("button", name="Reset to the code").click()
    question = visitor.page.get_by_role("dialog")
    await expect(question).to_contain_text("cron, every_seconds, overlap")
    await question.get_by_role("button", name="Reset to the code").click()
    await expect(visitor.main.get_by_role("button", name="Reset to the code")).to_have_count(0)
    assert (await shop.app.schedules.show("morning_report")).plan.cron == "0 7 * * mon-fri"
    assert ("schedule.edit", "later in winter") in await shop.audit()


async def test_a_job_is_rescheduled_from_its_page(processes: Processes, shop: Shop, visits: Visits) -> None:
    job = await shop.enqueue("charge", "billing", order_id=7)
    visitor = await visits(await processes.api())
    await visitor.visit(f"/jobs/{job}")
    form = await opened(visitor, "Reschedule")
    await form.get_by_label(re.compile("^Run in")).fill("2h")
    await form.get_by_role("button", name="Reschedule").click()

    await expect(visitor.page.get_by_text(f"job {job}: rescheduled")).to_be_visible()
    await expect(visitor.main.get_by_text("scheduled", exact=True).first).to_be_visible()
    assert (await shop.app.jobs.show(job)).state == "scheduled"


async def test_arguments_of_an_unknown_task_are_saved_when_a_person_says_so(
    processes: Processes, shop: Shop, visits: Visits
) -> None:
    job = await shop.enqueue("task_of_another_program", "elsewhere", n=1, password="s3cret")
    visitor = await visits(await processes.api())
    await visitor.visit(f"/jobs/{job}")
    form = await opened(visitor, "Edit arguments")
    await form.get_by_label("Arguments").fill('{"n": 2, "password": "[redacted]"}')
    visitor.expects_refusals = True
    await form.get_by_role("button", name="Save").click()
    await expect(form.get_by_role("alert")).to_contain_text("this application does not know the task")
    await form.get_by_role("checkbox", name=re.compile("unchecked")).check()
    await visitor.shoot("forms/edit-unchecked")
    await form.get_by_role("button", name="Save").click()

    await expect(visitor.page.get_by_text(f"job {job}: arguments changed")).to_be_visible()
    assert (await shop.app.jobs.show(job)).args == {"n": 2, "password": "s3cret"}


async def test_whole_numbers_beyond_53_bits_survive_being_shown_and_edited(
    processes: Processes, shop: Shop, visits: Visits
) -> None:
    large = 2**53 + 1
    job = await shop.enqueue("task_of_another_program", "elsewhere", user_id=large, n=1)
    visitor = await visits(await processes.api())
    await visitor.visit(f"/jobs/{job}")
    await expect(visitor.main.get_by_label("Arguments").first).to_contain_text(str(large))
    form = await opened(visitor, "Edit arguments")
    arguments = form.get_by_label("Arguments")
    await arguments.fill((await arguments.input_value()).replace('"n": 1', '"n": 2'))
    visitor.expects_refusals = True
    await form.get_by_role("button", name="Save").click()
    await form.get_by_role("checkbox", name=re.compile("unchecked")).check()
    await form.get_by_role("button", name="Save").click()

    await expect(visitor.page.get_by_text(f"job {job}: arguments changed")).to_be_visible()
    assert (await shop.app.jobs.show(job)).args == {"user_id": large, "n": 2}


async def test_the_page_of_a_job_that_somebody_purges_asks_no_more(
    processes: Processes, shop: Shop, visits: Visits
) -> None:
    job = await shop.enqueue("charge", "billing", order_id=7)
    visitor = await visits(await processes.api())
    page, asked = visitor.page, []
    await page.clock.install()
    await visitor.visit(f"/jobs/{job}")
    await visitor.settled()
    page.on("request", lambda request: asked.append(request.url) if f"/jobs/{job}" in request.url else None)
    visitor.expects_refusals = True
    await shop.app.jobs.purge(job)
    # The stream tells it, or, when the page had not asked it to yet, the look of every ten seconds.
    await expect(visitor.main.get_by_role("heading", name="Timeline")).to_have_count(0, timeout=30_000)
    await expect(visitor.main.get_by_role("alert")).to_contain_text(f"there is no job {job}")
    await expect(visitor.main.get_by_role("button", name="Cancel")).to_have_count(0)
    await visitor.shoot("forms/job-purged")
    before = len(asked)
    await page.clock.run_for(120_000)
    # Whatever was due within these two minutes was sent before this question, which is answered.
    assert await page.evaluate("fetch('/api/v1/me').then(answer => answer.status)") == 200

    assert asked[before:] == []


async def test_a_person_who_purges_a_job_sees_no_problem(processes: Processes, shop: Shop, visits: Visits) -> None:
    job = await shop.enqueue("charge", "billing", order_id=7)
    visitor = await visits(await processes.api())
    await visitor.visit(f"/jobs/{job}")
    await visitor.main.get_by_role("button", name="Purge").click()
    await visitor.page.get_by_role("alertdialog").get_by_role("button", name="Purge").click()

    await expect(visitor.main.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    await expect(visitor.page.get_by_text(f"job {job}: deleted")).to_be_visible()
    await visitor.settled()
