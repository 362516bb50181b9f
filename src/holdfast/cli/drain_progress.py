"""What a drain shows while it lasts."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from holdfast.cli.screen import screen
from holdfast.jobs import Queues
from holdfast.worker import Worker

_REFRESH_SECONDS = 0.5


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
