"""An API in a process of its own, as anybody starts it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx

from holdfast.clock import monotonic


@contextlib.contextmanager
def serving(database_url: str, **settings: str) -> Iterator[str]:
    """Its address. Callers must be known, and are not counted, unless ``settings`` say otherwise."""
    given = {"auth": "on", "api_rate": "none", "sign_in_rate": "none", **settings}
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast.cli", "api", f"--database-url={database_url}"],
        env={**os.environ, **{f"HOLDFAST_{name.upper()}": value for name, value in given.items()}},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        found = re.search(r"http://\S+", _lines_of(process))
        assert found is not None
        httpx.get(f"{found[0]}/livez", timeout=20).raise_for_status()
        yield found[0]
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _lines_of(process: subprocess.Popen[str]) -> str:
    """What it said until it said where it is."""
    assert process.stderr is not None
    give_up_at, said = monotonic() + 30, ""
    while "http://" not in said and monotonic() < give_up_at:
        said += process.stderr.readline()
    return said
