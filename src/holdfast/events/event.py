"""An event before it is in the log, and one that is."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct

from holdfast.clock import now

if TYPE_CHECKING:
    from holdfast.events.types import EventTypes

ExpectedVersion: TypeAlias = int | Literal["any", "none"]
"""What must hold of a stream: it stands at version n; "none" (or 0): it does not exist; "any": nothing."""


class Event(Struct, frozen=True):
    """One event to append.

    ``data`` is anything that JSON can express, or an instance of a registered class; then ``type`` may stay empty.
    ``id`` makes the append idempotent: the same id with the same content succeeds without a second event. ``tags`` are
    for append conditions and for reading by tag. ``stream`` may be left to the call.
    """

    type: str = ""
    data: Any = None
    id: uuid.UUID | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    schema_version: int | None = None
    stream: str | None = None


class Append(Struct, frozen=True):
    """The events of one stream, as ``append_many`` takes them."""

    stream: str
    events: Any
    expected_version: ExpectedVersion = "any"


class Appended(Struct, frozen=True):
    """Where the events of one stream have gone. Positions are final; readers see them once they are settled."""

    stream: str
    versions: tuple[int, ...]
    positions: tuple[int, ...]
    recorded_at: datetime
    repeated: bool = False
    """The events were in the log already: the same ids or the same idempotency key."""

    @property
    def version(self) -> int:
        """The version at which the last of them left the stream."""
        return self.versions[-1]

    @property
    def position(self) -> int:
        """The position of the last of them: what ``caught_up`` waits for."""
        return self.positions[-1]


class Winner(Struct, frozen=True):
    """An event that was faster than a refused append."""

    stream: str
    version: int
    position: int
    type: str
    id: uuid.UUID
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event of the log. ``data`` is plain JSON as it was stored; ``load`` gives the class of today."""

    position: int
    stream: str
    version: int
    type: str
    schema_version: int
    data: Any
    id: uuid.UUID
    recorded_at: datetime
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    trace: Mapping[str, Any] | None = None
    partition: int = 0
    types: EventTypes | None = field(default=None, repr=False, compare=False)

    def load(self) -> Any:
        """The instance of its registered class, lifted from older schema versions. Raises ``EventTypeUnknown``."""
        if self.types is None:
            return self.data
        return self.types.load(self.type, self.schema_version, self.data)


def new_id() -> uuid.UUID:
    """A UUID of version 7: it begins with the milliseconds, so that the index of ids grows at one end."""
    milliseconds = int(now().timestamp() * 1000)
    return uuid.UUID(
        int=(milliseconds & ((1 << 48) - 1)) << 80
        | 0x7 << 76
        | secrets.randbits(12) << 64
        | 0b10 << 62
        | secrets.randbits(62)
    )
