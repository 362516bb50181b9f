"""From a request to a principal: a bearer token, the cookie of a session, this machine, or nobody."""

from __future__ import annotations

from fastapi import Request, Response

from holdfast.access import LOCAL, NOBODY, PUBLIC, Credential, Oidc, OidcOptions, Principal, Role, Sessions, Tokens
from holdfast.api.frame.throttling import Throttle
from holdfast.db import Database
from holdfast.errors import ConfigurationError, Unauthenticated
from holdfast.settings import Settings

COOKIE = "holdfast_session"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class SigningIn:
    """How one API finds out who asks."""

    def __init__(self, settings: Settings, throttle: Throttle, *, guarded: bool) -> None:
        self.guarded = guarded
        self._settings = settings
        self._throttle = throttle
        self._oidc = _oidc_of(settings)

    def sessions(self, database: Database) -> Sessions:
        """The sessions, over this handle, ending when the settings say."""
        return Sessions(
            database,
            idle_seconds=self._settings.session_idle_seconds,
            longest_seconds=self._settings.session_longest_seconds,
        )

    async def principal_of(self, request: Request, database: Database) -> Principal:
        """Who asks. Raises ``Unauthenticated`` for a wrong credential, ``TooManyRequests`` for too many of them."""
        local = None if self.guarded else _local(request)
        header = request.headers.get("authorization")
        scheme, _, secret = (header or "").partition(" ")
        # Whoever shows a token means it, also where none is needed: a wrong one is found here and not in production.
        # Other schemes may be those of a proxy before this server; where nobody is asked they are not ours to judge.
        if scheme.lower() == "bearer" and secret.strip():
            return (await self.credential_of(secret.strip(), request, database)).principal
        if local is not None and scheme.lower() != "bearer":
            return local
        if header is not None:
            raise Unauthenticated(
                "the header Authorization is no bearer token", remedy="send `Authorization: Bearer TOKEN`"
            )
        cookie = request.cookies.get(COOKIE)
        who = await self.sessions(database).principal_of(cookie) if cookie else None
        if who is not None:
            return who
        return PUBLIC if self._settings.public_read else NOBODY

    async def credential_of(self, secret: str, request: Request, database: Database) -> Credential:
        """What a secret permits: a token of ours or of the issuer. Raises as ``principal_of``."""
        try:
            if self._oidc is not None and secret.count(".") == 2:
                return await self._oidc.credential_of(secret)
            return Credential(await Tokens(database).principal_of(secret))
        except Unauthenticated:
            await self._throttle.fail(request.client.host if request.client else None)
            raise

    def remember(self, request: Request, response: Response, secret: str) -> None:
        """Give the browser the cookie of a session: no script reads it, no other site sends it."""
        response.set_cookie(
            COOKIE,
            secret,
            max_age=int(self._settings.session_longest_seconds),
            path=_path_of(request),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )

    def forget(self, request: Request, response: Response) -> None:
        """Take the cookie away."""
        response.delete_cookie(
            COOKIE,
            path=_path_of(request),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )


def _local(request: Request) -> Principal:
    """Without authentication only this machine is served, by a name of this machine.

    A page of another site whose name was made to point here (DNS rebinding) still sends its own name.
    """
    host = (request.url.hostname or "").strip("[]")
    if request.client is None or request.client.host not in _LOOPBACK or host not in _LOOPBACK:
        raise Unauthenticated(
            "authentication is off, so only this machine is served, as localhost",
            remedy="open http://localhost, or set HOLDFAST_AUTH=on",
        )
    return LOCAL


def _path_of(request: Request) -> str:
    """Where the cookie is sent: to this application, wherever it is mounted."""
    return str(request.scope.get("root_path") or "") or "/"


def _oidc_of(settings: Settings) -> Oidc | None:
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    roles: dict[str, Role] = {}
    for pair in settings.oidc_roles:
        word, equals, role = pair.rpartition("=")
        if not equals or role not in set(Role):
            raise ConfigurationError(f"oidc_roles has {pair!r}", remedy=f"write WORD=ROLE; roles are {', '.join(Role)}")
        roles[word.strip()] = Role(role)
    return Oidc(
        OidcOptions(
            settings.oidc_issuer,
            settings.oidc_audience,
            settings.oidc_jwks_url,
            settings.oidc_roles_claim,
            roles,
        )
    )
