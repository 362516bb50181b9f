"""Enqueue in the transaction of a SQLAlchemy Session or Connection, sync or async.

``send_welcome.using(session).enqueue_sync(42)``, ``await send_welcome.using(async_session).enqueue(42)``: the job is
committed with the session's rows or rolled back with them, savepoints included. Nothing needs to be imported from here
for that. Dialects: psycopg, psycopg2, asyncpg. SQLAlchemy itself sends the statement, so that the transaction begins
the way it always does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from holdfast.clock import monotonic
from holdfast.db import (
    WORTH_SAYING_SECONDS,
    AwaitedConnection,
    BlockingConnection,
    Statement,
    for_numbered_style,
    for_percent_style,
)
from holdfast.errors import DriverUnsupported

_STYLES: dict[str, Any] = {"numeric_dollar": for_numbered_style, "pyformat": for_percent_style}


def database_url(source: Engine | AsyncEngine | URL | str) -> str:
    """The URL that Holdfast takes, of an engine or of SQLAlchemy's own URL: without the name of a driver in it."""
    if isinstance(source, str):
        scheme, colon, rest = source.partition("://")
        return f"{scheme.partition('+')[0]}{colon}{rest}"
    url = source if isinstance(source, URL) else source.url
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


class SyncCaller(BlockingConnection):
    """A ``Session``, a ``scoped_session`` or a ``Connection``."""

    driver: ClassVar[str] = "SQLAlchemy Session or Connection"

    def __init__(self, owner: Any) -> None:
        self._owner = owner() if isinstance(owner, scoped_session) else owner
        self._connection: Connection | None = None

    @staticmethod
    def recognises(owner: Any) -> bool:
        """Whether it holds a transaction of SQLAlchemy's, without await."""
        return isinstance(owner, Session | scoped_session | Connection)

    def fetch_sync(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """Run a statement as SQLAlchemy runs its own: it begins the transaction where none is open."""
        connection = self._owner if isinstance(self._owner, Connection) else self._owner.connection()
        self._connection = connection
        result = connection.exec_driver_sql(*_spelled_for(connection, statement, params))
        return [tuple(row) for row in result] if result.returns_rows else []

    def at_commit(self, statement: Statement, words: Iterable[str]) -> None:
        """Just before the driver's commit, after the last flush."""
        if self._connection is not None:
            _LastWords.of(self._connection, statement).add(words)


class AsyncCaller(AwaitedConnection):
    """An ``AsyncSession``, an ``async_scoped_session`` or an ``AsyncConnection``."""

    driver: ClassVar[str] = "SQLAlchemy AsyncSession or AsyncConnection"

    def __init__(self, owner: Any) -> None:
        self._owner = owner() if isinstance(owner, async_scoped_session) else owner
        self._inside: SyncCaller | None = None

    @staticmethod
    def recognises(owner: Any) -> bool:
        """Whether it holds a transaction of SQLAlchemy's, with await."""
        return isinstance(owner, AsyncSession | async_scoped_session | AsyncConnection)

    async def fetch(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """Run a statement through the sync side of SQLAlchemy, which is where its transaction is."""

        def run(owner: Any) -> list[Sequence[Any]]:
            self._inside = SyncCaller(owner)
            return self._inside.fetch_sync(statement, params)

        rows: list[Sequence[Any]] = await self._owner.run_sync(run)
        return rows

    def at_commit(self, statement: Statement, words: Iterable[str]) -> None:
        """Just before the driver's commit, after the last flush."""
        if self._inside is not None:
            self._inside.at_commit(statement, words)


class _LastWords:
    """What a connection says before it commits; nothing where it rolls back."""

    _all: ClassVar[WeakKeyDictionary[Connection, _LastWords]] = WeakKeyDictionary()

    def __init__(self, statement: Statement) -> None:
        self._words: set[str] = set()
        self._since = 0.0
        self._statement = statement

    @classmethod
    def of(cls, connection: Connection, statement: Statement) -> _LastWords:
        """The one of this connection: a long-lived connection is listened to once."""
        known = cls._all.get(connection)
        if known is None:
            known = cls._all[connection] = cls(statement)
            event.listen(connection, "commit", known.say)
            event.listen(connection, "rollback", known.forget)
        return known

    def add(self, words: Iterable[str]) -> None:
        if not self._words:
            self._since = monotonic()
        self._words.update(words)

    def say(self, connection: Connection) -> None:
        words, self._words = sorted(self._words), set()
        if words and monotonic() - self._since >= WORTH_SAYING_SECONDS:
            connection.exec_driver_sql(*_spelled_for(connection, self._statement, [words]))

    def forget(self, connection: Connection) -> None:  # noqa: ARG002 - SQLAlchemy hands it over
        self._words.clear()


def _spelled_for(connection: Connection, statement: Statement, params: Sequence[Any]) -> tuple[str, Any]:
    dialect = connection.dialect
    style = _STYLES.get(dialect.paramstyle)
    if dialect.name != "postgresql" or style is None:
        raise DriverUnsupported(
            f"cannot work on SQLAlchemy's {dialect.name}+{dialect.driver}",
            remedy="use an engine of postgresql+psycopg, postgresql+psycopg2 or postgresql+asyncpg",
        )
    sql, values = style(statement, params)
    return sql, values


CONNECTIONS = (SyncCaller, AsyncCaller)
