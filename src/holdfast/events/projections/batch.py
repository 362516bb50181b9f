"""A batch: events of several partitions, in log order, and where each partition stands once they are handled.

Pure: no database, no clock. Partitions are independent of each other, so a batch may be cut anywhere as long as the
order inside each partition stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Self

from msgspec import Struct, field

from holdfast.events.event import RecordedEvent


class Placed(Struct, frozen=True):
    """An event and the partition it was read from."""

    partition: int
    event: RecordedEvent


class Batch(Struct, frozen=True):
    """Events by position, and the position each partition reaches when all of them are handled."""

    events: Sequence[Placed]
    reached: Mapping[int, int] = field(default_factory=dict)

    def cut(self, at: int) -> tuple[Self, Self]:
        """The first ``at`` events and the rest. A partition with events in both reaches its last one of the first."""
        first, rest = self.events[:at], self.events[at:]
        later = {placed.partition for placed in rest}
        last = {placed.partition: placed.event.position for placed in first}
        reached = {p: last[p] if p in later else self.reached[p] for p in last}
        return type(self)(first, reached), type(self)(
            rest, {p: position for p, position in self.reached.items() if p in later or p not in last}
        )

    def up_to(self, position: int) -> Self:
        """What lies no further, with every partition at that position."""
        events = [placed for placed in self.events if placed.event.position <= position]
        return type(self)(events, dict.fromkeys(self.reached, position))

    def at_most(self, count: int) -> Self:
        """The first ``count`` events; partitions whose events are all left out reach nothing."""
        if len(self.events) <= count:
            return self
        first, rest = self.cut(count)
        unread = {placed.partition for placed in rest.events}
        idle = {p: position for p, position in rest.reached.items() if p not in unread}
        return type(self)(first.events, {**first.reached, **idle})

    def without(self, partitions: Collection[int], streams: Collection[str]) -> Self:
        """Without partitions that rest, and without the events of streams that wait; those are passed over."""
        if not partitions and not streams:
            return self
        events = [
            placed
            for placed in self.events
            if placed.partition not in partitions and placed.event.stream not in streams
        ]
        return type(self)(events, {p: position for p, position in self.reached.items() if p not in partitions})


def assemble(
    rows: Sequence[tuple[Placed, bool]], bounds: Mapping[int, int], limit_each: int
) -> tuple[Batch, frozenset[int]]:
    """A batch of what was read, with the events of parked streams left out; and the partitions that have more.

    A partition that gave fewer than ``limit_each`` rows was read to its bound.
    """
    counts = Counter(placed.partition for placed, _ in rows)
    last = {placed.partition: placed.event.position for placed, _ in rows}
    full = frozenset(p for p, count in counts.items() if count >= limit_each)
    reached = {p: last[p] if p in full else bound for p, bound in bounds.items()}
    return Batch([placed for placed, parked in rows if not parked], reached), full
