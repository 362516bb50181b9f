"""The consoles of every noun over one handle on the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from msgspec import Struct

from holdfast.db import Database
from holdfast.events import EventLog, EventTypes
from holdfast.events import projections as projecting
from holdfast.jobs import Batches, Failures, Jobs, LimitConsole, Operations, Producer, Queues, Signature
from holdfast.schedules import Schedules


class Rooms(Struct, frozen=True):
    """The rooms as one event loop sees them, or one transaction."""

    database: Database
    producer: Producer
    jobs: Jobs
    queues: Queues
    schedules: Schedules
    events: EventLog
    projections: projecting.Projections
    limits: LimitConsole
    batches: Batches
    failures: Failures
    operations: Operations

    @classmethod
    def over(
        cls,
        database: Database,
        *,
        signature_of: Callable[[str], Signature | None],
        event_types: EventTypes,
        event_max_bytes: int,
    ) -> Self:
        """Every console over this handle."""
        jobs = Jobs(database, signature_of)
        return cls(
            database,
            Producer(database),
            jobs,
            Queues(database),
            Schedules(database),
            EventLog(database, event_types, max_bytes=event_max_bytes),
            projecting.Projections(database),
            LimitConsole(database),
            Batches(database, jobs),
            Failures(database),
            Operations(database),
        )
