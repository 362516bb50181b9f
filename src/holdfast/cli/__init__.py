"""The command line: words and exit codes around the rooms, no logic of its own."""

from __future__ import annotations

from holdfast.cli.program import main

__all__ = ["main"]
