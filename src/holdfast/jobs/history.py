"""What happened to one job, and its life as people read it: in order, and what is to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.db import Database, load_statements
from holdfast.jobs.states import FINAL, Place

_SQL = load_statements("holdfast.jobs", "history.sql")


class Moment(Struct, frozen=True, kw_only=True):
    """One thing that happened. ``ended_at``: an attempt took from ``at`` until then; None: it goes on, or is a point.

    ``what``: enqueued, attempt, lost, edited, linked, asked (to stop), due, completed, failed, cancelled. An attempt
    says how it ended (``outcome``: failed, completed, cancelled, running).
    """

    at: datetime
    what: str
    ended_at: datetime | None = None
    outcome: str | None = None
    attempt: int | None = None
    worker: int | None = None
    error: Mapping[str, Any] | None = None
    reason: str | None = None
    args: Any = None
    priority: int | None = None
    engine: str | None = None
    external_id: str | None = None
    log_url: str | None = None
    counted: bool | None = None


async def history(database: Database, job_id: int) -> list[dict[str, Any]]:
    """Every event of a job, oldest first: failed attempts, losses, engines, edits, the wish that it end."""
    attempts = await database.fetch(_SQL["attempts"], job_id)
    losses = await database.fetch(_SQL["losses"], job_id)
    edits = await database.fetch(_SQL["edits"], job_id)
    links = await database.fetch(_SQL["links"], job_id)
    events = [
        {
            "what": "failed",
            "at": row["finished_at"],
            "started_at": row["started_at"],
            "attempt": row["attempt"],
            "worker": row["worker"],
            "error": _json(row["error"]),
        }
        for row in attempts
    ]
    events += [
        {
            "what": "lost",
            "at": row["lost_at"],
            "worker": row["worker"],
            "counted": row["counted"],
            "reason": row["reason"],
        }
        for row in losses
    ]
    events += [
        {
            "what": "edited",
            "at": row["edited_at"],
            "reason": row["reason"],
            "args": _json(row["args"]),
            "priority": row["priority"],
        }
        for row in edits
    ]
    events += [
        {
            "what": "linked",
            "at": row["linked_at"],
            "attempt": row["attempt"],
            "worker": row["worker"],
            "engine": row["engine"],
            "external_id": row["external_id"],
            "log_url": row["log_url"],
        }
        for row in links
    ]
    asked = await database.fetch(_SQL["asked"], job_id)
    events += [{"what": "asked", "at": row["requested_at"], "reason": row["reason"]} for row in asked]
    return sorted(events, key=lambda event: event["at"])


def timeline(info: Any, events: Sequence[Mapping[str, Any]]) -> list[Moment]:
    """Put together what ``show`` and ``history`` say of a job; what is due later comes last."""
    moments = [Moment(at=info.enqueued_at, what="enqueued")]
    moments += [_told(event) for event in events]
    state = Place(info.state)
    if state in FINAL and info.finished_at is not None:
        if info.started_at is not None:
            moments.append(_attempt(info, ended_at=info.finished_at, outcome=info.state))
        reason = (info.error or {}).get("message") if state is Place.CANCELLED else None
        moments.append(Moment(at=info.finished_at, what=info.state, error=info.error, reason=reason))
    elif state is Place.RUNNING and info.started_at is not None:
        moments.append(_attempt(info, ended_at=None, outcome="running"))
    if info.due_at is not None:
        moments.append(Moment(at=info.due_at, what="due", attempt=info.attempt))
    return sorted(moments, key=lambda moment: (moment.at, moment.what == info.state))


def _attempt(info: Any, *, ended_at: datetime | None, outcome: str) -> Moment:
    return Moment(
        at=info.started_at,
        what="attempt",
        ended_at=ended_at,
        outcome=outcome,
        attempt=info.attempt,
        worker=info.worker,
        error=info.error,
    )


def _told(event: Mapping[str, Any]) -> Moment:
    if event["what"] == "failed":
        started_at = event["started_at"] or event["at"]
        return Moment(
            at=started_at,
            what="attempt",
            ended_at=event["at"],
            outcome="failed",
            attempt=event["attempt"],
            worker=event["worker"],
            error=event["error"],
        )
    return Moment(**event)


def _json(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
