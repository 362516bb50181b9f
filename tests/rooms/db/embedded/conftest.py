"""What the tests of the embedded server share: directories, projects, programs that run beside the test."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

import holdfast
from holdfast.db.embedded import Binaries, owned_server, stop_shared_server
from tests.servers import reachable_directory

StartProgram = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory in which the server's account can work, whoever runs the tests."""
    with reachable_directory() as made:
        yield made


@pytest.fixture
def project(directory: Path) -> Iterator[Path]:
    """A project whose shared server is stopped in the end, however the test ends."""
    yield directory
    stop_shared_server(directory, delete_data=True)


@pytest.fixture(scope="session")
def made_home(binaries: Binaries) -> Iterator[Path]:
    """The home of a server that ran once; copies of it spare most tests the making of a cluster."""
    with reachable_directory() as made:
        with owned_server(made / "server", binaries=binaries.directory):
            pass
        yield made / "server"


@pytest.fixture
def home(directory: Path, made_home: Path) -> Path:
    """A home that a server has used before, and stopped."""
    copy_home(made_home, directory / "server")
    return directory / "server"


@pytest.fixture
def used_project(project: Path, made_home: Path) -> Path:
    """A project whose shared server ran before."""
    (project / ".holdfast").mkdir()
    copy_home(made_home, project / ".holdfast" / "postgres")
    return project


def copy_home(source: Path, target: Path) -> None:
    """Copy with owners and modes."""
    subprocess.run(["cp", "-a", source, target], check=True)


@pytest.fixture
def start_program(binaries: Binaries) -> Iterator[StartProgram]:
    """Run Python code in a process of its own, with its standard output to read; killed in the end."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(holdfast.__file__).parent.parent),
                "BINARIES": str(binaries.directory),
            },
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        with process:
            pass


def answer_of(process: subprocess.Popen[str]) -> str:
    """The next line the program prints; fails when it ended instead."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, f"the program ended with status {process.wait(10)}"
    return line


def query(url: str, statement: str) -> object:
    """The first column of the first row, or None; committed."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None
