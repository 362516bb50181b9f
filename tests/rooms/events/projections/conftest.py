"""A log to project."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rooms.events.projections.serving import Log


@pytest.fixture
async def log(outsider: Any) -> Log:
    log = Log(outsider)
    await log.make_history()
    return log
