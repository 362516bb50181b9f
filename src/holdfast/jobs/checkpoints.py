"""Checkpoints: where the next attempt of a job goes on. Those of one worker that come together share a commit."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Fault, classify, load_statements
from holdfast.errors import DatabaseUnavailable
from holdfast.jobs.outcome_text import result_text
from holdfast.jobs.records import Claimed

_SQL = load_statements("holdfast.jobs", "reports.sql")
_REPEAT_FOR_SECONDS: Final = 25.0
_MOST_TOGETHER: Final = 500
_WORTH_REPEATING: Final = (Fault.CONNECTION_LOST, Fault.NOT_THERE_YET, Fault.CONTENDED)

NOTHING: Final = object()
"""No checkpoint was saved yet. None is a value like any other."""


class Checkpoints:
    """Saves under the fence of the lease; one statement for all who wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Claimed, str, asyncio.Future[bool]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def last(self, job_id: int) -> Any:
        """The value saved last, or ``NOTHING``."""
        text = await self._database.fetchval(_SQL["last_checkpoint"], job_id)
        return NOTHING if text is None else msgspec.json.decode(text)

    async def save(self, claimed: Claimed, value: Any) -> bool:
        """Returns when it is durable; False: the lease is lost, nothing was saved. Raises ``ResultNotStorable``."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((claimed, as_text(value), answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send(), name="holdfast checkpoints")
        return await answer

    async def _send(self) -> None:
        batch: list[tuple[Claimed, str, asyncio.Future[bool]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST_TOGETHER], self._waiting[_MOST_TOGETHER:]
                await self._send_together(batch)
        finally:
            # Only after a cancellation is anybody left: nobody else would ever answer them.
            left, self._waiting, self._sender = [*batch, *self._waiting], [], None
            for _, _, answer in left:
                answer.cancel()

    async def _send_together(self, batch: list[tuple[Claimed, str, asyncio.Future[bool]]]) -> None:
        """One that cannot be stored fails alone: then they are sent one by one."""
        try:
            refused = set(await self._written(batch))
        except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
            if len(batch) > 1 and classify(error) is Fault.ROW:
                for one in batch:
                    await self._send_together([one])
                return
            for _, _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for claimed, _, answer in batch:
                if not answer.done():
                    answer.set_result(claimed.id not in refused)

    async def _written(self, batch: list[tuple[Claimed, str, asyncio.Future[bool]]]) -> list[int]:
        """Saving is repeatable, so a lost answer is no question: it is said again."""
        give_up_at, delay = monotonic() + _REPEAT_FOR_SECONDS, 0.02
        latest = {claimed.id: (claimed, text) for claimed, text, _ in batch}
        leases = [claimed.lease for claimed, _ in latest.values()]
        while True:
            try:
                return list(
                    await self._database.fetchval(
                        _SQL["save_checkpoints"],
                        leases,
                        list(latest),
                        [text for _, text in latest.values()],
                        pool="control",
                    )
                )
            except DRIVER_ERRORS as error:
                if classify(error) not in _WORTH_REPEATING or monotonic() > give_up_at:
                    raise
            await asyncio.sleep(delay)
            delay = min(delay * 2, 1.0)


def as_text(value: Any) -> str:
    """A checkpoint as JSON text. Raises ``ResultNotStorable`` for what JSON in PostgreSQL cannot hold."""
    return result_text(value) or "null"
