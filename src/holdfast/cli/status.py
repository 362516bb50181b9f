"""``holdfast status``: one screen, the verdict first."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import typer

from holdfast.app import Holdfast
from holdfast.cli.connection import on_application
from holdfast.cli.options import AsJson, DatabaseUrl
from holdfast.cli.queue_screen import queue_table, worker_table
from holdfast.cli.screen import number, screen
from holdfast.clock import now
from holdfast.jobs import QueueInfo, span
from holdfast.schedules import ScheduleInfo

_UNHEALTHY = 5
_LATE_SECONDS = 60.0
_COLORS = {"OK": "bold green", "DEGRADED": "bold yellow", "STALLED": "bold red"}


class Verdict(StrEnum):
    """How it stands as a whole."""

    OK = "OK"
    DEGRADED = "DEGRADED"  # something needs a person, the rest goes on
    STALLED = "STALLED"  # jobs are ready, and nobody works on any of them


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict and what led to it, the worst first."""

    verdict: Verdict
    reasons: list[str]


def status(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Say how it stands. Exit status 0 when all is well, 5 when it is not."""

    async def work(app: Holdfast) -> tuple[list[QueueInfo], list[dict[str, Any]], Sequence[ScheduleInfo]]:
        return await app.queues.list(), await app.queues.workers(), await app.schedules.list()

    queues, workers, schedules = on_application(database_url, work)
    judgement = judge(queues, workers, overdue(schedules))
    if as_json:
        screen.json({"verdict": judgement.verdict, "reasons": judgement.reasons, "queues": queues, "workers": workers})
    else:
        _show(judgement, queues, workers)
    if judgement.verdict is not Verdict.OK:
        raise typer.Exit(_UNHEALTHY)


def overdue(schedules: Sequence[ScheduleInfo]) -> list[str]:
    """What to say of schedules that were due for longer than a worker takes to decide."""
    late = [
        (one.name, (now() - one.due_at).total_seconds())
        for one in schedules
        if one.state == "active" and one.due_at is not None
    ]
    return [
        f"schedule {name}: due {span(seconds)} ago, and no worker has decided about it"
        for name, seconds in late
        if seconds > _LATE_SECONDS
    ]


def judge(queues: Sequence[QueueInfo], workers: Sequence[Mapping[str, Any]], missed: Sequence[str] = ()) -> Judgement:
    """Pure: from what the database says to what a person should do."""
    live = [worker for worker in workers if worker["state"] == "live"]
    unheard = [queue for queue in queues if _waits(queue) and not _listeners(queue.name, live)]
    waiting = [queue for queue in queues if _waits(queue)]
    reasons = [_nobody_listens(queue, live) for queue in unheard]
    reasons += [
        f"queue {queue.name}: {_depth(queue)}, its workers do not keep up"
        for queue in waiting
        if queue not in unheard and (queue.oldest_seconds or 0) > _LATE_SECONDS
    ]
    reasons += [
        f"queue {queue.name}: paused"
        + (f" ({queue.pause_reason})" if queue.pause_reason else "")
        + f", {_depth(queue)}"
        for queue in queues
        if queue.paused_at and queue.ready
    ]
    reasons += [
        f"worker {worker['name'] or worker['id']} on {worker['host']}: {worker['end_reason']}"
        for worker in workers
        if worker["state"] != "live" and worker["end_reason"] != "stopped"
    ]
    reasons += missed
    stalled = bool(unheard) and len(unheard) == len(waiting)
    return Judgement(Verdict.STALLED if stalled else Verdict.DEGRADED if reasons else Verdict.OK, reasons)


def _waits(queue: QueueInfo) -> bool:
    return bool(queue.ready) and queue.paused_at is None


def _listeners(name: str, live: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [worker for worker in live if name in worker["queues"]]


def _depth(queue: QueueInfo) -> str:
    exact = "" if queue.ready_is_exact else "more than "
    return f"{exact}{number(queue.ready)} ready, oldest {span(queue.oldest_seconds)}"


def _nobody_listens(queue: QueueInfo, live: Sequence[Mapping[str, Any]]) -> str:
    told = f"queue {queue.name}: {_depth(queue)}, no worker listens"
    heard = sorted({name for worker in live for name in worker["queues"]})
    if not live:
        return f"{told} (no worker is live: holdfast worker --app …)"
    near = difflib.get_close_matches(queue.name, heard, n=1)
    if not near:
        return f"{told} (workers listen to {', '.join(heard)})"
    worker = _listeners(near[0], live)[0]
    return f'{told} (did you mean "{near[0]}"? worker {worker["name"] or worker["id"]} does)'


def _show(judgement: Judgement, queues: Sequence[QueueInfo], workers: Sequence[Mapping[str, Any]]) -> None:
    running, ready = sum(queue.running for queue in queues), sum(queue.ready for queue in queues)
    live = sum(worker["state"] == "live" for worker in workers)
    quiet = f"{live} workers, {number(running)} running, {number(ready)} ready"
    first, *others = judgement.reasons or [quiet]
    screen.out.print(f"[{_COLORS[judgement.verdict]}]{judgement.verdict}[/]  ", end="")
    screen.write(first)
    for reason in others:
        screen.write(" " * (len(judgement.verdict) + 2) + reason)
    if queues:
        screen.write("")
        screen.out.print(queue_table(queues))
    worth_telling = [worker for worker in workers if worker["end_reason"] != "stopped"]
    if worth_telling:
        screen.write("")
        screen.out.print(worker_table(worth_telling))
