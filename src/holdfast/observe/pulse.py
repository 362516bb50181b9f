"""What has changed since the last look, at next to no cost: one mark for each thing that somebody may watch."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from holdfast.db import Database, load_statements

_SQL = load_statements("holdfast.observe", "pulse.sql")
PULSE_TOPICS: Final = (
    "jobs",
    "queues",
    "workers",
    "schedules",
    "failures",
    "events",
    "projections",
)
"""Topics with one mark for all of them; ``operations`` and ``job:ID`` have one each."""


class Pulse(Struct, frozen=True):
    """Marks by topic; ``jobs`` are those that were asked for, with the queue of each."""

    at: datetime
    marks: dict[str, str]
    operations: dict[str, str]
    jobs: dict[str, tuple[str, str]]


async def feel_pulse(database: Database, jobs: Iterable[int] = ()) -> Pulse:
    """Look once."""
    row = await database.fetchrow(_SQL["pulse"], list(jobs), timeout_seconds=3.0)
    return Pulse(
        row["at"],
        {topic: row[topic] or "" for topic in PULSE_TOPICS},
        msgspec.json.decode(row["operations"], type=dict[str, str]),
        msgspec.json.decode(row["watched"], type=dict[str, tuple[str, str]]),
    )
