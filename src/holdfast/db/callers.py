"""What a connection of a caller's own is, whoever wraps it: a driver of this room, or an integration of ``contrib``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, ClassVar, Protocol

from holdfast.db.statements import Statement
from holdfast.errors import DriverUnsupported

WORTH_SAYING_SECONDS = 0.005
"""A worker that has just become idle looks again after as long: for a shorter transaction a hint saves nothing."""
_PLACEHOLDER = re.compile(r"\$(\d+)")
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

    def at_commit(self, statement: Statement, words: Iterable[str]) -> None:
        """Run a statement once when the transaction of the last ``fetch`` commits, as late as its owner lets us.

        Its one parameter is the array of all words asked for in that transaction. For hints alone: a bare driver has
        no such moment and does nothing, and nothing is said where less than ``WORTH_SAYING_SECONDS`` went by.
        """
        ...


class ConnectionKind(Protocol):
    """What an integration offers: a class that knows its connections and wraps one."""

    @property
    def driver(self) -> str:
        """Its name as people know it."""
        ...

    def recognises(self, connection: Any, /) -> bool:
        """Whether it is one of ours."""
        ...

    def __call__(self, connection: Any, /) -> CallerConnection:
        """Wrap it."""
        ...


class BlockingConnection:
    """What every connection without await has in common; ``fetch_sync`` is left to its driver."""

    is_async: ClassVar[bool] = False

    async def fetch(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """In a thread, so that a blocking connection used from async code does not stop the loop."""
        return await asyncio.to_thread(self.fetch_sync, statement, params)

    def fetch_sync(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """Run a statement in the caller's transaction, return its rows."""
        raise NotImplementedError

    def at_commit(self, statement: Statement, words: Iterable[str]) -> None:
        """Nothing: this connection does not tell when it commits."""


class AwaitedConnection:
    """What every connection with await has in common; ``fetch`` is left to its driver."""

    driver: ClassVar[str]
    is_async: ClassVar[bool] = True

    def fetch_sync(self, statement: Statement, params: Sequence[Any] = ()) -> list[Sequence[Any]]:  # noqa: ARG002
        """Refused."""
        raise DriverUnsupported(
            f"a {self.driver} cannot be used without await",
            remedy="use the async form of this call, or hand in a connection that needs no await",
        )

    def at_commit(self, statement: Statement, words: Iterable[str]) -> None:
        """Nothing: this connection does not tell when it commits."""


def for_percent_style(statement: Statement, params: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters as a DBAPI cursor of the style ``pyformat`` takes them."""
    sql = _PLACEHOLDER.sub(r"%(p\1)s", text_json_only(statement).replace("%", "%%"))
    return sql, {f"p{number}": value for number, value in enumerate(lists_for_tuples(params), start=1)}


def for_numbered_style(statement: Statement, params: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """The same for what takes ``$1`` as it is."""
    return text_json_only(statement), tuple(params)


def lists_for_tuples(params: Sequence[Any]) -> Sequence[Any]:
    """Tuples as lists: psycopg makes a composite of a tuple, where asyncpg takes any sequence for an array."""
    return [list(param) if isinstance(param, tuple) else param for param in params]


@cache
def text_json_only(statement: Statement) -> str:
    """The SQL of a statement that may run on a caller's connection. Raises ``ValueError`` for one that may not."""
    found = _JSON_PARAMETER.search(statement.sql)
    if found:
        raise ValueError(
            f"statement {statement.name!r} takes {found[0]!r}: a caller's connection may encode that itself; "
            "write it as ::text::jsonb (::text[]::jsonb[])"
        )
    return statement.sql
