"""What a command changes, with its rows in the audit: committed together, as every act over HTTP is.

A command that only looks goes through ``on_application``; one that changes something goes through ``act``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from holdfast.access import Audit, Entry, Result
from holdfast.app import Holdfast, Rooms
from holdfast.cli.connection import on_application
from holdfast.cli.screen import screen
from holdfast.cli.whoever import who
from holdfast.db import DRIVER_ERRORS, Database, transaction
from holdfast.errors import HoldfastError

T = TypeVar("T")

_STATEMENT_SECONDS = 60.0
"""A person waits, and can interrupt; nobody else should wait behind them for longer."""


@dataclass(slots=True)
class Act:
    """``action`` as the audit calls it (as the API does, where it has it), and the things that it is done to.

    What is known only once it is done is said in the work: ``doing.names = [str(job_id)]``.
    """

    action: str
    kind: str
    names: Iterable[str] = ()
    reason: str | None = None
    after: Any = None
    refused: Mapping[str, str] = field(default_factory=dict)
    """Those to which it could not be done, each with the reason in a word."""

    def entries(self, result: Result, error: Exception | None = None) -> list[Entry]:
        """Its rows: one for each thing."""
        code, detail = None, None
        if error is not None:
            code = error.code if isinstance(error, HoldfastError) else "failed"
            detail = error.message if isinstance(error, HoldfastError) else type(error).__name__
        by = who()
        names: list[str | None] = [*self.names] or [None]
        return [
            Entry(
                by,
                "cli",
                self.action,
                "failed" if name in self.refused else result,
                target_kind=self.kind,
                target=name,
                reason=self.reason,
                after=None if result == "begun" else self.after,
                code=self.refused.get(name or "", code),
                detail=detail,
            )
            for name in names
        ]


def act(
    database_url: str | None,
    doing: Act,
    work: Callable[[Rooms], Awaitable[T]],
    application: Holdfast | None = None,
    *,
    apart: bool = False,
) -> T:
    """Do it with an open application: the one given, or one without tasks. See ``do``."""
    return on_application(database_url, lambda app: do(app, doing, work, apart=apart), application)


async def do(app: Holdfast, doing: Act, work: Callable[[Rooms], Awaitable[T]], *, apart: bool = False) -> T:
    """Do it in one transaction with its rows in the audit; a failure leaves rows of its own.

    ``apart``: it is made of several transactions; then rows say that it has begun, and others how it ended.
    """
    try:
        if apart:
            await _write(app.database, doing.entries("begun"))
            answer = await work(app.rooms_over(app.database))
            await _write(app.database, doing.entries("done"))
            return answer
        async with transaction(app.database, statement_seconds=_STATEMENT_SECONDS) as handle:
            answer = await work(app.rooms_over(handle))
            await _write(handle, doing.entries("done"))
            return answer
    except (HoldfastError, *DRIVER_ERRORS) as error:
        try:
            await _write(app.database, doing.entries("failed", error))
        except (HoldfastError, *DRIVER_ERRORS) as unwritten:
            screen.say(f"the audit has no row of this: {unwritten}")
        raise


async def _write(database: Database, entries: Iterable[Entry]) -> None:
    audit = Audit(database)
    for entry in entries:
        await audit.write(entry)
