"""What handlers of an application run inside of: a context of its framework, entered anew around every attempt."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any


def surrounded(handler: Callable[..., Any], enter: Callable[[], AbstractContextManager[Any]]) -> Callable[..., Any]:
    """The handler inside ``with enter():``, on the thread or the event loop that it runs on; as async as before."""
    if inspect.iscoroutinefunction(handler):

        @wraps(handler)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with enter():
                return await handler(*args, **kwargs)

        return awaited

    @wraps(handler)
    def called(*args: Any, **kwargs: Any) -> Any:
        with enter():
            return handler(*args, **kwargs)

    return called
