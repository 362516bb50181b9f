"""Acts come from our own pages or from programs, never from a page of another site in somebody's browser."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import Request

from holdfast.access import Principal
from holdfast.errors import CrossSite

CSRF_HEADER = "X-CSRF-Token"


def require_same_site(request: Request, who: Principal, origins: Collection[str]) -> None:
    """Raise ``CrossSite`` for an act that another site sent, or a session's without its CSRF token.

    Browsers say with ``Origin`` and ``Sec-Fetch-Site`` where an act comes from, and no page can make them lie.
    Programs send neither. Whoever shows a token needs no such protection: no browser adds one by itself.
    ``origins``: sites that may send acts nevertheless.
    """
    if who.kind in ("token", "oidc"):
        return
    origin = request.headers.get("origin")
    if origin is not None and origin not in origins and urlsplit(origin).netloc != request.headers.get("host"):
        raise CrossSite(f"it was sent by a page of {origin}", remedy="name the site in HOLDFAST_API_ORIGINS")
    if origin is None and request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise CrossSite("it was sent by a page of another site", remedy="use the dashboard of this server")
    if who.csrf_token is not None and not hmac.compare_digest(
        request.headers.get(CSRF_HEADER, "").encode("latin-1", "replace"), who.csrf_token.encode()
    ):
        raise CrossSite(
            f"the header {CSRF_HEADER} is missing or wrong", remedy="send the csrf_token that GET /api/v1/me gives"
        )
