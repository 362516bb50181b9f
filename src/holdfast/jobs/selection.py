"""The jobs that a filter finds: looked at first, then moved all together, some hundreds a transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from holdfast.jobs.filter import JobFilter
from holdfast.jobs.states import MOVES, Place, Verb

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Found:
    """Jobs of one task in one state, with one type of error. ``oldest`` and ``newest`` are ids."""

    state: str
    task: str
    error_type: str | None
    jobs: int
    oldest: int
    newest: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What a verb would move. ``jobs`` is a lower bound unless ``is_exact``."""

    jobs: int
    is_exact: bool
    groups: Sequence[Found]


class Verbs(Protocol):
    """What a selection needs of ``app.jobs``."""

    async def preview(self, found: JobFilter, *, count_up_to: int) -> Sequence[Found]:
        """What a filter finds, in groups."""
        ...

    async def find(self, found: JobFilter, *, before: int | None = None, limit: int = 50) -> Sequence[int]:
        """The newest ids that a filter finds."""
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

    Jobs are taken newest first, from a point that is set when the verb begins: what is enqueued meanwhile is left out.
    A verb that is interrupted has moved some of them; say it again.
    """

    def __init__(self, found: JobFilter, jobs: Verbs) -> None:
        self.filter = found
        self._jobs = jobs

    async def preview(self, verb: Verb | None = None, *, count_up_to: int = 10_000) -> Preview:
        """What the filter finds, or what ``verb`` would take of it, by state, task and type of error."""
        found = self.filter if verb is None else self._legal(verb)
        groups = await self._jobs.preview(found, count_up_to=count_up_to)
        total = sum(group.jobs for group in groups)
        return Preview(total, total < count_up_to, groups)

    async def ids(self, *, before: int | None = None, limit: int = 50) -> Sequence[int]:
        """The newest ids."""
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
        async for ids in self._pages(found):
            answers.update((await verb(ids)).values())
        return dict(answers)

    async def _pages(self, found: JobFilter) -> AsyncIterator[Sequence[int]]:
        before: int | None = None
        while ids := await self._jobs.find(found, before=before, limit=_AT_ONCE):
            yield ids
            before = ids[-1]
