"""Named sections: what is read, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import holdfast
from holdfast.db import load_statements
from holdfast.errors import ConfigurationError

SOURCES = Path(holdfast.__file__).parent


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / f"statements_{tmp_path.name}"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def load(package: Path, text: str) -> dict[str, str]:
    (package / "some.sql").write_text(text)
    load_statements.cache_clear()
    return {name: statement.sql for name, statement in load_statements(package.name, "some.sql").items()}


def test_sections_become_statements_that_carry_their_name(package: Path) -> None:
    found = load(
        package,
        "-- What this file is about.\n\n"
        "-- name: first\n-- Promise: one.\nselect $1::int,\n       -- inside\n       $2::int;\n\n"
        "-- name: second_one\n-- Promise: two.\nselect 2\n",
    )
    assert list(found) == ["first", "second_one"]
    assert found["first"] == "/* holdfast:first */ select $1::int,\n       $2::int"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: a\n-- p\nselect 1\n-- name: a\n-- p\nselect 2\n", "'a' appears twice"),
        ("-- name: a\nselect 1\n", "does not say in a comment what it promises"),
        ("-- name: a\n--\nselect 1\n", "does not say in a comment what it promises"),
        ("-- name: a\n-- only a promise\n", "holds no SQL"),
        ("-- name: a\n", "does not say"),
        ("-- name: A b\n-- p\nselect 1\n", "not lower_snake_case"),
        ("-- name: a\n-- p\nselect $1, $3\n", "skips a placeholder"),
        ("select 1\n", "SQL before the first section"),
        ("-- nothing\n", "no section found"),
    ],
)
def test_a_careless_file_is_refused(package: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        load(package, text)


def test_every_statement_of_the_program_begins_with_its_promise() -> None:
    files = [path for path in SOURCES.rglob("*.sql") if path.parent.name != "migrations" and path.name != "schema.sql"]
    silent = [
        f"{path.relative_to(SOURCES)}: {name}"
        for path in files
        for name, said in re.findall(r"^-- name: (\w+)\n(.*)$", path.read_text(), re.MULTILINE)
        if not said.startswith("-- Promise: ")
    ]

    assert len(files) > 10
    assert silent == []
