"""The database for one request: with less patience, or as one transaction on one connection.

Consoles are written for a ``Database``. Over one of these they do the same within the bounds that a request sets them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from holdfast.db.database import Database, PoolName
from holdfast.db.faults import Fault
from holdfast.db.held import HeldConnection
from holdfast.db.statements import Statement, load_statements
from holdfast.errors import StatementTooSlow

_SQL = load_statements("holdfast.db", "database.sql")


class PatientFor(Database):
    """The same pools, but no statement may take longer than so many seconds; ``StatementTooSlow`` otherwise."""

    def __init__(self, whole: Database, seconds: float) -> None:
        super().__init__(whole.url, direct_url=whole.direct_url, pooled=whole.pooled)
        self.application_name, self.server_version = whole.application_name, whole.server_version
        self.whole = whole
        self._seconds = seconds

    async def _run(
        self, method: str, statement: Statement, params: tuple[Any, ...], name: PoolName, timeout_seconds: float
    ) -> Any:
        patience = min(timeout_seconds, self._seconds)
        try:
            return await self.whole._run(method, statement, params, name, patience)  # noqa: SLF001  (of its own kind)
        except TimeoutError as error:
            raise _too_slow(statement, patience) from error

    @contextlib.asynccontextmanager
    async def connection(self, pool: PoolName = "user", *, timeout_seconds: float = 30.0) -> AsyncIterator[Any]:
        """Lend a connection of the whole database's; what runs on it is its borrower's business."""
        async with self.whole.connection(pool, timeout_seconds=min(timeout_seconds, self._seconds)) as connection:
            yield connection

    def hold(self, pool: PoolName = "control") -> HeldConnection:
        """A connection of the whole database's."""
        return self.whole.hold(pool)


class WithinTransaction(Database):
    """One transaction on one connection: every statement runs in it, whichever pool it asks for, one at a time.

    ``connection`` lends this connection: a transaction begun on it is a savepoint.
    """

    def __init__(self, whole: Database, connection: Any, seconds: float) -> None:
        super().__init__(whole.url, direct_url=whole.direct_url, pooled=whole.pooled)
        self.application_name, self.server_version = whole.application_name, whole.server_version
        self._connection = connection
        self._seconds = seconds
        self._turn = asyncio.Lock()

    async def _run(
        self, method: str, statement: Statement, params: tuple[Any, ...], _name: PoolName, timeout_seconds: float
    ) -> Any:
        # Nothing is repeated here: after an error the transaction is over.
        patience = min(timeout_seconds, self._seconds)
        async with self._turn:
            try:
                return await getattr(self._connection, method)(statement.sql, *params, timeout=patience)
            except TimeoutError as error:
                raise _too_slow(statement, patience) from error

    @contextlib.asynccontextmanager
    async def connection(self, pool: PoolName = "user", *, timeout_seconds: float = 30.0) -> AsyncIterator[Any]:  # noqa: ARG002
        """Lend the connection of the transaction."""
        yield self._connection

    def hold(self, pool: PoolName = "control") -> HeldConnection:  # noqa: ARG002
        """The connection of the transaction; it is not given back before its end."""

        async def take(_timeout_seconds: float) -> Any:
            return self._connection

        async def give_back(_connection: Any) -> None:
            return

        async def recover(_fault: Fault, error: Exception) -> None:
            raise error

        return HeldConnection(take, give_back, recover)


@contextlib.asynccontextmanager
async def transaction(whole: Database, *, statement_seconds: float) -> AsyncIterator[WithinTransaction]:
    """A transaction in which no statement and no wait for a lock takes longer than so many seconds.

    Committed when the block ends, rolled back when it raises.
    """
    async with whole.connection("user", timeout_seconds=statement_seconds) as connection, connection.transaction():
        await connection.fetchval(_SQL["be_brief"].sql, round(statement_seconds * 1000))
        yield WithinTransaction(whole, connection, statement_seconds)


def _too_slow(statement: Statement, seconds: float) -> StatementTooSlow:
    return StatementTooSlow(
        f"the database did not answer {statement.name!r} within {seconds:g} s",
        remedy="narrow the question (a filter, a queue, a smaller limit), or look at what the database is busy with",
    )
