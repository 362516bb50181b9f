"""What a decision was based on, as a condition of the append that follows from it (dynamic consistency boundary)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.errors import EventsInvalid
from holdfast.events.event import RecordedEvent


class Match(Struct, frozen=True):
    """Events of any of these types that carry all of these tags; no types: of every type."""

    types: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given: tuple[Any, ...] = (self.types, self.tags)
        if any(isinstance(words, str) for words in given) or not any(given):
            raise EventsInvalid(
                "a match names types or tags, as tuples", remedy='write Match(types=("Enrolled",), tags=("course-7",))'
            )

    def as_json(self) -> str:
        """As the statements take it."""
        return msgspec.json.encode({"types": self.types, "tags": self.tags}).decode()


class Condition(Struct, frozen=True):
    """Append only if no event that matches came after the decision looked. Made by ``events.decide``."""

    matches: tuple[Match, ...]
    after: int = 0
    """The settled position at which it looked."""
    seen: tuple[int, ...] = ()
    """Matching events beyond it that it saw."""

    def as_json(self) -> str:
        """As ``append_v1`` takes it."""
        items = [{"types": match.types, "tags": match.tags} for match in self.matches]
        return msgspec.json.encode({"after": self.after, "seen": self.seen, "items": items}).decode()


class Decision(Struct, frozen=True):
    """The events that a decision is based on, and the condition under which it still holds."""

    events: list[RecordedEvent]
    condition: Condition


def as_matches(matches: Match | Iterable[Match]) -> tuple[Match, ...]:
    """One or several, as a tuple. Raises ``EventsInvalid`` for none: that would be a condition on nothing."""
    several = (matches,) if isinstance(matches, Match) else tuple(matches)
    if not several:
        raise EventsInvalid("a condition without a match holds always", remedy="name at least one Match(…)")
    return several


def condition_on(matches: Sequence[Match], settled: int, events: Sequence[RecordedEvent]) -> Condition:
    """The condition of a decision that saw these events while the log was settled up to there."""
    beyond: list[int] = [event.position for event in events if event.position > settled]
    return Condition(tuple(matches), settled, tuple(beyond))


def condition_text(condition: Any) -> str | None:
    """JSON of a condition, or None."""
    if condition is None:
        return None
    if not isinstance(condition, Condition):
        raise EventsInvalid(f"a condition is a Condition, not {type(condition).__name__}")
    return condition.as_json()
