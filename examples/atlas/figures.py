"""Downloads, stars and forks out of the answers of the services that count them.

Nothing here asks anybody: offline there are no such figures, and the report says "no data". Whoever has the answers
(a crawler, a mirror) hands them in, and `store.record_figure` keeps them with their source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Where each ecosystem's service puts the downloads of one package.
_DOWNLOADS = {"pypi": ("data", "last_month"), "npm": ("downloads",), "cargo": ("crate", "downloads")}


def popularity(response: Mapping[str, Any]) -> dict[str, int]:
    """Stars and forks of a repository, as code hosting answers; what is absent or no count is left out."""
    named = {"stars": response.get("stargazers_count"), "forks": response.get("forks_count")}
    counts = {figure: _count(value) for figure, value in named.items()}
    return {figure: count for figure, count in counts.items() if count is not None}


def downloads(ecosystem: str, response: Mapping[str, Any]) -> int | None:
    """Downloads of one package, as its registry's statistics answer; None when the answer holds none."""
    found: Any = response
    for step in _DOWNLOADS.get(ecosystem, ()):
        found = found.get(step) if isinstance(found, Mapping) else None
    return _count(found)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
