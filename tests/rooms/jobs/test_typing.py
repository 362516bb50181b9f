"""A type checker knows a task's own signature: good calls pass, each bad one is an error where it stands.

The checker itself runs once for all files (`mypy .` in tools/suite.py). Here is what that rests on.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.architecture.source import ROOT

CALLS = Path(__file__).parent / "typed_calls.py"


def test_calls_of_tasks_are_checked() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert config["strict"]  # which includes warn_unused_ignores
    assert config.get("warn_unused_ignores", True)
    assert not [pattern for pattern in config["exclude"] if "tests" in pattern]

    body = CALLS.read_text(encoding="utf-8").partition("async def bad")[2].splitlines()[1:]
    assert len(body) == 13
    assert [line for line in body if "# type: ignore[" not in line] == []
