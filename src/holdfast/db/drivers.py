"""A connection that the caller owns, whatever its driver: one code path of statement and parameters.

The caller's transaction is the caller's: nothing here begins, commits or configures anything. A statement that runs
here takes JSON as ``$1::text::jsonb`` and returns it as ``args::text``, because the caller's connection may have its
own idea of how jsonb becomes Python; ``fetch`` refuses one that does not.

A further driver is one small class: in ``_DRIVERS``, or in a package of its own behind an entry point of the group
``holdfast.connections`` that is named after the package its connections come from. That is how the integrations of
``holdfast.contrib`` are found, although nothing here knows them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar

from holdfast.db.callers import (
    AwaitedConnection,
    BlockingConnection,
    CallerConnection,
    ConnectionKind,
    lists_for_tuples,
    text_json_only,
)
from holdfast.db.statements import Statement
from holdfast.errors import DriverUnsupported

_INTEGRATIONS = "holdfast.connections"


def adopt(connection: Any) -> CallerConnection:
    """Wrap a connection of the caller's. Raises ``DriverUnsupported`` for what is not one of the supported drivers."""
    for driver in _DRIVERS:
        if driver.recognises(connection):
            return driver(connection)
    kind = type(connection)
    packages = frozenset(above.__module__.partition(".")[0] for above in kind.__mro__)
    for driver in _integrations(packages):
        if driver.recognises(connection):
            return driver(connection)
    bare = ", ".join(driver.driver for driver in _DRIVERS)
    others = ", ".join(sorted(entry.name for entry in entry_points(group=_INTEGRATIONS)))
    raise DriverUnsupported(
        f"cannot work on a {kind.__module__}.{kind.__qualname__}",
        remedy=f"hand in an open connection of one of: {bare} (a connection, not a pool, cursor or URL), "
        f"or what holds a transaction in: {others}",
    )


@cache
def _integrations(packages: frozenset[str]) -> tuple[ConnectionKind, ...]:
    """What the installed integrations offer for objects whose classes come from these packages."""
    found = [entry.load() for entry in entry_points(group=_INTEGRATIONS) if entry.name in packages]
    return tuple(kind for offered in found for kind in offered)


class _Asyncpg(AwaitedConnection):
    driver: ClassVar[str] = "asyncpg"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @staticmethod
    def recognises(connection: Any) -> bool:
        return _is_instance(connection, "asyncpg", "Connection") or _is_instance(
            connection, "asyncpg.pool", "PoolConnectionProxy"
        )

    async def fetch(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        return list(await self._connection.fetch(text_json_only(statement), *params))


class _PsycopgAsync(AwaitedConnection):
    driver: ClassVar[str] = "psycopg.AsyncConnection"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @staticmethod
    def recognises(connection: Any) -> bool:
        return _is_instance(connection, "psycopg", "AsyncConnection")

    async def fetch(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        async with _psycopg_cursor("AsyncRawCursor", self._connection) as cursor:
            await cursor.execute(text_json_only(statement), lists_for_tuples(params))
            try:
                return list(await cursor.fetchall())
            except sys.modules["psycopg"].ProgrammingError as error:
                return _no_rows(cursor, error)


class _Psycopg(BlockingConnection):
    driver: ClassVar[str] = "psycopg.Connection"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @staticmethod
    def recognises(connection: Any) -> bool:
        return _is_instance(connection, "psycopg", "Connection")

    def fetch_sync(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        with _psycopg_cursor("RawCursor", self._connection) as cursor:
            cursor.execute(text_json_only(statement), lists_for_tuples(params))
            try:
                return list(cursor.fetchall())
            except sys.modules["psycopg"].ProgrammingError as error:
                return _no_rows(cursor, error)


_DRIVERS: tuple[ConnectionKind, ...] = (_Asyncpg, _PsycopgAsync, _Psycopg)


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
