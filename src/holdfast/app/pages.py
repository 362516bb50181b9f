"""Pages of a project's own, beside those of the dashboard."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from holdfast.access import Permission
from holdfast.errors import ConfigurationError, NoSuchPath

Reading = Callable[[Any], Awaitable[Any]]
"""Reads what a page shows, on a connection in a transaction that only reads: ``async def graph(connection): …``."""

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_TYPES: Final = MappingProxyType(
    {
        ".js": "text/javascript",
        ".css": "text/css",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".png": "image/png",
        ".woff2": "font/woff2",
    }
)
"""What a page may be made of. No HTML: it would be a page outside of the dashboard's."""


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """A page that is drawn by an ES module of the project's, with data that its functions read."""

    name: str
    title: str
    folder: Path
    module: str = "page.js"
    needs: Permission = Permission.JOBS_READ
    data: Mapping[str, Reading] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what could not be served, at the start and not when somebody opens the page."""
        if not _NAME.match(self.name):
            raise ConfigurationError(
                f"a page cannot be called {self.name!r}",
                remedy="lower-case letters, digits and dashes, as in an address",
            )
        self.file(self.module)

    def file(self, name: str) -> tuple[Path, str]:
        """A file of its folder, with its media type. Raises ``NoSuchPath``."""
        path = self.folder / name
        kind = _TYPES.get(path.suffix)
        if kind is None or name != path.name or not path.is_file():
            raise NoSuchPath(
                f"the page {self.name} has no file {name!r}",
                remedy=f"its files are in {self.folder.name}/, without folders in it, and end in {' '.join(_TYPES)}",
            )
        return path, kind

    def reading(self, name: str) -> Reading:
        """What reads this of its data. Raises ``NoSuchPath``."""
        if name not in self.data:
            raise NoSuchPath(
                f"the page {self.name} has no data {name!r}", remedy=f"it has {', '.join(self.data) or 'none'}"
            )
        return self.data[name]


class ProjectPages:
    """The pages of one application, by name."""

    def __init__(self) -> None:
        self._pages: dict[str, ProjectPage] = {}

    def add(self, page: ProjectPage) -> None:
        """Declare one. Raises ``ConfigurationError`` if there is one of that name."""
        if page.name in self._pages:
            raise ConfigurationError(f"there are two pages called {page.name!r}", remedy="give one another name")
        self._pages[page.name] = page

    def all(self) -> list[ProjectPage]:
        """In the order in which they were declared."""
        return list(self._pages.values())

    def get(self, name: str) -> ProjectPage:
        """One of them. Raises ``NoSuchPath``."""
        if name not in self._pages:
            raise NoSuchPath(f"there is no page {name!r}", remedy=f"there are: {', '.join(self._pages) or 'none'}")
        return self._pages[name]
