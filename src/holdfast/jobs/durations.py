"""Durations as people write them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from holdfast.errors import ConfigurationError

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def seconds_of(duration: float | str | timedelta) -> float:
    """Seconds of a number of seconds, a timedelta, or text such as ``90s``, ``10m``, ``1h30m``, ``2d``.

    Raises ``ConfigurationError`` for anything else, and for negative durations.
    """
    if isinstance(duration, timedelta):
        seconds = duration.total_seconds()
    elif isinstance(duration, str):
        text = duration.replace(" ", "")
        if not text or _PART.sub("", text):
            raise ConfigurationError(
                f"{duration!r} is not a duration", remedy='write a number with a unit: "90s", "10m", "1h30m", "2d"'
            )
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    else:
        seconds = float(duration)
    if not 0 <= seconds < 1e10:
        raise ConfigurationError(f"a duration lies between 0 and 300 years, not {duration!r}")
    return seconds


def span(seconds: float | None) -> str:
    """A duration in one or two words: ``840 ms``, ``12 s``, ``6 min``, ``3 h``, ``2 d``."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
