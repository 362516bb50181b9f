"""The project that the page about testing shows: written to a folder, its tests pass, with a server of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.architecture.source import ROOT
from tests.docs.pages import Page, page

PAGE = page(ROOT / "docs" / "how-to" / "testing.md")
_NAME = re.compile(r"# ([\w.]+)\n")


def write_project(one: Page, folder: Path) -> list[str]:
    """The page's blocks that begin with the name of a file, as files."""
    named = {found[1]: block.text for block in one.blocks if (found := _NAME.match(block.text))}
    for name, text in named.items():
        (folder / name).write_text(text, encoding="utf-8")
    return sorted(named)


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Pytest as a user starts it, with no setting of ours in the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST", "PYTEST"))}
    ours = ("-p", "no:cacheprovider", "-p", "no:schemathesis")  # what only this environment has takes its time
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", *ours, *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=55)


def test_the_project_of_the_page_passes(tmp_path: Path) -> None:
    assert write_project(PAGE, tmp_path) == ["conftest.py", "pyproject.toml", "shop.py", "test_shop.py"]
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_it_fails_when_what_it_says_is_not_so(tmp_path: Path, database_url: str) -> None:
    write_project(PAGE, tmp_path)
    file = tmp_path / "test_shop.py"
    wrong = file.read_text(encoding="utf-8").replace("user_id=43", "user_id=42").replace('move("10m")', 'move("9m")')
    file.write_text(wrong, encoding="utf-8")
    done = run_pytest(tmp_path, "-o", f"holdfast_server_url={database_url}")
    assert "2 failed, 2 passed" in done.stdout, done.stdout + done.stderr


def test_without_an_application_the_fixture_says_what_to_set(tmp_path: Path) -> None:
    write_project(PAGE, tmp_path)
    done = run_pytest(tmp_path, "-o", "holdfast_app=", "-k", "runs_through")
    assert 'set holdfast_app = "module:attribute"' in done.stdout
