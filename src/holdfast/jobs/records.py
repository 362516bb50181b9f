"""What travels between the hot path and the worker: claimed jobs in, ways out of a lease out."""

from __future__ import annotations

import enum

from msgspec import Struct


class Outcome(enum.IntEnum):
    """How a job ends; the numbers are those of the outcome table."""

    COMPLETED = 1
    FAILED = 2
    CANCELLED = 3


class Exit(enum.IntEnum):
    """Ways out of a lease that are no outcome; the numbers are those of ``leave_v1``."""

    RETRY = 1
    SNOOZE = 2
    RETURN = 3
    LOST = 4
    """What ran the attempt died: a child process, or an engine. The loss has been counted."""


class Claimed(Struct, eq=False):
    """A job this worker holds a lease for. ``task`` is None when its payload is missing."""

    id: int
    lease: int
    queue: str
    priority: int
    attempt: int
    flags: int
    task: str | None
    args: str
    max_attempts: int | None
    timeout_seconds: float | None
    trace: str | None
    claimed_at: float  # monotonic seconds


class Finished(Struct, eq=False):
    """A job that has ended, not yet written. Times in monotonic seconds."""

    job: Claimed
    outcome: Outcome
    started_at: float
    took_seconds: float
    result: str | None = None  # JSON text
    error: str | None = None  # JSON text


class Left(Struct, eq=False):
    """A job that goes back into the queue, not yet written."""

    job: Claimed
    exit: Exit
    delay_seconds: float
    attempt: int
    started_at: float = 0.0
    took_seconds: float = 0.0
    error: str | None = None  # JSON text


class Answer(Struct):
    """The answer of one merged call."""

    claimed: list[Claimed]
    refused: list[int]
    dead: bool
