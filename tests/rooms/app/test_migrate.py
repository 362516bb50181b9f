"""An application brings an empty database up to date, and refuses to open it before."""

from __future__ import annotations

import pytest

from holdfast import Holdfast
from holdfast.db import Statement
from holdfast.errors import MigrationError
from holdfast.settings import load_settings


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


async def test_a_new_schema_has_partitions_as_wide_as_the_settings_say(empty_database_url: str) -> None:
    app = Holdfast(settings=load_settings({"database_url": empty_database_url, "partition_days": 1}))
    await app.migrate()
    width = Statement("partition_days", "SELECT partition_days FROM holdfast.storage")

    async with app:
        assert await app.database.fetchval(width) == 1
