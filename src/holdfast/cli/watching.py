"""A table that follows what happens, until Ctrl-C."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from rich.live import Live

from holdfast.app import Holdfast
from holdfast.cli.connection import on_application
from holdfast.cli.screen import screen

T = TypeVar("T")
_EVERY_SECONDS = 1.0


def watch(
    database_url: str | None, look: Callable[[Holdfast], Coroutine[Any, Any, T]], show: Callable[[T], Any]
) -> None:
    """Look every second and show what is seen in the place of what was."""

    async def follow(app: Holdfast) -> None:
        with Live(console=screen.out, auto_refresh=False) as live:
            while True:
                live.update(show(await look(app)), refresh=True)
                await asyncio.sleep(_EVERY_SECONDS)

    on_application(database_url, follow)
