"""The application whose projecting processes acceptance tests kill and freeze; `holdfast projection run` serves it.

HOLDFAST_TEST_FOLDER holds what outlives a process: files that tell a handler to die, to wait, or that it waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path
from typing import Any

from holdfast import Holdfast, Retry

app = Holdfast()


def folder() -> Path:
    return Path(os.environ["HOLDFAST_TEST_FOLDER"])


def told(what: str) -> bool:
    """Whether the test asked for this; each wish is granted once."""
    try:
        (folder() / what).unlink()
    except FileNotFoundError:
        return False
    return True


@app.projection("history", batch=20, retry=Retry(max_attempts=50, delay_seconds=0.05))
async def history(tx: Any, event: Any) -> None:
    """Notes every event it is given, in the order in which it is."""
    await tx.execute(
        "insert into seen (position, stream, by) values ($1, $2, $3)", event.position, event.stream, str(os.getpid())
    )
    if told("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if told("wait for the lock"):
        (folder() / "waiting").write_text(str(os.getpid()))
        await tx.execute("select pg_advisory_xact_lock(77)")  # the session is busy, so the server lets it live
    if told("wait"):
        (folder() / "waiting").write_text(str(os.getpid()))
        while not (folder() / "go").exists():  # noqa: ASYNC110 - another process makes the file
            await asyncio.sleep(0.01)
    await asyncio.sleep(random.random() * 0.002)


@app.task
async def welcome(position: int) -> int:
    """What the trigger starts."""
    return position


@app.trigger(welcome, from_start=True)
def welcoming(event: Any) -> tuple[int]:
    """A job for every event."""
    with contextlib.suppress(FileNotFoundError):
        if told("die in the trigger"):
            os.kill(os.getpid(), signal.SIGKILL)
    return (event.position,)
