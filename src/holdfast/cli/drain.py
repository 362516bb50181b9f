"""``holdfast worker --drain``: run what is there, queue after queue if asked, say what became of it, and end."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from holdfast.cli.connection import bare_database
from holdfast.cli.drain_summary import markdown, say
from holdfast.cli.first_worker import FirstWorker
from holdfast.cli.screen import screen
from holdfast.cli.worker_process import Duty
from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS
from holdfast.errors import DatabaseUnavailable
from holdfast.jobs import WorkDone, work_done
from holdfast.telemetry import get_logger
from holdfast.worker import StartedChild, Supervisor, SupervisorOptions

log = get_logger("cli")

_FAILED = 1
INTERRUPTED = 8


class DrainOrder(Struct, frozen=True):
    """How a drain is to be done, beside what every worker is told."""

    sequential: bool = False
    max_runtime_seconds: float | None = None
    summary: Path | None = None
    as_json: bool = False


class Drained(Struct, frozen=True):
    """How it went: the workers that took part, and why it ended before its time if it did."""

    workers: list[int]
    status: int
    ended_early: str | None


def of_queues(command: Sequence[str], queues: Sequence[str]) -> list[str]:
    """The worker's command, for these queues alone: the last ``--queues`` counts."""
    return [*command, f"--queues={','.join(queues)}"]


def first_turn(command: Sequence[str], duty: Duty, order: DrainOrder) -> Sequence[str]:
    """The command of the first worker process: of a sequential drain it takes the first queue alone."""
    return of_queues(command, duty.queues[:1]) if order.sequential and duty.queues else command


class Drain:
    """One drain: a supervised worker for all queues at once, or one for each queue after the other."""

    def __init__(self, first: FirstWorker, order: DrainOrder) -> None:
        self._first: FirstWorker | None = first
        self._settings = first.settings
        self._order = order
        self._began_at = monotonic()

    def run(self, duty: Duty, options: SupervisorOptions, command: Sequence[str]) -> int:
        """Drain, write the summary, and return the exit status: 0 all well, 1 jobs failed, 8 ended before its time."""
        queues = duty.queues or self._settings.queues
        if self._order.sequential and not duty.queues:
            self._dismiss_first()  # it was told of no queue, and would take them all
        try:
            drained = self._drain(queues, options, command)
        finally:
            self._dismiss_first()
        if not drained.workers:
            return drained.status  # a setting, an import, no database, no time: it never began
        try:
            done = asyncio.run(self._read(drained.workers, queues))
        except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
            log.error("the summary cannot be read: %s", error)  # noqa: TRY400 - what it says is enough
            return drained.status or INTERRUPTED
        early = drained.ended_early
        if drained.status and not done.failed and early is None:
            early = f"a worker ended with status {drained.status}"  # it broke, and no job did
        self._tell(done, early)
        return _FAILED if done.failed else drained.status

    def _drain(self, queues: Sequence[str], options: SupervisorOptions, command: Sequence[str]) -> Drained:
        turns = [[queue] for queue in queues] if self._order.sequential else [list(queues)]
        workers: list[int] = []
        status, early = 0, None
        for turn in turns:
            left = self._seconds_left()
            if left is not None and left <= 0:
                return Drained(workers, INTERRUPTED, self._out_of_time())
            child = of_queues(command, turn)
            supervisor = Supervisor(
                dataclasses.replace(options, child=child, max_runtime_seconds=left), self._let_first_go_on()
            )
            ended = supervisor.run()
            workers += supervisor.workers
            status = max(status, INTERRUPTED if ended > 128 else ended)
            if supervisor.stopped or ended not in (0, _FAILED):
                early = self._out_of_time() if supervisor.out_of_time else "it was stopped"
                break
        return Drained(workers, status, early)

    def _let_first_go_on(self) -> StartedChild | None:
        first, self._first = self._first, None
        if first is None:
            return None
        first.let_go_on()
        return first.started

    def _dismiss_first(self) -> None:
        first, self._first = self._first, None
        if first is not None:
            first.dismiss()

    async def _read(self, workers: Sequence[int], queues: Sequence[str]) -> WorkDone:
        async with bare_database(self._settings, deadline_seconds=30.0) as database:
            return await work_done(database, workers, queues, seconds=monotonic() - self._began_at)

    def _seconds_left(self) -> float | None:
        limit = self._order.max_runtime_seconds
        return None if limit is None else limit - (monotonic() - self._began_at)

    def _out_of_time(self) -> str:
        return f"its time of {self._order.max_runtime_seconds:g} s was over"

    def _tell(self, done: WorkDone, ended_early: str | None) -> None:
        if self._order.as_json:
            screen.json({**_as_data(done), "ended_early": ended_early})
        else:
            say(done, ended_early)
        if self._order.summary is not None:
            try:
                with self._order.summary.open("a", encoding="utf-8") as file:
                    file.write(markdown(done, ended_early))
            except OSError as error:
                screen.error(f"the summary cannot be written: {error}", "name another file with --summary")


def _as_data(done: WorkDone) -> dict[str, object]:
    counts = {"completed": done.completed, "failed": done.failed, "cancelled": done.cancelled}
    return {**counts, **asdict(done)}
