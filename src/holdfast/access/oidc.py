"""OIDC bearer tokens: signed by an issuer that the settings name, checked against the keys it publishes.

The library is imported when the first such token comes: only the extra ``api`` brings it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from holdfast.access.principal import Principal, permissions_of
from holdfast.access.roles import Role
from holdfast.access.sessions import Credential
from holdfast.clock import monotonic, now
from holdfast.errors import ConfigurationError, IssuerUnavailable, Unauthenticated
from holdfast.telemetry import get_logger

if TYPE_CHECKING:
    import jwt

log = get_logger("access")

# Never HS256 and its kin: with those, whoever can verify can sign. Never "none".
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_FETCH_SECONDS = 5.0
_KEYS_FOR_SECONDS = 600.0
_LEEWAY_SECONDS = 30.0
"""So far the issuer's clock may be ahead. What has ended has ended: there is no leeway for that."""
_LONGEST_TOKEN = 16_384
_MOST_DISCOVERY_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class OidcOptions:
    """Which issuer is believed, and what its claims mean here."""

    issuer: str
    audience: str
    jwks_url: str | None = None
    """Where its keys are; ``None``: as its discovery document says."""
    roles_claim: str = "roles"
    """The claim with the roles of a person, or their groups; dots lead into it: ``realm_access.roles``."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """What its words mean: ``{"platform-team": Role.ADMIN}``; the names of roles mean themselves if this is empty."""


class Oidc:
    """Checks bearer tokens of one issuer. Keys are kept for ten minutes, and looked up anew for a key id not seen."""

    def __init__(self, options: OidcOptions) -> None:
        self._options = options
        self._keys: jwt.PyJWKClient | None = None
        self._finding = asyncio.Lock()
        self._failed: tuple[float, IssuerUnavailable] | None = None
        for url in (options.issuer, options.jwks_url):
            if url is not None:
                _require_secure(url)

    async def credential_of(self, token: str) -> Credential:
        """Who shows this token. Raises ``Unauthenticated``, and ``IssuerUnavailable`` while its keys cannot be had."""
        import jwt

        if len(token) > _LONGEST_TOKEN:
            raise _refused("it is longer than any token")
        try:
            key = await self._key_of(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=list(_ALGORITHMS),
                audience=self._options.audience,
                issuer=self._options.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise _refused(str(error) or type(error).__name__) from error
        expires_at = datetime.fromtimestamp(float(claims["exp"]), UTC)
        if expires_at <= now():
            raise _refused("it has expired")
        return Credential(self._principal(claims, expires_at), expires_at)

    async def _key_of(self, token: str) -> Any:
        """The key it is signed with. Asking the issuer takes as long as the network does: one asks at a time."""
        came_at = monotonic()
        async with self._finding:
            if self._failed is not None and self._failed[0] >= came_at:
                raise self._failed[1]  # whoever waited for that answer need not ask again
            try:
                return await asyncio.to_thread(self._look_up, token)
            except IssuerUnavailable as error:
                self._failed = monotonic(), error
                raise

    def _look_up(self, token: str) -> Any:
        import jwt

        try:
            if self._keys is None:
                url = self._options.jwks_url or _discovered(self._options.issuer)
                self._keys = jwt.PyJWKClient(url, lifespan=_KEYS_FOR_SECONDS, timeout=_FETCH_SECONDS)
            return self._keys.get_signing_key_from_jwt(token)
        except jwt.PyJWKClientConnectionError as error:
            raise _unavailable(self._options.issuer, error) from error

    def _principal(self, claims: Mapping[str, Any], expires_at: datetime) -> Principal:
        """What the claims permit. A name that is not mapped to a role permits nothing."""
        words: Any = claims
        for part in self._options.roles_claim.split("."):
            words = words.get(part) if isinstance(words, Mapping) else None
        if isinstance(words, str):
            words = words.split()
        known = self._options.roles or {role.value: role for role in Role}
        roles = sorted({known[word] for word in words or () if isinstance(word, str) and word in known})
        name = next(
            (str(claims[claim]) for claim in ("preferred_username", "email") if isinstance(claims.get(claim), str)),
            str(claims["sub"]),
        )
        permissions = permissions_of(roles)
        return Principal(name, "oidc", permissions, tuple(roles), subject=str(claims["sub"]), expires_at=expires_at)


def _discovered(issuer: str) -> str:
    """Where the issuer publishes its keys. Raises ``IssuerUnavailable``, ``ConfigurationError``."""
    url = issuer.rstrip("/") + "/.well-known/openid-configuration"
    try:
        with urllib.request.urlopen(url, timeout=_FETCH_SECONDS) as answer:  # noqa: S310  (its scheme was looked at)
            document = json.loads(answer.read(_MOST_DISCOVERY_BYTES))
    except (OSError, ValueError) as error:
        raise _unavailable(issuer, error) from error
    if not isinstance(document, dict) or document.get("issuer") != issuer or "jwks_uri" not in document:
        raise IssuerUnavailable(
            f"{url} does not describe the issuer {issuer!r}", remedy="write HOLDFAST_OIDC_ISSUER as it stands there"
        )
    found = str(document["jwks_uri"])
    _require_secure(found)
    return found


def _require_secure(url: str) -> None:
    """Raise ``ConfigurationError`` for keys that somebody on the way could replace."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_here(parts.hostname or "")):
        return
    raise ConfigurationError(f"{url} is not https://", remedy="an issuer is reached over TLS, or on this machine")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"the bearer token is not accepted: {why}", remedy="get a new one from the issuer")


def _unavailable(issuer: str, error: Exception) -> IssuerUnavailable:
    log.warning("the keys of %s cannot be had: %s", issuer, error)
    return IssuerUnavailable(f"the issuer {issuer} does not answer", remedy="try again, or use a token of this server")
