"""What workers tell the database about their tasks, so that SQL callers need to name only the task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from holdfast.db import Database, load_statements
from holdfast.jobs.limits import Gate
from holdfast.jobs.task import Task

_SQL = load_statements("holdfast.jobs", "enqueue.sql")
_GATES = load_statements("holdfast.jobs", "gates.sql")


async def declare_tasks(database: Database, tasks: Iterable[Task[..., Any]]) -> None:
    """Store queue, defaults and limits of these tasks; unchanged ones cost no write."""
    known = sorted(tasks, key=lambda task: task.name)
    if known:
        await database.execute(
            _SQL["declare_tasks"],
            [task.name for task in known],
            [task.queue for task in known],
            [task.priority for task in known],
            [task.flags for task in known],
            [task.retry.max_attempts for task in known],
            [task.timeout_seconds for task in known],
            [task.gate_names.declaration() for task in known],
        )
    rules: dict[str, Gate] = {gate.rule: gate for task in known for gate in task.gates}
    if rules:
        await database.execute(
            _GATES["declare_limits"],
            list(rules),
            [gate.capacity for gate in rules.values()],
            [gate.per_us for gate in rules.values()],
            [msgspec.json.encode(dict(gate.weights)).decode() for gate in rules.values()],
        )
