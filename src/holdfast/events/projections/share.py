"""What one process holds of one model: partitions with their epochs and checkpoints, as last told by the database."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from holdfast.clock import monotonic


class Held(Struct):
    """A partition under our lease."""

    partition: int
    epoch: int
    checkpoint: int
    effects_after: int
    attempts: int = 0
    """Policy stop: how often the event after the checkpoint has failed."""
    rests_until: float = 0.0
    """By our monotonic clock; infinite: it has stopped."""


class Share(Struct):
    """Our partitions of one model."""

    model: int
    state: str
    schema: str | None
    held: dict[int, Held] = field(default_factory=dict)
    full: frozenset[int] = frozenset()
    """Partitions that had more events than the last batch could take."""

    @property
    def live(self) -> bool:
        """Whether effects are made, where they were not made before."""
        return self.state == "live"

    def may_advance(self, bounds: dict[int, int]) -> list[Held]:
        """Those that do not rest and are behind their bound."""
        now = monotonic()
        return [h for h in self.held.values() if h.checkpoint < bounds[h.partition] and h.rests_until <= now]


def shares_of(rows: Iterable[Any], before: dict[int, Share]) -> dict[int, Share]:
    """The shares that the answer of ``hold`` describes, by model; what is only in our memory is kept."""
    shares: dict[int, Share] = {}
    for row in rows:
        share = shares.setdefault(row["model"], Share(row["model"], row["state"], row["schema_name"]))
        held = Held(row["partition"], row["epoch"], row["checkpoint"], row["effects_after"])
        if row["failing"] is not None:
            held.attempts = json.loads(row["failing"])["attempts"]
            rests = row["rests_seconds"]
            held.rests_until = math.inf if rests is None else monotonic() + rests
        share.held[held.partition] = held
    for model, share in shares.items():
        if model in before:
            share.full = before[model].full & share.held.keys()
    return shares
