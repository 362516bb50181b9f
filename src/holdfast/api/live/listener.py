"""Somebody who listens: what waits to be sent to them, the newest of each kind alone.

What is not sent yet is replaced by what is newer, so a slow listener costs no more memory than a fast one; whoever has
taken nothing for half a minute is told to begin anew instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.access import Principal
from holdfast.api.live.topics import Watched
from holdfast.clock import monotonic

HEARTBEAT_SECONDS: Final = 15.0
TOO_SLOW_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Message:
    """One event of the stream. ``key``: a newer one of the same key takes its place."""

    key: str
    event: str
    data: bytes
    number: int | None = None
    """Where it stands in the stream of this process; None: it is not resumed from."""

    def encode(self, epoch: str) -> bytes:
        """As it is sent."""
        head = b"" if self.number is None else f"id: {epoch}-{self.number}\n".encode()
        return head + b"event: " + self.event.encode() + b"\ndata: " + self.data + b"\n\n"


def message(key: str, event: str, data: object, number: int | None = None) -> Message:
    """A message of plain data."""
    return Message(key, event, msgspec.json.encode(data), number)


class Listener:
    """One open answer."""

    def __init__(self, who: Principal, watched: Watched, epoch: str) -> None:
        self.who = who
        self.watched = watched
        self.epoch = epoch
        self._pending: dict[str, Message] = {}
        self._waiting_since: float | None = None
        self._news = asyncio.Event()
        self._over = False

    @property
    def waiting(self) -> int:
        """How many messages wait to be sent."""
        return len(self._pending)

    @property
    def waiting_seconds(self) -> float:
        """For how long they have taken nothing of what waits."""
        return 0.0 if self._waiting_since is None else monotonic() - self._waiting_since

    def tell(self, message: Message) -> None:
        """Send it when they take it; in place of an older one of its key."""
        now = monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        elif now - self._waiting_since > TOO_SLOW_SECONDS:
            self._pending.clear()
            message = reset("too slow")
        if "reset" not in self._pending:
            self._pending.pop(message.key, None)  # the newest last, so that ids grow
            self._pending[message.key] = message
        self._news.set()

    def end(self, last: Message) -> None:
        """Send this, and then nothing more."""
        self._pending = {last.key: last}
        self._over = True
        self._news.set()

    async def frames(self) -> AsyncIterator[bytes]:
        """What is to be sent, for as long as somebody takes it."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            self._news.clear()
            pending, self._pending = self._pending, {}
            self._waiting_since = None
            if pending:
                yield b"".join(message.encode(self.epoch) for message in pending.values())
            if self._over:
                return


def reset(because: str) -> Message:
    """Forget what you know, and ask for everything again."""
    return message("reset", "reset", {"because": because})
