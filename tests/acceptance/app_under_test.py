"""The application that acceptance tests kill: python app_under_test.py runs one worker process of it.

Its settings come from the environment like anybody's. HOLDFAST_TEST_FOLDER holds what outlives a process: the log of
every execution, one line each, and the files that handlers wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

from holdfast import Holdfast, Job, Retry
from holdfast.leases import Limits
from holdfast.telemetry import configure_logging
from holdfast.worker import ThreadLifeline

app = Holdfast()
_PAUSE_SECONDS = 0.02


def folder() -> Path:
    return Path(os.environ["HOLDFAST_TEST_FOLDER"])


def note(job: Job, n: int) -> None:
    """One more execution in the log that no transaction can roll back."""
    with (folder() / "executions.log").open("ab", buffering=0) as file:
        file.write(f"{job.id} {n} {os.getpid()}\n".encode())


def executions_of(job: Job) -> int:
    """How many the log has of this job."""
    lines = (folder() / "executions.log").read_bytes().splitlines()
    return sum(line.startswith(f"{job.id} ".encode()) for line in lines)


@app.task(transactional=True, retry=Retry(max_attempts=50, delay_seconds=0.05))
async def pay(job: Job, n: int) -> None:
    """An effect in the job's own transaction."""
    note(job, n)
    async with job.transaction() as tx:
        await tx.execute("insert into ledger (job_id, n) values ($1, $2)", job.id, n)


@app.task(retry=Retry(max_attempts=50, delay_seconds=0.05))
async def ping(job: Job, n: int) -> int:
    """No effect but the line in the log."""
    note(job, n)
    return n


@app.task(transactional=True)
async def pay_stubbornly(job: Job, n: int) -> None:
    """The first execution waits for a file, and then writes whatever it has been told meanwhile."""
    note(job, n)
    times = executions_of(job)
    while times == 1 and not (folder() / "go").exists():
        try:
            await asyncio.sleep(_PAUSE_SECONDS)
        except asyncio.CancelledError:
            continue

    async def write() -> None:
        try:
            async with job.transaction() as tx:
                await tx.execute("insert into ledger (job_id, n) values ($1, $2)", job.id, n)
        finally:
            (folder() / f"answered-{job.id}-{times}").touch()

    writing = asyncio.create_task(write())
    while not writing.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(writing)
    await writing


@app.task
async def linger(job: Job, n: int) -> None:
    """Runs for a while: what a restart interrupts."""
    note(job, n)
    await asyncio.sleep(0.5)


@app.task
async def poison(job: Job, n: int) -> None:
    """Takes its process down: it reads where there is nothing."""
    note(job, n)
    ctypes.string_at(0)


async def main() -> int:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    configure_logging("info", "text")
    async with app:
        settings = app.settings
        limits = Limits(
            silence_seconds=settings.silence_seconds,
            session_grace_seconds=settings.session_grace_seconds,
            settle_seconds=1.0,
            beat_seconds=0.5,
        )
        lifeline = ThreadLifeline(app.database.url, limits=limits, max_losses=settings.max_losses)
        worker = app.worker(lifeline=lifeline)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        return (await worker.run()).exit_status


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
