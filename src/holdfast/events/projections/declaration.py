"""What an application declares about a projection, and what its handler's signature says."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from msgspec import Struct, field

from holdfast.errors import ConfigurationError
from holdfast.events.event import RecordedEvent
from holdfast.events.projections.delivery import Delivery
from holdfast.events.projections.handling import Handling
from holdfast.events.types import EventTypes
from holdfast.jobs import Retry

OnFailure = Literal["park", "stop"]
Kind = Literal["model", "trigger", "outbox", "feed"]
PARTITIONS: Final = 64
DEFAULT_BATCH: Final = 500
DEFAULT_RETRY: Final = Retry(max_attempts=5, delay_seconds=0.2, factor=4, ceiling_seconds=60)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_UNIONS: Final = (typing.Union, types.UnionType)
_UNTYPED: Final = (RecordedEvent, Any, object)
_LISTS: Final = (list, Sequence, typing.Sequence)


class Projection(Struct, frozen=True):
    """A derived reader of the log, as the application declared it.

    ``types``: any of these event types; ``categories``: any of these, a category being what stands before the first
    hyphen of a stream's name; ``tags``: all of them. ``None`` asks for nothing. ``version`` is that of the handler's
    code: raise it when the read model has to be made anew. ``tables`` are those it writes.
    """

    name: str
    kind: Kind
    handling: Handling
    types: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    batch: int = DEFAULT_BATCH
    on_failure: OnFailure = "park"
    retry: Retry = field(default=DEFAULT_RETRY)
    version: int = 1
    tables: tuple[str, ...] = ()
    from_now: bool = False
    setup: Callable[[Any], Any] | None = None
    event_types: EventTypes = field(default_factory=EventTypes)
    in_log_order: bool = False
    """One process at a time reads all partitions, in one order; others stand by."""
    gather_seconds: float = 0.0
    """Events are gathered for so long, unless a batch is full before."""

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ConfigurationError(
                f"{self.name!r} cannot name a projection",
                remedy="small letters, digits and underscores, a letter first, at most 40 of them",
            )
        if self.on_failure not in ("park", "stop"):
            raise ConfigurationError(
                f"projection {self.name!r}: on_failure is 'park' or 'stop', not {self.on_failure!r}"
            )
        if not 1 <= self.batch <= 100_000:
            raise ConfigurationError(
                f"projection {self.name!r}: batch is between 1 and 100 000 events, not {self.batch}"
            )
        if self.version < 1:
            raise ConfigurationError(f"projection {self.name!r}: version is 1 or more, not {self.version}")
        for table in self.tables:
            if "." in table:
                raise ConfigurationError(
                    f"projection {self.name!r}: the table {table!r} names a schema",
                    remedy="name tables without one, here and in the handler: a rebuild has a schema of its own",
                )

    def __repr__(self) -> str:
        return f"<Projection {self.name}>"


class HandlerShape(Struct, frozen=True):
    """What the signature of a handler says."""

    takes_many: bool
    """Whether its parameter for events is a list."""
    event_types: tuple[type, ...]
    """The types its annotation names; empty: any."""


def shape_of(function: Callable[..., Any], who: str) -> HandlerShape:
    """Look at a handler. Its event parameter is the last one that is not the ``Delivery``, whatever its name."""
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise ConfigurationError(
            f"{who}: an annotation names something unknown: {error}",
            remedy="import the type where the module is loaded, not only under TYPE_CHECKING",
        ) from error
    parameters = [p for p in inspect.signature(function).parameters if hints.get(p) not in (Delivery, list[Delivery])]
    if not 1 <= len(parameters) <= 2:
        raise ConfigurationError(
            f"{who}: a handler takes (tx, event), (tx, events) or (events)",
            remedy="write async def handler(tx, event: OrderPlaced | OrderClosed) -> None",
        )
    hint = hints.get(parameters[-1], RecordedEvent)
    takes_many = typing.get_origin(hint) in _LISTS or hint in _LISTS
    if takes_many:
        (hint,) = typing.get_args(hint) or (RecordedEvent,)
    members = typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,)
    named = tuple(each for each in members if isinstance(each, type) and each not in _UNTYPED)
    return HandlerShape(takes_many, named if len(named) == len(members) else ())
