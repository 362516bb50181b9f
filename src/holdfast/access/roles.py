"""Permissions and the roles made of them: written here and nowhere else."""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import Final

__all__ = ["ROLES", "Openness", "Permission", "Role"]


class Permission(enum.StrEnum):
    """One thing that somebody may be allowed to do. The word before the colon is the noun."""

    JOBS_READ = "jobs:read"
    JOBS_ARGS = "jobs:args"  # arguments, results and log lines of jobs, data of events: what may be private
    JOBS_ENQUEUE = "jobs:enqueue"
    JOBS_RETRY = "jobs:retry"
    JOBS_CANCEL = "jobs:cancel"
    JOBS_RESCHEDULE = "jobs:reschedule"
    JOBS_EDIT = "jobs:edit"
    JOBS_PURGE = "jobs:purge"
    QUEUES_READ = "queues:read"
    QUEUES_PAUSE = "queues:pause"
    LIMITS_SET = "limits:set"
    SCHEDULES_READ = "schedules:read"
    SCHEDULES_TRIGGER = "schedules:trigger"
    SCHEDULES_PAUSE = "schedules:pause"
    SCHEDULES_BACKFILL = "schedules:backfill"
    SCHEDULES_EDIT = "schedules:edit"
    WORKERS_READ = "workers:read"
    EVENTS_READ = "events:read"
    EVENTS_APPEND = "events:append"
    PROJECTIONS_READ = "projections:read"
    PROJECTIONS_PAUSE = "projections:pause"
    PROJECTIONS_REBUILD = "projections:rebuild"
    PROJECTIONS_SKIP = "projections:skip"
    DATABASE_READ = "database:read"
    DATABASE_TERMINATE = "database:terminate"
    OPERATIONS_READ = "operations:read"
    OPERATIONS_CANCEL = "operations:cancel"
    AUDIT_READ = "audit:read"
    TOKENS_MANAGE = "tokens:manage"
    SETTINGS_READ = "settings:read"
    METRICS_READ = "metrics:read"
    STATS_READ = "stats:read"


class Openness(enum.Enum):
    """What a route may demand instead of a permission."""

    SIGNED_IN = "signed in"
    """Whoever is known, whatever they may do."""
    ANYBODY = "anybody"
    """Nothing: signing in itself."""


class Role(enum.StrEnum):
    """A set of permissions with a name."""

    PUBLIC = "public"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    PRODUCER = "producer"
    METRICS = "metrics"


_P = Permission
_PUBLIC = frozenset(
    {
        _P.JOBS_READ,
        _P.QUEUES_READ,
        _P.SCHEDULES_READ,
        _P.WORKERS_READ,
        _P.EVENTS_READ,
        _P.PROJECTIONS_READ,
        _P.OPERATIONS_READ,
        _P.STATS_READ,
    }
)
_VIEWER = _PUBLIC | {_P.DATABASE_READ, _P.METRICS_READ}
_OPERATOR = _VIEWER | {
    _P.JOBS_ARGS,
    _P.JOBS_RETRY,
    _P.JOBS_CANCEL,
    _P.JOBS_RESCHEDULE,
    _P.JOBS_ENQUEUE,
    _P.QUEUES_PAUSE,
    _P.SCHEDULES_TRIGGER,
    _P.SCHEDULES_PAUSE,
    _P.SCHEDULES_BACKFILL,
    _P.PROJECTIONS_PAUSE,
    _P.OPERATIONS_CANCEL,
    _P.AUDIT_READ,
}

ROLES: Final = MappingProxyType(
    {
        Role.PUBLIC: _PUBLIC,
        Role.VIEWER: _VIEWER,
        Role.OPERATOR: _OPERATOR,
        Role.ADMIN: frozenset(Permission),
        Role.PRODUCER: frozenset({_P.JOBS_ENQUEUE}),
        Role.METRICS: frozenset({_P.METRICS_READ}),
    }
)
"""What each role permits."""
