"""One file a noun: its routes. A noun is in the API when it is named here."""

from __future__ import annotations

NOUNS = (
    "audit",
    "batches",
    "failures",
    "installation",
    "job_acts",
    "jobs",
    "limits",
    "operations",
    "principals",
    "queues",
    "sessions",
    "settings",
    "tokens",
)
