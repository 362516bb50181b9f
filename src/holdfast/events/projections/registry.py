"""The projections of an application, and the ways to declare one."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from holdfast.errors import ConfigurationError, ProjectionUnknown
from holdfast.events.event import RecordedEvent
from holdfast.events.projections.console import Projections
from holdfast.events.projections.declaration import (
    DEFAULT_BATCH,
    DEFAULT_RETRY,
    HandlerShape,
    Kind,
    OnFailure,
    Projection,
    shape_of,
)
from holdfast.events.projections.delivery import Delivery
from holdfast.events.projections.feed import ToFiles
from holdfast.events.projections.handling import Handling, InBatches, OneByOne, ToJobs, ToOutside
from holdfast.events.projections.service import ProjectionService
from holdfast.events.types import EventTypes
from holdfast.jobs import Retry, Task

F = TypeVar("F", bound=Callable[..., Any])
Types = str | type | Sequence[str | type] | None
Names = str | Sequence[str] | None


class DeclaredProjection(Generic[F]):
    """A registered projection. Calling it calls the handler, here and now."""

    def __init__(self, handler: F, projection: Projection, console: Callable[[], Awaitable[Projections]]) -> None:
        self.handler = handler
        self.projection = projection
        self.name = projection.name
        self._console = console
        self.__doc__ = handler.__doc__
        self.__wrapped__ = handler

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the handler directly."""
        return self.handler(*args, **kwargs)

    async def caught_up(self, position: int, timeout_seconds: float = 5.0) -> None:
        """Return once every event up to ``position`` is in the read model. Raises ``TimedOut``."""
        await (await self._console()).caught_up(self.name, position, timeout_seconds)

    def __repr__(self) -> str:
        return repr(self.projection)


class Registry:
    """Declares projections and knows them by name."""

    def __init__(self, event_types: EventTypes, console: Callable[[], Awaitable[Projections]]) -> None:
        """``console`` opens the application if it is not open yet."""
        self.projections: dict[str, Projection] = {}
        self._event_types = event_types
        self._console = console

    def select(self, names: Sequence[str] | None = None) -> list[Projection]:
        """The projections of these names, or all. Raises ``ProjectionUnknown`` with the names that there are."""
        known = ", ".join(sorted(self.projections)) or "none"
        for name in names or ():
            if name not in self.projections:
                raise ProjectionUnknown(
                    f"the application declares no projection {name!r}", remedy=f"it declares: {known}"
                )
        return [each for name, each in self.projections.items() if names is None or name in names]

    def service(self) -> ProjectionService:
        """What a worker runs for all of them."""
        return ProjectionService(self.select())

    def projection(  # noqa: PLR0913 - each is an option of the decorator
        self,
        name: str,
        *,
        types: Types = None,
        categories: Names = None,
        tags: Names = None,
        batch: int = DEFAULT_BATCH,
        on_failure: OnFailure = "park",
        retry: Retry = DEFAULT_RETRY,
        version: int = 1,
        tables: Names = None,
        into: str | None = None,
        key: Names = None,
        timeout_seconds: float = 60.0,
        setup: Callable[[Any], Any] | None = None,
    ) -> Callable[[F], DeclaredProjection[F]]:
        """Register a read model: ``@app.projection("open_orders")`` over ``async def f(tx, event: Placed | Closed)``.

        Which events it gets is said by the annotation, or by ``types``; ``categories`` and ``tags`` narrow it. What it
        writes through ``tx`` commits with the checkpoint. A parameter annotated as a list gets up to ``batch`` events
        at once; rows (dicts) that such a handler returns go ``into`` that table, replacing those with the same ``key``.
        An event that fails is retried by ``retry``; then its stream is parked, or with ``on_failure="stop"`` the
        partition stops. ``tables`` are what it writes: ``rebuild`` makes them anew beside the live ones, after
        ``setup(tx)``; raise ``version`` with code that needs it. Raises ``ConfigurationError``.
        """

        def register(handler: F) -> DeclaredProjection[F]:
            shape = shape_of(handler, f"projection {name!r}")
            handling = self._handling(handler, shape, name, into, _names(key) or (), timeout_seconds)
            written = _names(tables) or ((into,) if into else ())
            projection = Projection(
                name,
                "model",
                handling,
                self._types(types, shape),
                _names(categories),
                _names(tags),
                batch=batch,
                on_failure=on_failure,
                retry=retry,
                version=version,
                tables=written,
                setup=setup,
                event_types=self._event_types,
            )
            return self._keep(handler, projection)

        return register

    def trigger(
        self,
        task: Task[..., Any],
        *,
        name: str | None = None,
        types: Types = None,
        categories: Names = None,
        tags: Names = None,
        from_start: bool = False,
    ) -> Callable[[F], DeclaredProjection[F]]:
        """Have events start jobs: ``@app.trigger(send_welcome)`` over ``def welcome(event: Registered)``.

        The function returns the job's arguments as a tuple or dict, or None for no job. Jobs and checkpoint commit
        together: one job an event, however often a worker dies. It begins with events that come from now on, or
        ``from_start``.
        """

        def register(handler: F) -> DeclaredProjection[F]:
            chosen = name or handler.__name__
            shape = shape_of(handler, f"trigger {chosen!r}")
            handling = ToJobs(handler, self._value(shape), task)
            return self._keep(
                handler,
                self._effects(chosen, "trigger", handling, shape, types, categories, tags, from_start=from_start),
            )

        return register

    def outbox(
        self,
        name: str,
        *,
        types: Types = None,
        categories: Names = None,
        tags: Names = None,
        retry: Retry = DEFAULT_RETRY,
        timeout_seconds: float = 30.0,
        from_start: bool = False,
    ) -> Callable[[F], DeclaredProjection[F]]:
        """Publish events to another system: ``@app.outbox("broker")`` over ``async def publish(event, delivery)``.

        At least once and in order per stream, outside of any transaction; ``delivery.idempotency_key`` is the same
        for every attempt. A stream whose event cannot be published is parked, others go on.
        """

        def register(handler: F) -> DeclaredProjection[F]:
            shape = shape_of(handler, f"outbox {name!r}")
            handling = ToOutside(handler, self._value(shape), timeout_seconds=timeout_seconds)
            projection = self._effects(
                name, "outbox", handling, shape, types, categories, tags, from_start=from_start, retry=retry
            )
            return self._keep(handler, projection)

        return register

    def feed(
        self,
        name: str,
        folder: str | Path,
        *,
        types: Types = None,
        categories: Names = None,
        tags: Names = None,
        batch: int = 10_000,
        gather_seconds: float = 60.0,
    ) -> Projection:
        """Write the log into ``folder`` as newline-delimited JSON, for a warehouse: ``<first>-<last>.ndjson``.

        In the order of the log, at most ``batch`` events a file, a file at least every ``gather_seconds`` while
        something happens. Read the files by name and pass over positions you have: then every event comes once.
        """
        shape = HandlerShape(takes_many=True, event_types=())
        projection = Projection(
            name,
            "feed",
            ToFiles(Path(folder)),
            self._types(types, shape),
            _names(categories),
            _names(tags),
            batch=batch,
            in_log_order=True,
            gather_seconds=gather_seconds,
            event_types=self._event_types,
        )
        self._keep(_no_handler, projection)
        return projection

    def _handling(
        self,
        handler: Callable[..., Any],
        shape: HandlerShape,
        name: str,
        into: str | None,
        key: Sequence[str],
        timeout_seconds: float,
    ) -> Handling:
        """One by one, or in batches, as the annotation says."""
        who, value = f"projection {name!r}", self._value(shape)
        if key and not into:
            raise ConfigurationError(f"{who}: key names columns of the table in `into`, which is not given")
        if shape.takes_many:
            return InBatches(handler, value, timeout_seconds=timeout_seconds, into=into, key=key)
        if into:
            raise ConfigurationError(
                f"{who}: into and key are for rows that a batch handler returns",
                remedy="annotate its parameter as a list: async def handler(events: list[Placed]) -> list[dict]",
            )
        if not inspect.iscoroutinefunction(handler):
            raise ConfigurationError(f"{who}: a handler with a transaction is a coroutine function (async def)")
        return OneByOne(handler, value, timeout_seconds=timeout_seconds)

    def _effects(  # noqa: PLR0913 - what its two callers were told
        self,
        name: str,
        kind: Kind,
        handling: Handling,
        shape: HandlerShape,
        types: Types,
        categories: Names,
        tags: Names,
        *,
        from_start: bool,
        retry: Retry = DEFAULT_RETRY,
    ) -> Projection:
        """What is there for its effects begins with the events that come, unless told otherwise."""
        return Projection(
            name,
            kind,
            handling,
            self._types(types, shape),
            _names(categories),
            _names(tags),
            retry=retry,
            from_now=not from_start,
            event_types=self._event_types,
        )

    def _keep(self, handler: F, projection: Projection) -> DeclaredProjection[F]:
        if projection.name in self.projections:
            raise ConfigurationError(
                f"there are two projections named {projection.name!r}", remedy="give one of them another name"
            )
        self.projections[projection.name] = projection
        return DeclaredProjection(handler, projection, self._console)

    def _types(self, types: Types, shape: HandlerShape) -> tuple[str, ...] | None:
        annotated = tuple(self._event_types.name_of(each) for each in shape.event_types)
        if types is None:
            return annotated or None
        given = [types] if isinstance(types, str | type) else types
        return tuple(each if isinstance(each, str) else self._event_types.name_of(each) for each in given)

    def _value(self, shape: HandlerShape) -> Callable[[Delivery], Any]:
        """What a handler is given: the typed event when it names types, otherwise the event as it was recorded."""
        if shape.event_types:
            return lambda delivery: delivery.event.load()
        return lambda delivery: delivery.event


def _no_handler(event: RecordedEvent) -> RecordedEvent:
    return event


def _names(names: Names) -> tuple[str, ...] | None:
    if names is None:
        return None
    return (names,) if isinstance(names, str) else tuple(names)
