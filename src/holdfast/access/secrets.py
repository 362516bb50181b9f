"""Secrets that we make: 256 random bits with a prefix that tells a scanner what it has found."""

from __future__ import annotations

import base64
import hashlib
import secrets

TOKEN_PREFIX = "hft_"  # noqa: S105  (no secret: what every token begins with)
SESSION_PREFIX = "hfs_"


def new_secret(prefix: str) -> str:
    """A new one. Nobody can guess it, so nothing slow is needed to store it safely."""
    return prefix + secrets.token_urlsafe(32)


def digest_of(secret: str) -> bytes:
    """What is stored of it: SHA-256, 32 bytes."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def csrf_token_of(secret: str) -> str:
    """What the pages of a session send with every act: it follows from the secret, and nothing leads back."""
    return base64.urlsafe_b64encode(digest_of(f"csrf:{secret}")).decode().rstrip("=")
