"""Loops that go on where the last attempt stopped."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from holdfast.clock import monotonic
from holdfast.errors import ConfigurationError
from holdfast.jobs.checkpoints import NOTHING

if TYPE_CHECKING:
    from holdfast.jobs.job import Job

T = TypeVar("T")

_POSITION: Final = "items_done"


class Course:
    """Where a loop stands: what its next checkpoint says, and when it is due."""

    def __init__(self, last: Any, cursor: Callable[[Any], Any] | None, every_seconds: float) -> None:
        self._cursor = cursor
        self._every_seconds = every_seconds
        self._due_at = monotonic() + every_seconds
        self.unsaved = False
        self.mark: Any = None
        self.position = 0
        if last is not NOTHING:
            self.mark = last
            if cursor is None:
                self.position = _position_of(last)

    def passed(self, item: Any) -> None:
        """The body of the loop is done with this item."""
        self.position += 1
        self.mark = {_POSITION: self.position} if self._cursor is None else self._cursor(item)
        self.unsaved = True

    def due(self) -> bool:
        """Whether a checkpoint is to be saved now."""
        return self.unsaved and monotonic() >= self._due_at

    def saved(self) -> None:
        """The mark is durable."""
        self.unsaved = False
        self._due_at = monotonic() + self._every_seconds


async def iterate(
    job: Job, source: Any, cursor: Callable[[Any], Any] | None, every_seconds: float
) -> AsyncIterator[Any]:
    """``Job.iterate``: see there."""
    course = Course(await job.last_checkpoint(default=NOTHING), cursor, every_seconds)
    async for item in _from_here(source, course):
        yield item
        course.passed(item)
        if course.due() or job.should_stop:
            await job.checkpoint(course.mark)
            course.saved()
        if job.should_stop:
            # As when the worker cancels a handler where it waits: the job goes back, or ends as cancelled.
            raise asyncio.CancelledError
    if course.unsaved:
        await job.checkpoint(course.mark)


def iterate_sync(job: Job, source: Any, cursor: Callable[[Any], Any] | None, every_seconds: float) -> Iterator[Any]:
    """``Job.iterate_sync``: see there."""
    course = Course(job.last_checkpoint_sync(default=NOTHING), cursor, every_seconds)
    for item in _skipping(_opened(source, course), course):
        yield item
        course.passed(item)
        if course.due() or job.should_stop:
            job.checkpoint_sync(course.mark)
            course.saved()
        if job.should_stop:
            raise asyncio.CancelledError
    if course.unsaved:
        job.checkpoint_sync(course.mark)


def check(source: Any, cursor: Callable[[Any], Any] | None) -> None:
    """Raises ``ConfigurationError`` for a cursor that nobody would be asked to go on from."""
    if (cursor is None) == callable(source):
        raise ConfigurationError(
            "a loop goes on by position over items, or by cursor over a function that is given the last one",
            remedy="write job.iterate(items), or job.iterate(lambda last: rows_after(last), cursor=lambda row: row.id)",
        )


def _opened(source: Any, course: Course) -> Any:
    return source(course.mark) if callable(source) else source


async def _from_here(source: Any, course: Course) -> AsyncIterator[Any]:
    items = _opened(source, course)
    if not isinstance(items, AsyncIterable):
        for item in _skipping(items, course):
            yield item
        return
    to_skip = 0 if callable(source) else course.position
    async for item in items:
        if to_skip > 0:
            to_skip -= 1
            continue
        yield item


def _skipping(items: Iterable[Any], course: Course) -> Iterator[Any]:
    """Without what the attempts before this one have done."""
    return itertools.islice(items, course.position, None)


def _position_of(last: Any) -> int:
    if isinstance(last, dict) and isinstance(last.get(_POSITION), int):
        return int(last[_POSITION])
    raise ConfigurationError(
        f"the checkpoint of this job is not the position of a loop but {last!r}",
        remedy="use job.iterate or job.checkpoint in a task, not both",
    )
