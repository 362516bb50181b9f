"""What an answer other than the wanted one means to somebody who asked for one job."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from holdfast.errors import IllegalMove, JobNotFound
from holdfast.jobs.states import MOVES, Place, Verb, legal_verbs

BY_PERSONS: Final = MappingProxyType(
    {
        Verb.RETRY: ("retry", "retried"),
        Verb.CANCEL: ("cancel", "cancelled"),
        Verb.RESCHEDULE: ("reschedule", "rescheduled"),
        Verb.PRIORITIZE: ("priority", "given another priority"),
        Verb.EDIT: ("edit", "edited"),
        Verb.PURGE: ("purge", "purged"),
    }
)
"""Verbs of people: the word they say, and what a job has been then."""
_DONE: Final = MappingProxyType({Verb.CANCEL: ("cancelled", "requested"), Verb.PURGE: ("purged",)})


def actions(state: str) -> tuple[str, ...]:
    """What people may do with a job in this state, in their words."""
    return tuple(BY_PERSONS[verb][0] for verb in legal_verbs(Place(state)) if verb in BY_PERSONS)


def demand(job_id: int, verb: Verb, answer: str) -> None:
    """Pass what a verb answers when it did it. Raises ``JobNotFound``, or ``IllegalMove`` with state and legal actions.

    ``answer``: as the verbs of ``app.jobs`` answer, or the place in which the job stands.
    """
    if answer in _DONE.get(verb, ("moved",)):
        return
    if answer == "unknown":
        raise unknown(job_id)
    done = BY_PERSONS[verb][1]
    if answer not in set(Place) or (answer, verb) in MOVES:
        raise IllegalMove(f"job {job_id} is held by somebody else and was not {done}", remedy="try again")
    raise refusal(job_id, verb, Place(answer))


def refusal(job_id: int, verb: Verb, place: Place) -> IllegalMove:
    """The verb is not legal in this place: the error that says which are."""
    legal = actions(place)
    refused = IllegalMove(
        f"job {job_id} is {place} and cannot be {BY_PERSONS[verb][1]}",
        remedy=f"what can be done with it: {', '.join(legal) or 'nothing'}",
    )
    refused.state, refused.actions = place, legal
    return refused


def unknown(job_id: int) -> JobNotFound:
    """There is no such job."""
    return JobNotFound(
        f"there is no job {job_id}", remedy="it was never enqueued, somebody purged it, or retention let go of it"
    )
