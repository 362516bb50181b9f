"""How one connection of ours is opened: what its session is set to, and what a pooler in between changes."""

from __future__ import annotations

import socket
import urllib.parse
from typing import Any

import asyncpg
from msgspec import Struct

from holdfast.db.statements import load_statements
from holdfast.errors import ConfigurationError

OLDEST_SERVER = 150000
CONNECT_SECONDS = 10.0
"""One attempt to connect takes no longer, so that a host that swallows packets cannot use up a whole deadline."""

_STATEMENTS = load_statements("holdfast.db", "database.sql")

_EVERY_SESSION = {
    # F1: "lock in one statement, look in the next" is only true in READ COMMITTED, whatever the role's default.
    "default_transaction_isolation": "read committed",
    # A server that works for a client that is gone finds out within half a second.
    "client_connection_check_interval": "500",
    # Half-open connections (cable, NAT) end after 5 + 3 * 2 s instead of two hours.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "11000",
    # Our statements are short; compiling one costs more than running it.
    "jit": "off",
}
_CONTROL_SESSION = {
    # Claims, flushes and beats must fail rather than queue up behind anybody.
    "statement_timeout": "30000",
    "lock_timeout": "5000",
}


class Session(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """A pooled connection that skips the reset's round trip when only statements of ours ran on it.

    Ours leave nothing behind (no SET, no session lock, no cursor), so the reset would double the cost of an enqueue.
    """

    __slots__ = ("_left_clean", "_pooled")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._left_clean = False
        self._pooled = False

    def left_clean(self) -> None:
        """Promise that nothing needs resetting when this connection goes back to its pool the next time."""
        self._left_clean = True

    def behind_pooler(self) -> None:
        """The server session is not ours to reset: the pooler does it, and may already have lent it to others."""
        self._pooled = True

    def get_reset_query(self) -> str:
        """The statement asyncpg sends on release; empty when there is nothing to put back."""
        clean, self._left_clean = self._left_clean, False
        return "" if clean or self._pooled else str(super().get_reset_query())


class SessionFacts(Struct, frozen=True):
    """What a fresh connection found on the other side."""

    server_version: int
    pooled: bool


async def connect_session(
    url: str, *, application_name: str, pooled: bool, control: bool = False, timeout_seconds: float = CONNECT_SECONDS
) -> Session:
    """Open one connection. Behind a pooler nothing but the application's name is set: it refuses or leaks the rest."""
    settings = {"application_name": application_name}
    if not pooled:
        settings |= _EVERY_SESSION
        if control:
            settings |= _CONTROL_SESSION
    session: Session = await asyncpg.connect(
        url,
        connection_class=Session,
        timeout=timeout_seconds,
        server_settings=settings,
        # F23: a server that became a standby is left on reconnect, also in a URL that lists several hosts.
        target_session_attrs="read-write",
        **({"statement_cache_size": 0} if pooled else {}),
    )
    if pooled:
        session.behind_pooler()
    _keep_alive(session)
    return session


async def inspect_session(session: Session, *, timeout_seconds: float = CONNECT_SECONDS) -> SessionFacts:
    """Look at the server behind a fresh connection; refuse one that Holdfast's promises do not hold on.

    A pooler gives itself away by the process id: it invents the one it announces, for it has many server sessions.
    """
    row = await session.fetchrow(_STATEMENTS["describe_session"].sql, timeout=timeout_seconds)
    pooled = int(row["backend_pid"]) != session.get_server_pid()
    version = int(row["server_version"])
    if version < OLDEST_SERVER:
        raise ConfigurationError(
            f"the server is PostgreSQL {version // 10000}; Holdfast needs 15 or newer",
            remedy="upgrade the server, or point HOLDFAST_DATABASE_URL at a newer one",
        )
    if row["isolation"] != "read committed":
        raise ConfigurationError(
            f"sessions start in {row['isolation']!r}; Holdfast's statements are right only in 'read committed'",
            remedy="behind a pooler it cannot be set per session: "
            "ALTER ROLE <the role> SET default_transaction_isolation = 'read committed'",
        )
    if row["read_only"]:
        raise asyncpg.ReadOnlySQLTransactionError("the server accepts no writes")
    return SessionFacts(server_version=version, pooled=pooled)


def describe_url(url: str) -> str:
    """The URL as it may stand in logs and errors: without password and options."""
    parts = urllib.parse.urlsplit(url)
    options = urllib.parse.parse_qs(parts.query)
    hosts = parts.netloc.rpartition("@")[2] or ",".join(options.get("host", ["(local socket)"]))
    user = urllib.parse.unquote(parts.username or "") or ",".join(options.get("user", []))
    return f"{parts.scheme}://{user + '@' if user else ''}{hosts}{parts.path}"


def _keep_alive(session: Session) -> None:
    """Notice from our side, too, that the server's machine is gone; asyncpg leaves its sockets without keepalive."""
    transport = getattr(session, "_transport", None)
    raw = transport.get_extra_info("socket") if transport is not None else None
    if raw is None or raw.family not in (socket.AF_INET, socket.AF_INET6):
        return
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Not every platform names every option.
    for option, value in (
        ("TCP_KEEPIDLE", 5),
        ("TCP_KEEPINTVL", 2),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 11000),
    ):
        number = getattr(socket, option, None)
        if number is not None:
            raw.setsockopt(socket.IPPROTO_TCP, number, value)
