"""What the running jobs of one worker say about themselves: progress, log lines, checkpoints.

Saying something costs a job a few assignments. The worker writes what was said about once a second, in one statement
for all of its jobs; a job that says nothing costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Fault, classify, load_statements
from holdfast.jobs.checkpoints import Checkpoints
from holdfast.jobs.log_lines import Heard, LogBuffer
from holdfast.jobs.records import Claimed
from holdfast.telemetry import get_logger

_SQL = load_statements("holdfast.jobs", "reports.sql")
_LINES_TOGETHER: Final = 2_000

log = get_logger("jobs")


class Progress(Struct, frozen=True):
    """How far a job says it is, as people see it."""

    done: int
    total: int | None
    message: str | None
    reported_at: datetime


class _Said(Struct):
    """Progress not yet written."""

    claimed: Claimed
    done: int
    total: int | None
    message: str | None
    at: float  # monotonic seconds


class Reports:
    """One worker's share. ``flush`` is called about once a second, and at the end."""

    def __init__(self, database: Database, *, log_level: int | None = logging.INFO) -> None:
        """``log_level``: the quietest log line that is kept, as in ``logging``; None keeps none."""
        self.checkpoints = Checkpoints(database)
        self.log = LogBuffer(log_level)
        self.loop = asyncio.get_running_loop()
        self._database = database
        self._writing = asyncio.Lock()
        self._turn = threading.Lock()
        self._progress: dict[int, _Said] = {}

    def progress(self, claimed: Claimed, done: int, total: int | None, message: str | None) -> None:
        """Note how far a job is; what it said before is forgotten. From any thread."""
        said = _Said(claimed, done, total, message, monotonic())
        with self._turn:
            self._progress[claimed.id] = said

    async def flush(self) -> None:
        """Write what was said since the last time. On an error it is kept for the next time.

        Whoever is cancelled here leaves the writing to go on: cut off, nobody would know whether it was done.
        """
        await asyncio.shield(asyncio.create_task(self._flush_alone(), name="holdfast reports"))

    async def _flush_alone(self) -> None:
        async with self._writing:
            await self._write()

    async def _write(self) -> None:
        await self._write_progress()
        while lines := self.log.take(_LINES_TOGETHER):
            await self._write_lines(lines)
            if len(lines) < _LINES_TOGETHER:
                break

    async def _write_progress(self) -> None:
        if not self._progress:
            return
        with self._turn:
            said, self._progress = self._progress, {}
        try:
            try:
                await self._send_progress(list(said.values()))
            except DRIVER_ERRORS as error:
                if classify(error) is not Fault.ROW:
                    raise
                await self._send_progress_one_by_one(said)
        except BaseException:
            with self._turn:
                self._progress = {**said, **self._progress}
            raise

    async def _send_progress_one_by_one(self, said: dict[int, _Said]) -> None:
        """One of them cannot be stored: it is dropped here, or it would hold back all others for ever."""
        for job_id, item in list(said.items()):
            try:
                await self._send_progress([item])
            except DRIVER_ERRORS as error:
                if classify(error) is not Fault.ROW:
                    raise
                log.warning("the progress of job %d could not be stored and is gone: %s", job_id, error)
            del said[job_id]

    async def _send_progress(self, items: Sequence[_Said]) -> None:
        now = monotonic()
        await self._database.fetchval(
            _SQL["report_progress"],
            [item.claimed.lease for item in items],
            [item.claimed.id for item in items],
            [item.done for item in items],
            [item.total for item in items],
            [item.message for item in items],
            [round((now - item.at) * 1_000_000) for item in items],
            pool="control",
        )

    async def _write_lines(self, lines: Sequence[Heard]) -> None:
        now = monotonic()
        try:
            await self._database.fetchval(
                _SQL["write_log"],
                [line.claimed.id for line in lines],
                [line.claimed.lease for line in lines],
                [line.claimed.attempt for line in lines],
                [line.number for line in lines],
                [round((now - line.heard_at) * 1_000_000) for line in lines],
                [min(line.level, 32_767) for line in lines],
                [line.logger for line in lines],
                [line.message for line in lines],
                pool="control",
            )
        except DRIVER_ERRORS as error:
            if classify(error) is Fault.ROW:  # it would be at fault for ever, and hold back the others
                log.warning("%d log lines of jobs could not be stored and are gone: %s", len(lines), error)
                return
            self.log.put_back(list(lines))
            raise
        except BaseException:
            self.log.put_back(list(lines))
            raise
