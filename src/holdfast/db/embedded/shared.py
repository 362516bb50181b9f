"""One server shared by all terminals of a project: whoever comes first starts its supervisor, the others adopt it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

from msgspec import Struct

from holdfast.db.embedded.address import ServerAddress, address_of
from holdfast.db.embedded.deadline import Deadline
from holdfast.db.embedded.home import Home
from holdfast.db.embedded.lock import FileLock, lock_holder, lock_is_held
from holdfast.db.embedded.postmaster import Config
from holdfast.db.embedded.probe import Answer, probe
from holdfast.db.embedded.processes import supervises
from holdfast.db.embedded.state import read_state
from holdfast.errors import EmbeddedServerError

_POLL_SECONDS = 0.05


class ServerStatus(Struct, frozen=True):
    """What is known about a project's shared server. ``address`` is there when it answered and proved to be ours."""

    running: bool
    address: ServerAddress | None
    supervisor_pid: int | None
    home: Path
    detail: str


def shared_home(project_directory: Path) -> Home:
    """Where a project keeps its shared server."""
    return Home(project_directory / ".holdfast" / "postgres")


def ensure_shared_server(
    project_directory: Path,
    deadline_seconds: float = 60.0,
    *,
    binaries: Path | None = None,
    config: Config | None = None,
) -> ServerAddress:
    """Return the project's running server; start it first if there is none.

    ``binaries`` and ``config`` count for whoever starts it; a server that runs is adopted as it is.
    """
    home = shared_home(project_directory)
    deadline = Deadline(deadline_seconds)
    home.make()
    ignore = home.directory.parent / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    # One starter at a time: the others wait here, then find a server to adopt.
    turn = FileLock(home.start_lock)
    if not turn.acquire(deadline):
        raise _too_late(home, deadline, "another process is still starting it")
    try:
        detail = ""
        while True:
            if not lock_is_held(home.owner_lock):
                _start_supervisor(home, deadline, binaries, config or {})
            address, detail = _adopt(home)
            if address is not None:
                return address
            if deadline.passed:
                raise _too_late(home, deadline, detail)
            deadline.pause(_POLL_SECONDS)
    finally:
        turn.release()


def shared_server_status(project_directory: Path) -> ServerStatus:
    """Look, without starting anything."""
    home = shared_home(project_directory)
    supervisor = lock_holder(home.owner_lock)
    if not lock_is_held(home.owner_lock):
        return ServerStatus(False, None, None, home.directory, "no supervisor runs")
    address, detail = _adopt(home)
    return ServerStatus(address is not None, address, supervisor, home.directory, detail)


def stop_shared_server(project_directory: Path, *, delete_data: bool = False, deadline_seconds: float = 60.0) -> bool:
    """Stop the project's server, wherever it was started from. True if one ran, or if data was deleted."""
    home = shared_home(project_directory)
    if not home.directory.exists():
        return False
    deadline = Deadline(deadline_seconds)
    lock = FileLock(home.owner_lock)
    stopped = False
    while not lock.acquire(Deadline(0)):
        supervisor = lock_holder(home.owner_lock)
        if supervisor is not None and not stopped:
            if not supervises(supervisor, home.directory):
                raise EmbeddedServerError(
                    f"the server in {home.directory} is owned by process {supervisor}, which is no shared server here",
                    remedy="end that process: its server ends with it",
                )
            os.kill(supervisor, signal.SIGTERM)
            stopped = True
        if deadline.passed:
            raise EmbeddedServerError(
                f"the server in {home.directory} did not stop within {deadline_seconds:g} s",
                remedy=f"read {home.supervisor_log}; then end process {supervisor}",
            )
        deadline.pause(_POLL_SECONDS)
    try:
        return (home.delete_data() if delete_data else False) or stopped
    finally:
        lock.release()


def _adopt(home: Home) -> tuple[ServerAddress | None, str]:
    """The address of the server that the state file names, if it answers and is ours."""
    state = read_state(home.state)
    if state is None:
        return None, "its supervisor has not written how to enter it"
    found = probe(state)
    if found.answer is Answer.OURS:
        return address_of(state), "ready"
    return None, f"{found.answer.value}: {found.detail}"


def _start_supervisor(home: Home, deadline: Deadline, binaries: Path | None, config: Config) -> None:
    """Start a supervisor, detached but with our module path, and wait until it tells how its start went."""
    options = {
        "binaries": str(binaries) if binaries else None,
        "config": dict(config),
    }
    # -P and cwd "/": a file named like one of our modules in the user's directory must not be imported instead.
    command = [sys.executable, "-P", "-m", "holdfast.db.embedded.supervisor", str(home.directory), json.dumps(options)]
    with home.supervisor_log.open("ab") as log:
        starter = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(os.path.isabs, sys.path))},
            start_new_session=True,
        )
    with starter:
        told = _first_line(starter.stdout, deadline.remaining_seconds + 1)
    outcome = json.loads(told) if told else {}
    if outcome.get("outcome") == "failed":
        raise EmbeddedServerError(outcome["message"], remedy=outcome["remedy"])
    if not outcome:
        raise _too_late(home, deadline, "its supervisor told nothing")


def _first_line(stream: IO[bytes] | None, seconds: float) -> bytes:
    if stream is None:
        return b""
    ready, _, _ = select.select([stream], [], [], seconds)
    return stream.readline() if ready else b""


def _too_late(home: Home, deadline: Deadline, detail: str) -> EmbeddedServerError:
    return EmbeddedServerError(
        f"the shared server in {home.directory} was not ready within {deadline.seconds:g} s: {detail}",
        remedy=f"read {home.supervisor_log} and {home.log}, or wait longer: a recovery after a crash may take its time",
    )
