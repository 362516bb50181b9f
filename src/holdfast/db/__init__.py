"""The database room: pools, statements, callers' connections, the listener, migrations."""

from __future__ import annotations

from holdfast.db.callers import (
    WORTH_SAYING_SECONDS,
    AwaitedConnection,
    BlockingConnection,
    CallerConnection,
    for_numbered_style,
    for_percent_style,
)
from holdfast.db.catalog import Validation, validate
from holdfast.db.database import Database
from holdfast.db.drivers import adopt
from holdfast.db.faults import DRIVER_ERRORS, Fault, classify
from holdfast.db.held import HeldConnection
from holdfast.db.listener import Listener
from holdfast.db.migrator import (
    Migration,
    MigrationState,
    MigrationStatus,
    load_migrations,
    migrate,
    migration_script,
    migration_status,
    wait_for_schema,
)
from holdfast.db.narrowed import PatientFor, WithinTransaction, transaction
from holdfast.db.statements import Statement, load_statements
from holdfast.db.throwaway import DatabaseClock, ThrowawayDatabases

__all__ = [
    "DRIVER_ERRORS",
    "WORTH_SAYING_SECONDS",
    "AwaitedConnection",
    "BlockingConnection",
    "CallerConnection",
    "Database",
    "DatabaseClock",
    "Fault",
    "HeldConnection",
    "Listener",
    "Migration",
    "MigrationState",
    "MigrationStatus",
    "PatientFor",
    "Statement",
    "ThrowawayDatabases",
    "Validation",
    "WithinTransaction",
    "adopt",
    "classify",
    "for_numbered_style",
    "for_percent_style",
    "load_migrations",
    "load_statements",
    "migrate",
    "migration_script",
    "migration_status",
    "transaction",
    "validate",
    "wait_for_schema",
]
