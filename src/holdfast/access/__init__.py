"""The room of access: who may do what, who did what, and what nobody is shown. It knows nothing of HTTP."""

from __future__ import annotations

from holdfast.access.audit import Audit, Entry, Recorded
from holdfast.access.principal import LOCAL, NOBODY, PUBLIC, Needs, Principal, permissions_of
from holdfast.access.redaction import HIDDEN, looks_secret, redacted, redacted_text
from holdfast.access.roles import ROLES, Openness, Permission, Role

__all__ = [
    "HIDDEN",
    "LOCAL",
    "NOBODY",
    "PUBLIC",
    "ROLES",
    "Audit",
    "Entry",
    "Needs",
    "Openness",
    "Permission",
    "Principal",
    "Recorded",
    "Role",
    "looks_secret",
    "permissions_of",
    "redacted",
    "redacted_text",
]
