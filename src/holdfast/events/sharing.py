"""Appends of concurrent callers that travel together: one statement and one commit for all that wait meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from holdfast.db import DRIVER_ERRORS, Fault, HeldConnection, classify
from holdfast.errors import DatabaseUnavailable, HoldfastError
from holdfast.events.writing import Writing, shared_statement

_MOST_APPENDS: Final = 100
_MOST_EVENTS: Final = 1000
_PATIENCE_SECONDS: Final = 0.1
_CLOSE_SECONDS: Final = 5.0
Answer = Sequence[Any]
Waiting = tuple[Writing, "asyncio.Future[Answer | None]"]


class SharedAppends:
    """One connection for the appends of a process.

    Whoever comes while it is free sends his own; whoever comes meanwhile waits for the next turn and shares it. Nobody
    waits for what a stranger's append waits for: such a one is handed back, to be sent alone.
    """

    def __init__(self, held: HeldConnection) -> None:
        self._held = held
        self._busy = False
        self._waiting: list[Waiting] = []
        self._alone = False
        """A caller's own statement is under way. It may wait for a lock as long as it likes, the others do not."""
        self._patience: asyncio.TimerHandle | None = None
        self._sender: asyncio.Task[None] | None = None

    async def send(self, writing: Writing) -> Answer | None:
        """The answer to this append; ``None``: nothing was done, send it alone on another connection."""
        if not self._busy:
            self._busy = self._alone = True
            try:
                rows: list[Answer] = await self._held.fetch(*_statement(writing))
                return rows[0]
            finally:
                self._busy = self._alone = False
                self._end_patience()
                self._start_sender()
        if not writing.may_share:
            return None
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((writing, answer))
        self._have_patience()
        return await answer

    async def close(self) -> None:
        """Let those who wait send their own, and give the connection back. What is under way is cut after 5 s."""
        self._let_go()
        if self._sender is not None:
            await asyncio.wait([self._sender], timeout=_CLOSE_SECONDS)
            self._sender.cancel()
        await self._held.close(_CLOSE_SECONDS)

    def _let_go(self) -> None:
        """Those who wait send their own."""
        self._end_patience()
        waiting, self._waiting = self._waiting, []
        for _, answer in waiting:
            _tell(answer, None)

    def _have_patience(self) -> None:
        """While one caller's statement is under way, those behind it wait only so long."""
        if self._alone and self._waiting and self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._let_go)

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _start_sender(self) -> None:
        if self._waiting and not self._busy:
            self._busy = True
            self._sender = asyncio.create_task(self._send_waiting(), name="holdfast appends")

    async def _send_waiting(self) -> None:
        try:
            while self._waiting:
                await self._send_together(self._take())
        finally:
            self._busy = False
            self._start_sender()

    def _take(self) -> list[Waiting]:
        """The next to travel: one a stream, for a second one may depend on how the first ends."""
        taken: list[Waiting] = []
        left: list[Waiting] = []
        streams: set[str] = set()
        events = 0
        for writing, answer in self._waiting:
            stream = writing.streams[0]
            if answer.done():
                continue  # its caller has gone
            if stream in streams or len(taken) == _MOST_APPENDS or events + len(writing.rows) > _MOST_EVENTS:
                left.append((writing, answer))
                continue
            taken.append((writing, answer))
            streams.add(stream)
            events += len(writing.rows)
        self._waiting = left
        return taken

    async def _send_together(self, taken: Sequence[Waiting]) -> None:
        answers: Sequence[Answer | None] = [None] * len(taken)
        try:
            if len(taken) == 1:
                self._alone = True
                self._have_patience()
                answers = await self._held.fetch(*_statement(taken[0][0]))
            elif taken:
                statement, params = shared_statement([writing for writing, _ in taken])
                answers = await self._held.fetch(statement, *params)
        except (*DRIVER_ERRORS, HoldfastError) as error:
            if isinstance(error, OSError | TimeoutError | HoldfastError) or classify(error) is Fault.CONNECTION_LOST:
                _fail(taken, error)  # perhaps it was committed: each caller judges as if the statement were its own
            # Else the server refused it, nothing was done, and whose fault it is shows when each is sent alone.
        except asyncio.CancelledError:
            _fail(taken, DatabaseUnavailable("the append was cut off: whether it was stored is unknown"))
            raise
        finally:
            self._alone = False
            self._end_patience()
            for (_, answer), row in zip(taken, answers, strict=True):
                _tell(answer, None if row is None or row[0] == "busy" else row)


def _statement(writing: Writing) -> tuple[Any, ...]:
    statement, params = writing.statement
    return (statement, *params)


def _tell(answer: asyncio.Future[Answer | None], row: Answer | None) -> None:
    if not answer.done():
        answer.set_result(row)


def _fail(taken: Sequence[Waiting], error: Exception) -> None:
    for _, answer in taken:
        if not answer.done():
            answer.set_exception(error)
