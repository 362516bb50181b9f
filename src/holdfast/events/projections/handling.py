"""The ways an application handles events: one by one, in batches, as rows, as jobs, as messages to the outside.

Each way is two steps: ``prepare`` before the transaction, for what must not hold one open, and ``write`` inside it. A
handler that fails raises ``HandlerFailed`` with the place of the event, if it is known.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from pydantic_core import to_json

from holdfast.db import DRIVER_ERRORS, Fault, classify, load_statements
from holdfast.errors import ConfigurationError
from holdfast.events.projections.delivery import Delivery
from holdfast.jobs import Task, without_effects

_SQL = load_statements("holdfast.events.projections", "work.sql")
_NOBODYS_FAULT = (Fault.CONTENDED, Fault.CONNECTION_LOST, Fault.NOT_THERE_YET, Fault.READ_ONLY, Fault.STALE_PLAN)
Values = Callable[[Delivery], Any]


class HandlerFailed(Exception):
    """A handler raised. ``at``: which of the events it was given; ``None`` when only the batch is known.

    ``made_before``: the events before that one had their effect, outside of any transaction; they are not repeated.
    """

    def __init__(self, cause: Exception, at: int | None, *, made_before: bool = False) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.at = at
        self.made_before = made_before


class Handling(Protocol):
    """How the events of one projection are handled."""

    async def prepare(self, deliveries: Sequence[Delivery]) -> Any:
        """What needs no transaction, or must not hold one open."""
        ...

    async def write(self, tx: Any, deliveries: Sequence[Delivery], prepared: Any) -> None:
        """What commits with the checkpoint."""
        ...


class OneByOne:
    """``async def handler(tx, event)``, or with the ``Delivery`` as a third."""

    def __init__(self, function: Callable[..., Any], value: Values, *, timeout_seconds: float) -> None:
        self._function = function
        self._value = value
        self._timeout_seconds = timeout_seconds
        self._extra = _takes(function) > 2

    async def prepare(self, deliveries: Sequence[Delivery]) -> None:
        """Nothing."""

    async def write(self, tx: Any, deliveries: Sequence[Delivery], prepared: Any) -> None:  # noqa: ARG002
        """Call the handler for each event, in order."""
        for at, delivery in enumerate(deliveries):
            with _failing_at(at), _effects_of(delivery):
                async with asyncio.timeout(self._timeout_seconds):
                    extra = (delivery,) if self._extra else ()
                    await self._function(tx, self._value(delivery), *extra)


class InBatches:
    """``async def handler(tx, events)``, or ``(events)`` alone; it may return rows for ``into``."""

    def __init__(
        self,
        function: Callable[..., Any],
        value: Values,
        *,
        timeout_seconds: float,
        into: str | None,
        key: Sequence[str],
    ) -> None:
        self._function = function
        self._value = value
        self._timeout_seconds = timeout_seconds
        self._into = into
        self._key = list(key)
        self._outside = _takes(function) == 1

    async def prepare(self, deliveries: Sequence[Delivery]) -> Any:
        """The rows, when the handler needs no transaction to make them."""
        return await self._call(deliveries) if self._outside else None

    async def write(self, tx: Any, deliveries: Sequence[Delivery], prepared: Any) -> None:
        """Call the handler with all events, and store the rows it returns."""
        rows = prepared if self._outside else await self._call(deliveries, tx)
        if rows:
            with _failing_at(None):
                await self._store(tx, rows)

    async def _call(self, deliveries: Sequence[Delivery], *tx: Any) -> Any:
        values: list[Any] = []
        for at, delivery in enumerate(deliveries):
            with _failing_at(at):
                values.append(self._value(delivery))
        with _failing_at(None), _effects_of(deliveries[0]):
            async with asyncio.timeout(self._timeout_seconds):
                result = self._function(*tx, values)
                return await result if inspect.isawaitable(result) else result

    async def _store(self, tx: Any, rows: Sequence[Any]) -> None:
        if self._into is None:
            raise ConfigurationError(
                "the handler returned rows, and the projection names no table for them", remedy="say into='table'"
            )
        columns = list(rows[0])
        if not self._key:
            await tx.copy_records_to_table(
                self._into, columns=columns, records=[tuple(row[column] for column in columns) for row in rows]
            )
            return
        # Of two rows with one key the later is right; one statement cannot touch a row twice.
        newest = {tuple(row[column] for column in self._key): row for row in rows}
        text = to_json(list(newest.values()), inf_nan_mode="constants").decode()
        await tx.execute(_SQL["upsert_rows"].sql, self._into, columns, self._key, text)


class ToJobs:
    """A trigger: the arguments of a job for each event, or ``None`` for no job. Jobs and checkpoint commit together."""

    def __init__(self, function: Callable[..., Any], value: Values, task: Task[..., Any]) -> None:
        self._function = function
        self._value = value
        self._task = task

    async def prepare(self, deliveries: Sequence[Delivery]) -> list[Any]:
        """The calls, one for each event that wants a job."""
        calls = []
        for at, delivery in enumerate(deliveries):
            if delivery.replaying:
                continue
            with _failing_at(at):
                call = self._function(self._value(delivery))
                if call is not None:
                    calls.append(call if isinstance(call, tuple | list | Mapping) else (call,))
        return calls

    async def write(self, tx: Any, deliveries: Sequence[Delivery], prepared: list[Any]) -> None:  # noqa: ARG002
        """Enqueue all of them in one statement."""
        if prepared:
            with _failing_at(None):
                await self._task.using(tx).enqueue_many(prepared)


class ToOutside:
    """An outbox: ``async def publish(event)``, before the checkpoint and in no transaction. At least once, in order."""

    def __init__(self, function: Callable[..., Any], value: Values, *, timeout_seconds: float) -> None:
        self._function = function
        self._value = value
        self._timeout_seconds = timeout_seconds
        self._extra = _takes(function) > 1

    async def prepare(self, deliveries: Sequence[Delivery]) -> None:
        """Publish each event that was not published before."""
        for at, delivery in enumerate(deliveries):
            if delivery.replaying:
                continue
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    extra = (delivery,) if self._extra else ()
                    await self._function(self._value(delivery), *extra)
            except Exception as error:
                raise HandlerFailed(error, at, made_before=True) from error

    async def write(self, tx: Any, deliveries: Sequence[Delivery], prepared: Any) -> None:
        """Nothing but the checkpoint."""


@contextmanager
def _failing_at(at: int | None) -> Iterator[None]:
    """What is raised in here is the failure of the event at that place, unless the database is at fault."""
    try:
        yield
    except HandlerFailed:
        raise
    except Exception as error:
        ours = isinstance(error, DRIVER_ERRORS) and not isinstance(error, TimeoutError)
        if ours and classify(error) in _NOBODYS_FAULT:
            raise
        raise HandlerFailed(error, at) from error


def _effects_of(delivery: Delivery) -> AbstractContextManager[None]:
    """None, where they were made before. The events of one batch are alike in this."""
    return without_effects() if delivery.replaying else nullcontext()


def _takes(function: Callable[..., Any]) -> int:
    return len(inspect.signature(function).parameters)
