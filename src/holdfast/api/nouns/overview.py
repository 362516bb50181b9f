"""The whole at a glance: the verdict, the figures worth a tile, what fails, what people changed."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from holdfast.access import Audit, Permission, Principal
from holdfast.api.frame.answers import Out
from holdfast.api.frame.asking import Asked, Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.clock import now
from holdfast.db import DRIVER_ERRORS
from holdfast.errors import DatabaseUnavailable
from holdfast.observe import Reason, Sight, Verdict, judge, look, unavailable

router = NounRouter("overview")

_CHANGES, _AUDIT_ROWS, _FAILURES = 10, 50, 5


class SubjectOut(Out):
    """What a reason is about."""

    kind: str = Field(description="database, queue, worker, job, schedule, log or projection")
    id: str | None = Field(description="its name, or its id as text; null: there is only one")


class VerdictReasonOut(Out):
    """Why it is not OK."""

    kind: str
    severity: str = Field(description="critical: STALLED; problem: DEGRADED")
    subject: SubjectOut
    text: str
    detail: str | None = Field(description="a statement, the message of an error; null for whoever may not see it")
    remedy: str


class VerdictOut(Out):
    """How it stands, the worst reason first."""

    status: str = Field(description="OK, DEGRADED or STALLED")
    reasons: list[VerdictReasonOut]


class ProjectionTile(Out):
    """The projection that is furthest behind."""

    name: str
    state: str
    lag_events: int
    lag_seconds: float | None


class ScheduleTile(Out):
    """The schedule that is due next."""

    name: str
    next_at: datetime


class TilesOut(Out):
    """Figures of all queues together; of the last five minutes where it says so."""

    ready: int
    ready_is_exact: bool
    scheduled: int
    blocked: int
    running: int
    oldest_seconds: float | None = Field(description="how long the job that has been ready longest waits")
    completed_5m: int
    failed_5m: int
    retried_5m: int
    queues: int
    queues_paused: int
    workers: int
    slots: int
    slots_used: int
    log_settled: str
    log_behind: str
    worst_projection: ProjectionTile | None
    next_schedule: ScheduleTile | None


class RecentFailureOut(Out):
    """What failed alike in the last five minutes."""

    queue: str
    task: str
    error: str
    count: int
    message: str | None = Field(description="null for whoever may not see arguments")
    job: str = Field(description="one of them")


class ChangeOut(Out):
    """Something that a person or a program did, over HTTP or by a command."""

    id: str
    at: datetime
    actor: str
    action: str
    target_kind: str | None
    target: str | None
    reason: str | None


class OverviewOut(Out):
    """The overview. Where the database does not answer only the verdict is there."""

    at: datetime
    verdict: VerdictOut
    tiles: TilesOut | None
    failures: list[RecentFailureOut]
    changes: list[ChangeOut]


@router.read("/overview", needs=Permission.STATS_READ)
async def show_overview(asking: Asking) -> OverviewOut:
    """The verdict, tiles, the failures of the last minutes, the newest changes."""
    try:
        sight = (await look(asking.database)).of_queues(asking.queues_allowed)
    except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
        return OverviewOut(
            at=now(), verdict=verdict_out(asking.who, verdict_of_error(error)), tiles=None, failures=[], changes=[]
        )
    return OverviewOut(
        at=sight.at,
        verdict=verdict_out(asking.who, judge(sight)),
        tiles=tiles_of(asking.who, sight),
        failures=[_failure(asking, failure) for failure in sight.failures[:_FAILURES]],
        changes=await _changes(asking),
    )


@router.read("/verdict", needs=Permission.STATS_READ)
async def show_verdict(asking: Asking) -> VerdictOut:
    """Whether the whole gets on, for alerts. Always 200: what is wrong stands in it, not in the status."""
    try:
        return verdict_out(asking.who, judge((await look(asking.database)).of_queues(asking.queues_allowed)))
    except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
        return verdict_out(asking.who, verdict_of_error(error))


def verdict_out(who: Principal, verdict: Verdict) -> VerdictOut:
    """The verdict as this principal may see it."""
    return VerdictOut(
        status=verdict.status,
        reasons=[_reason(reason, detailed=who.may(Permission.JOBS_ARGS)) for reason in verdict.reasons],
    )


def _reason(reason: Reason, *, detailed: bool) -> VerdictReasonOut:
    made = VerdictReasonOut.model_validate(reason)
    return made if detailed else made.model_copy(update={"detail": None})


def verdict_of_error(error: Exception) -> Verdict:
    """The verdict where the database answered with an error, or not at all."""
    if isinstance(error, DatabaseUnavailable):
        return unavailable(error.message, error.remedy)
    return unavailable(str(error) or type(error).__name__)


def _failure(asking: Asked, failure: object) -> RecentFailureOut:
    made = RecentFailureOut.model_validate(failure)
    return made if asking.sees_args else made.model_copy(update={"message": None})


def tiles_of(who: Principal, sight: Sight) -> TilesOut:
    """The figures as this principal may see them."""
    queues, live = sight.queues, sight.live
    worst = max(sight.projected, key=lambda each: (each.lag_seconds or 0.0, each.lag_events or 0), default=None)
    may_see = who.may(Permission.PROJECTIONS_READ)
    waits = [queue.oldest_seconds for queue in queues if queue.oldest_seconds is not None]
    return TilesOut(
        ready=sum(queue.ready for queue in queues),
        ready_is_exact=all(queue.ready_is_exact for queue in queues),
        scheduled=sum(queue.scheduled for queue in queues),
        blocked=sum(queue.blocked for queue in queues),
        running=sum(queue.running for queue in queues),
        oldest_seconds=max(waits, default=None),
        completed_5m=sum(queue.completed for queue in queues),
        failed_5m=sum(queue.failed for queue in queues),
        retried_5m=sum(queue.retried for queue in queues),
        queues=len(queues),
        queues_paused=sum(queue.paused_at is not None for queue in queues),
        workers=len(live),
        slots=sum(worker.concurrency for worker in live),
        slots_used=sum(len(worker.running) for worker in live),
        log_settled=str(sight.log.settled),
        log_behind=str(max(sight.log.highest - sight.log.settled, 0)),
        worst_projection=ProjectionTile.model_validate(worst) if worst is not None and may_see else None,
        next_schedule=None
        if sight.next_schedule is None or not who.may(Permission.SCHEDULES_READ)
        else ScheduleTile.model_validate(sight.next_schedule),
    )


async def _changes(asking: Asked) -> list[ChangeOut]:
    if not asking.may(Permission.AUDIT_READ) or asking.queues_allowed is not None:
        return []
    rows = await Audit(asking.database).list(limit=_AUDIT_ROWS)
    done = [row for row in rows if row.result == "done"][:_CHANGES]
    return [
        ChangeOut(
            id=str(row.id),
            at=row.at,
            actor=row.actor,
            action=row.action,
            target_kind=row.target_kind,
            target=row.target,
            reason=row.reason,
        )
        for row in done
    ]
