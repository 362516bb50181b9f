"""SQL statements live in ``.sql`` files as named sections; this module reads them.

A section is::

    -- name: claim
    -- Promise: takes at most $1 ready jobs, each for one caller. Served by ready_order.
    select ...

The comment is not decoration: a section without its promise is refused, so no statement can be added without saying
what it guarantees.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from msgspec import Struct

from holdfast.errors import ConfigurationError

_NAME_LINE = re.compile(r"^--\s*name:\s*(.*?)\s*$")
_LEGAL_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_PLACEHOLDER = re.compile(r"\$(\d+)")


class Statement(Struct, frozen=True):
    """One SQL statement with ``$1..$n`` placeholders, and the name it is known by."""

    name: str
    sql: str


@cache
def load_statements(package: str, filename: str) -> Mapping[str, Statement]:
    """Read the named sections of ``filename`` inside ``package``; each file is parsed once a process.

    Raises ``ConfigurationError`` for a section that is repeated, empty, unnamed or without its promise, and for
    placeholders with a gap: the drivers would otherwise bind parameters to the wrong places.
    """
    text = importlib.resources.files(package).joinpath(filename).read_text(encoding="utf-8")
    statements: dict[str, Statement] = {}
    for name, body in _sections(text, source=f"{package}/{filename}"):
        statement = _statement(name, body, source=f"{package}/{filename}")
        if name in statements:
            raise _bad(f"{package}/{filename}", f"section {name!r} appears twice")
        statements[name] = statement
    if not statements:
        raise _bad(f"{package}/{filename}", "no section found")
    return MappingProxyType(statements)


def _sections(text: str, *, source: str) -> list[tuple[str, list[str]]]:
    sections: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        heading = _NAME_LINE.match(line)
        if heading:
            if not _LEGAL_NAME.match(heading[1]):
                raise _bad(source, f"section name {heading[1]!r} is not lower_snake_case")
            sections.append((heading[1], []))
        elif sections:
            sections[-1][1].append(line)
        elif line.strip() and not line.lstrip().startswith("--"):
            raise _bad(source, f"SQL before the first section: {line.strip()!r}")
    return sections


def _statement(name: str, body: list[str], *, source: str) -> Statement:
    """Split a section into promise and SQL; the promise is for readers and is not sent to the server."""
    lines = [line for line in body if line.strip()]
    promise = [line for line in lines if line.lstrip().startswith("--")]
    sql_lines = [line for line in lines if not line.lstrip().startswith("--")]
    if not lines or not lines[0].lstrip().startswith("--") or not promise[0].lstrip("- ").strip():
        raise _bad(source, f"section {name!r} does not say in a comment what it promises")
    if not sql_lines:
        raise _bad(source, f"section {name!r} holds no SQL")
    sql = "\n".join(sql_lines).strip().removesuffix(";").strip()
    numbers = {int(number) for number in _PLACEHOLDER.findall(sql)}
    if numbers and numbers != set(range(1, max(numbers) + 1)):
        raise _bad(source, f"section {name!r} skips a placeholder: it uses {sorted(numbers)}")
    # The name travels with the statement, so a slow query in the server's log names its section.
    return Statement(name, f"/* holdfast:{name} */ {sql}")


def _bad(source: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{source}: {what}",
        remedy="write each section as `-- name: verb`, one comment line with its promise, then the statement",
    )
