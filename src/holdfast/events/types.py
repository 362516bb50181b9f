"""Typed events: classes by the name and schema version under which they are stored, and the way from old shapes to new.

Dataclasses, msgspec Structs and pydantic models are read and written by their own libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
import pydantic
from msgspec import Struct

from holdfast.errors import ConfigurationError, EventsInvalid, EventTypeUnknown

T = TypeVar("T")
Upcaster = Callable[[Any], Any]
"""Takes the plain JSON of one schema version and returns that of the next."""


class EventType(Struct, frozen=True):
    """One registered class."""

    name: str
    version: int
    cls: type
    upcasters: Mapping[int, Upcaster]


class EventTypes:
    """The registry of an application."""

    def __init__(self) -> None:
        self._by_name: dict[str, EventType] = {}
        self._by_class: dict[type, EventType] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The registered types, sorted."""
        return tuple(sorted(self._by_name))

    def register(
        self,
        cls: type[T],
        *,
        name: str | None = None,
        version: int = 1,
        upcasters: Mapping[int, Upcaster] | None = None,
    ) -> type[T]:
        """Register a class. ``upcasters[n]`` lifts stored data of schema version n to n + 1.

        Raises ``ConfigurationError`` for a name or class that is taken, and when the chain from 1 has a hole.
        """
        kind = EventType(name or cls.__name__, version, cls, dict(upcasters or {}))
        if kind.name in self._by_name or cls in self._by_class:
            raise ConfigurationError(
                f"there are two event types named {kind.name!r}", remedy="give one of them another name="
            )
        missing = [str(number) for number in range(1, version) if number not in kind.upcasters]
        if version < 1 or missing:
            raise ConfigurationError(
                f"event type {kind.name!r} has version {version} but no upcaster from version {', '.join(missing)}",
                remedy="write upcasters={1: from_1_to_2, …}, one for every older version",
            )
        self._by_name[kind.name] = self._by_class[cls] = kind
        return cls

    def name_of(self, cls: type) -> str:
        """The type under which instances of a class are stored. Raises ``ConfigurationError`` if it is unregistered."""
        kind = self._by_class.get(cls)
        if kind is None:
            raise ConfigurationError(
                f"{cls.__name__} is not registered as an event type", remedy="write @app.event above the class"
            )
        return kind.name

    def dump(self, value: Any) -> tuple[str | None, int, str]:
        """(type, schema version, JSON text) of a value; no type for what is not an instance of a registered class.

        Raises ``EventsInvalid`` for what JSON cannot express.
        """
        kind = self._by_class.get(type(value))
        try:
            if isinstance(value, pydantic.BaseModel):
                text = value.model_dump_json()
            else:
                text = msgspec.json.encode(value).decode()
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise EventsInvalid(
                f"an event's data cannot be written as JSON: {error}",
                remedy="use numbers, text, lists, dicts, dataclasses, msgspec Structs or pydantic models",
            ) from error
        return (kind.name, kind.version, text) if kind else (None, 1, text)

    def load(self, name: str, schema_version: int, data: Any) -> Any:
        """An instance of the class of today from stored data of any earlier schema version.

        Raises ``EventTypeUnknown``, also for data that is newer than the class or does not fit it.
        """
        kind = self._by_name.get(name)
        if kind is None:
            known = ", ".join(self.names) or "none"
            raise EventTypeUnknown(f"no class is registered for event type {name!r}", remedy=f"registered: {known}")
        if schema_version > kind.version:
            raise EventTypeUnknown(
                f"an event of type {name!r} has schema version {schema_version}; this program knows {kind.version}",
                remedy="deploy readers before writers of a new version",
            )
        for number in range(schema_version, kind.version):
            data = kind.upcasters[number](data)
        try:
            if issubclass(kind.cls, pydantic.BaseModel):
                return kind.cls.model_validate(data)
            return msgspec.convert(data, kind.cls, strict=False)
        except (pydantic.ValidationError, msgspec.ValidationError) as error:
            raise EventTypeUnknown(
                f"data of event type {name!r}, version {schema_version}, does not fit {kind.cls.__name__}: {error}",
                remedy="a changed shape needs a new version= and an upcaster from the old one",
            ) from error
