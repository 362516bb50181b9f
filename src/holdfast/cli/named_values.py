"""Data on a command line: a JSON object, and ``key=value`` over it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from holdfast.errors import ArgumentsInvalid


def named_values(text: str | None, values: Sequence[str], *, option: str) -> dict[str, Any]:
    """The JSON of ``option`` first, ``key=value`` over it; a value that is no JSON is text. ``ArgumentsInvalid``."""
    found: Any = {}
    if text is not None:
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ArgumentsInvalid(
                f"{option} is not JSON: {error}", remedy=f"""write {option} '{{"user_id": 42}}'"""
            ) from None
        if not isinstance(found, dict):
            raise ArgumentsInvalid(f"{option} is no JSON object", remedy="""name the values: '{"user_id": 42}'""")
    for value in values:
        name, equals, given = value.partition("=")
        if not equals or not name:
            raise ArgumentsInvalid(f"{value!r} has no name", remedy="write key=value, for example user_id=42")
        try:
            found[name] = json.loads(given)
        except ValueError:
            found[name] = given
    return dict(found)
