"""What an error of the driver means for us: one table, so that no room guesses from messages."""

from __future__ import annotations

import enum
import ssl
from typing import Final

import asyncpg


class Fault(enum.Enum):
    """Why a statement or a connect failed, as far as it decides what to do next."""

    NOT_THERE_YET = "not there yet"
    """Refused, starting up, shutting down, too many connections: nothing was sent; try again."""

    CONNECTION_LOST = "connection lost"
    """The connection died under the statement: whether it committed is unknown."""

    READ_ONLY = "read only"
    """The server accepts no writes (a standby, or a demoted primary): nothing was written; connect anew."""

    STALE_PLAN = "stale plan"
    """The schema changed under a prepared statement: nothing was done; connect anew."""

    POOLER = "pooler"
    """A transaction-mode pooler stands between: nothing was done; go on without prepared statements."""

    LOGIN_REFUSED = "login refused"
    """Wrong password, role or database, or no entry for us: trying again cannot help."""

    ROW = "row"
    """A value that cannot be stored (classes 22, 23, 54): the same statement would fail again."""

    REPEATED = "repeated"
    """A unique index holds such a row already: perhaps an earlier try was committed after all."""

    CONTENDED = "contended"
    """A deadlock, a serialization failure or a lock that was not to be had: nothing was done; try again."""

    NO_SCHEMA = "no schema"
    """Our tables or functions are not there, or not yet: nothing was done."""

    OTHER = "other"
    """The statement's own business."""

    @property
    def of_connection(self) -> bool:
        """Whether the server or the way to it is at fault, and not the statement."""
        return self in (Fault.NOT_THERE_YET, Fault.CONNECTION_LOST, Fault.READ_ONLY, Fault.LOGIN_REFUSED)


_NOT_THERE_YET = (
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)
_READ_ONLY = (
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TargetServerAttributeNotMatched,
)
# A pooler hands our second transaction to a server session that never saw (or already has) the statement's name.
_POOLER = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
_STALE_PLAN = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
_LOGIN_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
    ssl.SSLCertVerificationError,
)
_CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.InternalClientError,  # "another operation is in progress": the driver lost track of a dying connection
    ConnectionError,
    EOFError,
)


_CONTENDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)
_NO_SCHEMA = (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError)
_ROW = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)

DRIVER_ERRORS: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""Everything the driver raises for a statement or a connect; ``classify`` says what it means."""


def classify(error: BaseException) -> Fault:
    """Say which fault an error raised by asyncpg while a statement ran is."""
    for fault, types in (
        (Fault.NOT_THERE_YET, _NOT_THERE_YET),
        (Fault.READ_ONLY, _READ_ONLY),
        (Fault.POOLER, _POOLER),
        (Fault.STALE_PLAN, _STALE_PLAN),
        (Fault.LOGIN_REFUSED, _LOGIN_REFUSED),
        (Fault.CONNECTION_LOST, _CONNECTION_LOST),
        (Fault.REPEATED, asyncpg.UniqueViolationError),
        (Fault.CONTENDED, _CONTENDED),
        (Fault.ROW, _ROW),
        (Fault.NO_SCHEMA, _NO_SCHEMA),
    ):
        if isinstance(error, types):
            return fault
    if isinstance(error, asyncpg.FeatureNotSupportedError) and "cached plan must not change" in str(error):
        return Fault.STALE_PLAN
    if isinstance(error, asyncpg.InterfaceError) and any(
        word in str(error) for word in ("closed", "released", "in progress")
    ):
        return Fault.CONNECTION_LOST
    return Fault.OTHER


def classify_connect(error: BaseException) -> Fault:
    """Say which fault an error raised while connecting is; there a lost connection has no statement to lose."""
    if isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in str(error):
        return Fault.POOLER
    fault = classify(error)
    if fault is Fault.CONNECTION_LOST or (fault is Fault.OTHER and isinstance(error, OSError | TimeoutError)):
        return Fault.NOT_THERE_YET
    return fault
