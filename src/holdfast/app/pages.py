"""Pages that a project adds to the dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from holdfast.errors import ConfigurationError


class ProjectPage(Struct, frozen=True):
    """A page of the project's own beside those of the dashboard."""

    path: str
    title: str
    module: Path
    """An ES module that draws it. Everything in its folder is served to everybody: it is code, and holds no secret."""
    routes: Any = None
    """The router (``holdfast.api.NounRouter``) with what the page asks."""

    @property
    def address(self) -> str:
        """Where the module is served, below the address of the API."""
        return f"/project{self.path}/{self.module.name}"

    def check(self) -> None:
        """Raise ``ConfigurationError`` for what cannot be served."""
        name = self.path.removeprefix("/")
        if not self.path.startswith("/") or not name.replace("-", "").isalnum():
            raise ConfigurationError(
                f"a page cannot be at {self.path!r}", remedy="write a slash and a word: /dependency-graph"
            )
        if not self.module.is_file():
            raise ConfigurationError(f"page {self.path} has no module: there is no file {self.module}")
