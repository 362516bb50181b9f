"""An application brings an empty database up to date, and refuses to open it before."""

from __future__ import annotations

import pytest

from holdfast import Holdfast
from holdfast.errors import MigrationError


async def test_an_empty_database_is_refused_until_it_is_migrated(empty_database_url: str) -> None:
    app = Holdfast(empty_database_url)

    @app.task
    async def double(n: int) -> int:
        return 2 * n

    with pytest.raises(MigrationError, match="lacks"):
        await app.open()
    await app.migrate()
    async with app:
        job_id = await double.enqueue(21)
        await app.drain()

        assert await app.jobs.result(job_id) == 42
