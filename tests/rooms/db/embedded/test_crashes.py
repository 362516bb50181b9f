"""What a killed server leaves behind: rows that stay, shared memory that lingers, zombies, pid files that lie."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psycopg

from holdfast.db.embedded import Binaries, OwnedServer, owned_server
from holdfast.db.embedded.processes import is_alive, serves
from tests.rooms.db.embedded.conftest import StartProgram, answer_of, query
from tests.waiting import eventually_sync

ROWS = 200_000

UNREAPING = """
import os, signal, sys, time
from pathlib import Path
from holdfast.db.embedded import OwnedServer
server = OwnedServer(Path(sys.argv[1]), binaries=Path(os.environ["BINARIES"]))
pid = server.start().postmaster_pid
os.kill(pid, signal.SIGKILL)  # and never waited for: it stays a zombie as long as this process lives
server._lock.release()
print(pid, flush=True)
time.sleep(600)
"""


def test_kill_minus_nine_and_an_immediate_restart_keep_every_row(durable_server: OwnedServer) -> None:
    url = durable_server.url
    query(url, f"CREATE TABLE kept AS SELECT generate_series(1, {ROWS}) AS n")
    busy = psycopg.connect(url)  # its process outlives the postmaster for a moment
    try:
        durable_server.crash()
        address = durable_server.start()
    finally:
        busy.close()
    assert address.url == url
    assert query(url, "SELECT count(*) FROM kept") == ROWS


def test_a_killed_backend_costs_a_moment_only(durable_server: OwnedServer) -> None:
    query(durable_server.url, "CREATE TABLE kept AS SELECT 1 AS n")
    with psycopg.connect(durable_server.url) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)

    def answers() -> bool:
        try:
            return query(durable_server.url, "SELECT n FROM kept") == 1
        except psycopg.OperationalError:
            return False

    eventually_sync(answers)


def test_a_zombie_is_not_a_running_server(home: Path, binaries: Binaries, start_program: StartProgram) -> None:
    pid = int(answer_of(start_program(UNREAPING, home)))
    os.kill(pid, 0)  # the pid exists ...
    eventually_sync(lambda: not is_alive(pid))  # ... and nobody is behind it
    with owned_server(home, binaries=binaries.directory) as server:
        os.kill(pid, 0)
        assert query(server.url, "SELECT 1") == 1
        assert server.address.postmaster_pid != pid


def test_a_recycled_pid_is_not_a_running_server(home: Path, binaries: Binaries) -> None:
    with owned_server(home, binaries=binaries.directory) as server:
        server.crash()
        pid_file = server.address.data_dir / "postmaster.pid"
        lines = pid_file.read_text(encoding="utf-8").splitlines(keepends=True)
        # A stranger of the server's own user, for PostgreSQL takes pids of other users for free ones.
        stranger = start_as_owner_of(pid_file, ["sleep", "600"])
        try:
            pid_file.write_text("".join([f"{stranger.pid}\n", *lines[1:]]), encoding="utf-8")
            server.start()
            assert query(server.url, "SELECT 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()


def test_a_server_that_lost_its_owner_is_ended_before_another_starts(home: Path, binaries: Binaries) -> None:
    with owned_server(home, binaries=binaries.directory) as server:
        address = server.address
        query(server.url, "CREATE TABLE kept AS SELECT 1 AS n")
    data = address.data_dir
    orphan = start_as_owner_of(data, [binaries.program("postgres"), "-D", str(data), "-p", str(address.port), "-k", ""])
    try:
        eventually_sync(lambda: is_ready(data))
        assert serves(orphan.pid, data)
        with owned_server(home, binaries=binaries.directory) as server:
            assert orphan.wait(5) == 0
            assert query(server.url, "SELECT n FROM kept") == 1
    finally:
        orphan.kill()
        orphan.wait()


def test_a_half_made_cluster_is_made_anew(directory: Path, binaries: Binaries) -> None:
    unfinished = directory / "server" / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n", encoding="ascii")
    (directory / "server").chmod(0o711)
    with owned_server(directory / "server", binaries=binaries.directory) as server:
        assert query(server.url, "SELECT 1") == 1
        assert not unfinished.exists()


def start_as_owner_of(path: Path, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a program as the user whom the server's files belong to, who is not us when we are root."""
    owner = path.stat()
    drop = owner.st_uid != os.geteuid()
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        user=owner.st_uid if drop else None,
        group=owner.st_gid if drop else None,
        extra_groups=[] if drop else None,
    )


def is_ready(data: Path) -> bool:
    """Whether the server says in its pid file that it takes connections."""
    pid_file = data / "postmaster.pid"
    return pid_file.exists() and "ready" in pid_file.read_text(encoding="utf-8")
