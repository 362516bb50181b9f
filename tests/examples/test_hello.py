"""The one-file example does what its README says, as its user would start it."""

from __future__ import annotations

import os
import subprocess
import sys

import asyncpg

from tests.architecture.source import ROOT

_HELLO = ROOT / "examples" / "hello" / "hello.py"


def run_hello(database_url: str) -> subprocess.CompletedProcess[str]:
    names = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "HOME")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    return subprocess.run(
        [sys.executable, str(_HELLO)],
        env={**environment, "HOLDFAST_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


async def test_hello_enqueues_drains_and_tells(database_url: str) -> None:
    done = run_hello(database_url)

    assert done.returncode == 0, done.stderr
    assert "4 jobs completed, 0 failed" in done.stdout
    assert "welcomed user 42 in en" in done.stdout
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetch("SELECT order_id FROM settled") == [(7,)]
    finally:
        await connection.close()


def test_hello_twice_is_two_runs(database_url: str) -> None:
    assert [run_hello(database_url).returncode for _ in range(2)] == [0, 0]
