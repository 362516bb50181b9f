"""Projections as people see them and what they do to them: ``app.projections``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from holdfast.clock import monotonic
from holdfast.db import Database, load_statements
from holdfast.errors import ConfigurationError, ProjectionError, ProjectionUnknown, TimedOut
from holdfast.events.projections.declaration import PARTITIONS
from holdfast.events.projections.models import Models
from holdfast.events.projections.tables import refusing_tables

_SQL = load_statements("holdfast.events.projections", "console.sql")
_MOST_COUNTED: Final = 10_000
"""Events counted in a partition: whoever is further behind wants to know that it is far, and soon."""
_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.002, 0.1


class ProjectionInfo(Struct, frozen=True):
    """One projection. ``lag_events`` (counted to 10 000 a partition) and ``lag_seconds`` are of its live model."""

    name: str
    kind: str
    on_failure: str
    state: str
    """running, rebalancing (partitions are changing hands), paused, retired, stopped (partitions wait at an event),
    unserved (nobody is there), partly served (nobody has one of the fixed keys)."""
    version: int
    model: int
    building: int | None
    kept: int | None
    workers: int
    partitions_held: int
    lag_events: int
    lag_seconds: float | None
    building_lag_events: int | None
    parked: int
    undecided: int
    """Parked streams that are not retried any more: a person must decide."""
    stopped: int
    paused_at: datetime | None
    pause_reason: str | None
    problems: list[str]
    """What is wrong, in words; empty when nothing is."""


class PartitionLag(Struct, frozen=True):
    """One partition of one model."""

    projection: str
    model: int
    state: str
    partition: int
    checkpoint: int
    lag_events: int
    lag_seconds: float | None
    parked: int
    failing: Mapping[str, Any] | None
    moved_at: datetime | None
    owner: str | None
    """The process that holds it, or nobody."""


class ParkedStream(Struct, frozen=True):
    """A stream that waits. ``retry_at`` None: a person must decide."""

    stream: str
    partition: int
    position: int
    attempts: int
    parked_at: datetime
    retry_at: datetime | None
    error: Mapping[str, Any] | None
    reason: str | None


class SkippedEvent(Struct, frozen=True):
    """An event that was passed over, and why."""

    stream: str
    position: int
    skipped_at: datetime
    reason: str


class Projections:
    """What exists of projections in the database, whether their code is here or not."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.models = Models(database)

    async def lag(self, name: str | None = None) -> list[PartitionLag]:
        """Every partition with what waits in it. Raises ``ProjectionUnknown``."""
        rows = await self._database.fetch(_SQL["lag"], name, _MOST_COUNTED)
        if name is not None and not rows:
            raise await self._unknown(name)
        return [_partition(row) for row in rows]

    async def parked(self, name: str, limit: int = 100) -> list[ParkedStream]:
        """The streams that the live model waits with, the longest first."""
        await self.list(name)
        return [
            ParkedStream(
                row["stream"],
                row["partition"],
                row["next_position"],
                row["attempts"],
                row["parked_at"],
                row["retry_at"],
                _json(row["error"]),
                row["reason"],
            )
            for row in await self._database.fetch(_SQL["parked"], name, limit)
        ]

    async def skipped(self, name: str, limit: int = 100) -> list[SkippedEvent]:
        """Events that a person decided not to handle, the newest first."""
        return [SkippedEvent(*row) for row in await self._database.fetch(_SQL["skipped"], name, limit)]

    async def caught_up(self, name: str, position: int, timeout_seconds: float = 5.0) -> None:
        """Return once every event up to ``position`` is in the read model: read your own writes.

        ``position`` is what the append returned. Raises ``TimedOut``, ``ProjectionUnknown``.
        """
        give_up_at, pause = monotonic() + timeout_seconds, _FIRST_LOOK_SECONDS
        while True:
            there = await self._database.fetchval(_SQL["has_caught_up"], name, position)
            if there:
                return
            if monotonic() >= give_up_at:
                if there is None:  # until now its first worker may just have been starting
                    raise await self._unknown(name)
                raise TimedOut(
                    f"projection {name!r} has not reached position {position} within {timeout_seconds:g} s",
                    remedy=f"`holdfast projection lag {name}` says where it is and who serves it",
                )
            await asyncio.sleep(min(pause, max(give_up_at - monotonic(), 0.0)))
            pause = min(pause * 1.5, _LONGEST_LOOK_SECONDS)

    async def pause(self, name: str, *, reason: str | None = None) -> bool:
        """Apply nothing more; when this returns nothing is under way. False: it was paused."""
        return bool(await self._known(name, "pause", reason))

    async def resume(self, name: str) -> bool:
        """Go on after a pause, after a stop at an event, or after a retirement. False: it was running."""
        return bool(await self._known(name, "resume"))

    async def retire(self, name: str) -> bool:
        """Nobody serves it any more, health does not ask for it; ``resume`` brings it back. False: it was retired."""
        return bool(await self._known(name, "retire"))

    async def reset(self, name: str, *, to: int = 0, keep_rows: bool = False) -> None:
        """Empty the read model and handle everything after position ``to`` again, without making its effects again.

        ``keep_rows``: the tables stay as they are; the handler must bear seeing an event twice. Raises
        ``ProjectionError`` when the tables are not declared, or when rows would stay that nobody makes again.
        """
        row = await self._database.fetchrow(_SQL["declared"], name)
        if row is None:
            raise await self._unknown(name)
        if not keep_rows and not row["tables"]:
            raise ProjectionError(
                f"projection {name!r} declares no tables, so what it wrote cannot be emptied",
                remedy="declare tables=(…), or empty what it wrote by hand and say --keep-rows",
            )
        if not keep_rows and to > 0:
            raise ProjectionError(
                f"emptying {name!r} and beginning at position {to} would lose what came before it",
                remedy="say --keep-rows with --to, or reset to the beginning",
            )
        with refusing_tables(name, ProjectionError):
            await self._database.fetchval(_SQL["reset"], name, to, not keep_rows)

    async def park(self, name: str, stream: str, *, reason: str | None = None) -> None:
        """Let the events of one stream wait from here on, until ``unpark``."""
        await self._known(name, "park", stream, reason)

    async def unpark(self, name: str, stream: str | None = None) -> int:
        """Handle a parked stream, or all of them, from where it stopped. Returns how many."""
        await self.list(name)
        return int(await self._database.fetchval(_SQL["unpark"], name, stream))

    async def skip(self, name: str, stream: str, *, reason: str) -> int:
        """Pass over the event that the stream waits at, and go on behind it; the reason is kept. Returns its position.

        Raises ``ProjectionError`` when the stream waits at no event.
        """
        if not reason.strip():
            raise ConfigurationError(
                "a skip needs a reason: it is what the next person reads",
                remedy="say why: --reason '…', in code reason=",
            )
        await self.list(name)
        position = await self._database.fetchval(_SQL["skip"], name, stream, reason)
        if position is None:
            raise ProjectionError(
                f"projection {name!r} waits at no event of stream {stream!r}",
                remedy=f"`holdfast projection parked {name}` lists what waits",
            )
        return int(position)

    # After everything that says list[…] of its answer.
    async def list(self, name: str | None = None) -> list[ProjectionInfo]:
        """Every projection, or the one of this name. Raises ``ProjectionUnknown``."""
        rows = await self._database.fetch(_SQL["list"], name, _MOST_COUNTED)
        if name is not None and not rows:
            raise await self._unknown(name)
        return [_info(row) for row in rows]

    async def _known(self, name: str, statement: str, *params: Any) -> Any:
        answer = await self._database.fetchval(_SQL[statement], name, *params)
        if answer is None:
            raise await self._unknown(name)
        return answer

    async def _unknown(self, name: str) -> ProjectionUnknown:
        known = ", ".join(row["name"] for row in await self._database.fetch(_SQL["list"], None, 1)) or "none"
        return ProjectionUnknown(f"there is no projection {name!r}", remedy=f"projections: {known}")


def _info(row: Any) -> ProjectionInfo:
    return ProjectionInfo(
        name=row["name"],
        kind=row["kind"],
        on_failure=row["on_failure"],
        state=_state(row),
        version=row["code_version"],
        model=row["model"],
        building=row["building"],
        kept=row["kept"],
        workers=row["workers"],
        partitions_held=row["held"],
        lag_events=row["events"],
        lag_seconds=row["seconds"],
        building_lag_events=row["building_events"],
        parked=row["parked"],
        undecided=row["undecided"],
        stopped=row["stopped"],
        paused_at=row["paused_at"],
        pause_reason=row["pause_reason"],
        problems=_problems(row),
    )


def _state(row: Any) -> str:
    for state, holds in (
        ("retired", row["retired_at"] is not None),
        ("paused", row["paused_at"] is not None),
        ("stopped", row["stopped"] > 0),
        ("unserved", row["workers"] == 0),
        ("partly served", bool(row["missing_keys"])),
        ("rebalancing", row["held"] < PARTITIONS),
    ):
        if holds:
            return state
    return "running"


def _problems(row: Any) -> list[str]:
    """What a person should look at, the worst first."""
    if row["retired_at"] is not None:
        return []
    found = []
    if row["workers"] == 0 and row["paused_at"] is None:
        found.append("nobody serves it")
    if row["missing_keys"]:
        keys = ", ".join(map(str, row["missing_keys"]))
        found.append(f"of {row['total_partitions']} fixed partitions nobody has key {keys}")
    found += [f"refused: {refusal}" for refusal in row["refused"]]
    if row["stopped"]:
        found.append(f"{row['stopped']} partitions stopped at an event that fails")
    if row["undecided"]:
        found.append(f"{row['undecided']} streams are parked and wait for a person")
    if row["code_version"] > row["model_version"] and row["building"] is None:
        found.append(f"code of version {row['code_version']} is deployed, and no model of it is being built")
    return found


def _partition(row: Any) -> PartitionLag:
    return PartitionLag(
        projection=row["projection"],
        model=row["model"],
        state=row["state"],
        partition=row["partition"],
        checkpoint=row["checkpoint"],
        lag_events=row["events"],
        lag_seconds=row["seconds"],
        parked=row["parked"],
        failing=_json(row["failing"]),
        moved_at=row["moved_at"],
        owner=None if row["owner"] is None else f"{row['owner_host']}:{row['owner_pid']}",
    )


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
