"""How an application reaches its database: which one the settings name, and whether the schema is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from holdfast.db import Database, MigrationState, MigrationStatus, embedded, migrate, migration_status
from holdfast.errors import MigrationError
from holdfast.jobs import declare_partition_days
from holdfast.settings import Settings

_CLOSE_SECONDS = 2.0


async def connect(settings: Settings, deadline_seconds: float, *, bring_up: bool) -> Database:
    """The database of these settings, open; the embedded server is started where no URL is set, and gets its schema.

    Raises ``DatabaseUnavailable``, and ``MigrationError`` for a schema that is missing or older unless ``bring_up``.
    """
    url = settings.database_url
    if url is None:
        url = await asyncio.to_thread(_embedded_url, settings)
    database = Database(url, direct_url=settings.database_direct_url, pooled=settings.pooled)
    await database.open(deadline_seconds)
    try:
        lacking = await _pending(database)
        if lacking and (bring_up or settings.database_url is None):
            await bring_up_to_date(database, settings)
        elif lacking:
            raise MigrationError(
                f"the database lacks {len(lacking)} migrations, first {lacking[0].version:04d}_{lacking[0].name}",
                remedy="run `holdfast db migrate` once, before the application starts",
            )
    except BaseException:
        await database.close(1.0)
        raise
    return database


async def bring_up_to_date(database: Database, settings: Settings) -> None:
    """Apply the migrations that are pending; a schema that is new gets the partitions that the settings want."""
    connection = await database.connect_apart()
    try:
        done = await migrate(connection)
    finally:
        await connection.close(timeout=_CLOSE_SECONDS)
    if done:
        await declare_partition_days(database, settings.partition_days)


def _embedded_url(settings: Settings) -> str:
    return embedded.ensure_shared_server(settings.data_dir.parent).url


async def _pending(database: Database) -> Sequence[MigrationStatus]:
    connection = await database.connect_apart()
    try:
        return [one for one in await migration_status(connection) if one.state is MigrationState.PENDING]
    finally:
        await connection.close(timeout=_CLOSE_SECONDS)
