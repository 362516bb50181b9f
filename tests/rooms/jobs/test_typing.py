"""A type checker knows a task's own signature: good calls pass, each bad one is an error where it stands."""

from __future__ import annotations

import re
from pathlib import Path

from mypy import api

from tests.architecture.source import ROOT

CALLS = """
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
    await send.enqueue()  # error
    await send.enqueue("42")  # error
    await send.enqueue(42, "de", 7)  # error
    await send.enqueue(user=42)  # error
    send.enqueue_sync("42")  # error
    await send.options(run_in="1h").enqueue("42")  # error
    send.using(session).enqueue_sync("42")  # error
    await send.options(queue="mail").using(session).enqueue(42, language=None)  # error
    resize.enqueue_sync("cat.png")  # error
    resize.enqueue_sync("cat.png", 100)  # error
    send.options(priority="high")  # error
    send.enqueue(42) + 1  # error
    assert_enqueued(good, user_id=42)  # error
"""


def test_calls_of_tasks_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "calls.py"
    file.write_text(CALLS, encoding="utf-8")
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    said, complaint, _ = api.run([*options, str(file)])

    expected = [number for number, line in enumerate(CALLS.splitlines(), start=1) if line.endswith("# error")]
    found = {int(match[1]) for match in re.finditer(r"calls\.py:(\d+): error", said)}
    assert len(expected) == 13
    assert sorted(found) == expected, said + complaint
