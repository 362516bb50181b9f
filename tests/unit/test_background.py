"""What is repeated beside everything else goes on whatever happens, and does not hurry when it fails."""

from __future__ import annotations

import asyncio

import pytest

from holdfast.errors import DatabaseUnavailable
from holdfast.worker.background import Background


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), ValueError("a row that nobody expected")])
async def test_what_fails_is_repeated_after_growing_pauses(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    background = Background()

    async def work() -> float:
        if len(pauses) < 12:
            raise error
        return 0.25

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 13:
            raise asyncio.CancelledError

    monkeypatch.setattr("holdfast.worker.background.asyncio.sleep", sleep)
    await asyncio.wait([background.every(0.0, work, name="something")], timeout=5)

    assert pauses[0] > 0
    assert pauses[:12] == sorted(pauses[:12])
    assert sum(pauses[:12]) > 10
    assert max(pauses) <= 5
    assert pauses[12:] == [0.25]
