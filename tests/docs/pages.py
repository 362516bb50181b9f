"""The pages for readers, and what can be found in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.architecture.source import ROOT

_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>run|run sync) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block; ``runs`` if the page marks it with ``<!-- run -->``.

    After ``<!-- run sync -->`` it runs in a thread, as a program without an event loop would.
    """

    language: str
    text: str
    line: int
    runs: bool
    without_loop: bool = False


@dataclass(frozen=True)
class Page:
    """One file of Markdown, by its path below the root."""

    path: str
    text: str

    @cached_property
    def blocks(self) -> list[Block]:
        return [
            Block(
                found["language"],
                found["text"],
                self.text.count("\n", 0, found.start("text")) + 1,
                runs=found["mark"] is not None,
                without_loop=found["mark"] == "run sync",
            )
            for found in _FENCE.finditer(self.text)
        ]

    @cached_property
    def prose(self) -> str:
        return _FENCE.sub("", self.text)

    @cached_property
    def spans(self) -> list[str]:
        """What stands between backticks in the prose."""
        return _SPAN.findall(self.prose)

    @cached_property
    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    @cached_property
    def anchors(self) -> set[str]:
        """The names under which its headings can be linked to."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    @cached_property
    def commands(self) -> list[list[str]]:
        """Words of every ``holdfast …`` in consoles and between backticks."""
        lines = [line for block in self.blocks if block.language == "console" for line in block.text.splitlines()]
        typed = [line[2:] for line in lines if line.startswith("$ ")] + self.spans
        return [text.split("#")[0].split() for text in typed if text == "holdfast" or text.startswith("holdfast ")]


def pages() -> Iterator[Page]:
    """Every page that users and newcomers read."""
    paths = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")]
    paths += sorted((ROOT / "docs").rglob("*.md")) + sorted((ROOT / "examples").glob("*/README.md"))
    for path in paths:
        yield page(path)


def page(path: Path) -> Page:
    return Page(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
