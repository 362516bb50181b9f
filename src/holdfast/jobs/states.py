"""The state machine of a job, written once: places, verbs, and which verb moves a job from where to where.

A job's state is the one place it stands in. The tests try every verb on every place against a real server and compare
with ``MOVES``; the picture in the docs is drawn from it.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Place(StrEnum):
    """Where a job stands, in the words people see."""

    SCHEDULED = "scheduled"  # due later
    BLOCKED = "blocked"  # waits before a gate: a lane, a limit, a rate
    READY = "ready"  # may be claimed now
    RUNNING = "running"  # leased to a worker
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Verb(StrEnum):
    """What moves a job. ``enqueue`` is not among them: it has no place to move from."""

    PROMOTE = "promote"  # it is due
    ADMIT = "admit"  # its gates have room
    CLAIM = "claim"  # a worker takes it under a lease
    COMPLETE = "complete"  # the handler returned
    FAIL = "fail"  # the last attempt failed
    POSTPONE = "postpone"  # the worker retries it later, or the handler snoozed
    RETURN = "return"  # the worker gives it back: not started, or interrupted
    RESCUE = "rescue"  # its worker died
    CANCEL = "cancel"  # somebody wants it not to run
    RETRY = "retry"  # somebody wants it to run (again), now
    RESCHEDULE = "reschedule"  # somebody wants it to run at another time
    PRIORITIZE = "prioritize"  # somebody wants it to run before or after others
    EDIT = "edit"  # somebody corrects its arguments
    PURGE = "purge"  # somebody wants it gone


FINAL: Final = frozenset({Place.COMPLETED, Place.FAILED, Place.CANCELLED})

WAITING: Final = (Place.SCHEDULED, Place.BLOCKED, Place.READY)

GONE: Final = None
"""Where a purge leads: the job stands nowhere, and nothing of it is left."""

_MOVES: Final[dict[tuple[Place, Verb], Place | None]] = {
    (Place.SCHEDULED, Verb.PROMOTE): Place.READY,
    (Place.SCHEDULED, Verb.RETRY): Place.READY,
    (Place.SCHEDULED, Verb.CANCEL): Place.CANCELLED,
    (Place.BLOCKED, Verb.ADMIT): Place.READY,
    (Place.BLOCKED, Verb.CANCEL): Place.CANCELLED,
    (Place.READY, Verb.CLAIM): Place.RUNNING,
    (Place.READY, Verb.CANCEL): Place.CANCELLED,
    (Place.RUNNING, Verb.COMPLETE): Place.COMPLETED,
    (Place.RUNNING, Verb.FAIL): Place.FAILED,
    (Place.RUNNING, Verb.POSTPONE): Place.SCHEDULED,
    (Place.RUNNING, Verb.RETURN): Place.READY,
    (Place.RUNNING, Verb.RESCUE): Place.READY,
    (Place.RUNNING, Verb.CANCEL): Place.RUNNING,  # asked to stop; how it ends is the handler's answer
    (Place.FAILED, Verb.RETRY): Place.READY,
    (Place.CANCELLED, Verb.RETRY): Place.READY,
    **{(place, Verb.RESCHEDULE): Place.SCHEDULED for place in WAITING},
    **{(place, Verb.PRIORITIZE): place for place in WAITING},
    **{(place, Verb.EDIT): place for place in (*WAITING, Place.FAILED, Place.CANCELLED)},
    **{(place, Verb.PURGE): GONE for place in Place if place is not Place.RUNNING},
}

MOVES: Final = MappingProxyType(_MOVES)

BEFORE_GATES: Final = MappingProxyType(
    {
        move: Place.BLOCKED
        for move, target in MOVES.items()
        if target is Place.READY and move[0] not in (Place.BLOCKED, Place.READY)
    }
)
"""Where a job with gates goes instead: whatever makes others ready puts it before its gates."""


def legal_verbs(place: Place) -> list[Verb]:
    """What may be done to a job in this place, in the order of ``Verb``."""
    return [verb for verb in Verb if (place, verb) in MOVES]
