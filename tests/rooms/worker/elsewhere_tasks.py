"""Tasks that run outside of the worker process: found there by the name of this module."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from holdfast import Holdfast, Job, Retry, Snooze, current_job

app = Holdfast("postgresql://nobody@nowhere.invalid/nothing")


class Strange(Exception):
    """An error of the application's own."""


@app.task(executor="process")
def add(a: int, b: int = 1) -> int:
    return a + b


@app.task(executor="process")
def who(job: Job) -> dict[str, object]:
    current = current_job()
    return {"pid": os.getpid(), "job": job.id, "current": current.id if current else None, "attempt": job.attempt}


@app.task(executor="process", retry=Retry(max_attempts=1))
async def save(job: Job) -> None:
    job.progress(1, 2)
    await job.checkpoint(1)


@app.task(executor="process")
async def add_slowly(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


@app.task(executor="process", retry=Retry(max_attempts=2, delay_seconds=0, give_up_on=(Strange,)))
def fail(kind: str) -> None:
    raise {"strange": Strange, "value": ValueError}[kind](f"a {kind} error")


@app.task(executor="process")
def snooze(file: str) -> str | Snooze:
    if Path(file).exists():
        return "woke up"
    Path(file).touch()
    return Snooze(0)


@app.task(executor="process", retry=Retry(max_attempts=5, delay_seconds=0))
def die(how: str, file: str) -> str:
    with Path(file).open("a") as log:
        log.write("x")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        os._exit(3)
    elif how == "once" and Path(file).read_text() == "x":
        os.kill(os.getpid(), signal.SIGSEGV)
    return "survived"


@app.task(executor="process", memory_limit_mib=64)
def take_memory(mib: int) -> int:
    return len(bytearray(mib * 1024 * 1024))


@app.task(executor="process")
def wait_for_ever(file: str, *, stubborn: bool = False) -> None:
    """Writes how it goes: began, cleaned up. A stubborn one swallows every interruption."""
    Path(file).write_text("began")
    while True:
        try:
            while True:
                time.sleep(0.01)
        except BaseException:
            Path(file).write_text("cleaned up")
            if not stubborn:
                raise


@app.task(executor="process")
def start_another(file: str) -> None:
    """A child of the child must not outlive it."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(file).write_text(str(child.pid))
    child.wait()


@app.task(executor="process", soft_timeout_seconds=0.2, timeout_seconds=30)
def until_late(job: Job) -> str:
    while not job.should_stop:
        time.sleep(0.005)
    return "stopped in time"


@app.task(executor="process")
def unstorable() -> float:
    return float("nan")


@app.task(queue="dask", executor="dask")
def square(n: int) -> int:
    return n * n


@app.task(queue="dask", executor="dask", retry=Retry(max_attempts=1))
def fail_over_there(job: Job) -> None:
    raise Strange(f"attempt {job.attempt}")


@app.task(queue="dask", executor="dask")
def hold_on(file: str) -> str:
    """Runs until the file is removed; the first execution dies with its worker."""
    with Path(file).open("a") as log:
        log.write("x")
    while Path(file).exists() and Path(file).read_text() == "x":
        time.sleep(0.02)
    return Path(file).read_text()


@app.task(
    queue="aws", executor="aws-batch", memory_limit_mib=2048, executor_options={"vcpus": 2}, retry=Retry(max_attempts=1)
)
def render(pages: int) -> str:
    return "page " * pages


@app.task(queue="aws", executor="aws-batch", retry=Retry(max_attempts=1))
def render_badly() -> None:
    raise Strange("no ink")
