"""A connection that the caller owns, whatever its driver: one code path of statement and parameters.

The caller's transaction is the caller's: nothing here begins, commits or configures anything. A statement that runs
here takes JSON as ``$1::text::jsonb`` and returns it as ``args::text``, because the caller's connection may have its
own idea of how jsonb becomes Python; ``fetch`` refuses one that does not.

A further driver is one small class and one line in ``_DRIVERS``.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, Protocol

from holdfast.db.statements import Statement
from holdfast.errors import DriverUnsupported

_JSON_PARAMETER = re.compile(r"\$\d+\s*::\s*jsonb?\b", re.IGNORECASE)


class CallerConnection(Protocol):
    """What a room may do with a connection that its caller owns."""

    driver: ClassVar[str]
    """The driver's name as people know it."""
    is_async: ClassVar[bool]
    """Whether ``fetch`` is the natural verb; otherwise ``fetch_sync`` is."""

    async def fetch(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """Run a statement in the caller's transaction, return its rows as sequences."""
        ...

    def fetch_sync(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """The same for a caller without an event loop; ``DriverUnsupported`` on an async connection."""
        ...


def adopt(connection: Any) -> CallerConnection:
    """Wrap a connection of the caller's. Raises ``DriverUnsupported`` for what is not one of the supported drivers."""
    for driver in _DRIVERS:
        if driver.recognises(connection):
            return driver(connection)
    kind = type(connection)
    supported = ", ".join(driver.driver for driver in _DRIVERS)
    raise DriverUnsupported(
        f"cannot work on a {kind.__module__}.{kind.__qualname__}",
        remedy=f"hand in an open connection of one of: {supported} (a connection, not a pool, cursor or URL)",
    )


class _Asyncpg:
    driver: ClassVar[str] = "asyncpg"
    is_async: ClassVar[bool] = True

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @staticmethod
    def recognises(connection: Any) -> bool:
        return _is_instance(connection, "asyncpg", "Connection") or _is_instance(
            connection, "asyncpg.pool", "PoolConnectionProxy"
        )

    async def fetch(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        return list(await self._connection.fetch(_text_json_only(statement), *params))

    def fetch_sync(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:  # noqa: ARG002
        raise _needs_await(self.driver)


class _PsycopgAsync:
    driver: ClassVar[str] = "psycopg.AsyncConnection"
    is_async: ClassVar[bool] = True

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @staticmethod
    def recognises(connection: Any) -> bool:
        return _is_instance(connection, "psycopg", "AsyncConnection")

    async def fetch(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        async with _psycopg_cursor("AsyncRawCursor", self._connection) as cursor:
            await cursor.execute(_text_json_only(statement), _for_psycopg(params))
            try:
                return list(await cursor.fetchall())
            except sys.modules["psycopg"].ProgrammingError as error:
                return _no_rows(cursor, error)

    def fetch_sync(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:  # noqa: ARG002
        raise _needs_await(self.driver)


class _Psycopg:
    driver: ClassVar[str] = "psycopg.Connection"
    is_async: ClassVar[bool] = False

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @staticmethod
    def recognises(connection: Any) -> bool:
        return _is_instance(connection, "psycopg", "Connection")

    async def fetch(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        # A thread, so that a blocking connection used from async code does not stop the loop.
        return await asyncio.to_thread(self.fetch_sync, statement, params)

    def fetch_sync(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        with _psycopg_cursor("RawCursor", self._connection) as cursor:
            cursor.execute(_text_json_only(statement), _for_psycopg(params))
            try:
                return list(cursor.fetchall())
            except sys.modules["psycopg"].ProgrammingError as error:
                return _no_rows(cursor, error)


_DRIVERS: tuple[type[_Asyncpg | _PsycopgAsync | _Psycopg], ...] = (_Asyncpg, _PsycopgAsync, _Psycopg)


def _is_instance(connection: Any, module: str, name: str) -> bool:
    """Whether it is one, without importing a driver: who holds such a connection has imported it already."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(connection, kind)


def _psycopg_cursor(kind: str, connection: Any) -> Any:
    """A cursor that understands ``$n``, returns tuples, and leaves the connection's own adapters and factories alone.

    ``$n`` goes to the server as it is, so repeated and out-of-order numbers need no translation.
    """
    import psycopg
    from psycopg.rows import tuple_row
    from psycopg.types.string import TextLoader

    cursor_type = getattr(psycopg, kind, None)
    if cursor_type is None:
        raise DriverUnsupported(
            f"psycopg {psycopg.__version__} cannot send numbered placeholders", remedy="install psycopg 3.2 or newer"
        )
    cursor = cursor_type(connection, row_factory=tuple_row)
    # As with asyncpg, JSON stays text here; the cursor has its own copy of the connection's adapters.
    for json_type in ("json", "jsonb"):
        cursor.adapters.register_loader(json_type, TextLoader)
    return cursor


def _no_rows(cursor: Any, error: Exception) -> list[Sequence[Any]]:
    """A statement that makes no rows. Asked only after fetching, for in a pipeline nothing is known before."""
    if cursor.description is None and getattr(error, "sqlstate", None) is None:
        return []
    raise error


def _for_psycopg(params: Sequence[Any]) -> Sequence[Any]:
    """Tuples as lists: psycopg makes a composite of a tuple, where asyncpg takes any sequence for an array."""
    return [list(param) if isinstance(param, tuple) else param for param in params]


@cache
def _text_json_only(statement: Statement) -> str:
    found = _JSON_PARAMETER.search(statement.sql)
    if found:
        raise ValueError(
            f"statement {statement.name!r} takes {found[0]!r}: a caller's connection may encode that itself; "
            "write it as ::text::jsonb (::text[]::jsonb[])"
        )
    return statement.sql


def _needs_await(driver: str) -> DriverUnsupported:
    return DriverUnsupported(
        f"a {driver} connection cannot be used without await",
        remedy="use the async form of this call, or hand in a psycopg.Connection",
    )
