"""Databases that live as long as a test: copies of a template, made in a moment; and their clock, which can be moved.

All of it blocks, and runs on an event loop of its own in a thread: it may be called from anywhere.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

from holdfast.db.migrator import migrate
from holdfast.db.sessions import connect_session
from holdfast.db.statements import load_statements

_SQL = load_statements("holdfast.db", "throwaway.sql")
T = TypeVar("T")


class ThrowawayDatabases:
    """Databases on a server that this role may create databases on. Their names hold the id of the process."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url

    def create_template(self, prepare: Callable[[str], object]) -> str:
        """The URL of a database with Holdfast's schema and what ``prepare(url)`` makes in it."""
        url = self._create("template0")
        try:
            _on(url, migrate)
            prepare(url)
        except BaseException:
            self.drop(url)
            raise
        return url

    def create_copy(self, template_url: str) -> str:
        """The URL of a new database that is a copy of the template. Whoever is connected to the template is cut off."""
        return self._create(_name_in(template_url))

    def drop(self, url: str) -> None:
        """Drop it, whoever is still connected."""
        self._command("drop", _name_in(url))

    def _create(self, template: str) -> str:
        name = f"holdfast_throwaway_{os.getpid()}_{secrets.token_hex(6)}"
        if template != "template0":
            _on(self._server_url, lambda session: session.fetchval(_SQL["empty_template"].sql, template))
        self._command("create_copy", name, template)
        return urlsplit(self._server_url)._replace(path=f"/{name}").geturl()

    def _command(self, name: str, *params: Any) -> None:
        _on(self._server_url, lambda session: _make_and_run(session, name, *params))


class DatabaseClock:
    """``holdfast.now()`` of one database, moved for all of its sessions at once. For throwaway databases."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._real: str = _on(url, lambda session: session.fetchval(_SQL["now_body"].sql))

    def set_ahead(self, seconds: float) -> None:
        """From now on it is so many seconds later than it really is."""
        _on(self._url, lambda session: _make_and_run(session, "move_now", self._real, seconds))


async def _make_and_run(session: Any, name: str, *params: Any) -> None:
    await session.execute(await session.fetchval(_SQL[name].sql, *params))


def _on(url: str, work: Callable[[Any], Awaitable[T]]) -> T:
    async def connected() -> T:
        session = await connect_session(url, application_name="holdfast testing", pooled=False)
        try:
            return await work(session)
        finally:
            await session.close(timeout=5)

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(lambda: asyncio.run(connected())).result()


def _name_in(url: str) -> str:
    return urlsplit(url).path.lstrip("/")
