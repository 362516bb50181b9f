"""Reading the log of a job: what is there, and what comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

from holdfast.db import Database, load_statements
from holdfast.jobs.log_lines import LogLine

_SQL = load_statements("holdfast.jobs", "reports.sql")
_PAGE: Final = 1_000
_LOOK_EVERY_SECONDS: Final = 0.5
_LOOKS_AFTER_THE_END: Final = 4
"""Workers write about once a second: the last words of a job come after its outcome."""


class LogReader:
    """Reads on from where it stopped. Attempts number their lines themselves, so a late commit is never passed over."""

    def __init__(self, database: Database, job_id: int) -> None:
        self._database = database
        self._job_id = job_id
        self._read: dict[int, int] = {}

    async def more(self, limit: int = _PAGE) -> list[LogLine]:
        """The next lines, in the order they were said; empty when there are none yet."""
        rows = await self._database.fetch(
            _SQL["read_log"], self._job_id, list(self._read), list(self._read.values()), limit
        )
        for row in rows:
            self._read[row["lease"]] = row["number"]
        return [_line(row) for row in rows]

    async def follow(self, has_ended: Callable[[], Awaitable[bool]]) -> AsyncIterator[LogLine]:
        """Every line there is and that comes, until the job has ended and nothing more has come for two seconds."""
        looks_since_end = 0
        while looks_since_end < _LOOKS_AFTER_THE_END:
            ended = await has_ended()
            lines = await self.more()
            for line in lines:
                yield line
            if len(lines) < _PAGE:
                looks_since_end = looks_since_end + 1 if ended and not lines else 0
                if looks_since_end < _LOOKS_AFTER_THE_END:
                    await asyncio.sleep(_LOOK_EVERY_SECONDS)


async def log_page(database: Database, job_id: int, after: tuple[int, int] | None, limit: int) -> Sequence[LogLine]:
    """Lines that stand after that line of a lease, attempt by attempt."""
    lease, number = after or (None, None)
    return [_line(row) for row in await database.fetch(_SQL["log_page"], job_id, lease, number, limit)]


def _line(row: Any) -> LogLine:
    return LogLine(
        row["at"],
        row["attempt"],
        row["worker"],
        logging.getLevelName(row["level"]).lower(),
        row["logger"],
        row["message"],
        row["number"],
        row["lease"],
    )
