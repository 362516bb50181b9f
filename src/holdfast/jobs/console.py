"""What people and programs ask of jobs and queues: show, list, wait, cancel, retry, pause, resume."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
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
from holdfast.jobs.batches import page_of
from holdfast.jobs.durations import seconds_of
from holdfast.jobs.log_lines import LogLine
from holdfast.jobs.log_reading import LogReader
from holdfast.jobs.reports import Progress
from holdfast.jobs.states import FINAL, Place, Verb, legal_verbs
from holdfast.jobs.why import Why, why_job
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
    progress: Progress | None = None
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue as people see it. ``ready`` is a lower bound unless ``ready_is_exact``; totals lag a few seconds."""

    name: str
    ready: int
    ready_is_exact: bool
    oldest_seconds: float | None
    scheduled: int
    blocked: int
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

    async def why(self, job_id: int) -> Why:
        """Why a job does not run (or does, or has): every reason, with its owner. Raises ``JobNotFound``."""
        found = await why_job(self._database, job_id)
        if found is None:
            raise _unknown(job_id)
        return found

    async def logs(self, job_id: int, *, limit: int = 1_000) -> Sequence[LogLine]:
        """The first log lines of a job, in the order they were said. Raises ``JobNotFound``."""
        lines = await LogReader(self._database, job_id).more(limit)
        if not lines and await self._state(job_id) is None:
            raise _unknown(job_id)
        return lines

    async def follow_logs(self, job_id: int) -> AsyncIterator[LogLine]:
        """Log lines of a job as they come, until it has ended. Raises ``JobNotFound``."""

        async def has_ended() -> bool:
            return await self._state(job_id) in FINAL

        if await self._state(job_id) is None:
            raise _unknown(job_id)
        async for line in LogReader(self._database, job_id).follow(has_ended):
            yield line

    async def children(self, job_id: int) -> AsyncIterator[JobInfo]:
        """The jobs of the batches that a job opened, or was called back for, with their results; read in portions."""
        async for info in self.pages("children", job_id):
            yield info

    async def pages(self, what: str, owner: int) -> AsyncIterator[JobInfo]:
        """The ``members`` of a batch or the ``children`` of a job, oldest id first."""
        after = 0
        while ids := await page_of(self._database, what, owner, after):
            after = ids[-1]
            for info in reversed(await self._show(ids)):
                yield info

    async def enqueue_by_name(
        self,
        task: str,
        args: Mapping[str, Any],
        *,
        queue: str | None = None,
        priority: int | None = None,
        run_in: float | str | timedelta | None = None,
        unique: str | None = None,
        lane: str | None = None,
    ) -> int:
        """Enqueue without the application's code: what a worker declared about the task counts, its signature does not.

        Raises ``TaskUnknown`` for a task that no worker has declared when no queue is given, ``ArgumentsInvalid``, and
        ``ConfigurationError`` when only the application can work out the key of a limit.
        """
        delay = None if run_in is None else seconds_of(run_in)
        text = msgspec.json.encode(args).decode()
        try:
            stored = await self._database.fetchval(
                _SQL["enqueue_by_name"], task, text, queue, priority, delay, unique, lane
            )
        except DRIVER_ERRORS as error:
            if getattr(error, "sqlstate", None) == "HF007":
                raise ConfigurationError(
                    _first_line(error), remedy="enqueue it with --app, or declare the limit by the name of an argument"
                ) from None
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
                    "progress": row["progress"] and msgspec.json.decode(row["progress"], type=Progress),
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

    async def pause(self, queue: str, *, reason: str | None = None, by: str | None = None) -> bool:
        """Claim nothing more from a queue; what runs, runs on. ``by``: who to ask about it. False: it was paused."""
        changed = bool(await self._database.fetchval(_SQL["pause_queue"], queue, reason, by))
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

    async def left_to_run(self, queues: Sequence[str], *, horizon_seconds: float) -> tuple[bool, bool, bool]:
        """Whether these queues hold jobs to run, or retries due within the horizon; whether a batch may be ending.

        Jobs of workers that look dead are about to be put back: they count as jobs to run.
        """
        row = await self._database.fetchrow(_SQL["left_to_run"], list(queues), horizon_seconds)
        return bool(row["ready"] or row["left_behind"]), bool(row["retries"]), bool(row["settling"])

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
