"""What people and programs see: data on stdout, everything else on stderr, colour only where somebody looks."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from holdfast.clock import now
from holdfast.jobs import span

__all__ = ["Screen", "ago", "number", "plain", "screen", "span", "table"]

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PIPE_WIDTH = 240
"""Columns of output that nobody looks at: wide enough that nothing is folded."""


class Screen:
    """The two streams."""

    def __init__(self) -> None:
        self._no_color = False

    @property
    def out(self) -> Console:
        """For data."""
        return self._console(stderr=False)

    @property
    def err(self) -> Console:
        """For messages."""
        return self._console(stderr=True)

    def without_color(self) -> None:
        """From now on; the NO_COLOR variable does the same."""
        self._no_color = True

    def say(self, text: str) -> None:
        """A message to people."""
        self.err.print(text, highlight=False, markup=False, soft_wrap=True)

    def write(self, text: str) -> None:
        """A line of data."""
        self.out.print(text, highlight=False, markup=False, soft_wrap=True)

    def json(self, data: Any) -> None:
        """Data for programs; indented when a person looks at it."""
        stream = sys.stdout
        stream.write(json.dumps(plain(data), default=str, indent=2 if stream.isatty() else None) + "\n")

    def error(self, message: str, remedy: str | None) -> None:
        """What went wrong and what to do about it, a line each."""
        self.err.print(f"[bold red]error:[/] {_escape(message)}", highlight=False, soft_wrap=True)
        if remedy:
            self.err.print(f"[bold]remedy:[/] {_escape(remedy)}", highlight=False, soft_wrap=True)

    def _console(self, *, stderr: bool) -> Console:
        stream = sys.stderr if stderr else sys.stdout
        width = None if stream.isatty() else _PIPE_WIDTH
        return _Terminal(stderr=stderr, no_color=self._no_color or None, width=width)


screen = Screen()


class _Terminal(Console):
    """A console to which nothing that a job says or is called can send a command: they would begin with a control."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is shown, in pieces."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else piece._replace(text=_harmless(piece.text))


class _Plain(Table):
    """A table whose cells are what they say: a name with brackets in it is no markup."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """One line."""
        super().add_row(*map(_cell, cells), **options)


def _cell(cell: RenderableType | None) -> RenderableType | None:
    """Without controls before its width is measured."""
    if isinstance(cell, Text):
        return Text(_harmless(cell.plain), cell.style) if _CONTROLS.search(cell.plain) else cell
    return Text(_harmless(cell)) if isinstance(cell, str) else cell


def _harmless(text: str) -> str:
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table in the house's style."""
    made = _Plain(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def plain(data: Any) -> Any:
    """Records as dicts, times as ISO text."""
    if isinstance(data, Struct):
        return {name: plain(getattr(data, name)) for name in data.__struct_fields__}
    if isinstance(data, dict):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple | set | frozenset):
        return [plain(value) for value in data]
    return data.isoformat() if isinstance(data, datetime) else data


def ago(moment: datetime | None) -> str:
    """``6 min ago``, ``in 12 s``."""
    if moment is None:
        return ""
    seconds = (now() - moment).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def number(value: int) -> str:
    """``1 204``: groups of three, as wide numbers are read."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
