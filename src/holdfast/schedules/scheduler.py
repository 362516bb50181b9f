"""The service that enqueues what is due. Every worker process runs one; they need no leader.

Each looks at the rows that are due, works out in Python which occurrences have come and when the next one is, and asks
the database to decide. Whoever is first locks the row as it was read; everybody else's decision is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, classify
from holdfast.errors import DatabaseUnavailable
from holdfast.schedules.declaration import Declarations, declare_schedules
from holdfast.schedules.misfire import Decision, Verdict, decide
from holdfast.schedules.plan import Plan
from holdfast.schedules.probe import Probe, fingerprint_of
from holdfast.schedules.stored import SQL
from holdfast.telemetry import emit, get_logger
from holdfast.worker import Surroundings

log = get_logger("schedules")

_LATEST_LOOK_SECONDS = 1.0
_TROUBLE_PAUSE_SECONDS = 30.0
_FORGET_EVERY_SECONDS = 3600.0
_PROBE_SECONDS = 120.0
_PROBE_KEPT_SECONDS, _PROBE_KEEP_EVERY_SECONDS = 15.0, 5.0
"""Should the process that asks a source die, another one asks it after so long."""


class Scheduler:
    """Declares the schedules of an application and enqueues the jobs of all schedules in the database.

    A draining worker has none: it runs what is there, and ends.
    """

    name = "scheduler"

    def __init__(self, declarations: Declarations, *, retention_days: int = 30) -> None:
        self._declarations = declarations
        self._probes: Mapping[str, Probe] = declarations.probes
        self._retention_days = retention_days
        self._surroundings: Surroundings | None = None
        self._declared = False
        self._put_off: dict[str, float] = {}
        self._forgot_at = monotonic()

    async def start(self, surroundings: Surroundings) -> None:
        """See ``Service``."""
        if surroundings.draining:
            return
        self._surroundings = surroundings
        surroundings.every(0.0, self._turn, name="schedules")

    async def stop(self) -> None:
        """See ``Service``. Nothing is held between two statements."""

    async def _turn(self) -> float:
        """Decide about what is due; returns the seconds until something else is, a second at most."""
        here = self._surroundings
        if here is None or here.stopping.is_set() or not here.may_work():
            return _LATEST_LOOK_SECONDS
        try:
            return await self._decide(here)
        except (*DRIVER_ERRORS, DatabaseUnavailable):
            raise
        except Exception:  # without it nothing would ever be due again in this process, and nobody would see why
            log.exception("the scheduler stumbled and goes on")
            return _LATEST_LOOK_SECONDS

    async def _decide(self, here: Surroundings) -> float:
        if not self._declared:
            await declare_schedules(here.database, self._declarations)
            self._declared = True
        seen = await self._look(here.database)
        if seen["due"]:
            await self._decide_about_due(here)
            seen = await self._look(here.database)  # what was decided about may be due again any moment
        if seen["waiting"]:
            tell(await here.database.fetch(SQL["start_waiting"], pool="control"))
        await self._forget(here.database)
        pause = seen["next_seconds"]
        return _LATEST_LOOK_SECONDS if pause is None else min(max(pause, 0.0), _LATEST_LOOK_SECONDS)

    async def _look(self, database: Database) -> Any:
        return await database.fetchrow(SQL["look"], sorted(self._probes), pool="control")

    async def _decide_about_due(self, here: Surroundings) -> None:
        for row in await here.database.fetch(SQL["due"], sorted(self._probes), pool="control"):
            name = row["name"]
            if self._put_off.get(name, 0.0) > monotonic():
                continue
            probe = self._probes.get(name)
            if probe is None or msgspec.json.decode(row["plan"]).get("probe") is None:
                await self._fire(here.database, row)
            elif await _take_probe(here.database, row):
                # A slow source holds up its own schedule alone.
                here.start(self._ask_and_fire(here.database, row, probe), name=f"probe of {name}")

    async def _ask_and_fire(self, database: Database, row: Any, probe: Probe) -> None:
        fingerprint, trouble = None, None
        asking = asyncio.ensure_future(fingerprint_of(probe, _PROBE_SECONDS))
        try:
            while not (await asyncio.wait([asking], timeout=_PROBE_KEEP_EVERY_SECONDS))[0]:
                await _take_probe(database, row, again=True)
            fingerprint = asking.result()
        except Exception as error:  # noqa: BLE001 - code of others; what it cannot say does not keep the job from running
            trouble = f"its probe failed: {type(error).__name__}: {error}"[:500]
            log.warning("schedule %s: %s", row["name"], trouble)
        finally:
            asking.cancel()
        await self._fire(database, row, fingerprint, trouble)

    async def _fire(
        self, database: Database, row: Any, fingerprint: str | None = None, trouble: str | None = None
    ) -> None:
        """Decide about one schedule. What is wrong with it holds up no other."""
        try:
            tell(await fire(database, row, fingerprint, trouble))
        except DRIVER_ERRORS as error:
            if classify(error).of_connection:
                raise
            self._put_it_off(row["name"], error)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a row that a newer program or a hand wrote may be anything
            self._put_it_off(row["name"], error)

    def _put_it_off(self, name: str, error: Exception) -> None:
        log.error("schedule %s cannot be decided about, next try in %g s: %s", name, _TROUBLE_PAUSE_SECONDS, error)
        self._put_off[name] = monotonic() + _TROUBLE_PAUSE_SECONDS

    async def _forget(self, database: Database) -> None:
        if monotonic() - self._forgot_at > _FORGET_EVERY_SECONDS:
            self._forgot_at = monotonic()
            await database.execute(SQL["forget"], self._retention_days, pool="control")


async def fire(
    database: Database, row: Mapping[str, Any], fingerprint: str | None = None, trouble: str | None = None
) -> Sequence[Any]:
    """Decide about the occurrences of one row of ``due``; what was written, nothing if somebody else was first."""
    plan = Plan.from_row(msgspec.json.decode(row["plan"]))
    decision = await _decided(plan, row)
    verdicts = decision.verdicts
    details = [_joined(verdict, trouble) for verdict in verdicts]
    return await database.fetch(
        SQL["fire"],
        row["name"],
        row["version"],
        row["next_at"],
        [verdict.at for verdict in verdicts],
        [verdict.runs for verdict in verdicts],
        details,
        decision.next_at,
        decision.due_at,
        fingerprint,
        pool="control",
    )


async def _decided(plan: Plan, row: Mapping[str, Any]) -> Decision:
    """In a thread when many occurrences may have to be told apart: the loop runs other people's jobs."""
    next_at: datetime = row["next_at"]
    timetable, seen_at = plan.timetable(row["anchor_at"]), row["seen_at"]
    if seen_at - next_at < timedelta(minutes=1):
        return decide(plan, timetable, next_at, row["due_at"], seen_at)
    return await asyncio.to_thread(decide, plan, timetable, next_at, row["due_at"], seen_at)


async def _take_probe(database: Database, row: Any, *, again: bool = False) -> bool:
    """Whether this process is the one to ask; ``again``: it has begun, and goes on."""
    return bool(
        await database.fetchval(
            SQL["take_probe"], row["name"], row["version"], row["next_at"], _PROBE_KEPT_SECONDS, again, pool="control"
        )
    )


def tell(made: Sequence[Any]) -> None:
    """Events of what was decided; however many were missed, that is one event."""
    missed = [row for row in made if row["because"] == "missed"]
    if missed:
        span = {"first": missed[0]["at"].isoformat(), "last": missed[-1]["at"].isoformat()}
        emit("schedules.occurrence.missed", schedule=missed[0]["schedule"], count=len(missed), **span)
    for row in made:
        fields = {"schedule": row["schedule"], "at": row["at"].isoformat()}
        if row["state"] == "started":
            emit("schedules.occurrence.started", **fields, job=row["job_id"], origin=row["origin"])
        elif row["state"] == "waiting":
            emit("schedules.occurrence.waiting", **fields)
        elif row["because"] != "missed":
            emit("schedules.occurrence.skipped", **fields, because=row["because"], detail=row["detail"])


def _joined(verdict: Verdict, trouble: str | None) -> str | None:
    return "; ".join(part for part in (verdict.detail, trouble) if part) or None if verdict.runs else verdict.detail
