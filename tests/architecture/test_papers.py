"""What is written beside the code agrees with it: the map of the rooms, the pinned versions, the list of commands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable

import pytest

from tests.architecture.source import ROOT, sources

# A name, one exact version, perhaps a marker. No address, no path, no hash, no local version.
_PIN = re.compile(r"[a-z0-9][a-z0-9._-]*==\d[\w.]*( ; [\w .'<>=!]+)?")


def rooms_off_the_map(rooms: Iterable[str], architecture: str) -> list[str]:
    """Rooms without a line in the table of ARCHITECTURE.md."""
    mapped = set(re.findall(r"^\| `(\w+)/?` \|", architecture, re.MULTILINE))
    return sorted(set(rooms) - mapped)


def bad_pins(constraints: str) -> list[str]:
    lines = (line for line in constraints.splitlines() if not line.startswith("#"))
    return [line for line in lines if not _PIN.fullmatch(line)]


def unpinned(requirements: Iterable[str], constraints: str) -> list[str]:
    """Requirements of pyproject.toml that no constraint pins."""
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", constraints, re.MULTILINE))
    return sorted(
        {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements} - pinned - {"holdfast"}
    )


def undescribed_targets(makefile: str) -> list[str]:
    """Commands that `make help` would not list; `python` is a step of theirs."""
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    listed = set(re.findall(r"^([a-z]+):.*## \S", makefile, re.MULTILINE))
    return sorted(set(phony[1].split() if phony else ["no .PHONY"]) - listed - {"python"})


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_room_is_on_the_map() -> None:
    rooms = {source.room or "" for source in sources("src")} - {"__init__", "__main__"}

    assert rooms_off_the_map(rooms, read("ARCHITECTURE.md")) == []
    assert rooms_off_the_map(["attic"], read("ARCHITECTURE.md")) == ["attic"]


def test_constraints_are_exact_and_name_no_place() -> None:
    assert bad_pins(read("constraints.txt")) == []


def test_everything_required_is_pinned() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    required = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]

    assert unpinned(required, read("constraints.txt")) == []
    assert unpinned(["psycopg[binary]>=3", "rich>=13", "left-pad"], "psycopg==3.3\nrich==14.0") == ["left-pad"]


@pytest.mark.parametrize(
    "line",
    [
        "rich",
        "rich>=13",
        "rich==15.0.0+local",
        "rich @ file:///tmp/rich.whl",
        "--index-url https://mirror.example/simple",
        "rich==15.0.0 --hash=sha256:00",
    ],
)
def test_a_loose_or_placed_pin_is_seen(line: str) -> None:
    assert bad_pins(f"# pins\nrich==15.0.0 ; python_full_version < '3.12'\n{line}") == [line]


def test_make_help_lists_every_command() -> None:
    assert undescribed_targets(read("Makefile")) == []
    assert undescribed_targets(".PHONY: a b\na: ## Do it\nb:\n") == ["b"]
