"""The database that the examples of the queue's model share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg

from tests.model.queue_model import CAPACITY
from tests.queue_calls import QueueCalls

T = TypeVar("T")
_TABLES = (
    *("ready", "scheduled", "lease", "lease_exit", "job", "outcome", "failed_attempt", "loss", "unique_key"),
    *("blocked", "gate_call", "slot", "lease_slot", "gate", "gate_share", "cancel_request", "queue_pause"),
    *(
        "tally_delta",
        "worker_beat",
        "worker",
        "batch",
        "batch_member",
        "batch_callback",
        "batch_delta",
        "job_edit",
        "attempt_link",
    ),
)


class Server:
    """One connection to a database that the examples share, and the loop it lives on."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self.connection: asyncpg.Connection[asyncpg.Record] = self.run(asyncpg.connect(url))
        self.calls = QueueCalls(self.connection)
        self.run(self.calls.limit("l", CAPACITY))

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(call)

    def clear(self) -> None:
        self.run(self.connection.execute("; ".join(f"delete from holdfast.{table}" for table in _TABLES)))
        self.move_clock(0.0)

    def move_clock(self, seconds: float) -> None:
        self.run(self.connection.execute(f"set holdfast.clock_offset = '{seconds} seconds'"))

    def close(self) -> None:
        self.run(self.connection.close())
        self._runner.close()
