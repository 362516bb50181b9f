"""How a command reaches the database: by flag, settings, or the project's embedded server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from holdfast.app import Holdfast
from holdfast.db import Database, embedded
from holdfast.errors import DatabaseUnavailable
from holdfast.settings import Settings, load_settings

T = TypeVar("T")

_OPEN_SECONDS = 5.0
"""A person waits at the other end; a worker has more patience."""


def on_application(
    database_url: str | None, work: Callable[[Holdfast], Coroutine[Any, Any, T]], application: Holdfast | None = None
) -> T:
    """Run the work with an open application: the one given, or one without tasks."""

    async def run() -> T:
        app = application or Holdfast(settings=load_settings({"database_url": database_url}))
        if application is not None and database_url is not None:
            app.configure(database_url)
        _require_server(app.settings)
        await app.open(_OPEN_SECONDS)
        try:
            return await work(app)
        finally:
            await app.close(2.0)

    return asyncio.run(run())


@asynccontextmanager
async def bare_database(settings: Settings, *, deadline_seconds: float = _OPEN_SECONDS) -> AsyncIterator[Database]:
    """The database without a look at its schema; the embedded server is started where no URL is set."""
    url = settings.database_url
    if url is None:
        url = (await asyncio.to_thread(embedded.ensure_shared_server, settings.data_dir.parent)).url
    database = Database(url, direct_url=settings.database_direct_url, pooled=settings.pooled)
    await database.open(deadline_seconds)
    try:
        yield database
    finally:
        await database.close(2.0)


def _require_server(settings: Settings) -> None:
    """A question about jobs does not start a server: in the wrong folder it would answer about an empty one."""
    if settings.database_url is not None:
        return
    project = settings.data_dir.parent
    if not embedded.shared_server_status(project).running:
        raise DatabaseUnavailable(
            f"no database is set, and the embedded server of {project} does not run",
            remedy="start it with `holdfast up`, or set HOLDFAST_DATABASE_URL",
        )
