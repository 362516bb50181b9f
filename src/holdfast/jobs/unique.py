"""Uniqueness: which jobs count as the same one, where, for how long, and what becomes of the newer one."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from holdfast.errors import ConfigurationError
from holdfast.jobs.durations import seconds_of
from holdfast.jobs.states import FINAL, Place

_BITS: Final = {
    place: 1 << n
    for n, place in enumerate(
        (
            *(Place.SCHEDULED, Place.BLOCKED, Place.READY, Place.RUNNING),
            *(Place.COMPLETED, Place.FAILED, Place.CANCELLED),
        )
    )
}
_CONFLICTS: Final = {"existing": 0, "skip": 1, "replace": 2}
UNFINISHED: Final = frozenset(Place) - FINAL
"""The places in which a job counts unless ``places`` says otherwise."""


class Unique(Struct, frozen=True):
    """At most one job of the task with this key.

    The key is ``key``, or the arguments named in ``by``, or all arguments. It counts while its job stands in one of
    ``places`` (by default in any but the final ones); with ``period`` (seconds, a timedelta, ``"1h"``) also for so
    long after it was enqueued, when it has completed. ``on_conflict``: ``"existing"`` gives the id of the job there is,
    which will see what your transaction has written if it still waits; ``"skip"`` gives the id too, and holds nothing;
    ``"replace"`` cancels the one that waits and takes its place (one that runs already is left alone, its id is given).
    """

    by: str | Collection[str] | None = None
    key: str | None = None
    period: float | str | timedelta | None = None
    places: Collection[str] | None = None
    on_conflict: Literal["existing", "skip", "replace"] = "existing"

    def __post_init__(self) -> None:
        """Raises ``ConfigurationError`` for places and policies that do not exist."""
        unknown = sorted(set(self.places or ()) - set(Place))
        if unknown or (self.places is not None and not self.places):
            raise ConfigurationError(
                f"there is no place {', '.join(unknown)!r}" if unknown else "unique in no place at all is not unique",
                remedy=f"places are {', '.join(Place)}",
            )
        if self.on_conflict not in _CONFLICTS:
            raise ConfigurationError(
                f"there is no conflict policy {self.on_conflict!r}", remedy=f"policies are {', '.join(_CONFLICTS)}"
            )
        if self.key == "":
            raise ConfigurationError("a unique key cannot be empty")
        if self.key is not None and self.by is not None:
            raise ConfigurationError("give a key, or the arguments that are the key, not both")

    @property
    def covered(self) -> int:
        """The places in which it counts, as bits."""
        places = self.places
        if places is None:
            places = UNFINISHED if self.period is None else UNFINISHED | {Place.COMPLETED}
        return sum(_BITS[Place(place)] for place in places)

    @property
    def period_us(self) -> int | None:
        """How long it counts after the enqueue even when its job has ended, in microseconds."""
        return None if self.period is None else round(seconds_of(self.period) * 1_000_000)

    @property
    def conflict(self) -> int:
        """The policy as the database knows it."""
        return _CONFLICTS[self.on_conflict]

    def key_of(self, text: str, names: Collection[str]) -> str:
        """The key of a call with these stored arguments. Raises ``ConfigurationError`` for unknown arguments."""
        if self.key is not None:
            return self.key
        if self.by is not None:
            by = (self.by,) if isinstance(self.by, str) else tuple(self.by)
            unknown = [name for name in by if name not in names]
            if unknown:
                raise ConfigurationError(
                    f"there is no argument {unknown[0]!r} to be unique by",
                    remedy=f"arguments are {', '.join(names) or 'none'}",
                )
            stored: Mapping[str, Any] = msgspec.json.decode(text)
            text = msgspec.json.encode({name: stored.get(name) for name in sorted(by)}).decode()
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def as_unique(unique: bool | str | Unique | None) -> Unique | None:  # noqa: FBT001 - the option of the same name
    """What ``options(unique=…)`` was given, in full."""
    if isinstance(unique, str):
        return Unique(key=unique)
    return Unique() if unique is True else unique or None
