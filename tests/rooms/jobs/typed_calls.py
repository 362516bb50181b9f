"""Calls of tasks for the type checker (`mypy .`): it never runs.

A good call is one that the checker accepts; a bad one is ignored here under its code, and `warn_unused_ignores` makes
every ignore that is not needed an error: were one bad call accepted, the check of types would fail.
"""

from __future__ import annotations

from typing import assert_type

from sqlalchemy.orm import Session

from holdfast import Holdfast, Job, JobId
from holdfast.testing import assert_enqueued

app = Holdfast()


@app.task
async def send(user_id: int, language: str = "en") -> str:
    return language


@app.task(queue="mail", priority=1)
def resize(job: Job, image: str, *, width: int) -> None: ...


async def good(session: Session) -> None:
    assert_type(await send.enqueue(42), JobId)
    await send.enqueue(42, "de")
    await send.enqueue(user_id=42, language="de")
    assert_type(send.enqueue_sync(42), JobId)
    assert_type(await send.enqueue_many([(1,), {"user_id": 2}]), list[JobId])
    await send.options(run_in="1h", priority=0).using(session).options(unique=True).enqueue(42)
    resize.using(session).enqueue_sync("cat.png", width=100)
    assert_type(await send(42), str)
    assert_enqueued(send.using(session), user_id=42)


async def bad(session: Session) -> None:
    await send.enqueue()  # type: ignore[call-arg]
    await send.enqueue("42")  # type: ignore[arg-type]
    await send.enqueue(42, "de", 7)  # type: ignore[call-arg]
    await send.enqueue(user=42)  # type: ignore[call-arg]
    send.enqueue_sync("42")  # type: ignore[arg-type]
    await send.options(run_in="1h").enqueue("42")  # type: ignore[arg-type]
    send.using(session).enqueue_sync("42")  # type: ignore[arg-type]
    await send.options(queue="mail").using(session).enqueue(42, language=None)  # type: ignore[arg-type]
    resize.enqueue_sync("cat.png")  # type: ignore[call-arg]
    resize.enqueue_sync("cat.png", 100)  # type: ignore[call-arg]
    send.options(priority="high")  # type: ignore[arg-type]
    send.enqueue(42) + 1  # type: ignore[operator]
    assert_enqueued(good, user_id=42)  # type: ignore[arg-type]
