"""What a drain shows while it lasts and what it says at the end."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from holdfast.cli.screen import number, screen
from holdfast.jobs import Queues
from holdfast.worker import Report, Worker

_REFRESH_SECONDS = 0.5
_FAILURES_SHOWN = 10


@asynccontextmanager
async def drain_progress(queues: Queues, worker: Worker) -> AsyncIterator[None]:
    """A bar on stderr while the block lasts, if somebody looks."""
    console = screen.err
    if not console.is_terminal:
        yield
        return
    columns = (
        TextColumn("draining"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[bad]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("drain", total=None, bad="")

        async def follow() -> None:
            while True:
                left = await queues.backlog(worker.options.queues) + worker.in_hand
                report = worker.report
                bad = f"[red]{report.failed} failed[/]" if report.failed else ""
                progress.update(bar, completed=report.finished, total=report.finished + left, bad=bad)
                await asyncio.sleep(_REFRESH_SECONDS)

        # Log lines stand above the bar, not in it: rich has put its own stream in the place of stderr.
        handlers = [one for one in logging.getLogger("holdfast").handlers if isinstance(one, logging.StreamHandler)]
        streams = [(handler, handler.setStream(sys.stderr)) for handler in handlers]
        following = asyncio.create_task(follow(), name="holdfast drain progress")
        try:
            yield
        finally:
            following.cancel()
            await asyncio.wait((following,), timeout=1.0)
            for handler, stream in streams:
                handler.setStream(stream or sys.__stderr__)


def print_report(report: Report, *, as_json: bool) -> None:
    """The end of a drain: one line of counts, and the jobs that failed."""
    if as_json:
        screen.json(report)
        return
    counts = {
        "completed": report.completed,
        "failed": report.failed,
        "cancelled": report.cancelled,
        "retried": report.retried,
        "snoozed": report.snoozed,
        "lost": report.lost,
        "given back": report.interrupted,
        "refused": report.refused,
    }
    parts = [f"{number(count)} {name}" for name, count in counts.items() if count or name == "completed"]
    screen.say(f"drained: {', '.join(parts)}")
    for failure in report.failures[:_FAILURES_SHOWN]:
        screen.say(f"  failed: job {failure.job_id} {failure.task}: {_in_a_line(failure.error)}")
    if report.failed > _FAILURES_SHOWN:
        screen.say(f"  … and {number(report.failed - _FAILURES_SHOWN)} more: holdfast job list --state failed")


def _in_a_line(error: str) -> str:
    """``ValueError: no such user`` of an error stored as JSON."""
    if not error:
        return "without an error"
    told = msgspec.json.decode(error)
    lines = str(told.get("message", "")).strip().splitlines() or [""]
    return f"{told.get('type', 'error')}: {lines[0][:200]}"
