"""Snapshots: what the events of a stream up to a version amount to. Never the truth, always a saving of time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.db import Database, load_statements
from holdfast.errors import EventsInvalid

_SQL = load_statements("holdfast.events", "events.sql")


class Snapshot(Struct, frozen=True):
    """A kept state: read the stream from ``version + 1`` and go on from ``state``."""

    stream: str
    version: int
    state: Any
    taken_at: datetime


class Snapshots:
    """The newest state per stream and name. ``schema_version`` counts changes of the state's shape or meaning."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(
        self, stream: str, version: int, state: Any, *, name: str = "state", schema_version: int = 1
    ) -> None:
        """Keep a state, unless a newer one is kept. Raises ``EventsInvalid`` for what JSON cannot express."""
        if version < 1:
            raise EventsInvalid(f"a snapshot is of a version of 1 or more, not {version}")
        try:
            text = msgspec.json.encode(state).decode()
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise EventsInvalid(f"the state of a snapshot cannot be written as JSON: {error}") from error
        await self._database.execute(_SQL["save_snapshot"], stream, name, version, schema_version, text)

    async def load(self, stream: str, *, name: str = "state", schema_version: int = 1) -> Snapshot | None:
        """The kept state; None when there is none of that schema version."""
        row = await self._database.fetchrow(_SQL["load_snapshot"], stream, name, schema_version)
        return None if row is None else Snapshot(stream, row[0], msgspec.json.decode(row[1]), row[2])

    async def drop(self, name: str = "state") -> None:
        """Forget every snapshot of that name; they are built anew from events."""
        await self._database.execute(_SQL["drop_snapshots"], name)
