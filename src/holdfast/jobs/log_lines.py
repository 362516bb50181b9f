"""Log lines of running jobs: heard where the application logs, kept with the attempt.

The standard ``logging`` module is listened to, once a process. What is logged while a job runs (by its handler, by what
it awaits, in its thread) belongs to that job; everything else passes by untouched.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Final

from msgspec import Struct

from holdfast.clock import monotonic
from holdfast.jobs.records import Claimed
from holdfast.telemetry import get_logger

_MOST_LINES_OF_AN_ATTEMPT: Final = 10_000
_MOST_WAITING: Final = 50_000
_MOST_CHARACTERS: Final = 8_000
_OURS: Final = "holdfast."

log = get_logger("jobs")


class LogLine(Struct, frozen=True):
    """One line of a job's log, as people see it. ``number`` counts the lines of one attempt."""

    at: datetime
    attempt: int
    worker: int
    level: str
    logger: str
    message: str
    number: int
    lease: int


class Heard(Struct):
    """A line not yet written."""

    claimed: Claimed
    number: int
    heard_at: float  # monotonic seconds
    level: int
    logger: str
    message: str


class LogBuffer:
    """Lines on their way to the database: bounded, for a job that talks without end must not take the worker down."""

    def __init__(self, level: int | None) -> None:
        """``level``: the quietest that is kept, as in ``logging``; None keeps nothing."""
        self.level = level
        self._turn = threading.Lock()
        self._lines: deque[Heard] = deque()
        self._lost = 0

    def hear(self, claimed: Claimed, number: int, record: logging.LogRecord) -> None:
        """Take a record, from any thread; ``number`` is its place among the lines of its attempt."""
        if number > _MOST_LINES_OF_AN_ATTEMPT:
            return
        message = _told(record)
        if number == _MOST_LINES_OF_AN_ATTEMPT:
            message = f"{number} lines of this attempt are kept, no more"
        heard = Heard(claimed, number, monotonic(), record.levelno, record.name, message)
        with self._turn:
            if len(self._lines) < _MOST_WAITING:
                self._lines.append(heard)
            else:
                self._lost += 1

    def take(self, most: int) -> list[Heard]:
        """The oldest lines, which are the caller's now."""
        with self._turn:
            lost, self._lost = self._lost, 0
            taken = [self._lines.popleft() for _ in range(min(most, len(self._lines)))]
        if lost:
            log.warning("%d log lines of jobs were not kept: they came faster than they can be written", lost)
        return taken

    def put_back(self, lines: list[Heard]) -> None:
        """They could not be written now."""
        with self._turn:
            self._lines.extendleft(reversed(lines))


class _Capture(logging.Handler):
    """Stands at the root of the process's loggers for as long as a worker runs in it."""

    def __init__(self, route: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._route = route

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record to the job it belongs to; never raises into the code that logs."""
        if not record.name.startswith(_OURS):
            try:
                self._route(record)
            except Exception:  # noqa: BLE001 - as every handler of the standard library
                self.handleError(record)
        # Without this handler an application that never set logging up would see its warnings: it shall go on to.
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and not self._heard_elsewhere(record):
            last.handle(record)

    def _heard_elsewhere(self, record: logging.LogRecord) -> bool:
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False


class LogCapture:
    """Puts the handler up with the first worker of a process and takes it down with the last."""

    def __init__(self, route: Callable[[logging.LogRecord], None]) -> None:
        self._handler = _Capture(route)
        self._turn = threading.Lock()
        self._users = 0
        self._opened_root = False

    def start(self, level: int) -> None:
        """Listen. A root logger that nobody has set up drops what is below a warning: it is opened to ``level``."""
        root = logging.getLogger()
        with self._turn:
            self._users += 1
            if self._users > 1:
                return
            self._opened_root = not root.handlers and root.level == logging.WARNING and level < root.level
            if self._opened_root:
                root.setLevel(level)
            root.addHandler(self._handler)

    def stop(self) -> None:
        """Listen no more; the root logger is as it was."""
        root = logging.getLogger()
        with self._turn:
            self._users -= 1
            if self._users > 0:
                return
            root.removeHandler(self._handler)
            if self._opened_root:
                root.setLevel(logging.WARNING)


def storable(text: str) -> str:
    """The text without what PostgreSQL takes in no text: the zero character, and halves of characters."""
    return text.replace("\x00", "\\0").encode("utf-8", "replace").decode()


def _told(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001 - arguments of the application that do not fit its own format
        text = f"{record.msg} (could not be formatted: {error})"
    if record.exc_info and record.exc_info[0] is not None:
        text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
    text = storable(text)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
