"""A job as a test sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class Enqueued:
    """A job that was enqueued. ``args`` are the JSON values by name, ``state`` is the word for where it stands."""

    id: int
    task: str
    queue: str
    state: str
    priority: int
    args: dict[str, Any]
    due_at: datetime | None = None
    unique_key: str | None = None
    result: Any = None
    error: BaseException | None = None

    def __str__(self) -> str:
        args = ", ".join(f"{name}={value!r}" for name, value in self.args.items())
        later = f", due {self.due_at:%Y-%m-%d %H:%M:%S%z}" if self.due_at else ""
        return f"{self.task}({args}) {self.state} on queue {self.queue}, priority {self.priority}{later}"
