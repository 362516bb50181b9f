"""The log as files for a warehouse: newline-delimited JSON, in the order of the log, resumable from any position.

A file is written whole beside its name and then renamed, before the checkpoint. A crash between the two leaves a file
whose events come again in the next one; since the log never changes, the lines are the same. So whoever reads the files
in the order of their names and passes over positions it has already has every event once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from pydantic_core import to_json

from holdfast.events.projections.delivery import Delivery

_COLUMNS: Final = (
    "position",
    "stream",
    "version",
    "type",
    "schema_version",
    "id",
    "recorded_at",
    "tags",
    "metadata",
    "correlation_id",
    "causation_id",
    "data",
)


class ToFiles:
    """Writes a batch as ``<first>-<last>.ndjson`` into a folder; an error of the file system is tried again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def prepare(self, deliveries: Sequence[Delivery]) -> None:
        """Write and rename, in a thread."""
        if deliveries:
            await asyncio.to_thread(self._write, deliveries)

    async def write(self, tx: Any, deliveries: Sequence[Delivery], prepared: Any) -> None:
        """Nothing but the checkpoint."""

    def _write(self, deliveries: Sequence[Delivery]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        first, last = deliveries[0].event.position, deliveries[-1].event.position
        draft = self._folder / f".{uuid4().hex}.draft"
        try:
            with draft.open("wb") as file:
                file.writelines(_line(delivery) for delivery in deliveries)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(self._folder / f"{first:020}-{last:020}.ndjson")
        finally:
            draft.unlink(missing_ok=True)


def _line(delivery: Delivery) -> bytes:
    event = delivery.event
    return to_json({name: getattr(event, name) for name in _COLUMNS}) + b"\n"
