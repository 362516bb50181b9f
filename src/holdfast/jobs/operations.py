"""``app.operations``: a verb on everything that a filter finds, done by workers and not by whoever asked for it.

First a preview: what the filter finds, counted, and a token. The filter is frozen with it: jobs that come later are
left out, ages count from that moment. With the token the operation starts; workers apply it, some hundred jobs a
transaction, each looked at again before it is moved. It survives their death, and ends between two batches when it is
cancelled.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, TypedDict, Unpack

from msgspec import Struct

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, classify, load_statements
from holdfast.errors import ConfigurationError, OperationNotFound, OperationRefused, TimedOut
from holdfast.jobs.durations import seconds_of
from holdfast.jobs.filter import JobFilter
from holdfast.jobs.search import Found, Match, bounds, count, search, sights
from holdfast.jobs.selection import in_order
from holdfast.jobs.states import MOVES, Place, Verb
from holdfast.telemetry import emit, get_logger

log = get_logger("jobs")

_SQL = load_statements("holdfast.jobs", "operations.sql")
_NEWEST: Final = 2**63 - 1
_TOKEN_SECONDS: Final = 600.0
_COUNT_UP_TO: Final = 100_000
_AT_ONCE, _WINDOW = 500, 10_000
_TROUBLES_ALLOWED: Final = 3

OPERATION_VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {
        "retry": Verb.RETRY,
        "cancel": Verb.CANCEL,
        "reschedule": Verb.RESCHEDULE,
        "priority": Verb.PRIORITIZE,
        "purge": Verb.PURGE,
    }
)
"""What an operation can do, by the word that people say."""


class VerbOptions(TypedDict, total=False):
    """What some verbs need: ``reschedule`` one of the times, ``priority`` the priority to give."""

    run_in: float | str | timedelta | None
    run_at: datetime | None
    priority: int | None


class OperationPreview(Struct, frozen=True):
    """What an operation would move, and the token that starts it. ``jobs`` is a lower bound unless ``is_exact``."""

    token: str
    verb: str
    filter: str
    jobs: int
    is_exact: bool
    groups: Sequence[Found]
    sample: Sequence[Match]
    warnings: Sequence[str]
    expires_at: datetime


class OperationInfo(Struct, frozen=True):
    """How far an operation is. ``planned`` is what the preview counted, a lower bound unless ``planned_is_exact``.

    ``skipped``: found, but not there any more when their turn came. ``failed``: could not be moved; ``trouble`` says
    why the last one could not. ``rate`` in jobs a second.
    """

    id: int
    verb: str
    filter: str
    requested_by: str | None
    reason: str | None
    state: str
    planned: int
    planned_is_exact: bool
    moved: int
    skipped: int
    failed: int
    trouble: str | None
    due_at: datetime | None
    priority: int | None
    started_at: datetime
    finished_at: datetime | None
    ended_by: str | None
    rate: float | None
    eta_seconds: float | None


class Operations:
    """``app.operations``: preview, start, list, show, cancel."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def preview(
        self,
        verb: str,
        filter: str,
        *,
        reason: str | None = None,
        by: str | None = None,
        queues: Collection[str] | None = None,
        patience_seconds: float = 1.5,
        **options: Unpack[VerbOptions],
    ) -> OperationPreview:
        """Count what a verb would move, freeze the filter, and return the token that starts it within ten minutes.

        ``retry`` takes what has failed, unless the filter says states; the others what they can move. ``queues`` is all
        that whoever asks may touch. Raises ``FilterInvalid``, ``ConfigurationError``.
        """
        found = _aimed(verb, JobFilter.parse(filter)).among(queues)
        run_at, priority = options.get("run_at"), options.get("priority")
        delay = _checked(verb, options)
        frozen_at: datetime = await self._database.fetchval(_SQL["moment"])
        groups, is_exact = await count(self._database, found, up_to=_COUNT_UP_TO, patience_seconds=patience_seconds)
        sample = await search(self._database, found, limit=20)
        jobs = sum(group.jobs for group in groups)
        token = secrets.token_urlsafe(24)
        now = delay == 0 or (run_at is not None and run_at <= frozen_at)
        row = await self._database.fetchrow(
            _SQL["preview"],
            verb,
            found.text,
            in_order(found.places, now=now),
            *sights(found),
            found.younger_than_seconds,
            found.older_than_seconds,
            *bounds(found),
            delay,
            run_at,
            priority,
            reason,
            by,
            _hashed(token),
            _TOKEN_SECONDS,
            jobs,
            is_exact,
            frozen_at,
        )
        warnings = _warnings(verb, found, groups, is_exact=is_exact)
        return OperationPreview(
            token, verb, found.text, jobs, is_exact, groups, sample.jobs, warnings, row["expires_at"]
        )

    async def start(self, token: str, *, reason: str | None = None, by: str | None = None) -> OperationInfo:
        """Start what was previewed, once.

        Raises ``OperationRefused`` for a token that was used, is too old, or belongs to somebody other than ``by``.
        """
        operation = await self._database.fetchval(_SQL["start"], _hashed(token), by, reason)
        if operation is None:
            raise await self._refusal(token)
        emit("jobs.operation.started", operation=operation)
        return await self.show(operation)

    async def show(self, operation: int, *, queues: Collection[str] | None = None) -> OperationInfo:
        """How far an operation is. Raises ``OperationNotFound``."""
        rows = await self._database.fetch(_SQL["operations"], _NEWEST, _sorted(queues), operation, 1)
        if not rows:
            raise OperationNotFound(
                f"there is no operation {operation}", remedy="holdfast operation list shows those of the last weeks"
            )
        return _info(rows[0])

    async def list(
        self, *, before: int | None = None, limit: int = 50, queues: Collection[str] | None = None
    ) -> Sequence[OperationInfo]:
        """Operations that were started, the newest first; ``queues``: only those that touch no other queues."""
        rows = await self._database.fetch(_SQL["operations"], before or _NEWEST, _sorted(queues), None, limit)
        return [_info(row) for row in rows]

    async def wait(self, operation: int, *, timeout_seconds: float | None = None) -> OperationInfo:
        """Wait until an operation has ended. Raises ``OperationNotFound``, ``TimedOut``."""
        give_up_at = None if timeout_seconds is None else monotonic() + timeout_seconds
        pause = 0.05
        while (info := await self.show(operation)).state == "running":
            if give_up_at is not None and monotonic() >= give_up_at:
                raise TimedOut(
                    f"operation {operation} runs after {timeout_seconds:g} s",
                    remedy=f"look at it: holdfast operation show {operation}; without a live worker nothing happens",
                )
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 1.0)
        return info

    async def cancel(self, operation: int, *, by: str | None = None) -> OperationInfo:
        """End an operation between two batches; what it has moved stays moved. Ending twice is once.

        Raises ``OperationNotFound``, and ``OperationRefused`` for one that has finished.
        """
        changed = await self._database.fetchval(_SQL["end"], operation, "cancelled", by, None)
        info = await self.show(operation)
        if not changed and info.state != "cancelled":
            raise OperationRefused(f"operation {operation} is {info.state}", remedy="there is nothing left to cancel")
        if changed:
            emit("jobs.operation.ended", operation=operation, state="cancelled", moved=info.moved)
        return info

    async def _refusal(self, token: str) -> OperationRefused:
        row = await self._database.fetchrow(_SQL["by_token"], _hashed(token))
        again = "look again (preview), and start with the new token"
        if row is None:
            return OperationRefused("there is no preview with this token", remedy=again)
        if row["state"] != "previewed":
            return OperationRefused(
                f"this preview was started already, as operation {row['id']}",
                remedy=f"look at it: holdfast operation show {row['id']}",
            )
        if row["expired"]:
            return OperationRefused("the preview is older than ten minutes", remedy=again)
        return OperationRefused("somebody else made this preview", remedy=again)


class Operator:
    """Applies operations: a batch a turn, the one that waited longest first. Every worker has one."""

    def __init__(self, database: Database, *, retention_days: int) -> None:
        self._database = database
        self._retention_days = retention_days
        self._troubles: dict[int, int] = {}

    async def turn(self) -> bool:
        """One batch of one operation. False: none runs that is not in other hands."""
        try:
            row = await self._database.fetchrow(_SQL["operate"], _AT_ONCE, _WINDOW)
        except DRIVER_ERRORS as error:
            if classify(error).of_connection:
                raise
            await self._trouble(error)
            return False
        if row is None:
            return False
        self._troubles.pop(row["operation"], None)
        if row["state"] == "finished":
            emit("jobs.operation.ended", operation=row["operation"], state="finished", verb=row["verb"])
        return True

    async def forget(self) -> None:
        """Let go of previews that have expired and of what ended long ago."""
        await self._database.execute(_SQL["forget"], self._retention_days, pool="control")

    async def _trouble(self, error: BaseException) -> None:
        """What a batch cannot get over, as a statement that the server refuses: tried again, then given up and said."""
        operation = await self._database.fetchval(_SQL["next_running"])
        if operation is None:
            return
        self._troubles[operation] = self._troubles.get(operation, 0) + 1
        log.warning("operation %d stumbles: %s", operation, error)
        if self._troubles[operation] >= _TROUBLES_ALLOWED:
            await self._database.fetchval(_SQL["end"], operation, "failed", None, str(error))
            emit("jobs.operation.ended", operation=operation, state="failed", error=str(error))


def _aimed(verb: str, found: JobFilter) -> JobFilter:
    """The filter, for jobs in places where the verb is legal."""
    if verb not in OPERATION_VERBS:
        raise ConfigurationError(f"an operation cannot {verb}", remedy=f"it can {', '.join(OPERATION_VERBS)}")
    legal = [place for place in Place if (place, OPERATION_VERBS[verb]) in MOVES]
    if verb == "retry" and not found.says_state:
        legal = [Place.FAILED]
    return found.within(*legal)


def _checked(verb: str, options: VerbOptions) -> float | None:
    """What a verb needs is given, and nothing else; the delay in seconds."""
    run_in, run_at, priority = options.get("run_in"), options.get("run_at"), options.get("priority")
    times = (run_in is not None) + (run_at is not None)
    if times != (verb == "reschedule"):
        if verb == "reschedule":
            raise ConfigurationError("reschedule needs a time, one", remedy="give run_in or run_at")
        raise ConfigurationError(f"{verb} takes no time", remedy="leave out run_in and run_at, or say reschedule")
    if (verb == "priority") != (priority is not None):
        raise ConfigurationError(
            "priority needs the priority to give" if priority is None else f"{verb} takes no priority",
            remedy="0 runs first, 9 last",
        )
    if priority is not None and not 0 <= priority <= 9:
        raise ConfigurationError(f"priority is a number from 0 (first) to 9 (last), not {priority}")
    if run_at is not None and run_at.tzinfo is None:
        raise ConfigurationError("run_at has no time zone", remedy="use an aware datetime")
    return None if run_in is None else seconds_of(run_in)


def _warnings(verb: str, found: JobFilter, groups: Sequence[Found], *, is_exact: bool) -> list[str]:
    """What a person should know before saying yes."""
    said = []
    counted = {place: sum(group.jobs for group in groups if group.state == place) for place in Place}
    if not is_exact:
        said.append("counting stopped: there are more than these")
    if verb == "cancel" and counted[Place.RUNNING]:
        said.append(f"{counted[Place.RUNNING]} of them run: they are asked to stop, and how they end is up to them")
    if verb == "purge":
        said.append("purged jobs are gone, with their results and errors; there is no way back")
    if verb == "purge" and any(counted[place] for place in (Place.SCHEDULED, Place.BLOCKED, Place.READY)):
        said.append("some of them have not run yet")
    if verb == "retry" and not found.says_state:
        said.append("only failed jobs are taken; say state=failed,cancelled to take cancelled ones as well")
    if not found.text:
        said.append("the filter is empty: this is every job")
    return said


def _info(row: Any) -> OperationInfo:
    done = row["moved"] + row["skipped"] + row["failed"]
    last_at = row["finished_at"] or row["turn_at"]
    took = (last_at - row["started_at"]).total_seconds()
    rate = done / took if took > 0 and done else None
    left = row["planned"] - done if row["planned_is_exact"] else None
    running = row["state"] == "running"
    values = {name: row[name] for name in row.keys() if name not in ("turn_at", "queues")}  # noqa: SIM118 (a record)
    eta = max(left, 0) / rate if running and rate and left is not None else None
    return OperationInfo(**values, rate=rate, eta_seconds=eta)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _sorted(queues: Collection[str] | None) -> Sequence[str] | None:
    return None if queues is None else sorted(queues)
