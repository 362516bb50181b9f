"""Migrations: forward only, one transaction each, checksummed, safe to start from any number of processes at once."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import hashlib
import importlib.resources
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any

import asyncpg
from msgspec import Struct

from holdfast.clock import monotonic
from holdfast.db.faults import Fault, classify, classify_connect
from holdfast.db.statements import load_statements
from holdfast.errors import DatabaseUnavailable, MigrationError, TimedOut
from holdfast.telemetry import emit, get_logger

log = get_logger("db.migrator")

_STATEMENTS = load_statements("holdfast.db", "migrator.sql")
_FILE_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z][a-z0-9_]*)\.sql\Z")
_LOCK_TIMEOUT_MS = 3_000
_STATEMENT_TIMEOUT_MS = 900_000


class Migration(Struct, frozen=True):
    """One file of ``migrations/``."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """sha256 of the file, by which a file that was changed after it was applied is noticed."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def filename(self) -> str:
        """The file's name, as it stands in the package."""
        return f"{self.version:04d}_{self.name}.sql"


class MigrationState(enum.Enum):
    """How a migration of the program and the database stand to each other."""

    APPLIED = "applied"
    PENDING = "pending"
    ALTERED = "altered"
    """Applied, but from a file with other content than the program's."""
    UNKNOWN = "unknown"
    """Applied by a newer program; this one does not have the file."""


class MigrationStatus(Struct, frozen=True):
    """One line of ``holdfast db status``."""

    version: int
    name: str
    state: MigrationState
    applied_at: dt.datetime | None = None


@cache
def load_migrations() -> tuple[Migration, ...]:
    """The migrations of this program in order. Raises ``MigrationError`` for a gap, a twin or a stray file."""
    found = []
    for entry in importlib.resources.files("holdfast.db").joinpath("migrations").iterdir():
        if entry.name.startswith(("__", ".")):
            continue
        match = _FILE_NAME.match(entry.name)
        if not match:
            raise MigrationError(
                f"migrations/{entry.name} is not a migration",
                remedy="name migrations NNNN_lower_snake_case.sql and keep nothing else in that folder",
            )
        found.append(Migration(int(match["version"]), match["name"], entry.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(
            f"migrations are not numbered 1, 2, 3 …: {[migration.filename for migration in found]}",
            remedy="give the newest migration the next free number",
        )
    return tuple(found)


async def migrate(
    connection: Any, *, migrations: Sequence[Migration] | None = None, wait_seconds: float = 300.0
) -> list[Migration]:
    """Apply what is pending, return it; an empty list means that there was nothing to do.

    Any number of processes may call this at once: one works, the others wait for it and then find nothing to do. Works
    on any asyncpg connection, also through a transaction-mode pooler, because the lock belongs to the transaction.
    Raises ``MigrationError`` when the database is newer than the program, when an applied file was changed, when a
    migration fails, or when another migrator, or a lock on a table, is in the way for ``wait_seconds``.
    """
    wanted = load_migrations() if migrations is None else tuple(migrations)
    give_up_at, done = monotonic() + wait_seconds, list[Migration]()
    try:
        while _pending(await migration_status(connection, migrations=wanted)):
            try:
                applied = await _apply_next(connection, wanted)
            except asyncpg.LockNotAvailableError as error:
                # Giving up and trying again lets the statements pass that would otherwise queue up behind us.
                log.info("a migration waits for a table lock: %s", error)
                applied = None
            if applied is not None:
                emit("db.migration.applied", migration=applied.filename)
                done.append(applied)
            elif monotonic() >= give_up_at:
                raise await _held_up(connection, wait_seconds)
            else:
                await asyncio.sleep(random.uniform(0.05, 0.25))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        if not classify(error).of_connection:
            raise
        raise DatabaseUnavailable(
            f"the connection was lost during a migration: {error}",
            remedy="run `holdfast db migrate` again; a migration applies as a whole or not at all",
        ) from error
    return done


async def migration_status(connection: Any, *, migrations: Sequence[Migration] | None = None) -> list[MigrationStatus]:
    """How the program's migrations and the database stand to each other, in order; takes no lock, writes nothing."""
    wanted = {migration.version: migration for migration in (load_migrations() if migrations is None else migrations)}
    rows = []
    if await connection.fetchval(_STATEMENTS["table_exists"].sql):
        rows = await connection.fetch(_STATEMENTS["applied"].sql)
    statuses = []
    for row in rows:
        mine = wanted.pop(row["version"], None)
        if mine is None:
            state = MigrationState.UNKNOWN
        else:
            state = MigrationState.APPLIED if mine.checksum == row["checksum"] else MigrationState.ALTERED
        statuses.append(MigrationStatus(row["version"], row["name"], state, row["applied_at"]))
    statuses += [MigrationStatus(left.version, left.name, MigrationState.PENDING) for left in wanted.values()]
    return sorted(statuses, key=lambda status: status.version)


async def wait_for_schema(
    connect: Callable[[], Awaitable[Any]], timeout_seconds: float, *, migrations: Sequence[Migration] | None = None
) -> None:
    """Return once every migration of this program is applied; ``connect`` is ``database.connect_apart``.

    Waits for the server, too. Raises ``TimedOut`` naming what is missing, and ``MigrationError`` at once when waiting
    cannot help: the database is newer than the program, or an applied file was changed.
    """
    missing = "the server did not answer"
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                try:
                    pending = _pending(await _status_of(connect, migrations))
                    if not pending:
                        return
                    missing = f"{len(pending)} migrations are pending, the first is {pending[0].name}"
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    if classify_connect(error) is not Fault.NOT_THERE_YET:
                        raise
                    missing = f"the server does not answer: {error}"
                await asyncio.sleep(random.uniform(0.1, 0.3))
    except TimeoutError:
        raise TimedOut(
            f"the schema was not ready after {timeout_seconds:g} s: {missing}",
            remedy="run `holdfast db migrate` with a role that may create tables",
        ) from None


def migration_script(*, after: int = 0, migrations: Sequence[Migration] | None = None) -> str:
    """The pending migrations as one script for ``psql -v ON_ERROR_STOP=1``; ``after`` is the last applied version.

    It leaves the database as ``migrate`` would, records included.
    """
    begin, commit = (f"{_plain('begin')};", f"{_plain('commit')};")
    parts = []
    if after == 0:
        bootstrap = [f"{_plain(name)};" for name in ("create_schema", "create_table", "describe_table")]
        parts.append("\n\n".join([begin, *bootstrap, commit]))
    for migration in load_migrations() if migrations is None else migrations:
        if migration.version <= after:
            continue
        record = _plain("record")
        for number, literal in enumerate((str(migration.version), f"'{migration.name}'", f"'{migration.checksum}'"), 1):
            record = record.replace(f"${number}", literal)
        body = migration.sql.strip()
        end = "" if body.endswith(";") else "\n;"
        parts.append(f"-- {migration.filename}\n{begin}\n\n{body}{end}\n\n{record};\n\n{commit}")
    return "\n\n".join(parts) + "\n"


async def _apply_next(connection: Any, wanted: Sequence[Migration]) -> Migration | None:
    """Apply the first pending migration in one transaction; ``None`` when another migrator is at work."""
    async with connection.transaction():
        if not await connection.fetchval(_STATEMENTS["try_lock"].sql):
            return None
        await connection.execute(
            _STATEMENTS["prepare_transaction"].sql, str(_LOCK_TIMEOUT_MS), str(_STATEMENT_TIMEOUT_MS)
        )
        await _bootstrap(connection)
        # Looked at again, now that nobody else can be changing it.
        pending = _pending(await migration_status(connection, migrations=wanted))
        if not pending:
            return None
        migration = next(migration for migration in wanted if migration.version == pending[0].version)
        try:
            await connection.execute(migration.sql)
        except asyncpg.LockNotAvailableError:
            raise
        except asyncpg.PostgresError as error:
            if classify(error).of_connection:
                raise
            raise MigrationError(
                f"{migration.filename} failed and was rolled back: {error}",
                remedy="the database is as it was before this migration; repair the cause and migrate again",
            ) from error
        await connection.execute(_STATEMENTS["record"].sql, migration.version, migration.name, migration.checksum)
        return migration


async def _bootstrap(connection: Any) -> None:
    if await connection.fetchval(_STATEMENTS["table_exists"].sql):
        return
    try:
        if not await connection.fetchval(_STATEMENTS["schema_exists"].sql):
            await connection.execute(_STATEMENTS["create_schema"].sql)
        await connection.execute(_STATEMENTS["create_table"].sql)
        await connection.execute(_STATEMENTS["describe_table"].sql)
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationError(
            f"this role may not create Holdfast's schema: {error}",
            remedy="GRANT CREATE ON DATABASE … TO this role, or run `holdfast db migrate --sql` as one that may",
        ) from error


def _pending(statuses: Sequence[MigrationStatus]) -> list[MigrationStatus]:
    """The migrations still to apply; refuses a database that this program must not touch."""
    unknown = [status for status in statuses if status.state is MigrationState.UNKNOWN]
    if unknown:
        raise MigrationError(
            f"the database is newer than this program: it has migration {unknown[-1].version:04d}_{unknown[-1].name}, "
            "which this program does not know",
            remedy="run the program's newer version; schemas are never migrated backwards",
        )
    altered = [status for status in statuses if status.state is MigrationState.ALTERED]
    if altered:
        raise MigrationError(
            f"migration {altered[0].version:04d}_{altered[0].name} was applied from a file with other content",
            remedy="restore the file as it was released; put changes into a new migration",
        )
    pending = [status for status in statuses if status.state is MigrationState.PENDING]
    newest = max((status.version for status in statuses if status.state is MigrationState.APPLIED), default=0)
    skipped = [status for status in pending if status.version < newest]
    if skipped:
        raise MigrationError(
            f"migration {skipped[0].version:04d}_{skipped[0].name} is missing, though {newest:04d} was applied",
            remedy="somebody edited holdfast.migration or applied files by hand; apply the missing one and record it",
        )
    return pending


async def _held_up(connection: Any, wait_seconds: float) -> MigrationError:
    holder = await connection.fetchrow(_STATEMENTS["lock_holder"].sql)
    if holder is None:
        what = "a table that the migration needs is locked"
    else:
        what = f"process {holder['pid']} ({holder['application_name'] or 'unnamed'}) is migrating"
    return MigrationError(
        f"gave up after {wait_seconds:g} s: {what}",
        remedy="wait for it, or end that session, then migrate again",
    )


async def _status_of(
    connect: Callable[[], Awaitable[Any]], migrations: Sequence[Migration] | None
) -> list[MigrationStatus]:
    connection = await connect()
    try:
        return await migration_status(connection, migrations=migrations)
    finally:
        await connection.close(timeout=5)


def _plain(name: str) -> str:
    return re.sub(r"^/\*.*?\*/ ", "", _STATEMENTS[name].sql)
