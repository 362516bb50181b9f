"""The database itself: what is large, who is connected, who waits for whom, who keeps dead rows alive, and ending one.

What the role may not see is told as ``blind``, not as nothing: statements and states of others need ``pg_monitor`` (or
``pg_read_all_stats``), ending their sessions needs ``pg_signal_backend``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from holdfast.db import DRIVER_ERRORS, Database, load_statements
from holdfast.errors import BackendNotFound, BackendOutOfReach

_SQL = load_statements("holdfast.observe", "inspection.sql")
_HIDDEN = "<insufficient privilege>"
_NO_RIGHT = "42501"

Ending = Literal["cancel", "terminate"]


class Table(Struct, frozen=True):
    """A table of ours; one that is partitioned with all its ``parts``."""

    name: str
    parts: int
    bytes: int
    index_bytes: int
    rows_about: int
    dead_rows: int
    vacuumed_seconds: float | None
    analyzed_seconds: float | None
    frozen_age: int


class Connections(Struct, frozen=True):
    """Connections that have application and state in common."""

    application: str
    state: str
    count: int
    oldest_transaction_seconds: float | None


class Backend(Struct, frozen=True):
    """A session with an open transaction, or one that is waited for. ``query`` None: hidden from this role."""

    pid: int
    application: str
    username: str | None
    client: str | None
    state: str | None
    transaction_seconds: float | None
    state_seconds: float | None
    wait_event_type: str | None
    wait_event: str | None
    xmin_age: int | None
    started_at: datetime | None
    query: str | None
    blocked_by: tuple[int, ...]
    holds_log: bool
    """It has an append open, so readers of the event log wait for it."""


class Wait(Struct, frozen=True):
    """One session that waits for another; ``blocked_by`` 0: a prepared transaction."""

    pid: int
    blocked_by: int
    what: str | None
    mode: str | None
    waiting_seconds: float | None


class Horizon(Struct, frozen=True):
    """Something that keeps dead rows from being cleaned up."""

    kind: str
    name: str
    detail: str | None
    age_transactions: int | None
    seconds: float | None


class Setting(Struct, frozen=True):
    """A setting of the server."""

    name: str
    setting: str | None
    unit: str | None
    source: str | None
    pending_restart: bool


class Server(Struct, frozen=True):
    """The server as a whole."""

    version: str
    standby: bool
    database: str
    bytes: int
    started_at: datetime
    max_connections: int
    allowed_connections: int
    connections: int
    notify_queue_share: float
    frozen_age: int
    deadlocks: int | None
    temp_bytes: int | None
    wal_bytes_written: int | None
    wal_bytes_held_by_slots: int | None
    archive_failures: int | None
    archived_seconds: float | None
    role: str
    sees_others: bool
    may_end_others: bool


class Inspected(Struct, frozen=True):
    """Everything about the database. ``blind``: what could not be seen, and what it would take."""

    server: Server
    tables: Sequence[Table]
    connections: Sequence[Connections]
    backends: Sequence[Backend]
    waits: Sequence[Wait]
    horizon: Sequence[Horizon]
    settings: Sequence[Setting]
    blind: Sequence[str]


class Inspection:
    """Looks at the database, and ends sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(self) -> Inspected:
        """Everything; parts that the role may not read are empty and told in ``blind``."""
        server = Server(**dict(await self._database.fetchrow(_SQL["server"])))
        blind: list[str] = []
        if not server.sees_others:
            blind.append(
                f"role {server.role} does not see statements and transactions of other roles: "
                f"GRANT pg_read_all_stats TO {server.role}"
            )
        if not server.may_end_others:
            blind.append(f"role {server.role} may end only its own sessions: GRANT pg_signal_backend TO {server.role}")
        backends = await self._read("backends", blind)
        return Inspected(
            server,
            [Table(**row) for row in await self._read("tables", blind)],
            [Connections(**row) for row in await self._read("connections", blind)],
            [_backend(row) for row in backends],
            [Wait(**row) for row in await self._read("locks", blind)],
            [Horizon(**row) for row in await self._read("horizon", blind)],
            [Setting(**row) for row in await self._read("settings", blind)],
            blind,
        )

    async def end(self, pid: int, how: Ending, *, started_at: datetime | None = None) -> dict[str, Any]:
        """Stop the statement of a session (``cancel``), or end it (``terminate``); what it was.

        ``started_at``: refuse if another session has that process id by now. Raises ``BackendNotFound``,
        ``BackendOutOfReach``.
        """
        row = await self._database.fetchrow(_SQL["find_backend"], pid)
        if row is None or (started_at is not None and row["started_at"] not in (None, started_at)):
            raise BackendNotFound(
                f"there is no session {pid} in this database", remedy="it has ended; look at the list again"
            )
        if row["is_me"]:
            raise BackendOutOfReach(f"session {pid} is the one that asks", remedy="choose another")
        reach = BackendOutOfReach(
            f"this role may not end session {pid} of role {row['username']}",
            remedy="GRANT pg_signal_backend to the role of this server, or ask a superuser",
        )
        if row["started_at"] is None:
            raise reach
        try:
            done = await self._database.fetchval(_SQL[how], pid, row["started_at"])
        except DRIVER_ERRORS as error:
            if getattr(error, "sqlstate", None) == _NO_RIGHT:
                raise reach from None
            raise
        if not done:
            raise BackendNotFound(f"session {pid} has ended by itself", remedy="look at the list again")
        return {name: row[name] for name in ("pid", "application", "username", "state", "query", "transaction_seconds")}

    async def _read(self, name: str, blind: list[str]) -> list[dict[str, Any]]:
        try:
            return [dict(row) for row in await self._database.fetch(_SQL[name])]
        except DRIVER_ERRORS as error:
            if getattr(error, "sqlstate", None) != _NO_RIGHT:
                raise
            blind.append(f"{name} cannot be read by this role: {str(error).splitlines()[0]}")
            return []


async def read_tables(database: Database) -> list[Table]:
    """Our tables, the largest first."""
    return [Table(**dict(row)) for row in await database.fetch(_SQL["tables"])]


def _backend(row: dict[str, Any]) -> Backend:
    row.pop("is_me")
    row["blocked_by"] = tuple(row["blocked_by"] or ())
    row["query"] = None if row["query"] == _HIDDEN else row["query"]
    return Backend(**row)
