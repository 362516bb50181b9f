"""The worker process: one event loop, the application, a lifeline to the supervisor, and signals."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from msgspec import Struct

from holdfast.app import Holdfast
from holdfast.cli.drain_progress import drain_progress
from holdfast.cli.queue import unheard_of
from holdfast.telemetry import configure_logging, get_logger, subscribe
from holdfast.worker import PipeLifeline, Report, Worker

log = get_logger("cli")

_INTERRUPTED = 8
_LAST_SECONDS = 5.0
"""How long this process may still need once its work is over, or once it was declared dead."""


class Duty(Struct, frozen=True):
    """What a worker was asked to do on its command line."""

    queues: tuple[str, ...] | None = None
    concurrency: int | None = None
    name: str = ""
    drain: bool = False
    horizon_seconds: float = 300.0


def run_worker_process(application: Holdfast, duty: Duty, lifeline_fd: int) -> int:
    """Run jobs until told to stop or drained; returns the exit status."""
    faulthandler.enable()
    process = _WorkerProcess(application, duty, lifeline_fd)
    unsubscribe = subscribe(_end_when_fenced)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(process.main())
    finally:
        unsubscribe()


class _WorkerProcess:
    def __init__(self, application: Holdfast, duty: Duty, lifeline_fd: int) -> None:
        self._application = application
        self._duty = duty
        self._lifeline_fd = lifeline_fd
        self._stops = 0
        self._stopping = asyncio.Event()
        self._worker: Worker | None = None

    async def main(self) -> int:
        """Open, work, close. A stop that comes before there is a worker ends the process without one."""
        self._listen_to_signals()
        settings = self._application.settings
        configure_logging(settings.log_level, settings.log_format)
        # Nobody beats for this process before it said hello, and nobody but the supervisor may outlive it.
        lifeline = PipeLifeline(self._lifeline_fd)
        status = _INTERRUPTED
        try:
            if await _unless(self._stopping, self._application.open()):
                status = await self._work(lifeline)
            elif not self._duty.drain:
                status = 0
            return status
        finally:
            # What this process had to do is done, or not, by now: connections that close slowly do not change that.
            _end_within(_LAST_SECONDS, status)
            await self._application.close(2.0)

    async def _work(self, lifeline: PipeLifeline) -> int:
        duty = self._duty
        worker = self._worker = self._application.worker(
            duty.queues,
            concurrency=duty.concurrency,
            name=duty.name,
            drain=duty.drain,
            horizon_seconds=duty.horizon_seconds,
            lifeline=lifeline,
        )
        if not duty.drain:
            report = await worker.run()
            return _INTERRUPTED if report.fenced else 0
        known = [queue.name for queue in await self._application.queues.list()]
        if duty.queues is not None and (unheard := unheard_of(duty.queues, known)):
            log.warning("%s", unheard)
        async with drain_progress(self._application.queues, worker):
            report = await worker.run()
        return _status_of(report, stopped=self._stopping.is_set())

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGUSR1, self._quiet)
        loop.add_signal_handler(signal.SIGUSR2, self._dump)

    def _stop(self) -> None:
        self._stops += 1
        self._stopping.set()
        if self._stops > 2:
            os._exit(_INTERRUPTED)
        if self._worker is not None:
            self._worker.stop()

    def _quiet(self) -> None:
        log.info("quiet: nothing more is claimed")
        if self._worker is not None:
            self._worker.quiet()

    def _dump(self) -> None:
        """Where everything stands: every task of the loop, then every thread."""
        for task in asyncio.all_tasks():
            task.print_stack(limit=8, file=sys.stderr)
        faulthandler.dump_traceback(sys.stderr, all_threads=True)


def _status_of(report: Report, *, stopped: bool) -> int:
    """A drain that was stopped did not reach its end, however well it went until then."""
    return report.exit_status or (_INTERRUPTED if stopped else 0)


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Await the work, unless the event comes first or meanwhile; whether it did not. Raises what the work raised.

    The event is looked at last, and the caller goes on without a pause: between this and that no stop is lost.
    """
    doing, coming = asyncio.ensure_future(work), asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((doing, coming), return_when=asyncio.FIRST_COMPLETED)
    finally:
        coming.cancel()
    if not event.is_set():
        doing.result()
        return True
    doing.cancel()
    await asyncio.wait((doing,), timeout=1.0)
    if doing.done() and not doing.cancelled() and (error := doing.exception()) is not None:
        log.info("told to stop while this was under way: %s", error)
    return False


def _end_when_fenced(event: str, _fields: Mapping[str, Any]) -> None:
    if event == "worker.fenced":
        _end_within(_LAST_SECONDS, _INTERRUPTED)


def _end_within(seconds: float, status: int) -> None:
    """End this process whatever its threads do: a handler's own thread may never return."""
    timer = threading.Timer(seconds, lambda: os._exit(status))
    timer.daemon = True
    timer.start()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
