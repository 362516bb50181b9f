"""One file a noun: its routes. A noun is in the API when it is named here."""

from __future__ import annotations

NOUNS = (
    "audit",
    "batches",
    "database",
    "events",
    "failures",
    "history",
    "installation",
    "job_acts",
    "jobs",
    "limits",
    "operations",
    "overview",
    "principals",
    "projections",
    "queues",
    "schedules",
    "sessions",
    "settings",
    "stream",
    "tokens",
    "workers",
)
