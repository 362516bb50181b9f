"""Bodies as JSON: read once, within limits of nesting, and without what PostgreSQL or JSON cannot hold."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from fastapi import Request

from holdfast.errors import MediaTypeUnsupported, NotStorable, RequestError, TooLarge

MOST_NESTING = 32


class StrictRequest(Request):
    """A request whose ``json`` keeps to the limits. Reading it twice is reading it once."""

    _strict: Any = None
    _was_read = False

    async def json(self) -> Any:
        """The body. Raises errors of the tree, where Starlette's raises those of the parser."""
        if not self._was_read:
            self._strict = parsed(await self.body())
            self._was_read = True
        return self._strict


async def require_json(request: Request) -> None:
    """Read the body, if there is one. Raises ``MediaTypeUnsupported``, ``TooLarge``, ``NotStorable``, ``RequestError``.

    A body that is JSON by its type cannot be sent by a form of another site without the browser asking us first.
    """
    if not await request.body():
        return
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise MediaTypeUnsupported(
            f"the body is {kind or 'without a type'}", remedy="send JSON with the header Content-Type: application/json"
        )
    await request.json()


def require_clean_query(request: Request) -> None:
    """Raise ``NotStorable`` for a path or query with a NUL, which no text in PostgreSQL can hold."""
    if "\0" in request.url.path or "%00" in request.url.query or "\0" in request.scope["path"]:
        raise NotStorable("the address contains a NUL character", remedy="remove it")


def parsed(body: bytes) -> Any:
    """The JSON value. Raises ``RequestError``, ``TooLarge``, ``NotStorable``."""
    try:
        value = json.loads(body, parse_constant=_no_number)
    except RecursionError:
        raise _too_deep() from None
    except (ValueError, UnicodeDecodeError) as error:
        raise RequestError(f"the body is no JSON: {error}", remedy="correct it") from None
    _inspect(value)
    return value


def _inspect(value: Any) -> None:
    """Look at every part of it, level by level: no recursion, so no depth can hurt."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MOST_NESTING:
            raise _too_deep()
        below: list[Any] = []
        for part in level:
            if isinstance(part, str):
                _require_storable(part)
            elif isinstance(part, dict):
                below += [*part.keys(), *part.values()]
            elif isinstance(part, list):
                below += part
        level = below


def _require_storable(text: str) -> None:
    if "\0" in text or (not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)):
        raise NotStorable("the body contains a NUL character or half a surrogate pair", remedy="remove it")


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _too_deep() -> TooLarge:
    return TooLarge(f"the body is nested more than {MOST_NESTING} levels deep", remedy="send it flatter")
