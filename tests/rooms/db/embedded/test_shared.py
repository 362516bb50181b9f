"""One server for all terminals of a project."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from holdfast.db.embedded import (
    Binaries,
    ServerAddress,
    ensure_shared_server,
    owned_server,
    shared_server_status,
    stop_shared_server,
)
from holdfast.db.embedded.processes import is_alive
from holdfast.db.embedded.state import read_state, write_state
from holdfast.errors import EmbeddedServerError
from tests.rooms.db.embedded.conftest import StartProgram, answer_of, query
from tests.waiting import eventually_sync

TERMINAL = """
import os, sys
from pathlib import Path
from holdfast.db.embedded import ensure_shared_server, stop_shared_server
project = Path(sys.argv[1])
if sys.argv[2] == "up":
    address = ensure_shared_server(project, 50, binaries=Path(os.environ["BINARIES"]))
    print(address.postmaster_pid, address.url, flush=True)
else:
    print(stop_shared_server(project), flush=True)
"""


def test_the_second_terminal_adopts_the_first_ones_server(
    used_project: Path, binaries: Binaries, start_program: StartProgram
) -> None:
    first = start_program(TERMINAL, used_project, "up")
    pid, url = answer_of(first).split()
    assert first.wait(10) == 0  # the terminal closes, the server stays
    assert query(url, "CREATE TABLE kept AS SELECT 1 AS n") is None
    second = ensure_shared_server(used_project, binaries=binaries.directory)
    assert (str(second.postmaster_pid), second.url) == (pid, url)
    status = shared_server_status(used_project)
    assert status.running
    assert status.address == second
    assert status.supervisor_pid is not None
    assert status.supervisor_pid != first.pid


def test_six_starters_at_once_get_one_server(project: Path, start_program: StartProgram) -> None:
    starters = [start_program(TERMINAL, project, "up") for _ in range(6)]
    assert len({answer_of(starter) for starter in starters}) == 1
    assert {starter.wait(10) for starter in starters} == {0}


def test_another_process_stops_it(used_project: Path, binaries: Binaries, start_program: StartProgram) -> None:
    address = ensure_shared_server(used_project, binaries=binaries.directory)
    supervisor = shared_server_status(used_project).supervisor_pid
    assert supervisor is not None
    assert answer_of(start_program(TERMINAL, used_project, "down")) == "True"
    assert not is_alive(address.postmaster_pid)
    eventually_sync(lambda: not is_alive(supervisor))
    assert not address.socket_dir.exists()
    assert shared_server_status(used_project) == shared_server_status(used_project)
    assert not shared_server_status(used_project).running
    assert stop_shared_server(used_project) is False
    again = ensure_shared_server(used_project, binaries=binaries.directory)
    assert again.url == address.url


def test_data_is_deleted_only_when_told(used_project: Path, binaries: Binaries) -> None:
    address = ensure_shared_server(used_project, binaries=binaries.directory)
    query(address.url, "CREATE TABLE kept AS SELECT 1 AS n")
    assert stop_shared_server(used_project)
    assert address.data_dir.exists()
    assert stop_shared_server(used_project, delete_data=True)
    assert not address.data_dir.exists()
    assert stop_shared_server(used_project, delete_data=True) is False
    fresh = ensure_shared_server(used_project, binaries=binaries.directory)
    assert query(fresh.url, "SELECT to_regclass('kept')") is None
    assert fresh.url != address.url


def test_nothing_is_deleted_that_is_not_a_cluster(project: Path) -> None:
    precious = project / ".holdfast" / "postgres" / "data" / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("three years of work", encoding="ascii")
    with pytest.raises(EmbeddedServerError, match="not a PostgreSQL data directory"):
        stop_shared_server(project, delete_data=True)
    assert precious.exists()
    precious.unlink()
    precious.parent.rmdir()


def test_a_killed_postmaster_is_started_again(used_project: Path, binaries: Binaries) -> None:
    address = ensure_shared_server(used_project, binaries=binaries.directory)
    query(address.url, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    for _ in range(2):
        before = ensure_shared_server(used_project)
        os.kill(before.postmaster_pid, signal.SIGKILL)

        def restarted(before: ServerAddress = before) -> bool:
            found = shared_server_status(used_project).address
            return found is not None and found.postmaster_pid != before.postmaster_pid

        eventually_sync(restarted, within_seconds=20)
        assert query(address.url, "SELECT count(*) FROM kept") == 1000


def test_a_killed_supervisor_takes_the_server_along_and_is_replaced(used_project: Path, binaries: Binaries) -> None:
    address = ensure_shared_server(used_project, binaries=binaries.directory)
    query(address.url, "CREATE TABLE kept AS SELECT 1 AS n")
    supervisor = shared_server_status(used_project).supervisor_pid
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    again = ensure_shared_server(used_project, binaries=binaries.directory)
    assert again.postmaster_pid != address.postmaster_pid
    assert query(again.url, "SELECT n FROM kept") == 1


@pytest.mark.parametrize("damage", ["gone", "wrong password", "wrong port"])
def test_a_damaged_state_file_is_mended_while_the_server_runs(
    damage: str, used_project: Path, binaries: Binaries
) -> None:
    address = ensure_shared_server(used_project, binaries=binaries.directory)
    path = used_project / ".holdfast" / "postgres" / "server.json"
    state = read_state(path)
    assert state is not None
    if damage == "gone":
        path.unlink()
    elif damage == "wrong password":
        path.write_text(path.read_text().replace(state.password, "wrong"), encoding="utf-8")
    else:
        path.write_text(path.read_text().replace(str(state.port), "1"), encoding="utf-8")
    assert ensure_shared_server(used_project) == address
    assert read_state(path) == state


def test_a_stale_state_file_leads_to_a_new_start_on_another_port(used_project: Path, binaries: Binaries) -> None:
    address = ensure_shared_server(used_project, binaries=binaries.directory)
    path = used_project / ".holdfast" / "postgres" / "server.json"
    state = read_state(path)
    assert state is not None
    stop_shared_server(used_project)
    write_state(path, state)
    assert not shared_server_status(used_project).running
    with socket.create_server(("127.0.0.1", address.port)):
        again = ensure_shared_server(used_project, binaries=binaries.directory)
        assert again.port != address.port
        assert query(again.url, "SELECT 1") == 1


def test_a_start_that_fails_tells_the_starter_why(used_project: Path, binaries: Binaries) -> None:
    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "shared_buffers"'):
        ensure_shared_server(used_project, binaries=binaries.directory, config={"shared_buffers": "much"})
    assert not shared_server_status(used_project).running
    with pytest.raises(EmbeddedServerError, match="holds no working postgres"):
        ensure_shared_server(used_project, binaries=Path("/nowhere"))


def test_a_vanished_project_ends_its_server(used_project: Path, binaries: Binaries) -> None:
    address = ensure_shared_server(used_project, binaries=binaries.directory)
    (used_project / ".holdfast").rename(used_project / "moved")
    eventually_sync(lambda: not is_alive(address.postmaster_pid), within_seconds=20)
    (used_project / "moved").rename(used_project / ".holdfast")


def test_a_server_that_somebody_owns_is_not_ended_by_down(used_project: Path, binaries: Binaries) -> None:
    with owned_server(used_project / ".holdfast" / "postgres", binaries=binaries.directory) as server:
        with pytest.raises(EmbeddedServerError, match="is no shared server"):
            stop_shared_server(used_project)
        assert server.running


def test_a_project_without_a_server_has_none(project: Path) -> None:
    assert shared_server_status(project).running is False
    assert stop_shared_server(project) is False
    assert not (project / ".holdfast").exists()
