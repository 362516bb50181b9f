"""Failures in groups: what goes wrong, how often, since when, and what people have made of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import BaseModel, Field

from holdfast.access import Permission, redacted_text
from holdfast.api.frame.acting import Acting
from holdfast.api.frame.asking import Asked, Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Body, Cursor, Id, Limit, Page, page_of
from holdfast.api.nouns.job_shapes import HIDDEN_MESSAGE, JobLine
from holdfast.jobs import FailureGroup, FailureState, JobFilter

router = NounRouter("failures")

_Fingerprint = Annotated[str, Path(max_length=64, pattern="^[0-9a-f]+$")]
_MARKS = [("mark", Permission.JOBS_RETRY), ("retry", Permission.JOBS_RETRY), ("purge", Permission.JOBS_PURGE)]
_JOBS_SHOWN = 20


class FailureOut(BaseModel):
    """Failures that are one failure: of one task, with one type of error, raised in one function."""

    fingerprint: str = Field(description="finds its jobs: the filter failure=FINGERPRINT")
    task: str
    queues: list[str]
    error_type: str
    message: str = Field(description="of the newest one; [hidden] from whoever may not see arguments")
    frame: str | None = Field(description="the function of the application in which it was raised")
    count: int
    first_at: datetime
    last_at: datetime
    sample_job: Id
    buckets: list[int] = Field(description="how many in each of the last 24 hours, the oldest first")
    state: str = Field(description="new, seen, resolved or regressed")
    note: str | None
    marked_at: datetime | None
    marked_by: str | None
    actions: list[str]

    @classmethod
    def of(cls, asked: Asked, group: FailureGroup) -> FailureOut:
        """As this principal may see it."""
        own = {"message", "count", "actions"}
        values = {name: getattr(group, name) for name in cls.model_fields if name not in own}
        return cls(
            **values,
            message=redacted_text(group.message) if asked.sees_args else HIDDEN_MESSAGE,
            count=group.failures,
            actions=asked.legal(_MARKS),
        )


class FailureDetail(FailureOut):
    """A group with the jobs of it that stand failed now, the newest first."""

    jobs: list[JobLine]
    standing: int = Field(description="how many stand failed now: those that were retried are not among them")
    standing_is_exact: bool


class MarkIn(Body):
    """What a person has made of a group."""

    state: Literal["new", "seen", "resolved"]
    note: str | None = Field(default=None, max_length=1_000)


@router.read("/failures", needs=Permission.JOBS_READ)
async def list_failures(
    asking: Asking, cursor: Cursor, queue: Annotated[str | None, Query(max_length=500)] = None, limit: Limit = 50
) -> Page[FailureOut]:
    """Groups of failures, the last to fail first."""
    queues = asking.queues_allowed
    if queue is not None:
        queues = frozenset({queue}) & (queues if queues is not None else {queue})
    after = (cursor.moment(0), cursor.text(1)) if cursor else None
    groups = await asking.failures.list(queues=queues, after=after, limit=limit + 1)
    shown, following = page_of(groups, limit, lambda group: [group.last_at, group.fingerprint])
    return Page(items=[FailureOut.of(asking, group) for group in shown], next=following)


@router.read("/failures/{fingerprint}", needs=Permission.JOBS_READ)
async def show_failure(asking: Asking, fingerprint: _Fingerprint) -> FailureDetail:
    """One group, and the newest jobs in it."""
    return await _detail(asking, fingerprint)


@router.act("/failures/{fingerprint}/mark", needs=Permission.JOBS_RETRY, audit="failure.mark")
async def mark_failure(acting: Acting, fingerprint: _Fingerprint, body: MarkIn) -> FailureDetail:
    """Say that a group was seen, is resolved, or is new again. A resolved one that fails again has regressed."""
    acting.target("failure", fingerprint)
    before = await acting.failures.show(fingerprint, queues=acting.queues_allowed)
    await acting.failures.mark(fingerprint, FailureState(body.state), note=body.note, by=acting.who.name)
    acting.note(before={"state": before.state}, after={"state": body.state}, reason=body.note)
    return await _detail(acting, fingerprint)


async def _detail(asked: Asked, fingerprint: str) -> FailureDetail:
    group = await asked.failures.show(fingerprint, queues=asked.queues_allowed)
    found = JobFilter.parse(f"failure={fingerprint}").among(asked.queues_allowed)
    groups, is_exact = await asked.jobs.preview(found, count_up_to=10_000)
    page = await asked.jobs.search(found, limit=_JOBS_SHOWN)
    infos = await asked.jobs.lines([match.id for match in page.jobs])
    return FailureDetail(
        **FailureOut.of(asked, group).model_dump(),
        jobs=await JobLine.each(asked, infos),
        standing=sum(found.jobs for found in groups),
        standing_is_exact=is_exact,
    )
