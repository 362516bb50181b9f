"""What people and programs ask of jobs and queues: show, list, wait, and the verbs that move them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Fault, classify, load_statements
from holdfast.errors import (
    ArgumentsInvalid,
    ConfigurationError,
    JobFailed,
    TaskUnknown,
    TimedOut,
)
from holdfast.jobs.batches import page_of
from holdfast.jobs.durations import seconds_of
from holdfast.jobs.filter import JobFilter, quoted
from holdfast.jobs.history import Moment, history, timeline
from holdfast.jobs.log_lines import LogLine
from holdfast.jobs.log_reading import LogReader, log_page
from holdfast.jobs.new_job import JobId
from holdfast.jobs.refusals import demand, unknown
from holdfast.jobs.reports import Progress
from holdfast.jobs.search import Found, Matches, count, search
from holdfast.jobs.selection import Selection
from holdfast.jobs.signature import Signature
from holdfast.jobs.states import FINAL, MOVES, WAITING, Place, Verb
from holdfast.jobs.why import Why, why_job

_SQL = load_statements("holdfast.jobs", "console.sql")
_NEWEST = 2**63 - 1
_STATES = {Place.COMPLETED: 1, Place.FAILED: 2, Place.CANCELLED: 3}
_PATIENCE_SECONDS = (0.01, 0.03, 0.1, 0.3)
"""Pauses between tries when somebody holds the place of a waiting job: a claim, or an enqueue with its unique key."""


class JobInfo(Struct, frozen=True):
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


class TaskInfo(Struct, frozen=True):
    """A task as workers have declared it. ``failures``: jobs of it that failed for good and are still remembered."""

    name: str
    queue: str
    priority: int
    max_attempts: int
    timeout_seconds: float | None
    declared_at: datetime
    failures: int


class Jobs:
    """``app.jobs``: jobs that exist."""

    def __init__(
        self, database: Database, signature_of: Callable[[str], Signature | None] = lambda _task: None
    ) -> None:
        """``signature_of`` knows the tasks whose arguments can be checked here."""
        self._database = database
        self._signature_of = signature_of

    async def show(self, job_id: int) -> JobInfo:
        """One job. Raises ``JobNotFound``."""
        found = await self._show([job_id])
        if not found:
            raise unknown(job_id)
        return found[0]

    async def history(self, job_id: int) -> list[dict[str, Any]]:
        """What happened to a job, oldest first: failed attempts, losses, engines it ran on, what people did to it."""
        return await history(self._database, job_id)

    async def timeline(self, job_id: int) -> list[Moment]:
        """The life of a job as people read it, what is due last. Raises ``JobNotFound``."""
        return timeline(await self.show(job_id), await self.history(job_id))

    async def why(self, job_id: int) -> Why:
        """Why a job does not run (or does, or has): every reason, with its owner. Raises ``JobNotFound``."""
        found = await why_job(self._database, job_id)
        if found is None:
            raise unknown(job_id)
        return found

    async def logs(self, job_id: int, *, limit: int = 1_000) -> Sequence[LogLine]:
        """The first log lines of a job, in the order they were said. Raises ``JobNotFound``."""
        lines = await LogReader(self._database, job_id).more(limit)
        if not lines and await self._state(job_id) is None:
            raise unknown(job_id)
        return lines

    async def log_page(
        self, job_id: int, *, after: tuple[int, int] | None = None, limit: int = 200
    ) -> Sequence[LogLine]:
        """The next log lines after the line ``number`` of a lease (``after``: lease and number), in their order."""
        return await log_page(self._database, job_id, after, limit)

    async def follow_logs(self, job_id: int) -> AsyncIterator[LogLine]:
        """Log lines of a job as they come, until it has ended. Raises ``JobNotFound``."""

        async def has_ended() -> bool:
            return await self._state(job_id) in FINAL

        if await self._state(job_id) is None:
            raise unknown(job_id)
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
        run_at: datetime | None = None,
        unique: str | None = None,
        lane: str | None = None,
    ) -> JobId:
        """Enqueue without the application's code: what a worker declared about the task counts, its signature does not.

        Raises ``TaskUnknown`` for a task that no worker has declared when no queue is given, ``ArgumentsInvalid``, and
        ``ConfigurationError`` when only the application can work out the key of a limit.
        """
        delay = None if run_in is None else seconds_of(run_in)
        text = msgspec.json.encode(args).decode()
        try:
            stored = await self._database.fetchrow(
                _SQL["enqueue_by_name"], task, text, queue, priority, delay, unique, lane, run_at
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
        return JobId(stored["id"], existing=stored["existing"])

    async def cancel(self, *job_ids: int, reason: str | None = None) -> dict[int, str]:
        """Cancel jobs: ``cancelled`` (it waited), ``requested`` (it runs), ``finished`` or ``unknown``.

        A job that waits and whose place somebody holds, an operator's retry that is still open for example, is tried
        again for half a second. After that the request stands (``requested``): the job never runs, and the next claim
        ends it as cancelled.
        """
        answers: dict[int, str] = {}
        left = list(job_ids)
        for pause in (*_PATIENCE_SECONDS, None):
            rows = await self._database.fetch(_SQL["cancel"], left, reason)
            answers |= {row["job_id"]: row["answer"] for row in rows}
            asked = [row["job_id"] for row in rows if row["answer"] == "requested"]
            places = await self._database.fetch(_SQL["states"], asked) if asked else []
            left = [row["job_id"] for row in places if row["place"] in WAITING]
            if not left or pause is None:
                break
            await asyncio.sleep(pause)
        return answers

    async def retry(self, job_id: int) -> None:
        """Run a failed or cancelled job again, a scheduled one now. Raises ``JobNotFound``, ``IllegalMove``."""
        demand(job_id, Verb.RETRY, await self._database.fetchval(_SQL["retry"], job_id))

    async def redrive(self, *job_ids: int) -> dict[int, str]:
        """Run dead letters again: ``moved`` for each that had failed or was cancelled; others are not in the answer."""
        rows = await self._database.fetch(_SQL["redrive"], list(job_ids))
        return {row["job_id"]: row["answer"] for row in rows}

    async def reschedule(
        self, *job_ids: int, run_in: float | str | timedelta | None = None, run_at: datetime | None = None
    ) -> dict[int, str]:
        """Let waiting jobs be due at another time, and give up what they hold of lanes and limits; now: let them run.

        The answer per job: ``moved``, or the place it stands in and stays in, ``held`` by an open transaction,
        ``unknown``. Raises ``ConfigurationError`` unless exactly one time is given.
        """
        if (run_in is None) == (run_at is None):
            raise ConfigurationError("give run_in or run_at, one of them")
        if run_at is not None and run_at.tzinfo is None:
            raise ConfigurationError("run_at has no time zone", remedy="use an aware datetime")
        delay = None if run_in is None else seconds_of(run_in)
        return await self._try(
            Verb.RESCHEDULE, job_ids, lambda ids: self._database.fetch(_SQL["reschedule"], ids, run_at, delay)
        )

    async def prioritize(self, *job_ids: int, priority: int) -> dict[int, str]:
        """Give waiting jobs another priority, 0 first, 9 last; a lane keeps its order. Answers as ``reschedule``."""
        if not 0 <= priority <= 9:
            raise ConfigurationError(f"priority is a number from 0 (first) to 9 (last), not {priority}")
        return await self._try(
            Verb.PRIORITIZE, job_ids, lambda ids: self._database.fetch(_SQL["prioritize"], ids, priority)
        )

    async def purge(self, *job_ids: int) -> dict[int, str]:
        """Delete jobs that do not run, and everything about them: ``purged``. Otherwise answers as ``reschedule``."""
        return await self._try(Verb.PURGE, job_ids, lambda ids: self._database.fetch(_SQL["purge"], ids))

    async def edit(
        self,
        job_id: int,
        args: Mapping[str, Any],
        *,
        replace: bool = False,
        reason: str | None = None,
        unchecked: bool = False,
    ) -> None:
        """Correct the arguments of a job that does not run and has not completed; the old ones stay in its history.

        ``args`` go over those it has; with ``replace`` they are all it has. They are checked against the signature of
        the task, which this application must know, unless ``unchecked``. Its unique key stays as it was.
        Raises ``JobNotFound``, ``IllegalMove``, ``ArgumentsInvalid``, ``TaskUnknown``; then nothing was changed.
        """
        for pause in (*_PATIENCE_SECONDS, None):
            info = await self.show(job_id)
            wanted = dict(args) if replace else {**info.args, **args}
            text = self._checked(info.task, wanted, unchecked=unchecked)
            before = msgspec.json.encode(info.args).decode()
            answer = await self._database.fetchval(_SQL["edit"], job_id, before, text, reason)
            if pause is None or (answer != "changed" and (answer, Verb.EDIT) not in MOVES):
                break
            await asyncio.sleep(pause)
        demand(job_id, Verb.EDIT, answer)

    def where(self, text: str) -> Selection:
        """The jobs that a filter finds, to look at or to move: ``app.jobs.where("queue=mail state=failed age>1h")``.

        ``holdfast.jobs.filter`` describes the language. Raises ``FilterInvalid``.
        """
        return Selection(JobFilter.parse(text), self)

    async def preview(self, found: JobFilter, *, count_up_to: int) -> tuple[Sequence[Found], bool]:
        """What a filter finds, in groups, and whether that is all; counting ends above ``count_up_to``."""
        return await count(self._database, found, up_to=count_up_to)

    async def find(self, found: JobFilter, *, before: int | None = None, limit: int = 50) -> Sequence[int]:
        """The newest ids that a filter finds, below ``before``; looks until it has them, or has seen every job.

        Ready jobs alone come in the order of ``search``, which is not that of their ids: go on with its cursor.
        """
        matches = await search(self._database, found, below_id=before, limit=limit, patience_seconds=None)
        return [match.id for match in matches.jobs]

    async def lines(self, job_ids: Sequence[int], *, most_bytes: int = 2_000) -> Sequence[JobInfo]:
        """Those of these jobs that exist, in the order given, for lists: no results, no tracebacks.

        Arguments that take more than ``most_bytes`` are left out (None).
        """
        if not job_ids:
            return []
        infos = {row["id"]: _info(row) for row in await self._database.fetch(_SQL["lines"], list(job_ids), most_bytes)}
        return [infos[job_id] for job_id in job_ids if job_id in infos]

    async def counts(
        self, *, queues: Collection[str] | None = None, count_up_to: int = 10_000
    ) -> dict[str, tuple[int, bool]]:
        """How many jobs of these queues stand in each state, and whether that is exact; else it is a lower bound.

        Completed jobs are those that workers have counted since the beginning, dropped ones among them.
        """
        rows = await self._database.fetch(_SQL["counts"], None if queues is None else sorted(queues), count_up_to)
        return {row["state"]: (row["jobs"], row["is_exact"]) for row in rows}

    async def tasks(self, *, queues: Collection[str] | None = None) -> Sequence[TaskInfo]:
        """Every task that workers have declared, by name; ``queues``: those whose own queue is one of these."""
        rows = await self._database.fetch(_SQL["tasks"], None if queues is None else sorted(queues))
        return [TaskInfo(**dict(row)) for row in rows]

    async def search(
        self,
        found: JobFilter,
        *,
        after: str | None = None,
        below_id: int | None = None,
        limit: int = 50,
        patience_seconds: float | None = 0.06,
    ) -> Matches:
        """A page of what a filter finds, in bounded time. Raises ``FilterInvalid`` for a cursor of another search."""
        return await search(
            self._database, found, after=after, below_id=below_id, limit=limit, patience_seconds=patience_seconds
        )

    async def next_id(self) -> int:
        """What is enqueued from now on has no lower id, but for ids that were drawn up to a minute ago."""
        return int(await self._database.fetchval(_SQL["next_id"]))

    async def show_many(self, job_ids: Sequence[int]) -> Sequence[JobInfo]:
        """Those of these jobs that exist, in the order given."""
        infos = {info.id: info for info in await self._show(job_ids)}
        return [infos[job_id] for job_id in job_ids if job_id in infos]

    async def _try(
        self, verb: Verb, job_ids: Sequence[int], call: Callable[[Sequence[int]], Awaitable[Sequence[Any]]]
    ) -> dict[int, str]:
        """Move jobs; where the verb is legal and yet nothing moved, somebody held the place: try again for a moment."""
        answers: dict[int, str] = {}
        left: Sequence[int] = list(job_ids)
        for pause in (*_PATIENCE_SECONDS, None):
            rows = await call(left)
            answers |= {row["job_id"]: row["answer"] for row in rows}
            left = [row["job_id"] for row in rows if (row["answer"], verb) in MOVES]
            if not left or pause is None:
                break
            await asyncio.sleep(pause)
        return answers | dict.fromkeys(left, "held")

    def _checked(self, task: str, args: Mapping[str, Any], *, unchecked: bool) -> str:
        signature = self._signature_of(task)
        if signature is not None:
            return signature.dump((), args)
        if not unchecked:
            raise TaskUnknown(
                f"the arguments of {task!r} cannot be checked: this application does not know the task",
                remedy="name the application that has it (--app APP, `holdfast api APP`), or say that they need no "
                "check (--unchecked)",
            )
        return msgspec.json.encode(args).decode()

    async def wait(self, job_id: int, *, timeout_seconds: float | None = None) -> JobInfo:
        """Wait until a job has ended, and return it. Raises ``JobNotFound``, ``TimedOut``."""
        give_up_at = None if timeout_seconds is None else monotonic() + timeout_seconds
        pause = 0.01
        while True:
            state = await self._state(job_id)
            if state is None:
                raise unknown(job_id)
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
        # By id: one that retention is copying aside has two rows for a moment.
        rows = {row["id"]: row for row in await self._database.fetch(_SQL["show"], list(job_ids))}
        return [_info(row) for row in rows.values()]

    async def list(
        self,
        *,
        state: str | None = None,
        queue: str | None = None,
        task: str | None = None,
        where: str | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[JobInfo]:
        """The newest jobs first; ``before``: the id to go on from. ``ConfigurationError`` for an unknown state.

        ``where`` is a filter (see ``where``), and the other three add to it.
        """
        if where is not None:
            named = {"state": state, "queue": queue, "task": task}
            terms = [f"{name}={quoted(value)}" for name, value in named.items() if value is not None]
            return await self._show(
                await self.find(JobFilter.parse(" ".join([where, *terms])), before=before, limit=limit)
            )
        if state is not None and state not in set(Place):
            raise ConfigurationError(f"there is no state {state!r}", remedy=f"states are {', '.join(Place)}")
        name, extra = ("page_all", ()) if state is None else (f"page_{state}", ())
        if state in _STATES:
            name, extra = "page_finished", (_STATES[Place(state)],)  # type: ignore[assignment]
        rows = await self._database.fetch(_SQL[name], before or _NEWEST, queue, task, limit, *extra)
        return await self._show([row[0] for row in rows])


def _info(row: Any) -> JobInfo:
    values = {**dict(row), **{name: _json(row[name]) for name in ("args", "result", "error")}}
    values["progress"] = row["progress"] and msgspec.json.decode(row["progress"], type=Progress)
    return JobInfo(**values)


def _json(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
