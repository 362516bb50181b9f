"""What people and programs ask of jobs and queues: show, list, wait, cancel, retry, pause, resume."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Fault, classify, load_statements
from holdfast.errors import (
    ArgumentsInvalid,
    ConfigurationError,
    IllegalMove,
    JobFailed,
    JobNotFound,
    TaskUnknown,
    TimedOut,
)
from holdfast.jobs.durations import seconds_of
from holdfast.jobs.states import FINAL, Place, Verb, legal_verbs
from holdfast.telemetry import emit

_SQL = load_statements("holdfast.jobs", "console.sql")
_NEWEST = 2**63 - 1
_STATES = {Place.COMPLETED: 1, Place.FAILED: 2, Place.CANCELLED: 3}


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as people see it."""

    id: int
    task: str
    queue: str
    state: str
    priority: int
    args: Any
    attempt: int
    max_attempts: int | None
    timeout_seconds: float | None
    enqueued_at: datetime
    due_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    worker: int | None
    result: Any
    error: dict[str, Any] | None
    unique_key: str | None
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue as people see it. ``ready`` is a lower bound unless ``ready_is_exact``; totals lag a few seconds."""

    name: str
    ready: int
    ready_is_exact: bool
    oldest_seconds: float | None
    scheduled: int
    running: int
    paused_at: datetime | None
    pause_reason: str | None
    completed: int
    failed: int
    cancelled: int
    retried: int
    lost: int
    unfinished_about: int


class Jobs:
    """``app.jobs``: jobs that exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def show(self, job_id: int) -> JobInfo:
        """One job. Raises ``JobNotFound``."""
        found = await self._show([job_id])
        if not found:
            raise _unknown(job_id)
        return found[0]

    async def history(self, job_id: int) -> list[dict[str, Any]]:
        """Failed attempts and losses of a job, oldest first: what, when, on which worker, and the error."""
        attempts = await self._database.fetch(_SQL["attempts"], job_id)
        losses = await self._database.fetch(_SQL["losses"], job_id)
        events = [
            {
                "what": "failed",
                "at": row["finished_at"],
                "attempt": row["attempt"],
                "worker": row["worker"],
                "error": _json(row["error"]),
            }
            for row in attempts
        ] + [
            {"what": "lost", "at": row["lost_at"], "worker": row["worker"], "counted": row["counted"]} for row in losses
        ]
        return sorted(events, key=lambda event: event["at"])

    async def enqueue_by_name(
        self,
        task: str,
        args: Mapping[str, Any],
        *,
        queue: str | None = None,
        priority: int | None = None,
        run_in: float | str | timedelta | None = None,
        unique: str | None = None,
    ) -> int:
        """Enqueue without the application's code: what a worker declared about the task counts, its signature does not.

        Raises ``TaskUnknown`` for a task that no worker has declared when no queue is given, ``ArgumentsInvalid``.
        """
        delay = None if run_in is None else seconds_of(run_in)
        text = msgspec.json.encode(args).decode()
        try:
            stored = await self._database.fetchval(_SQL["enqueue_by_name"], task, text, queue, priority, delay, unique)
        except DRIVER_ERRORS as error:
            if getattr(error, "sqlstate", None) == "HF005":
                raise TaskUnknown(
                    _first_line(error), remedy="start a worker of the application once, or name the queue"
                ) from None
            if classify(error) is Fault.ROW:
                raise ArgumentsInvalid(
                    f"the job cannot be stored: {_first_line(error)}", remedy="look at its values"
                ) from None
            raise
        return int(stored)

    async def cancel(self, *job_ids: int, reason: str | None = None) -> dict[int, str]:
        """Cancel jobs: ``cancelled`` (it waited), ``requested`` (it runs), ``finished`` or ``unknown``."""
        rows = await self._database.fetch(_SQL["cancel"], list(job_ids), reason)
        return {row["job_id"]: row["answer"] for row in rows}

    async def retry(self, job_id: int) -> None:
        """Run a failed or cancelled job again, a scheduled one now. Raises ``JobNotFound``, ``IllegalMove``."""
        answer = await self._database.fetchval(_SQL["retry"], job_id)
        if answer == "unknown":
            raise _unknown(job_id)
        if answer != "moved":
            legal = (
                ", ".join(verb for verb in legal_verbs(Place(answer)) if verb in (Verb.CANCEL, Verb.RETRY)) or "nothing"
            )
            raise IllegalMove(
                f"job {job_id} is {answer} and cannot be retried", remedy=f"what can be done with it: {legal}"
            )

    async def wait(self, job_id: int, *, timeout_seconds: float | None = None) -> JobInfo:
        """Wait until a job has ended, and return it. Raises ``JobNotFound``, ``TimedOut``."""
        give_up_at = None if timeout_seconds is None else monotonic() + timeout_seconds
        pause = 0.01
        while True:
            state = await self._state(job_id)
            if state is None:
                raise _unknown(job_id)
            if state in FINAL:
                return await self.show(job_id)
            if give_up_at is not None and monotonic() >= give_up_at:
                raise TimedOut(
                    f"job {job_id} is {state} after {timeout_seconds:g} s",
                    remedy=f"look at it: holdfast job show {job_id}",
                )
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    async def result(self, job_id: int, *, timeout_seconds: float | None = None) -> Any:
        """Wait for a job and return its result. Raises ``JobFailed`` when it failed or was cancelled."""
        info = await self.wait(job_id, timeout_seconds=timeout_seconds)
        if info.state != Place.COMPLETED:
            error = info.error or {}
            raise JobFailed(f"job {job_id} {info.state}: {error.get('type', '')} {error.get('message', '')}".strip())
        return info.result

    async def _state(self, job_id: int) -> str | None:
        rows = await self._database.fetch(_SQL["states"], [job_id])
        return rows[0]["place"] if rows else None

    async def _show(self, job_ids: Sequence[int]) -> Sequence[JobInfo]:
        if not job_ids:
            return []
        rows = await self._database.fetch(_SQL["show"], list(job_ids))
        return [
            JobInfo(
                **{
                    **dict(row),
                    "args": _json(row["args"]),
                    "result": _json(row["result"]),
                    "error": _json(row["error"]),
                }
            )
            for row in rows
        ]

    async def list(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[JobInfo]:
        """The newest jobs first; ``before``: the id to go on from. ``ConfigurationError`` for an unknown state."""
        if state is not None and state not in set(Place):
            raise ConfigurationError(f"there is no state {state!r}", remedy=f"states are {', '.join(Place)}")
        name, extra = ("page_all", ()) if state is None else (f"page_{state}", ())
        if state in _STATES:
            name, extra = "page_finished", (_STATES[Place(state)],)  # type: ignore[assignment]
        rows = await self._database.fetch(_SQL[name], before or _NEWEST, queue, task, limit, *extra)
        return await self._show([row[0] for row in rows])


class Queues:
    """``app.queues``: the lines that jobs wait in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pause(self, queue: str, *, reason: str | None = None) -> bool:
        """Claim nothing more from a queue; what runs, runs on. False: it was paused already."""
        changed = bool(await self._database.fetchval(_SQL["pause_queue"], queue, reason))
        if changed:
            emit("jobs.queue.paused", queue=queue)
        return changed

    async def resume(self, queue: str) -> bool:
        """Claim from a queue again. False: it was not paused."""
        changed = bool(await self._database.fetchval(_SQL["resume_queue"], queue))
        if changed:
            emit("jobs.queue.resumed", queue=queue)
        return changed

    async def workers(self, *, dead_within_seconds: float = 600.0) -> list[dict[str, Any]]:
        """Live workers, and those that ended within the last ten minutes."""
        return [dict(row) for row in await self._database.fetch(_SQL["workers"], dead_within_seconds)]

    async def left_to_run(self, queues: Sequence[str], *, horizon_seconds: float) -> bool:
        """Whether these queues hold ready jobs, retries due within the horizon, or jobs of workers that look dead."""
        row = await self._database.fetchrow(_SQL["left_to_run"], list(queues), horizon_seconds)
        return bool(row["ready"] or row["retries"] or row["left_behind"])

    async def backlog(self, queues: Sequence[str], *, count_up_to: int = 100_000) -> int:
        """How many jobs of these queues are ready, counted up to a limit."""
        return int(await self._database.fetchval(_SQL["backlog"], list(queues), count_up_to))

    async def list(self, *, count_up_to: int = 10_000) -> list[QueueInfo]:
        """Every queue that has jobs, had some, is paused, or has a worker."""
        rows = await self._database.fetch(_SQL["depths"], count_up_to)
        return [QueueInfo(row["queue"], *tuple(row)[1:]) for row in rows]


def _json(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _unknown(job_id: int) -> JobNotFound:
    return JobNotFound(f"there is no job {job_id}", remedy="it was never enqueued, or retention has let go of it")
