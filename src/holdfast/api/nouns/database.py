"""The database: tables, connections, locks, what keeps dead rows; and ending a session."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import Field

from holdfast.access import Permission
from holdfast.api.frame.acting import Acting
from holdfast.api.frame.answers import Out
from holdfast.api.frame.asking import Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Body, Moment
from holdfast.observe import Ending, Inspection

router = NounRouter("database")

_P = Permission
_Pid = Annotated[int, Path(ge=1, le=2**31 - 1)]


class ServerOut(Out):
    """The server as a whole."""

    version: str
    standby: bool
    database: str
    bytes: int
    started_at: datetime
    max_connections: int
    allowed_connections: int = Field(description="those that are not kept back for superusers")
    connections: int
    notify_queue_share: float
    frozen_age: int = Field(description="transactions since the oldest row was frozen")
    deadlocks: int | None
    temp_bytes: int | None
    wal_bytes_written: int | None
    wal_bytes_held_by_slots: int | None
    archive_failures: int | None
    archived_seconds: float | None
    role: str
    sees_others: bool
    may_end_others: bool


class TableOut(Out):
    """A table; one that is partitioned with all its parts."""

    name: str
    parts: int
    bytes: int
    index_bytes: int
    rows_about: int
    dead_rows: int
    vacuumed_seconds: float | None
    analyzed_seconds: float | None
    frozen_age: int


class ConnectionsOut(Out):
    """Connections that have application and state in common."""

    application: str
    state: str
    count: int
    oldest_transaction_seconds: float | None


class BackendOut(Out):
    """A session with an open transaction, or one that is waited for."""

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
    query: str | None = Field(description="null: this role may not see it")
    blocked_by: list[int]
    holds_log: bool = Field(description="it has an append open: readers of the event log wait for it")
    actions: list[str] = Field(default_factory=list)


class WaitOut(Out):
    """One session that waits for another."""

    pid: int
    blocked_by: int = Field(description="0: a prepared transaction")
    what: str | None
    mode: str | None
    waiting_seconds: float | None


class HorizonOut(Out):
    """Something that keeps dead rows from being cleaned up."""

    kind: str
    name: str
    detail: str | None
    age_transactions: int | None
    seconds: float | None


class ServerSettingOut(Out):
    """A setting of the server."""

    name: str
    setting: str | None
    unit: str | None
    source: str | None
    pending_restart: bool


class DatabaseOut(Out):
    """Everything about the database. ``blind``: what this role cannot see, and what would let it."""

    server: ServerOut
    tables: list[TableOut]
    connections: list[ConnectionsOut]
    backends: list[BackendOut]
    waits: list[WaitOut]
    horizon: list[HorizonOut]
    settings: list[ServerSettingOut]
    blind: list[str]


class EndSession(Body):
    """Why, and which session exactly: process ids are used again."""

    started_at: Moment | None = Field(default=None, description="as the list showed it; refused if it differs")
    reason: str | None = Field(default=None, max_length=1000)


class EndedOut(Out):
    """What the session was."""

    pid: int
    application: str
    username: str | None
    state: str | None
    query: str | None
    transaction_seconds: float | None
    done: str


@router.read("/database", needs=_P.DATABASE_READ)
async def show_database(asking: Asking) -> DatabaseOut:
    """Size, sessions, locks, the horizon of vacuum, settings."""
    found = DatabaseOut.model_validate(await Inspection(asking.database).look())
    actions = asking.legal([("cancel", _P.DATABASE_TERMINATE), ("terminate", _P.DATABASE_TERMINATE)])
    for backend in found.backends:
        backend.actions = actions
    return found


@router.act("/database/backends/{pid}/cancel", needs=_P.DATABASE_TERMINATE, audit="database.cancel")
async def cancel_backend(acting: Acting, pid: _Pid, body: EndSession) -> EndedOut:
    """Stop the statement that a session runs; its transaction fails, the session stays."""
    return await _end(acting, pid, "cancel", body)


@router.act("/database/backends/{pid}/terminate", needs=_P.DATABASE_TERMINATE, audit="database.terminate")
async def terminate_backend(acting: Acting, pid: _Pid, body: EndSession) -> EndedOut:
    """End a session; what it had open is rolled back."""
    return await _end(acting, pid, "terminate", body)


async def _end(acting: Acting, pid: int, how: Ending, body: EndSession) -> EndedOut:
    acting.target("backend", pid)
    acting.note(reason=body.reason)
    was = await Inspection(acting.database).end(pid, how, started_at=body.started_at)
    acting.note(before={name: was[name] for name in ("application", "username", "state")})
    return EndedOut(**was, done=how)
