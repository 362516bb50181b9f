"""An event as it stands in the log (stand-in until the log's own arrives)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    position: int
    stream: str
    version: int
    type: str
    id: UUID
    schema_version: int
    data: Any
    tags: tuple[str, ...]
    metadata: Any
    recorded_at: datetime


def recorded(row: Any) -> RecordedEvent:
    return RecordedEvent(
        row["position"],
        row["stream"],
        row["version"],
        row["type"],
        row["id"],
        row["schema_version"],
        json.loads(row["data"]),
        tuple(row["tags"] or ()),
        row["metadata"],
        row["recorded_at"],
    )


class StandIn:
    def __init__(self) -> None:
        self._types: dict[str, type] = {}

    def name_of(self, kind: type) -> str:
        self._types[kind.__name__] = kind
        return kind.__name__

    def load(self, event: RecordedEvent) -> Any:
        return self._types[event.type](**event.data)
