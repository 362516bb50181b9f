"""What tests of lanes share."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.jobs import Task


@pytest.fixture
def work(app: Holdfast) -> Task[..., Any]:
    """A task that does nothing."""

    @app.task
    async def work(n: int = 0) -> None: ...

    return work
