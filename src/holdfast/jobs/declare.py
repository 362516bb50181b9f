"""What workers tell the database about their tasks, so that SQL callers need to name only the task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from holdfast.db import Database, load_statements
from holdfast.jobs.task import Task

_SQL = load_statements("holdfast.jobs", "enqueue.sql")


async def declare_tasks(database: Database, tasks: Iterable[Task[..., Any]]) -> None:
    """Store queue and defaults of these tasks; unchanged ones cost no write."""
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
        )
