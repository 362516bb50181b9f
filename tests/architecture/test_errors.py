"""The tree of errors that one can see is the tree that there is, and every code means one thing."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from tests.architecture.source import Source, sources

PATH = "src/holdfast/errors.py"


def drawn_parents(source: Source) -> dict[str, str | None]:
    """Error → parent, as the tree of the module docstring draws them."""
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in (ast.get_docstring(source.tree) or "").splitlines():
        name = line.lstrip("│├└─ ").split(" ", 1)[0]
        drawn = bool(line) and (line[0] in "│├└" or name == "HoldfastError")
        if drawn and name:
            depth = line.index(name) // 4
            above[depth:] = [name]
            parents[name] = above[depth - 1] if depth else None
    return parents


def errors(source: Source) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in source.tree.body if isinstance(node, ast.ClassDef)}


def tree_differs(source: Source) -> list[str]:
    real = {name: getattr(node.bases[0], "id", None) for name, node in errors(source).items()}
    drawn = drawn_parents(source)
    return [
        source.at(1, f"{name} is drawn below {drawn.get(name)}, but stands below {real.get(name)}")
        for name in sorted({*real, *drawn} - {"HoldfastError"})
        if name not in drawn or drawn[name] != real.get(name)
    ]


def codes_not_unique(source: Source) -> list[str]:
    codes = {name: own_code(node) for name, node in errors(source).items()}
    uses = Counter(codes.values())
    return [
        source.at(
            errors(source)[name].lineno, f"{name} {f'shares the code {code}' if code else 'has no code of its own'}"
        )
        for name, code in codes.items()
        if code is None or uses[code] > 1
    ]


def own_code(node: ast.ClassDef) -> str | None:
    for statement in node.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        value = getattr(statement, "value", None)
        if isinstance(target, ast.Name) and target.id == "code" and isinstance(value, ast.Constant):
            return str(value.value)
    return None


def undocumented(source: Source) -> list[str]:
    return [
        source.at(node.lineno, f"{name} says nothing about itself")
        for name, node in errors(source).items()
        if not ast.get_docstring(node)
    ]


@pytest.fixture
def real() -> Source:
    return next(source for source in sources("src") if source.path == PATH)


def test_the_drawn_tree_is_the_real_one(real: Source) -> None:
    assert len(errors(real)) > 10
    assert tree_differs(real) == []


def test_codes_are_unique(real: Source) -> None:
    assert codes_not_unique(real) == []


def test_every_error_is_explained(real: Source) -> None:
    assert undocumented(real) == []


SAMPLE = '''"""Errors.

HoldfastError
├── JobError
│   └── JobFailed    a job failed
└── LeaseLost        gone
"""

class HoldfastError(Exception):
    """Root."""
    code: ClassVar[str] = "holdfast_error"

class JobError(HoldfastError):
    """Job."""
    code = "job"

class JobFailed(JobError):
    """Failed."""
    code = "job_failed"

class LeaseLost(HoldfastError):
    """Lost."""
    code = "lease_lost"
'''


def test_the_sample_passes() -> None:
    sample = Source(PATH, SAMPLE)

    assert (tree_differs(sample), codes_not_unique(sample), undocumented(sample)) == ([], [], [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("└── LeaseLost        gone\n", ""),
        ("│   └── JobFailed", "├── JobFailed"),
        ("class LeaseLost(HoldfastError)", "class LeaseGone(HoldfastError)"),
        ("class LeaseLost(HoldfastError)", "class LeaseLost(JobError)"),
    ],
)
def test_a_tree_that_lies_is_seen(before: str, after: str) -> None:
    assert tree_differs(Source(PATH, SAMPLE.replace(before, after)))


@pytest.mark.parametrize(("before", "after"), [('"job_failed"', '"job"'), ('code = "lease_lost"', "pass")])
def test_a_code_that_is_shared_or_missing_is_seen(before: str, after: str) -> None:
    assert codes_not_unique(Source(PATH, SAMPLE.replace(before, after)))


def test_an_unexplained_error_is_seen() -> None:
    assert undocumented(Source(PATH, SAMPLE.replace('    """Lost."""\n', "")))
