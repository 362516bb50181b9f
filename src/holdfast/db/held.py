"""A connection that is kept between statements.

Taking one from a pool and giving it back costs more than a short statement does. Whoever sends many statements one
after the other holds one; after a fault it is given back and the next statement takes another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from holdfast.db.faults import Fault, classify
from holdfast.db.statements import Statement

_SAFE_TO_REPEAT = (Fault.READ_ONLY, Fault.STALE_PLAN, Fault.POOLER)
_HARMLESS = (Fault.ROW, Fault.REPEATED, Fault.CONTENDED, Fault.NO_SCHEMA, Fault.OTHER)


class HeldConnection:
    """One connection of a pool, taken when first needed; its statements run one after the other."""

    def __init__(
        self,
        take: Callable[[float], Awaitable[Any]],
        give_back: Callable[[Any], Awaitable[None]],
        recover: Callable[[Fault, Exception], Awaitable[None]],
    ) -> None:
        self._take = take
        self._give_back = give_back
        self._recover = recover
        self._connection: Any | None = None
        self._turn = asyncio.Lock()

    async def fetch(self, statement: Statement, *params: Any, timeout_seconds: float = 60.0) -> list[Any]:
        """Run a statement, return its rows; repeated once when the server provably did nothing."""
        async with self._turn:
            try:
                return await self._run(statement, params, timeout_seconds)
            except Exception as error:
                fault = classify(error)
                if fault not in _SAFE_TO_REPEAT:
                    raise
                await self._recover(fault, error)
                return await self._run(statement, params, timeout_seconds)

    async def fetchval(self, statement: Statement, *params: Any, timeout_seconds: float = 60.0) -> Any:
        """Run a statement, return the first column of its first row or None."""
        rows = await self.fetch(statement, *params, timeout_seconds=timeout_seconds)
        return rows[0][0] if rows else None

    async def close(self, deadline_seconds: float = 5.0) -> None:
        """Wait for the statement under way, at most so long, and give the connection back.

        Given back earlier it would cut the statement, and nobody would know whether it was done. The next statement
        would take another connection.
        """
        waited = True
        try:
            async with asyncio.timeout(deadline_seconds):
                await self._turn.acquire()
        except TimeoutError:
            waited = False
        try:
            await self._let_go()
        finally:
            if waited:
                self._turn.release()

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._give_back(connection)

    async def _run(self, statement: Statement, params: tuple[Any, ...], timeout_seconds: float) -> list[Any]:
        connection = self._connection
        if connection is None or _is_over(connection):
            await self._let_go()
            connection = self._connection = await self._take(timeout_seconds)
        try:
            rows = await connection.fetch(statement.sql, *params, timeout=timeout_seconds)
        except BaseException as error:
            # Also after a cancellation: the statement may still be running there.
            if not isinstance(error, Exception) or classify(error) not in _HARMLESS or isinstance(error, TimeoutError):
                await self._let_go()
            raise
        connection.left_clean()
        return list(rows)


def _is_over(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True  # it died between two statements, and its pool has taken it back already
