"""One file a noun: its routes. A noun is in the API when it is named here."""

from __future__ import annotations

NOUNS = (
    "audit",
    "database",
    "events",
    "history",
    "installation",
    "overview",
    "pages",
    "principals",
    "projections",
    "schedules",
    "sessions",
    "settings",
    "stream",
    "tokens",
    "workers",
)
