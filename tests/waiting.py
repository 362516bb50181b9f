"""Waiting for a condition: the one place where tests pause.

``check`` is asked again and again; what it returns is the answer once it is true. An AssertionError counts as
"not yet", so whole assertions can be awaited.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

T = TypeVar("T")

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.005, 0.1


@overload
async def eventually(check: Callable[[], Coroutine[Any, Any, T]], *, within_seconds: float = 30) -> T: ...


@overload
async def eventually(check: Callable[[], T], *, within_seconds: float = 30) -> T: ...


async def eventually(check: Callable[[], Any], *, within_seconds: float = 30) -> Any:
    wait = _Wait(check, within_seconds)
    while True:
        try:
            asked = check()
            found = await asked if inspect.isawaitable(asked) else asked
            if found:
                return found
            wait.not_yet(repr(found))
        except AssertionError as error:
            wait.not_yet(str(error) or "assertion failed")
        await asyncio.sleep(wait.next_pause_seconds())


def eventually_sync(check: Callable[[], T], *, within_seconds: float = 30) -> T:
    wait = _Wait(check, within_seconds)
    while True:
        try:
            found = check()
            if found:
                return found
            wait.not_yet(repr(found))
        except AssertionError as error:
            wait.not_yet(str(error) or "assertion failed")
        time.sleep(wait.next_pause_seconds())


class _TooLate(Exception):
    """Ends a wait; not an AssertionError, so that a wait inside a wait is not taken for "not yet"."""


class _Wait:
    def __init__(self, check: Callable[[], object], within_seconds: float) -> None:
        self._name = getattr(check, "__qualname__", repr(check))
        self._within_seconds = within_seconds
        self._end = time.monotonic() + within_seconds
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    def not_yet(self, last: str) -> None:
        if time.monotonic() >= self._end:
            message = f"not within {self._within_seconds:g} s: {self._name}; last: {last}"
            raise _TooLate(message)

    def next_pause_seconds(self) -> float:
        pause = self._pause_seconds
        self._pause_seconds = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
        return pause
