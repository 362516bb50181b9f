#!/usr/bin/env python3
"""Writes constraints.txt: the newest versions that pyproject.toml allows, for every tested Python. Needs uv.

Only names, versions and markers are written: which index serves them is the business of the machine.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# The exact version of every package that Holdfast's own environment uses, for Python 3.11 to 3.13.
# It constrains and never asks: pyproject.toml says what is needed. Renew it with `make constraints`.
"""
COMMAND = (
    *("uv", "pip", "compile", "--quiet", "--upgrade", "--universal", "--python-version", "3.11", "--all-extras"),
    *("--no-emit-package", "holdfast", "--no-header", "--no-annotate", "--no-emit-index-url", "pyproject.toml"),
)


def main() -> int:
    """Entry of the script."""
    try:
        done = subprocess.run(COMMAND, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError:
        print("uv is not on PATH; pip install uv (in an environment of its own)", file=sys.stderr)
        return 1
    if done.returncode == 0:
        (ROOT / "constraints.txt").write_text(HEADER + done.stdout, encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
