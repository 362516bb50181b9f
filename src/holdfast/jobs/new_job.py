"""A job that does not exist yet, and many of them as the columns that the enqueue statement takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Self

from msgspec import Struct

SOLO: Final = 1
"""Flag: claimed into a lease of its own, because it completes inside its own transaction."""
KEYED: Final = 2
"""Flag: holds a unique key."""
SUSPECT: Final = 4
"""Flag: its worker died while it may have been running; it runs as the only suspect of its worker."""
GATED: Final = 8
"""Flag: stands behind gates (a lane, limits): it becomes ready only with its slots taken."""
BATCHED: Final = 16
"""Flag: belongs to a batch of jobs whose end somebody waits for."""
LATER: Final = 32
"""Flag: was to run later from the start; how long it waited says nothing about the workers."""
COMPANY: Final = GATED | BATCHED
"""Flags of jobs that others wait for: whatever moves them tells ``tell_company_v1``."""


class JobId(int):
    """The id of a job. ``existing``: a unique key was held by this unfinished job, so nothing was inserted."""

    existing: bool

    def __new__(cls, value: int, *, existing: bool = False) -> Self:
        """``existing`` is False for a job that was just inserted."""
        self = super().__new__(cls, value)
        self.existing = existing
        return self


class NewJob(Struct, frozen=True):
    """One request for a task, checked and ready to be stored."""

    task: str
    queue: str
    args: str  # JSON text
    priority: int
    flags: int
    delay_us: int | None = None
    due_at: datetime | None = None
    max_attempts: int | None = None
    timeout_seconds: float | None = None
    unique_key: str | None = None
    trace: str | None = None
    gates: str | None = None  # one a line
    covered: int = 15  # places in which the unique key counts, as bits
    period_us: int | None = None
    conflict: int = 0


def columns(jobs: Sequence[NewJob], ids: Sequence[int] | None) -> tuple[Any, ...]:
    """The parameters of ``enqueue``, and the first of ``enqueue_keyed``; what nobody uses is NULL, no array."""
    return (
        ids,
        [job.queue for job in jobs],
        [job.task for job in jobs],
        [job.args for job in jobs],
        [job.priority for job in jobs],
        [job.flags for job in jobs],
        _or_null([job.delay_us for job in jobs]),
        _or_null([job.due_at for job in jobs]),
        _or_null([job.max_attempts for job in jobs]),
        _or_null([job.timeout_seconds for job in jobs]),
        _or_null([job.unique_key for job in jobs]),
        _or_null([job.trace for job in jobs]),
        _or_null([job.gates for job in jobs]),
    )


def unique_columns(jobs: Sequence[NewJob]) -> tuple[Any, ...]:
    """The last three parameters of ``enqueue_keyed``."""
    return (
        [job.covered for job in jobs],
        _or_null([job.period_us for job in jobs]),
        [job.conflict for job in jobs],
    )


def wanted_at_once(jobs: Sequence[NewJob]) -> set[str]:
    """Queues to ring for once more at the commit: who was busy when the job was inserted may be idle by then (F21)."""
    return {job.queue for job in jobs if job.delay_us is None and job.due_at is None}


def one_row(job: NewJob, job_id: int) -> tuple[Any, ...]:
    """The eleven parameters of ``enqueue_one``."""
    return (
        job_id,
        job.queue,
        job.task,
        job.args,
        job.priority,
        job.flags,
        job.delay_us,
        job.due_at,
        job.max_attempts,
        job.timeout_seconds,
        job.trace,
    )


def one_keyed_row(job: NewJob, job_id: int) -> tuple[Any, ...]:
    """The fifteen parameters of ``enqueue_one_keyed``."""
    return (*one_row(job, job_id), job.unique_key, job.covered, job.period_us, job.conflict)


def _or_null(column: list[Any]) -> list[Any] | None:
    return column if any(value is not None for value in column) else None
