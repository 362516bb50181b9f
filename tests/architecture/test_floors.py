"""The table of floors in pyproject.toml is enforced by import-linter; here it is shown that it can say no."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the real table over a house of empty rooms."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in ("__init__", "clock", "errors", "settings", "telemetry", "db/__init__", "db/pools", "jobs/__init__"):
        write(tmp_path, name, "")
    return tmp_path


def write(house: Path, name: str, text: str) -> None:
    path = house / "src" / "holdfast" / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def verdict(house: Path) -> tuple[bool, str]:
    """Whether import-linter is content, and what it says."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main(['--no-cache'])"],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr


def test_rooms_that_import_downward_pass(house: Path) -> None:
    write(house, "db/pools", "import asyncpg\nfrom holdfast import clock")
    write(house, "jobs/__init__", "from holdfast.db import pools\nfrom holdfast import errors")

    content, said = verdict(house)

    assert content, said


@pytest.mark.parametrize(
    ("room", "line", "complaint"),
    [
        ("db/pools", "from holdfast import jobs", "holdfast.db is not allowed to import holdfast.jobs"),
        (
            "jobs/claim",
            "from holdfast.settings import Settings",
            "holdfast.jobs is not allowed to import holdfast.settings",
        ),
        ("clock", "from holdfast import telemetry", "holdfast.clock is not allowed to import holdfast.telemetry"),
        ("attic/__init__", "", "attic"),
        ("jobs/claim", "import asyncpg", "holdfast is not allowed to import asyncpg"),
        (
            "jobs/claim",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from psycopg import Connection",
            "holdfast is not allowed to import psycopg",
        ),
    ],
    ids=["upward", "settings", "neighbours", "unlisted", "driver", "driver's types"],
)
def test_a_broken_floor_is_seen(house: Path, room: str, line: str, complaint: str) -> None:
    write(house, room, line)

    content, said = verdict(house)

    assert not content
    assert complaint in said
