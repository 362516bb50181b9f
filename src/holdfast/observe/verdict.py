"""The verdict: whether the system as a whole is getting on, and what stands in its way, in words.

It is a pure function of what one look found (``sight``), so that the command, the API, the dashboard and the metrics
say the same. Every reason names what it is about and what to do; ``judging`` holds the conditions, by subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct


class Status(StrEnum):
    """How it stands as a whole."""

    OK = "OK"
    DEGRADED = "DEGRADED"
    """Something needs a person, the rest goes on."""
    STALLED = "STALLED"
    """Something that everything depends on stands still."""


class Severity(StrEnum):
    """How much of the system a reason stops."""

    CRITICAL = "critical"
    """No job, or no reader of the log, gets on: STALLED."""
    PROBLEM = "problem"
    """A queue, a lane, a schedule, a projection, a worker: DEGRADED."""


class Kind(StrEnum):
    """What is wrong, for programs."""

    DATABASE_UNAVAILABLE = "database_unavailable"
    READ_ONLY = "read_only"
    CONNECTIONS = "connections_used_up"
    NOBODY_LISTENS = "nobody_listens"
    NOT_CLAIMING = "not_claiming"
    NO_ROOM = "no_free_slot"
    SLOW = "not_keeping_up"
    PAUSED = "paused_with_backlog"
    WORKER_ENDED = "worker_ended"
    WORKER_SILENT = "worker_silent"
    LANE_HELD = "lane_held"
    FAILING = "failing"
    SCHEDULE_MISSED = "schedule_missed"
    LOG_STALLED = "log_stalled"
    LOG_UNPUBLISHED = "log_unpublished"
    LOG_BEHIND = "log_behind"
    PROJECTION_UNSERVED = "projection_unserved"
    PROJECTION_STOPPED = "projection_stopped"
    PROJECTION_PARKED = "projection_parked"
    PROJECTION_LAGGING = "projection_lagging"
    PROJECTION_TROUBLED = "projection_troubled"


class Noun(StrEnum):
    """What a reason is about; where a page about it is found."""

    DATABASE = "database"
    QUEUE = "queue"
    WORKER = "worker"
    JOB = "job"
    SCHEDULE = "schedule"
    LOG = "log"
    PROJECTION = "projection"


class Subject(Struct, frozen=True):
    """One thing. ``id`` is its name, or its id as text; None for what there is only one of."""

    kind: Noun
    id: str | None = None


class Reason(Struct, frozen=True):
    """Why it is not OK: a sentence that names its subject, and what a person may do."""

    kind: Kind
    severity: Severity
    subject: Subject
    text: str
    remedy: str
    detail: str | None = None
    """What may be private: a statement, the message of an error. For those who may see arguments."""


class Verdict(Struct, frozen=True):
    """The verdict and what led to it, the worst first."""

    status: Status
    reasons: tuple[Reason, ...] = ()


class Patience(Struct, frozen=True):
    """From when on something is worth a person's attention, in seconds unless the name says otherwise."""

    wait: float = 60.0
    """A job that is ready."""
    idle: float = 30.0
    """Workers with free slots and jobs to claim that claim nothing."""
    lane: float = 60.0
    """A job that holds a lane behind which others wait, if it is not known to take that long."""
    overdue: float = 60.0
    """A schedule that nobody has decided about."""
    stall: float = 5.0
    """The open append that holds readers of the log back."""
    lag: float = 60.0
    """A projection behind the log."""
    connections: float = 0.9
    """Of those that the server allows, as a share."""
    failures: int = 20
    """Failed attempts of one queue in five minutes, at least."""
    failed_share: float = 0.05
    """Of the jobs that ended: failed for good."""
    retried_share: float = 0.25
    """Of all attempts: failed, and tried again or not."""


PATIENCE: Final = Patience()


def verdict_of(reasons: Sequence[Reason]) -> Verdict:
    """The verdict to which these reasons lead; critical ones come first."""
    ordered = sorted(reasons, key=lambda reason: reason.severity is not Severity.CRITICAL)
    if not ordered:
        return Verdict(Status.OK)
    critical = ordered[0].severity is Severity.CRITICAL
    return Verdict(Status.STALLED if critical else Status.DEGRADED, tuple(ordered))


def unavailable(message: str, remedy: str | None = None) -> Verdict:
    """The verdict when the database does not answer, or takes no writes: then nothing gets on."""
    read_only = "no writes" in message or "read-only" in message
    return verdict_of(
        [
            Reason(
                Kind.READ_ONLY if read_only else Kind.DATABASE_UNAVAILABLE,
                Severity.CRITICAL,
                Subject(Noun.DATABASE),
                f"database: {message}",
                remedy or "look at the server: is it up, and does it let us in?",
            )
        ]
    )
