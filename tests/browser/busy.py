"""A shop in the middle of a bad day: something of everything that a page can show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx

from holdfast import Event
from holdfast.clock import now
from tests.browser.processes import Processes
from tests.browser.shop import Shop
from tests.waiting import eventually


@dataclass
class BusyDay:
    """Where to look: the address, and every page by a name, with something to show on each."""

    url: str
    pages: dict[str, str]


@asynccontextmanager
async def busy_day(
    processes: Processes, shop: Shop, *, words: str = "the bank does not answer"
) -> AsyncIterator[BusyDay]:
    """Jobs in every state, failures, schedules, events, a projection that parks, a paused queue, a stalled log.

    ``words`` stand in every field that somebody else may fill: arguments, errors, reasons, events, names.
    """
    processes.tell("bank-is-down")
    await log_of(shop, words)
    processes.worker("mail,billing", "--name", words)
    processes.worker("reports", "--name", "w-reports")
    failed = await shop.enqueue("charge", "billing", order_id=7, note=words)
    for number in range(12):
        await shop.enqueue("charge", "billing", order_id=number, note=f"{words} {number}")
        await shop.enqueue("send_welcome", "mail", user_id=number, language=words)
    unfinished, finished = await shop.batch(words, to_nobody=2), await shop.batch("welcome the new ones")
    running = await shop.enqueue("build_report", "reports", month=words)
    await shop.enqueue("print_report", "reports", month=words, lane=words)
    await shop.enqueue("print_report", "reports", month=words, lane=words)
    await shop.enqueue("send_welcome", "mail", run_at=now() + timedelta(hours=3), user_id=99)
    await shop.enqueue(words, words, **{words: words})
    assert await shop.outcome_of(failed) == "failed"
    await shop.until_running(2)
    await shop.until_declared("morning_report")
    await shop.app.batches.wait(finished, timeout_seconds=60)
    await shop.app.queues.pause("mail", reason=words, by=words)
    await shop.app.schedules.pause("newsletter", reason=words)
    await shop.app.projections.park("open_orders", "order-3", reason=words)
    await eventually(lambda: shop.has_parked("open_orders", 2), within_seconds=60)
    url, fingerprint = await processes.api(), await shop.fingerprint_of("charge")
    operation = await acts_of_people(url, fingerprint, words)
    async with shop.forgotten_transaction("nightly-export"):
        shown = pages(running, failed, fingerprint, operation, await shop.worker_named("w-reports"))
        batches = {"batch": f"/batches?id={finished}", "batch-unfinished": f"/batches?id={unfinished}"}
        yield BusyDay(url, shown | batches)


async def log_of(shop: Shop, words: str) -> None:
    """Thirty orders, an event with these words wherever there is room for any, and one that no handler understands."""
    await shop.place_orders(1, 30)
    wordy = Event(words, {words: [words]}, tags=(words,), metadata={words: words})
    await shop.app.events.append(f"order-{words}", wordy, correlation_id=words)
    await shop.app.events.append("order-1", Event("OrderPlaced", {"order_id": 1, "total": words}))


async def acts_of_people(url: str, fingerprint: str, words: str) -> str:
    """What stands in the audit: a pause, a token, a mark, an operation; the id of the operation."""
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=20) as api:

        async def act(path: str, **body: object) -> dict[str, str]:
            answer = await api.post(path, json=body)
            assert answer.is_success, answer.text
            done: dict[str, str] = answer.json()
            return done

        await act("/queues/pause", name="billing", reason=words)
        await act("/tokens", name=words[:200], role="viewer")
        await act(f"/failures/{fingerprint}/mark", state="seen", note=words)
        preview = await act("/operations/preview", verb="priority", filter="state=scheduled", priority=3)
        return (await act("/operations", token=preview["token"], reason=words))["id"]


def pages(running: int, failed: int, fingerprint: str, operation: str, worker: int) -> dict[str, str]:
    """Every page, and those of single things."""
    return {
        "overview": "/",
        "queues": "/queues",
        "queue": "/queue?name=reports",
        "limits": "/limits",
        "batches": "/batches",
        "jobs": "/jobs",
        "jobs-failed": "/jobs?filter=state%3Dfailed",
        "job-running": f"/jobs/{running}",
        "job-failed": f"/jobs/{failed}",
        "failures": "/failures",
        "failure": f"/failures?fingerprint={fingerprint}",
        "schedules": "/schedules",
        "schedule": "/schedules?name=morning_report",
        "events": "/events",
        "streams": "/events?tab=streams",
        "projections": "/projections",
        "projection": "/projections?name=open_orders&partitions=all",
        "workers": "/workers",
        "worker": f"/workers?id={worker}",
        "database": "/database",
        "operations": "/operations",
        "operation": f"/operations?id={operation}",
        "audit": "/audit",
        "admin-tokens": "/admin",
        "admin-sessions": "/admin?tab=sessions",
        "admin-settings": "/admin?tab=settings",
        "admin-retention": "/admin?tab=retention",
        "help": "/help",
    }
