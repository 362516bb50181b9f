"""The application whose dashboard is tried; the worker and the API of a test are processes of it.

HOLDFAST_TEST_FOLDER holds what a test tells its handlers: ``bank-is-down`` makes ``charge`` fail, ``projection-waits``
holds the projection up.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from holdfast import Holdfast, Job, Limit, Retry

app = Holdfast()
_PAUSE_SECONDS = 0.02
log = logging.getLogger("shop")


def told(what: str) -> bool:
    return (Path(os.environ["HOLDFAST_TEST_FOLDER"]) / what).exists()


async def until(allowed: Callable[[], bool]) -> None:
    """Wait for a word of the test, which is a file: another process writes it."""
    while not allowed():  # noqa: ASYNC110 - as said
        await asyncio.sleep(_PAUSE_SECONDS)


class CardDeclined(Exception):
    """The bank said no."""


@app.task(queue="mail", retry=Retry(max_attempts=3))
async def send_welcome(user_id: int, language: str = "en") -> str:
    log.info("writing to user %s", user_id)
    return f"welcomed user {user_id} in {language}"


@app.task(queue="billing", retry=Retry(max_attempts=1))
async def charge(order_id: int, note: str = "") -> str:
    if told("bank-is-down"):
        raise CardDeclined(note or "the bank does not answer")
    return f"charged order {order_id}"


@app.task(queue="reports", timeout_seconds=3600)
async def build_report(job: Job, month: str) -> str:
    """Runs until the test says that it may end."""
    job.progress(3, 12, f"reading {month}")
    await until(lambda: told("reports-may-end"))
    return month


@app.task(queue="reports", limits=[Limit("printer", 1)])
async def print_report(month: str) -> None:
    await until(lambda: told("reports-may-end"))


@app.schedule("0 7 * * mon-fri", timezone="Europe/Zurich", misfire="skip", task_options={"queue": "reports"})
async def morning_report(occurrence: datetime) -> str:
    return occurrence.isoformat()


@app.schedule(every="15m", task_options={"queue": "mail"})
async def newsletter() -> None:
    return None


@app.event
@dataclass
class OrderPlaced:
    order_id: int
    total: int


@app.projection("open_orders", batch=20, tables="open_order")
async def open_orders(tx: Any, event: OrderPlaced) -> None:
    await until(lambda: not told("projection-waits"))
    await tx.execute("insert into open_order (id, total) values ($1, $2)", event.order_id, event.total)
