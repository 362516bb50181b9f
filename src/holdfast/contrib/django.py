"""Enqueue in the transaction of Django's connection, and run tasks that use the ORM.

``send_welcome.using(connection).enqueue_sync(42)`` inside ``transaction.atomic()``, with ``connection`` from
``django.db``: nothing needs to be imported from here for that. ``database_url`` and ``fresh_connections`` are for the
module that makes the application.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.connection import ConnectionProxy

from holdfast.clock import monotonic
from holdfast.db import WORTH_SAYING_SECONDS, BlockingConnection, Statement, for_percent_style
from holdfast.errors import ConfigurationError, DriverUnsupported

_PASSED_ON = ("sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs", "passfile", "service")


def database_url(alias: str = "default") -> str:
    """The URL of a database of ``settings.DATABASES``: ``app = Holdfast(database_url())``."""
    chosen = connections.settings[alias]
    if not chosen["ENGINE"].endswith(("postgresql", "postgis")):
        raise ConfigurationError(
            f"DATABASES[{alias!r}] is {chosen['ENGINE']}; Holdfast needs PostgreSQL",
            remedy="name the alias of a PostgreSQL database, or give Holdfast a database_url of its own",
        )
    host, port = str(chosen["HOST"]), str(chosen["PORT"])
    options = {name: value for name, value in chosen.get("OPTIONS", {}).items() if name in _PASSED_ON}
    if host.startswith("/"):
        options |= {"host": host} | ({"port": port} if port else {})
        host = port = ""
    login = ":".join(quote(str(part), safe="") for part in (chosen["USER"], chosen["PASSWORD"]) if part)
    place = f"{login}{'@' if login else ''}{host}{':' if port else ''}{port}"
    return f"postgresql://{place}/{quote(str(chosen['NAME']))}" + (f"?{urlencode(options)}" if options else "")


@contextmanager
def fresh_connections() -> Iterator[None]:
    """Around a task: connections that broke or grew old are closed, as Django does around a request.

    ``app.around(fresh_connections)`` puts it around every task.
    """
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


class DjangoCaller(BlockingConnection):
    """``django.db.connection``, or one of ``django.db.connections``."""

    driver: ClassVar[str] = "Django connection"

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._in_transaction: Any = None

    @staticmethod
    def recognises(connection: Any) -> bool:
        """Whether it is a connection of Django's, or the name that stands for the current thread's."""
        return isinstance(connection, BaseDatabaseWrapper | ConnectionProxy)

    async def fetch(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """In the thread where Django keeps the connections of async code."""
        rows: list[Sequence[Any]] = await sync_to_async(self.fetch_sync)(statement, params)
        return rows

    def fetch_sync(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """Run a statement as Django runs its own."""
        given = self._connection
        wrapper = connections[given.alias] if isinstance(given, ConnectionProxy) else given
        if wrapper.vendor != "postgresql":
            raise DriverUnsupported(
                f"cannot work on Django's {wrapper.vendor}", remedy="hand in the connection of a PostgreSQL database"
            )
        self._in_transaction = wrapper if wrapper.in_atomic_block else None
        with wrapper.cursor() as cursor:
            cursor.execute(*for_percent_style(statement, params))
            return list(cursor.fetchall()) if cursor.description else []

    def at_commit(self, statement: Statement, words: Iterable[str]) -> None:
        """Right after the outermost commit, once for all that was enqueued: the connection is still at hand."""
        wrapper = self._in_transaction
        wanted = set(words)
        if wrapper is None or not wanted:
            return
        last = wrapper.run_on_commit[-1][1] if wrapper.run_on_commit else None
        if isinstance(last, _Ring) and last.savepoints == wrapper.savepoint_ids:
            last.words |= wanted
            return
        ring = _Ring(wrapper, statement, wanted)
        transaction.on_commit(ring, using=wrapper.alias, robust=True)


class _Ring:
    """One statement after the commit; rings asked for one after the other in a block are one."""

    def __init__(self, wrapper: Any, statement: Statement, words: set[str]) -> None:
        self.words = words
        self._since = monotonic()
        self.savepoints = list(wrapper.savepoint_ids)
        self._wrapper = wrapper
        self._statement = statement

    def __call__(self) -> None:
        if monotonic() - self._since < WORTH_SAYING_SECONDS:
            return
        with self._wrapper.cursor() as cursor:
            cursor.execute(*for_percent_style(self._statement, [sorted(self.words)]))


CONNECTIONS = (DjangoCaller,)
