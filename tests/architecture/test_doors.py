"""A room is entered by its door: the ``__init__`` of its folder, which says what the room offers."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source import Source, sources


def doors_passed_by(source: Source) -> list[str]:
    """Imports of ``holdfast.room.inside`` anywhere but in that room."""
    return [
        source.at(line, f"imports {module}; enter by the door: holdfast.{module.split('.')[1]}")
        for line, module in imported_modules(source)
        if module.startswith("holdfast.") and module.count(".") > 1 and module.split(".")[1] != source.room
    ]


def imported_modules(source: Source) -> Iterator[tuple[int, str]]:
    """Every absolute import, also those inside functions and under TYPE_CHECKING."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def relative_imports(source: Source) -> list[str]:
    """Relative imports hide which room they enter."""
    return [
        source.at(node.lineno, "imports relatively; write holdfast.… in full")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]


def door_without_sorted_all(source: Source) -> list[str]:
    """A door that offers something lists it in ``__all__``: constants, classes, functions, each by the alphabet."""
    offers = any(isinstance(node, ast.ImportFrom) and node.module != "__future__" for node in source.tree.body)
    names = exported(source.tree)
    if names is None:
        return [source.at(1, "offers names, but has no __all__")] if offers else []
    ordered = sorted(names, key=lambda name: (not name.isupper(), not name[:1].isupper(), name))
    return [] if names == ordered else [source.at(1, f"__all__ is not sorted; sorted it is {ordered}")]


def exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__":
            value = getattr(node, "value", None)
            assert value is not None
            names = ast.literal_eval(value)
            return [str(name) for name in names]
    return None


def test_rooms_are_entered_by_their_doors() -> None:
    assert [problem for source in sources("src", "examples") for problem in doors_passed_by(source)] == []


def test_imports_are_absolute() -> None:
    assert [problem for source in sources("src") for problem in relative_imports(source)] == []


def test_doors_say_what_they_offer() -> None:
    doors = (source for source in sources("src") if source.path.endswith("/__init__.py"))

    assert [problem for door in doors for problem in door_without_sorted_all(door)] == []


@pytest.mark.parametrize(
    "statement",
    [
        "from holdfast.db.pools import open_pool",
        "import holdfast.db.pools",
        "def late():\n    from holdfast.db.pools import open_pool",
        "if TYPE_CHECKING:\n    from holdfast.db.pools import Pool",
    ],
)
def test_a_door_passed_by_is_seen(statement: str) -> None:
    assert doors_passed_by(Source("src/holdfast/jobs/claim.py", statement))
    assert doors_passed_by(Source("examples/atlas/ingest.py", statement))
    assert not doors_passed_by(Source("src/holdfast/db/listener.py", statement))


def test_a_door_is_not_mistaken_for_an_inside() -> None:
    assert not doors_passed_by(
        Source("src/holdfast/jobs/claim.py", "from holdfast.db import Database\nimport holdfast.db")
    )


def test_a_relative_import_is_seen() -> None:
    assert relative_imports(Source("src/holdfast/jobs/claim.py", "from ..db import Database"))


@pytest.mark.parametrize(
    "door", ["from holdfast.jobs.claim import claim", '__all__ = ["b", "a"]', '__all__: list[str] = ["a", "B", "C_D"]']
)
def test_a_door_that_does_not_say_what_it_offers_is_seen(door: str) -> None:
    assert door_without_sorted_all(Source("src/holdfast/jobs/__init__.py", door))


def test_a_sorted_door_passes() -> None:
    door = 'from holdfast.jobs.claim import claim\n__all__ = ["LIMIT", "Job", "Queue", "claim"]'

    assert not door_without_sorted_all(Source("src/holdfast/jobs/__init__.py", door))
