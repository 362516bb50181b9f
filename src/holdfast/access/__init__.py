"""The room of access: who may do what, who did what, and what nobody is shown. It knows nothing of HTTP."""

from __future__ import annotations

from holdfast.access.audit import Audit, Entry, Recorded, Result
from holdfast.access.keeping import AccessKeeper, prune
from holdfast.access.oidc import Oidc, OidcOptions
from holdfast.access.principal import LOCAL, NOBODY, PUBLIC, Needs, Principal, permissions_of
from holdfast.access.redaction import HIDDEN, hides, looks_secret, redacted, redacted_text, restored
from holdfast.access.request_keys import Answered, RequestKeys
from holdfast.access.roles import ROLES, Openness, Permission, Role
from holdfast.access.sessions import Credential, Session, Sessions
from holdfast.access.standing import find_ended
from holdfast.access.tokens import Token, Tokens

__all__ = [
    "HIDDEN",
    "LOCAL",
    "NOBODY",
    "PUBLIC",
    "ROLES",
    "AccessKeeper",
    "Answered",
    "Audit",
    "Credential",
    "Entry",
    "Needs",
    "Oidc",
    "OidcOptions",
    "Openness",
    "Permission",
    "Principal",
    "Recorded",
    "RequestKeys",
    "Result",
    "Role",
    "Session",
    "Sessions",
    "Token",
    "Tokens",
    "find_ended",
    "hides",
    "looks_secret",
    "permissions_of",
    "prune",
    "redacted",
    "redacted_text",
    "restored",
]
