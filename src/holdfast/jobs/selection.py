"""The jobs that a filter finds: looked at first, then moved all together, some hundreds a transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from msgspec import Struct

from holdfast.jobs.filter import JobFilter
from holdfast.jobs.search import Found, Matches
from holdfast.jobs.states import FINAL, MOVES, Place, Verb

_AT_ONCE = 500


class Preview(Struct, frozen=True):
    """What a verb would move. ``jobs`` is a lower bound unless ``is_exact``."""

    jobs: int
    is_exact: bool
    groups: Sequence[Found]


class Verbs(Protocol):
    """What a selection needs of ``app.jobs``."""

    async def preview(self, found: JobFilter, *, count_up_to: int) -> tuple[Sequence[Found], bool]:
        """What a filter finds, in groups, and whether that is all."""
        ...

    async def find(self, found: JobFilter, *, before: int | None = None, limit: int = 50) -> Sequence[int]:
        """The newest ids that a filter finds."""
        ...

    async def search(
        self,
        found: JobFilter,
        *,
        after: str | None = None,
        below_id: int | None = None,
        limit: int = 50,
        patience_seconds: float | None = 0.06,
    ) -> Matches:
        """A page of what a filter finds."""
        ...

    async def next_id(self) -> int:
        """What is enqueued from now on has no lower id."""
        ...

    async def cancel(self, *job_ids: int, reason: str | None = None) -> dict[int, str]:
        """Cancel these."""
        ...

    async def redrive(self, *job_ids: int) -> dict[int, str]:
        """Run these again."""
        ...

    async def reschedule(
        self, *job_ids: int, run_in: float | str | timedelta | None = None, run_at: datetime | None = None
    ) -> dict[int, str]:
        """Run these at another time."""
        ...

    async def prioritize(self, *job_ids: int, priority: int) -> dict[int, str]:
        """Give these another priority."""
        ...

    async def purge(self, *job_ids: int) -> dict[int, str]:
        """Delete these."""
        ...


class Selection:
    """``app.jobs.where(…)``. Each verb takes only jobs in places where it is legal, and counts the answers.

    Jobs are taken place by place, the newest first; what is enqueued after the verb began is left out. A verb that is
    interrupted has moved some of them; say it again, or let workers do it (``app.operations``).
    """

    def __init__(self, found: JobFilter, jobs: Verbs) -> None:
        self.filter = found
        self._jobs = jobs

    async def preview(self, verb: Verb | None = None, *, count_up_to: int = 10_000) -> Preview:
        """What the filter finds, or what ``verb`` would take of it, by state, task and type of error."""
        found = self.filter if verb is None else self._legal(verb)
        groups, is_exact = await self._jobs.preview(found, count_up_to=count_up_to)
        return Preview(sum(group.jobs for group in groups), is_exact, groups)

    async def ids(self, *, before: int | None = None, limit: int = 50) -> Sequence[int]:
        """The newest ids, below ``before``; of ready jobs alone, those that became ready last."""
        return await self._jobs.find(self.filter, before=before, limit=limit)

    async def cancel(self, *, reason: str | None = None) -> Mapping[str, int]:
        """Cancel what waits, ask what runs to stop."""
        return await self._move(self._legal(Verb.CANCEL), lambda ids: self._jobs.cancel(*ids, reason=reason))

    async def redrive(self, *, cancelled: bool = False) -> Mapping[str, int]:
        """Run the dead letters again: what has failed, and what was ``cancelled`` as well if told so."""
        places = (Place.FAILED, Place.CANCELLED) if cancelled else (Place.FAILED,)
        return await self._move(self.filter.within(*places), lambda ids: self._jobs.redrive(*ids))

    async def reschedule(
        self, *, run_in: float | str | timedelta | None = None, run_at: datetime | None = None
    ) -> Mapping[str, int]:
        """Let what waits be due at another time."""
        return await self._move(
            self._legal(Verb.RESCHEDULE), lambda ids: self._jobs.reschedule(*ids, run_in=run_in, run_at=run_at)
        )

    async def prioritize(self, priority: int) -> Mapping[str, int]:
        """Give what waits another priority."""
        return await self._move(
            self._legal(Verb.PRIORITIZE), lambda ids: self._jobs.prioritize(*ids, priority=priority)
        )

    async def purge(self) -> Mapping[str, int]:
        """Delete what does not run."""
        return await self._move(self._legal(Verb.PURGE), lambda ids: self._jobs.purge(*ids))

    def _legal(self, verb: Verb) -> JobFilter:
        return self.filter.within(*(place for place in Place if (place, verb) in MOVES))

    async def _move(
        self, found: JobFilter, verb: Callable[[Sequence[int]], Awaitable[Mapping[int, Any]]]
    ) -> Mapping[str, int]:
        answers: Counter[str] = Counter()
        below = await self._jobs.next_id()
        for place in in_order(found.places):
            async for ids in self._pages(found.within(place), below):
                answers.update((await verb(ids)).values())
        return dict(answers)

    async def _pages(self, found: JobFilter, below: int) -> AsyncIterator[Sequence[int]]:
        after: str | None = None
        while True:
            page = await self._jobs.search(found, after=after, below_id=below, limit=_AT_ONCE, patience_seconds=None)
            if page.jobs:
                yield [match.id for match in page.jobs]
            if page.next is None:
                return
            after = page.next


def in_order(places: Collection[Place], *, now: bool = False) -> list[Place]:
    """Places in an order in which what a verb moves is not met again.

    Along the way that jobs go, so that what moves on by itself is met later. ``now``: the verb makes jobs ready, so
    those that are ready come first.
    """
    way = (Place.READY, Place.BLOCKED, Place.SCHEDULED) if now else (Place.SCHEDULED, Place.BLOCKED, Place.READY)
    return [place for place in (*way, Place.RUNNING, *sorted(FINAL)) if place in places]
