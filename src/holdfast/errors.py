"""The tree of exceptions. Every error carries a stable code, an exit status, an HTTP status and a remedy.

HoldfastError
├── ConfigurationError      a setting or an argument is missing, unknown or contradicts another
├── DatabaseUnavailable     the server cannot be reached, or is read-only
├── StatementTooSlow        a question took longer than a request may wait
├── EmbeddedServerError     the embedded server could not be started, adopted or stopped
├── MigrationError          the schema is missing, older, newer or altered
├── DriverUnsupported       a connection of an unknown driver was handed in
├── TaskError
│   ├── TaskUnknown         no task of that name is registered
│   ├── ArgumentsInvalid    arguments do not fit the task's signature; nothing was enqueued
│   └── ResultNotStorable   a handler returned what JSON in PostgreSQL cannot hold
├── JobError
│   ├── JobNotFound         no job of that id
│   ├── BatchNotFound       no batch of that id
│   ├── QueueUnknown        no queue of that name has had a job or a worker
│   ├── FailureUnknown      no group of failures of that fingerprint
│   ├── OperationNotFound   no operation of that id
│   ├── OperationRefused    the token starts nothing any more, or there is nothing left to cancel
│   ├── JobFailed           a job that was waited for failed
│   ├── FilterInvalid       a filter was not understood
│   └── IllegalMove         the verb is not legal in the job's place
├── ScheduleUnknown         no schedule of that name
├── ProjectionError
│   ├── ProjectionUnknown   no projection of that name
│   ├── PartitionTaken      fixed partitions belong to another process that lives
│   └── RebuildRefused      there is nothing to rebuild, to switch to or to go back to
├── EventError
│   ├── EventsInvalid       what was to be appended is empty, mixed, too large or no JSON; nothing was sent
│   ├── EventTypeUnknown    no class is registered for a type, or its schema version is newer than the class
│   ├── AppendConflict      others were faster; nothing was appended, and the transaction goes on
│   │   ├── VersionConflict     the stream does not stand at the expected version
│   │   └── ConditionFailed     events that the append condition excludes are in the log
│   ├── EventIdTaken        an event of that id is in the log, with other content
│   ├── IdempotencyKeyTaken the key was used for other events
│   └── LogBehind           the sequence of positions is behind the log, as after a restore
├── WorkerNotFound          no worker of that id
├── BackendNotFound         no session of that process id is in the database
├── BackendOutOfReach       the session may not be ended by us
├── AccessError
│   ├── Unauthenticated     no credential, or none that is valid
│   ├── IssuerUnavailable   the keys of an OIDC issuer cannot be had, so nothing can be said
│   └── Forbidden           the credential does not permit it
│       ├── ReadOnly            this server, or its database, changes nothing
│       └── CrossSite           a page of another site sent it, or the CSRF token is missing
├── RequestError            a request over HTTP that cannot be read
│   ├── NoSuchPath          nothing is at this path, or not with this method
│   ├── TooLarge            its body, a field or its nesting is beyond the limits
│   ├── MediaTypeUnsupported  its body is no JSON by its content type
│   ├── CursorInvalid       a cursor that this server did not hand out
│   ├── ValueRefused        a value that cannot be, a cron expression for example
│   ├── NotStorable         text that PostgreSQL cannot store
│   ├── KeyReused           the idempotency key belongs to another request
│   └── TooManyRequests     the rate limit is used up
├── TokenNotFound           no token of that id
├── SessionNotFound         no session of that id
├── LeaseLost               the attempt's lease ended; nothing it writes is accepted
└── TimedOut                a wait ran out
"""

from __future__ import annotations

from typing import Any, ClassVar


class HoldfastError(Exception):
    """Root of everything Holdfast raises on purpose.

    The message says what happened and why; ``remedy`` says what to do about it.
    """

    code: ClassVar[str] = "holdfast_error"
    exit_status: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  remedy: {self.remedy}" if self.remedy else self.message


class ConfigurationError(HoldfastError):
    """A setting, or an argument of a call, is missing, unknown or contradicts another."""

    code = "configuration"
    exit_status = 2
    http_status = 422


class DatabaseUnavailable(HoldfastError):
    """The server cannot be reached, refuses the login, or is read-only."""

    code = "database_unavailable"
    exit_status = 5
    http_status = 503


class StatementTooSlow(HoldfastError):
    """The database did not answer within the time that a request may wait."""

    code = "statement_too_slow"
    exit_status = 6
    http_status = 503


class EmbeddedServerError(HoldfastError):
    """The embedded server could not be started, adopted or stopped."""

    code = "embedded_server"
    exit_status = 5


class MigrationError(HoldfastError):
    """The schema is missing, older, newer or altered."""

    code = "migration"
    exit_status = 5
    http_status = 503


class DriverUnsupported(HoldfastError):
    """A connection of an unknown driver was handed in."""

    code = "driver_unsupported"
    exit_status = 2


class TaskError(HoldfastError):
    """Something about a task, before any job of it exists."""

    code = "task"
    exit_status = 2
    http_status = 422


class TaskUnknown(TaskError):
    """No task of that name is registered."""

    code = "task_unknown"
    exit_status = 3


class ArgumentsInvalid(TaskError):
    """Arguments do not fit the task's signature; nothing was enqueued."""

    code = "arguments_invalid"


class ResultNotStorable(TaskError):
    """A handler returned what JSON in PostgreSQL cannot hold."""

    code = "result_not_storable"


class JobError(HoldfastError):
    """Something about one job."""

    code = "job"
    exit_status = 3
    http_status = 404


class JobNotFound(JobError):
    """No job of that id is known; it may have been pruned."""

    code = "job_not_found"


class BatchNotFound(JobError):
    """No batch of that id is known; it may have been pruned."""

    code = "batch_not_found"


class QueueUnknown(JobError):
    """No queue of that name is known: it has had no job and no worker."""

    code = "queue_unknown"


class FailureUnknown(JobError):
    """No group of failures of that fingerprint is known; nothing of it may have failed for long."""

    code = "failure_unknown"


class OperationNotFound(JobError):
    """No operation of that id is known; it may have ended long ago."""

    code = "operation_not_found"


class OperationRefused(JobError):
    """The token starts nothing any more, or the operation has ended."""

    code = "operation_refused"
    http_status = 409


class JobFailed(JobError):
    """A job that was waited for failed or was cancelled."""

    code = "job_failed"
    exit_status = 1
    http_status = 500


class FilterInvalid(JobError):
    """A filter for jobs was not understood; the message names the term."""

    code = "filter_invalid"
    exit_status = 2
    http_status = 422


class IllegalMove(JobError):
    """The verb is not legal in the place the job stands in."""

    code = "illegal_move"
    http_status = 409

    state: str | None = None
    """Where the job stands."""
    actions: tuple[str, ...] = ()
    """What people may do with it there."""


class ScheduleUnknown(HoldfastError):
    """No schedule of that name is in the database."""

    code = "schedule_unknown"
    exit_status = 3
    http_status = 404


class ProjectionError(HoldfastError):
    """Something about one projection."""

    code = "projection"
    exit_status = 3
    http_status = 409


class ProjectionUnknown(ProjectionError):
    """No projection of that name is known to the database, or to the application."""

    code = "projection_unknown"
    http_status = 404


class PartitionTaken(ProjectionError):
    """Another process that lives serves these fixed partitions, or serves the projection in another way."""

    code = "partition_taken"


class RebuildRefused(ProjectionError):
    """There is nothing to rebuild, to switch to or to go back to, or it is not ready."""

    code = "rebuild_refused"


class EventError(HoldfastError):
    """Something about the event log."""

    code = "event"


class EventsInvalid(EventError):
    """What was to be appended is empty, mixed, too large or no JSON; nothing was sent."""

    code = "events_invalid"
    exit_status = 2
    http_status = 422


class EventTypeUnknown(EventError):
    """No class is registered for a type, or its schema version is newer than the class."""

    code = "event_type_unknown"
    exit_status = 3


class AppendConflict(EventError):
    """Others were faster. Nothing was appended, and the caller's transaction goes on."""

    code = "append_conflict"
    exit_status = 3
    http_status = 409

    winners: tuple[Any, ...] = ()
    """The events that came in between (``holdfast.events.Winner``), at most the first twenty."""


class VersionConflict(AppendConflict):
    """The stream does not stand at the expected version."""

    code = "version_conflict"

    stream: str = ""
    expected: int = 0
    actual: int = 0


class ConditionFailed(AppendConflict):
    """Events that the append condition excludes are in the log."""

    code = "condition_failed"


class EventIdTaken(EventError):
    """An event of that id is in the log, with other content."""

    code = "event_id_taken"
    exit_status = 3
    http_status = 409


class IdempotencyKeyTaken(EventError):
    """The idempotency key was used for other events."""

    code = "idempotency_key_taken"
    exit_status = 3
    http_status = 409


class LogBehind(EventError):
    """The sequence of positions is behind the log, as after a restore; what it gave would never be read."""

    code = "log_behind"
    exit_status = 5
    http_status = 503


class WorkerNotFound(HoldfastError):
    """No worker of that id is known; those that ended are forgotten after an hour."""

    code = "worker_not_found"
    exit_status = 3
    http_status = 404


class BackendNotFound(HoldfastError):
    """No session of that process id is in this database; it may have ended."""

    code = "backend_not_found"
    exit_status = 3
    http_status = 404


class BackendOutOfReach(HoldfastError):
    """The session is our own, or the role of this server may not end it."""

    code = "backend_out_of_reach"
    exit_status = 3
    http_status = 409


class AccessError(HoldfastError):
    """Something about who may do what."""

    code = "access"
    exit_status = 4
    http_status = 403


class Unauthenticated(AccessError):
    """No credential was shown, or one that is wrong, expired or revoked."""

    code = "unauthenticated"
    http_status = 401


class IssuerUnavailable(AccessError):
    """The keys of an OIDC issuer cannot be had, so its tokens can be neither accepted nor refused."""

    code = "issuer_unavailable"
    exit_status = 5
    http_status = 503


class Forbidden(AccessError):
    """The credential does not permit it; the message names the permission."""

    code = "forbidden"


class ReadOnly(Forbidden):
    """This server, or its database, changes nothing."""

    code = "read_only"


class CrossSite(Forbidden):
    """A page of another site sent it, or the CSRF token of the session is missing."""

    code = "cross_site"


class RequestError(HoldfastError):
    """A request over HTTP that cannot be read."""

    code = "request"
    exit_status = 2
    http_status = 400


class NoSuchPath(RequestError):
    """Nothing is at this path, or not with this method."""

    code = "no_such_path"
    http_status = 404


class TooLarge(RequestError):
    """The body, a field or the nesting is beyond the limits."""

    code = "too_large"
    http_status = 413


class MediaTypeUnsupported(RequestError):
    """The body is no JSON by its content type."""

    code = "media_type_unsupported"
    http_status = 415


class CursorInvalid(RequestError):
    """A cursor that this server did not hand out."""

    code = "cursor_invalid"
    http_status = 422


class ValueRefused(RequestError):
    """A value that cannot be: no duration, no cron expression, a range that is empty."""

    code = "value_refused"
    http_status = 422


class NotStorable(RequestError):
    """Text or a number that PostgreSQL cannot store."""

    code = "not_storable"
    http_status = 422


class KeyReused(RequestError):
    """The idempotency key was used for another request, or that request still runs."""

    code = "key_reused"
    http_status = 409


class TooManyRequests(RequestError):
    """The rate limit is used up; ``retry_after_seconds`` says for how long."""

    code = "too_many_requests"
    http_status = 429

    retry_after_seconds: int = 1


class TokenNotFound(HoldfastError):
    """No token of that id is known, or it was revoked already."""

    code = "token_not_found"
    exit_status = 3
    http_status = 404


class SessionNotFound(HoldfastError):
    """No session of that id is known, or it has ended."""

    code = "session_not_found"
    exit_status = 3
    http_status = 404


class LeaseLost(HoldfastError):
    """The attempt's lease ended; nothing it writes is accepted any more."""

    code = "lease_lost"
    http_status = 409


class TimedOut(HoldfastError):
    """A wait ran out."""

    code = "timed_out"
    exit_status = 6
    http_status = 504
