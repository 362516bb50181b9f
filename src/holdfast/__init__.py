"""Holdfast: durable background work on the PostgreSQL an application already has."""

from __future__ import annotations

from holdfast.app import Holdfast
from holdfast.errors import HoldfastError
from holdfast.jobs import GiveUp, Job, JobId, Limit, Rate, Retry, RetryAfter, Snooze, Unique, current_job
from holdfast.worker import Report

__all__ = [
    "GiveUp",
    "Holdfast",
    "HoldfastError",
    "Job",
    "JobId",
    "Limit",
    "Rate",
    "Report",
    "Retry",
    "RetryAfter",
    "Snooze",
    "Unique",
    "current_job",
]
