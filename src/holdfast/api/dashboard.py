"""Serves the dashboard: pages that were built into the package, under a policy that lets nothing else run in them."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Final

from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.routing import Match, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

__all__ = ["BUILT_INTO_THE_PACKAGE", "DashboardRoute"]

BUILT_INTO_THE_PACKAGE: Final = Path(__file__).parent / "static"

# Scripts, styles and data from this server alone; no inline script, no frame, no form, no plugin.
_POLICY: Final = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "manifest-src 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'self'",
)
CONTENT_SECURITY_POLICY: Final = "; ".join(_POLICY)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
# Built files bear a hash of their content in their names: what was downloaded once is right for ever.
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK_EACH_TIME: Final = "no-cache"
_HASHED: Final = "assets/"
_NOT_BUILT: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Holdfast</title>
<h1>The API is here, its dashboard is not</h1>
<p>Holdfast was installed without its pages (HOLDFAST_SKIP_UI=1, or from a checkout that was never built).</p>
<p>In a checkout: <code>python tools/dashboard.py build</code>. Otherwise install the released wheel.
The API answers at <code>{prefix}/api/v1</code>.</p>
</html>
"""


class DashboardRoute(Mount):
    """Serves every address that is no API's: those keep the answers of the API, 404 and 405 included."""

    def __init__(self, folder: Path = BUILT_INTO_THE_PACKAGE) -> None:
        super().__init__("/", app=Pages(folder), name="dashboard")

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether it serves this address; asked last, after the routes of the API and the probes."""
        if scope["type"] != "http" or get_route_path(scope).startswith("/api/"):
            return Match.NONE, {}
        return super().matches(scope)


class Files(StaticFiles):
    """The files of a folder, under the policy of the pages. None is kept by a browser without asking."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, check_dir=False)

    async def check_config(self) -> None:
        """Nothing to check: a package without pages says so in its answers."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, or 404 and 405 as an ``HTTPException``."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = _ASK_EACH_TIME
        response.headers.update(_HEADERS)
        return response


class Pages(Files):
    """The built files; every other address that a person opens in a browser is the page, which finds its way itself."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folder = folder

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, the page, or 404 and 405 as an ``HTTPException``."""
        if self._is_page(path, Headers(scope=scope)) and scope["method"] in {"GET", "HEAD"}:
            response = self._page(scope.get("root_path", ""))
            response.headers.update(_HEADERS)
            return response
        response = await super().get_response(path, scope)
        if path.startswith(_HASHED):
            response.headers["Cache-Control"] = _FOR_EVER
        return response

    def _is_page(self, path: str, headers: Headers) -> bool:
        """Whether a person opened an address of the page: a script that asks for a missing file must see that it is."""
        if path in {".", "index.html"}:
            return True
        file, _ = self.lookup_path(path)
        return not file and not path.startswith(_HASHED) and wants_a_page(headers)

    def _page(self, prefix: str) -> Response:
        try:
            text = (self._folder / "index.html").read_text(encoding="utf-8")
        except FileNotFoundError:
            return HTMLResponse(_NOT_BUILT.format(prefix=html.escape(prefix)), 404)
        return HTMLResponse(rooted(text, prefix), headers={"Cache-Control": _ASK_EACH_TIME})


def wants_a_page(headers: Headers) -> bool:
    """Whether a browser is navigating: it says so, or (an old one) asks for HTML first."""
    mode = headers.get("sec-fetch-mode")
    return "text/html" in headers.get("accept", "") and mode in {None, "navigate"}


def rooted(index: str, prefix: str) -> str:
    """The page with its addresses below ``prefix`` (no slash at its end): from a deep link, relative ones would miss.

    Rewritten here and not by ``<base>``, which the policy forbids: it is a way to send scripts elsewhere.
    """
    escaped = html.escape(prefix)
    return index.replace('="./', f'="{escaped}/').replace('content="__PREFIX__"', f'content="{escaped}"')
