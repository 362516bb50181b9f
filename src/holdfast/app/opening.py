"""How an application reaches its database: which one the settings name, and whether the schema is there."""

from __future__ import annotations

import asyncio

from holdfast.db import Database, MigrationState, embedded, migrate, migration_status
from holdfast.errors import MigrationError
from holdfast.settings import Settings


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
        await _require_schema(database, bring_up=bring_up or settings.database_url is None)
    except BaseException:
        await database.close(1.0)
        raise
    return database


def _embedded_url(settings: Settings) -> str:
    return embedded.ensure_shared_server(settings.data_dir.parent).url


async def _require_schema(database: Database, *, bring_up: bool) -> None:
    connection = await database.connect_apart()
    try:
        pending = [m for m in await migration_status(connection) if m.state is MigrationState.PENDING]
        if pending and bring_up:
            await migrate(connection)
        elif pending:
            raise MigrationError(
                f"the database lacks {len(pending)} migrations, first {pending[0].version:04d}_{pending[0].name}",
                remedy="run `holdfast db migrate` once, before the application starts",
            )
    finally:
        await connection.close()
