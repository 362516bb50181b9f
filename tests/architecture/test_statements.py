"""SQL stands in .sql files, in named sections with a promise, and never updates a place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.architecture.source import Source, sources

# Upper case anywhere in a string, or lower case at its beginning: prose says "select" and "update" too.
_SHOUTED = re.compile(
    r"\b(SELECT\s+\S|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|(CREATE|ALTER|DROP)\s+TABLE\s)"
)
_LOWER = re.compile(
    r"\s*(select\s+\S|insert\s+into\s|update\s+\S+\s+set\s|delete\s+from\s|(create|alter|drop)\s+table\s)"
)
_SECTION = re.compile(r"\s*--\s*name:\s*(\S*)")
_PROMISE = re.compile(r"\s*--\s+\S+(\s+\S+){2,}")
# A job's state is the one place it stands in: rows of places are inserted and deleted, never updated.
PLACES = ("ready", "scheduled", "blocked", "slot", "lease", "outcome")
_PLACE = rf"(?:holdfast\.)?\"?(?:{'|'.join(PLACES)})\b"
_UPDATES = re.compile(
    rf"\bUPDATE\s+(?:ONLY\s+)?({_PLACE})"
    rf"|\bMERGE\s+INTO\s+(?:ONLY\s+)?({_PLACE})"
    rf"|\bINSERT\s+INTO\s+({_PLACE})[^;]*?\bDO\s+UPDATE\b",
    re.IGNORECASE,
)


def sql_in_python(source: Source) -> list[str]:
    """String literals that hold a statement; docstrings may talk about one."""
    return [
        source.at(node.lineno, f"holds SQL: {text.strip().splitlines()[0][:60]!r}; move it to a .sql file")
        for node, text in strings(source.tree)
        if _SHOUTED.search(text) or _LOWER.match(text)
    ]


def strings(tree: ast.Module) -> Iterator[tuple[ast.Constant, str]]:
    """Every string literal, the pieces of f-strings too, without docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node, node.value


def sections_without_promise(source: Source) -> list[str]:
    """``-- name:`` lines that are not followed at once by a comment of a few words."""
    lines = [*source.text.splitlines(), ""]
    return [
        source.at(number, f"section {section[1] or '(nameless)'} has no promise below its name")
        for number, (line, below) in enumerate(pairwise(lines), start=1)
        if (section := _SECTION.match(line)) and (not section[1] or _SECTION.match(below) or not _PROMISE.match(below))
    ]


def updates_of_places(source: Source) -> list[str]:
    """Statements, also those inside functions, that change a row of a place where it stands."""
    # Comments become as many blanks, so that positions still count lines.
    code = re.sub(
        r"--[^\n]*|/\*.*?\*/", lambda comment: re.sub(r"[^\n]", " ", comment[0]), source.text, flags=re.DOTALL
    )
    return [
        source.at(code.count("\n", 0, found.start()) + 1, f"updates the place {next(filter(None, found.groups()))}")
        for found in _UPDATES.finditer(code)
    ]


def test_python_holds_no_sql() -> None:
    assert [problem for source in sources("src") for problem in sql_in_python(source)] == []


def test_every_statement_has_a_promise() -> None:
    assert [problem for source in sources("src", suffix=".sql") for problem in sections_without_promise(source)] == []


def test_places_are_never_updated() -> None:
    assert [problem for source in sources("src", suffix=".sql") for problem in updates_of_places(source)] == []


@pytest.mark.parametrize(
    "line",
    [
        'rows = fetch("SELECT 1")',
        'rows = fetch("select id from job")',
        'rows = fetch(f"WITH due AS (SELECT id FROM {table}) DELETE FROM x")',
        'execute("""\n    insert into job values (1)""")',
        'execute("UPDATE job SET id = 1")',
        'QUERY = "DELETE FROM job"',
        'execute("CREATE TABLE job (id bigint)")',
    ],
)
def test_sql_in_python_is_seen(line: str) -> None:
    assert sql_in_python(Source("src/holdfast/jobs/claim.py", line))


@pytest.mark.parametrize(
    "line",
    [
        '"""Runs SELECT 1 to see whether the server answers."""',
        'help = "Select a queue from the list, or update it"',
        'mode = "LISTEN"',
    ],
)
def test_prose_is_not_mistaken_for_sql(line: str) -> None:
    assert not sql_in_python(Source("src/holdfast/jobs/claim.py", line))


@pytest.mark.parametrize(
    "text",
    [
        "-- name: claim\nSELECT 1;",
        "-- name: claim\n\n-- Takes the first jobs.\nSELECT 1;",
        "-- name: claim\n-- todo\nSELECT 1;",
        "-- name: claim\n-- name: other\n-- Takes the first jobs.\nSELECT 1;",
        "-- name:\n-- Takes the first jobs.\nSELECT 1;",
        "-- name: claim",
    ],
)
def test_a_statement_without_promise_is_seen(text: str) -> None:
    assert sections_without_promise(Source("src/holdfast/jobs/claim.sql", text))


def test_a_statement_with_a_promise_passes() -> None:
    text = "-- name: claim\n-- Takes the first jobs that nobody else is taking.\nSELECT 1;"

    assert not sections_without_promise(Source("src/holdfast/jobs/claim.sql", text))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE holdfast.ready SET seq = 1",
        "update only lease set worker = 2",
        "WITH x AS (UPDATE holdfast.scheduled s SET due_at = now() RETURNING 1) SELECT 1",
        "INSERT INTO holdfast.outcome (job_id) VALUES (1)\nON CONFLICT (job_id) DO UPDATE SET state = 2",
        "MERGE INTO holdfast.ready USING x ON true WHEN MATCHED THEN UPDATE SET seq = 1",
    ],
)
def test_an_update_of_a_place_is_seen(statement: str) -> None:
    assert updates_of_places(Source("src/holdfast/jobs/claim.sql", statement))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM holdfast.ready FOR UPDATE OF ready SKIP LOCKED",
        "UPDATE holdfast.lease_exit SET job_id = 1",
        "UPDATE holdfast.worker SET seen = 1 -- never UPDATE ready",
        "INSERT INTO holdfast.ready VALUES (1); INSERT INTO worker VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 1",
    ],
)
def test_other_statements_are_not_mistaken_for_one(statement: str) -> None:
    assert not updates_of_places(Source("src/holdfast/jobs/claim.sql", statement))
