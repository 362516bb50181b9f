"""How numbers and lists are said in sentences."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def number(value: int) -> str:
    """``1 204``: groups of three, as wide numbers are read."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def many(count: int, noun: str) -> str:
    """``1 job``, ``1 204 jobs``."""
    return f"{number(count)} {noun}" + ("" if count == 1 else "s")


def some(names: Sequence[str], most: int) -> str:
    """``a, b, c and 4 more``."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {number(len(names) - most)} more"


def typed(name: str) -> str:
    """A name as one types it on a command line."""
    return shlex.quote(name)
