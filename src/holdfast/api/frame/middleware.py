"""Around every request, before any route is looked for: its id, its size, the headers of every answer."""

from __future__ import annotations

import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast.api.frame.problems import answer
from holdfast.errors import RequestError, TooLarge

REQUEST_ID = "X-Request-Id"
MOST_BODY_BYTES = 1_000_000
MOST_ADDRESS_BYTES = 8_192
_MOST_DIGITS = 18
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}\Z")


class Envelope:
    """Gives a request its id and its limits, and every answer the headers that protect it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID, "")
        request_id = given if _SANE_ID.match(given) else secrets.token_hex(12)
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def stamped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _stamp(MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            _require_sane(scope, headers)
            await self._app(scope, _bounded(receive), stamped)
        except Exception as error:  # what no route has answered
            if started:
                raise
            request = Request(scope)
            await answer(request, error)(scope, receive, stamped)


def _require_sane(scope: Scope, headers: Headers) -> None:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MOST_ADDRESS_BYTES:
        raise TooLarge(f"the address is longer than {MOST_ADDRESS_BYTES} bytes", remedy="shorten it")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise RequestError("the header Content-Length is no number")
    if len(length) > _MOST_DIGITS or int(length) > MOST_BODY_BYTES:
        raise _body_too_large()


def _bounded(receive: Receive) -> Receive:
    """The same, but it counts: the length that a request announces need not be true."""
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MOST_BODY_BYTES:
            raise _body_too_large()
        return message

    return bounded


def _body_too_large() -> TooLarge:
    return TooLarge(f"the body is larger than {MOST_BODY_BYTES} bytes", remedy="send less at a time")


def _stamp(headers: MutableHeaders, request_id: str) -> None:
    headers[REQUEST_ID] = request_id
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers.setdefault("X-Frame-Options", "DENY")
    # An answer that a browser is made to show runs nothing; the pages have a policy of their own.
    headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    headers.setdefault("Cache-Control", "no-store")
