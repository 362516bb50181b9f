"""What valid-looking JSON text PostgreSQL's jsonb refuses, found before it is sent."""

from __future__ import annotations

import re
from typing import Final

import msgspec

# An escape begins at a backslash that is not itself escaped: "\\u0000" is a harmless backslash and five characters.
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def why_unstorable(text: str) -> str | None:
    """What this JSON text holds that cannot be stored, in words; None when nothing does."""
    if "\\u0000" in text and _NUL.search(text):
        return "the character U+0000, which PostgreSQL cannot store"
    if "NaN" in text or "Infinity" in text:  # perhaps only inside a string
        try:
            msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return "NaN or an infinity, which JSON cannot express"
    return None
