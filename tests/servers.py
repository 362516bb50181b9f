"""The PostgreSQL servers that tests run on, and the fresh databases they get there."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psycopg
from psycopg import sql

from holdfast.db import migrate
from holdfast.db.embedded import Binaries, OwnedServer, find_binaries, owned_server

# Tests ask whether rows are right, not whether they outlive the machine; `durable_server` is for those that do.
FORGETFUL = {
    "shared_buffers": "256MB",
    "fsync": "off",
    "full_page_writes": "off",
    "max_prepared_transactions": "8",
}
DURABLE = {"shared_buffers": "256MB", "max_prepared_transactions": "8"}

# A database is some 500 small files. Making and removing them on a disk took ten to twenty times as long as in memory,
# and most of the suite's time. What kills a server keeps what it wrote there, too: only the machine's end would not.
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 3 * 2**30
"""A container's is often 64 MB: what does not have this much free is not used."""


class DatabaseServer:
    """A server that hands out databases: each a copy of a template that the migrations made once."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._names = itertools.count(1)
        self._template: str | None = None
        self._connection = psycopg.connect(url, autocommit=True)
        self.version_number = self._connection.info.server_version

    @property
    def version(self) -> str:
        return self._connection.info.parameter_status("server_version") or "unknown"

    @property
    def major(self) -> int:
        return self.version_number // 10000

    def create_database(self, *, migrated: bool = True) -> str:
        """The URL of a new database."""
        template = self._migrated_template() if migrated else "template0"
        name = f"holdfast_test_{os.getpid()}_{next(self._names)}"
        self._execute("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, template)
        return self._url_of(name)

    def create_database_for_people(self) -> str:
        """One that sorts as people do, where this server can: ``:`` behind ``;``, capitals among the others."""
        name = f"holdfast_test_{os.getpid()}_{next(self._names)}"
        try:
            self._execute("CREATE DATABASE {} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'", name)
        except psycopg.errors.FeatureNotSupported:  # built without ICU, as the embedded one
            self._execute("CREATE DATABASE {} TEMPLATE template0", name)
        run_migrations(self._url_of(name))
        return self._url_of(name)

    def drop_database(self, url: str) -> None:
        """Drop it, whoever is still connected."""
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", urlsplit(url).path.lstrip("/"))

    def close(self) -> None:
        if self._template is not None:
            self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", self._template)
        self._connection.close()

    def _migrated_template(self) -> str:
        if self._template is None:
            # The pid: on a server given by HOLDFAST_TEST_DSN other sessions may be at work.
            name = f"holdfast_template_{os.getpid()}"
            self._execute("CREATE DATABASE {} TEMPLATE {}", name, "template0")
            self._template = name
            run_migrations(self._url_of(name))
            # The first to come since writes down what a session has to know of the catalog: copies have it, too.
            psycopg.connect(self._url_of(name)).close()
        return self._template

    def _execute(self, statement: str, *names: str) -> None:
        # psycopg's composition, because these statements take names, not parameters.
        self._connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _url_of(self, name: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()


def run_migrations(url: str) -> None:
    """Bring a database to the newest schema. In a thread, because a test's event loop may already run here."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(asyncio.run, _migrate(url)).result()


async def _migrate(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await migrate(connection)
    finally:
        await connection.close()


def binaries_for(choice: str) -> Binaries:
    """``embedded``: what a user without any setting gets. ``system``: the newest of the system's own."""
    if choice == "embedded":
        return find_binaries()
    installed = [
        directory for directory in Path("/usr/lib/postgresql").glob("*/bin") if (directory / "initdb").exists()
    ]
    found = [find_binaries(directory) for directory in installed]
    return max(found, key=lambda binaries: binaries.major)


def memory() -> Path | None:
    """Where files are kept in memory, if there is such a place and room in it."""
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    return MEMORY if roomy else None


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """A temporary directory that other accounts can pass through: as root, the server runs as somebody else."""
    directory = Path(tempfile.mkdtemp(prefix="holdfast-tests-", dir=memory()))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def throwaway_server(binaries: Binaries, config: dict[str, str]) -> Iterator[OwnedServer]:
    """A server of this process's own in a directory that goes with it."""
    with (
        reachable_directory() as directory,
        owned_server(directory / "server", binaries=binaries.directory, config=config, delete_data=True) as server,
    ):
        make_logins_cheap(server.url)
        yield server


def make_logins_cheap(url: str) -> None:
    """Have a proof of the password take one round of hashing, where the server lets us choose (PostgreSQL 16 on).

    The usual 4,096 slow down who guesses passwords. Here they took two thirds of every connection, of thousands.
    """
    parts = urlsplit(url)
    role, password = sql.Identifier(parts.username or ""), sql.Literal(parts.password or "")
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.info.server_version >= 160000:
            connection.execute("SET scram_iterations = 1")
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, password))


def described_server(choice: str) -> str:
    """One line for the report's header."""
    given = os.environ.get("HOLDFAST_TEST_DSN")
    if given is None:
        binaries = binaries_for(choice)
        return f"postgresql: {binaries.version} ({binaries.source}, {binaries.directory})"
    with suppress(psycopg.Error), psycopg.connect(given, connect_timeout=5) as connection:
        version = connection.info.parameter_status("server_version")
        return f"postgresql: {version} (HOLDFAST_TEST_DSN)"
    return "postgresql: HOLDFAST_TEST_DSN does not answer"
