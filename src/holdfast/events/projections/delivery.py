"""What a handler may know about the event it is given, beside the event itself."""

from __future__ import annotations

from msgspec import Struct

from holdfast.events.event import RecordedEvent


class Delivery(Struct, frozen=True):
    """One event on its way into one model."""

    event: RecordedEvent
    projection: str
    model: int
    replaying: bool
    """Its effects were made before: by the model that was live then, or before a reset. Make none."""

    @property
    def idempotency_key(self) -> str:
        """The same whenever this event is handled for this projection; for services that recognise a repeat."""
        return f"holdfast-projection-{self.projection}-{self.event.position}"
