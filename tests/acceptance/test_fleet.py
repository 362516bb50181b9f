"""What the soaks rest on: callers hold back while a lot waits, or a soak would measure its own backlog."""

from __future__ import annotations

from collections.abc import Callable

from tests.acceptance.fleet import Load


async def test_callers_hold_back_while_a_lot_waits(ledger_url: str, load_on: Callable[[str], Load]) -> None:
    load = load_on(ledger_url)
    await load.open()
    assert await load.is_room()
    for n in range(300):
        await load.enqueue("ping", f"lane:{n % 2}" if n % 3 else None)
    assert not await load.is_room()
