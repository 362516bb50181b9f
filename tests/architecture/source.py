"""The sources as the rules of this folder see them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Environments of the benchmarked peers, and anything an example has made.
_NOT_OURS = {".environments", ".venv", "__pycache__"}


@dataclass(frozen=True)
class Source:
    """One file: its path below the root, as ``src/holdfast/jobs/claim.py``, and its text.

    Rules take a ``Source`` and return sentences about what is wrong, so that a test can hand them a bad sample.
    """

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, self.path)

    @property
    def room(self) -> str | None:
        """The room the file belongs to: ``jobs`` for src/holdfast/jobs/…, ``clock`` for src/holdfast/clock.py."""
        parts = self.path.split("/")
        return parts[2].removesuffix(".py") if parts[:2] == ["src", "holdfast"] else None

    def at(self, line: int, problem: str) -> str:
        """A sentence that an editor can jump from."""
        return f"{self.path}:{line}: {problem}"


def sources(*folders: str, suffix: str = ".py") -> Iterator[Source]:
    """Every file of ours below the folders; a folder that does not exist yet holds none."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob(f"*{suffix}")):
            if not _NOT_OURS & set(path.parts):
                yield Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
