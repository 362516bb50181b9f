"""What a person comes for, from the overview to the end, with the mouse and with the keyboard alone."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from playwright.async_api import Page, expect

from holdfast.clock import now
from tests.browser.conftest import Visits
from tests.browser.hands import Hand, Keyboard, Mouse
from tests.browser.processes import Processes
from tests.browser.shop import Shop
from tests.waiting import eventually


@pytest.fixture(params=[Mouse, Keyboard], ids=["mouse", "keyboard"])
def hand(request: pytest.FixtureRequest) -> Hand:
    chosen: Hand = request.param()
    return chosen


async def answer(hand: Hand, page: Page, verb: str, reason: str | None = None) -> None:
    """The question that stands before an act: a reason, and its button."""
    question = page.get_by_role("dialog").or_(page.get_by_role("alertdialog"))
    if reason is not None:
        await hand.fill(question.get_by_label(re.compile("^Reason")), reason)
    await hand.press(question.get_by_role("button", name=verb))


async def test_find_why_a_job_waits(processes: Processes, shop: Shop, visits: Visits, hand: Hand) -> None:
    await shop.app.queues.pause("billing", reason="the bank is down", by="ann@ops")
    job = await shop.enqueue("charge", "billing", order_id=7)
    processes.worker("billing,mail")
    visitor = await visits(await processes.api())
    page = visitor.page
    await visitor.visit("/")

    await hand.go(page, "Jobs", "g j")
    await hand.press(visitor.main.get_by_role("link", name=str(job), exact=True))
    reason = visitor.main.get_by_text(re.compile(r'queue "billing" is paused .* by ann@ops: the bank is down'))
    await expect(reason).to_be_visible()

    await hand.press(visitor.main.get_by_role("link", name="queue billing").first)
    await hand.press(visitor.main.get_by_role("button", name="Resume"))
    assert await shop.outcome_of(job) == "completed"


async def test_retry_all_failures_of_one_kind(processes: Processes, shop: Shop, visits: Visits, hand: Hand) -> None:
    processes.tell("bank-is-down")
    processes.worker("billing,mail")
    declined = [await shop.enqueue("charge", "billing", order_id=n) for n in range(25)]
    other = await shop.enqueue("send_welcome", "mail", wrong_argument=1)
    for job in declined:
        assert await shop.outcome_of(job) == "failed"
    visitor = await visits(await processes.api())
    page = visitor.page
    await visitor.visit("/")

    await hand.go(page, "Failures", "g f")
    await hand.press(visitor.main.get_by_role("link", name="CardDeclined"))
    await expect(visitor.main.get_by_role("heading", level=1)).to_have_text("CardDeclined in charge")
    processes.take_back("bank-is-down")
    await hand.press(visitor.main.get_by_role("button", name="Retry all"))
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_text("25 jobs").first).to_be_visible()
    await hand.fill(dialog.get_by_label(re.compile("^Reason")), "the bank is back")
    await hand.press(dialog.get_by_role("button", name=re.compile("Retry.*25 jobs")))
    await expect(dialog.get_by_text("finished", exact=True)).to_be_visible(timeout=30_000)

    assert [await shop.outcome_of(job) for job in declined] == ["completed"] * 25
    assert await shop.outcome_of(other) == "failed"
    assert ("operation.start", "the bank is back") in await shop.audit()


async def test_pause_a_queue_and_drain_it(processes: Processes, shop: Shop, visits: Visits, hand: Hand) -> None:
    running = [await shop.enqueue("build_report", "reports", month=f"2026-0{n}") for n in range(1, 4)]
    processes.worker("reports")
    await shop.until_running(3)
    visitor = await visits(await processes.api())
    page = visitor.page
    await visitor.visit("/")

    await hand.go(page, "Queues", "g q")
    await hand.press(visitor.main.get_by_role("link", name="reports", exact=True))
    await hand.press(visitor.main.get_by_role("button", name="Pause"))
    await answer(hand, page, "Pause", "new templates")
    await expect(visitor.main.get_by_text("new templates").first).to_be_visible()
    late = await shop.enqueue("build_report", "reports", month="2026-04")
    processes.tell("reports-may-end")

    assert [await shop.outcome_of(job) for job in running] == ["completed"] * 3
    assert (await shop.app.jobs.show(late)).state == "ready"
    assert ("queue.pause", "new templates") in await shop.audit()
    await hand.press(visitor.main.get_by_role("button", name="Resume"))
    assert await shop.outcome_of(late) == "completed"


async def test_backfill_a_schedule_after_a_preview(
    processes: Processes, shop: Shop, visits: Visits, hand: Hand
) -> None:
    processes.worker("reports,mail")
    await shop.until_declared("morning_report")
    visitor = await visits(await processes.api())
    page = visitor.page
    await visitor.visit("/")
    monday = last_monday(now().date())

    await hand.go(page, "Schedules", "g s")
    await hand.press(visitor.main.get_by_role("link", name="morning_report", exact=True))
    await hand.press(visitor.main.get_by_role("button", name="Backfill"))
    dialog = page.get_by_role("dialog")
    await hand.fill(dialog.get_by_label("From"), f"{monday}T00:00")
    await hand.fill(dialog.get_by_label("Up to"), f"{monday + timedelta(days=6)}T23:00")
    await hand.press(dialog.get_by_role("button", name="Preview"))
    await expect(dialog.get_by_text("5 of 5 due moments have no job")).to_be_visible()
    assert await shop.occurrences("morning_report") == 0
    await hand.press(dialog.get_by_role("button", name="Enqueue 5 jobs"))

    await expect(page.get_by_text("Backfill: 5 jobs on their way")).to_be_visible()
    await expect(visitor.main.get_by_role("table", name="What became of due moments").get_by_role("row")).to_have_count(
        6
    )
    assert await shop.occurrences("morning_report") == 5


async def test_rebuild_a_projection_and_watch_its_lag(
    processes: Processes, shop: Shop, visits: Visits, hand: Hand
) -> None:
    await shop.place_orders(1, 40)
    processes.worker("mail")
    await eventually(lambda: shop.rows_of_model_is(40), within_seconds=30)
    processes.tell("projection-waits")
    visitor = await visits(await processes.api())
    page = visitor.page
    await visitor.visit("/")

    await hand.go(page, "Projections", "g p")
    await hand.press(visitor.main.get_by_role("link", name="open_orders", exact=True))
    await hand.press(visitor.main.get_by_role("button", name="Rebuild"))
    await answer(hand, page, "Rebuild")
    await expect(visitor.main.get_by_role("heading", name="Model 2 is being built")).to_be_visible()
    await expect(visitor.main.get_by_text("40 events to go")).to_be_visible()
    processes.take_back("projection-waits")
    await expect(visitor.main.get_by_text("It has reached the live model")).to_be_visible(timeout=30_000)
    await hand.press(visitor.main.get_by_role("button", name="Switch"))
    await answer(hand, page, "Switch")

    await expect(visitor.main.get_by_text("The former model 1 is kept")).to_be_visible(timeout=30_000)
    await expect(visitor.main.get_by_text("caught up").first).to_be_visible()
    assert await shop.rows_of_model_is(40)


async def test_find_the_session_that_stalls_the_log(
    processes: Processes, shop: Shop, visits: Visits, hand: Hand
) -> None:
    processes.worker("mail")
    visitor = await visits(await processes.api())
    page = visitor.page
    async with shop.forgotten_transaction("nightly-export") as pid:
        await shop.place_orders(1, 3)
        await visitor.visit("/")
        await expect(visitor.main.get_by_text(re.compile("nightly-export")).first).to_be_visible(timeout=30_000)

        await hand.go(page, "Database", "g d")
        session = visitor.main.get_by_role("row").filter(has_text="nightly-export").filter(has_text="stalls the log")
        await expect(session).to_contain_text(str(pid))
        await hand.press(session.get_by_role("button", name="End session"))
        await answer(hand, page, "End session", "forgotten over night")

        await expect(page.get_by_text(f"Ended {pid}")).to_be_visible()
        await eventually(lambda: shop.log_reaches(3), within_seconds=20)
    assert ("database.terminate", "forgotten over night") in await shop.audit()


def last_monday(today: date) -> date:
    """The Monday of the week before this one: all of it is over."""
    return today - timedelta(days=today.weekday() + 7)
