"""What a registry needs to know of typed events; the log's own registry of types fits."""

from __future__ import annotations

from typing import Any, Protocol

from holdfast.events.recorded import RecordedEvent


class Vocabulary(Protocol):
    """The types of events by name."""

    def name_of(self, kind: type) -> str:
        """The name under which events of this type are recorded."""
        ...

    def load(self, event: RecordedEvent) -> Any:
        """The typed event, lifted to the newest shape. Raises for a type that nobody declared."""
        ...
