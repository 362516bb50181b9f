"""Holdfast: durable background work on the PostgreSQL an application already has."""

from __future__ import annotations

from holdfast.app import Holdfast
from holdfast.errors import HoldfastError
from holdfast.events import Append, Delivery, Event, Match, RecordedEvent, Scope
from holdfast.jobs import GiveUp, Job, JobId, Limit, Rate, Retry, RetryAfter, Snooze, Unique, current_job
from holdfast.worker import Report

__all__ = [
    "Append",
    "Delivery",
    "Event",
    "GiveUp",
    "Holdfast",
    "HoldfastError",
    "Job",
    "JobId",
    "Limit",
    "Match",
    "Rate",
    "RecordedEvent",
    "Report",
    "Retry",
    "RetryAfter",
    "Scope",
    "Snooze",
    "Unique",
    "current_job",
]
