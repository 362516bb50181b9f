"""A server of one's own: what it is like, how it ends with its owner, what its directory may be."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import asyncpg
import pytest

from holdfast.db.embedded import Binaries, OwnedServer, owned_server
from holdfast.db.embedded.processes import is_alive
from holdfast.errors import EmbeddedServerError
from tests.rooms.db.embedded.conftest import StartProgram, answer_of, query
from tests.waiting import eventually_sync

OWNER = """
import os, sys, time
from pathlib import Path
from holdfast.db.embedded import OwnedServer
server = OwnedServer(Path(sys.argv[1]), binaries=Path(os.environ["BINARIES"]))
print(server.start().postmaster_pid, server.url, flush=True)
sys.stdin.read() if len(sys.argv) < 3 else exec(sys.argv[2])
time.sleep(600)
"""


def test_it_is_durable_utf8_private_and_checked(directory: Path, binaries: Binaries) -> None:
    with owned_server(directory / "server", binaries=binaries.directory) as server:
        settings = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums")
        assert [query(server.url, f"SHOW {name}") for name in settings] == ["on"] * 4
        assert query(server.url, "SHOW server_encoding") == "UTF8"
        assert query(server.url, "SELECT 'Ä' < 'a' COLLATE \"default\"") is False
        assert query(server.url, "SHOW password_encryption") == "scram-sha-256"
        assert query(server.address.socket_url, "SELECT current_database()") == "holdfast"
        assert query(server.url, "SELECT every(auth_method = 'scram-sha-256') FROM pg_hba_file_rules") is True
        assert (directory / "server" / "server.json").stat().st_mode & 0o777 == 0o600
        assert server.address.socket_dir.stat().st_mode & 0o777 == 0o700
        assert server.url not in repr(server.address)
        assert server.address.version == binaries.version
    assert not server.running
    assert not server.address.socket_dir.exists()


def test_it_starts_inside_a_running_event_loop_too(home: Path, binaries: Binaries) -> None:
    async def start_and_ask() -> int:
        with owned_server(home, binaries=binaries.directory) as server:
            connection = await asyncpg.connect(server.url)
            answer: int = await connection.fetchval("SELECT 42")
            await connection.close()
            return answer

    assert asyncio.run(start_and_ask()) == 42


def test_data_and_url_stay_over_a_stop(home: Path, binaries: Binaries) -> None:
    with owned_server(home, binaries=binaries.directory) as server:
        first = server.url
        query(server.url, "CREATE TABLE kept AS SELECT 1 AS n")
    with owned_server(home, binaries=binaries.directory) as server:
        assert server.url == first
        assert query(server.url, "SELECT n FROM kept") == 1


def test_data_goes_when_told(home: Path, binaries: Binaries) -> None:
    with owned_server(home, binaries=binaries.directory, delete_data=True) as server:
        data = server.address.data_dir
    assert not data.exists()
    assert not (home / "server.json").exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_cleanly_when_its_owner_is_killed(
    how: signal.Signals, home: Path, binaries: Binaries, start_program: StartProgram
) -> None:
    owner = start_program(OWNER, home, "pass")
    postmaster, url = answer_of(owner).split()
    query(url, "CREATE TABLE kept AS SELECT 1 AS n")
    owner.send_signal(how)
    owner.wait(10)
    eventually_sync(lambda: not is_alive(int(postmaster)))
    told = subprocess.run(
        [binaries.program("pg_controldata"), home / "data"],
        check=True,
        capture_output=True,
        text=True,
        env={"LC_ALL": "C"},
    )
    assert "shut down\n" in told.stdout.split("Database cluster state:")[1]
    with owned_server(home, binaries=binaries.directory) as server:
        assert query(server.url, "SELECT n FROM kept") == 1


def test_it_ends_when_its_owner_forgets_to_stop_it(home: Path, start_program: StartProgram) -> None:
    owner = start_program(OWNER, home, "sys.exit()")
    postmaster, _ = answer_of(owner).split()
    assert owner.wait(20) == 0
    assert not is_alive(int(postmaster))


def test_a_forked_child_neither_stops_it_nor_keeps_its_lock(
    directory: Path, home: Path, binaries: Binaries, start_program: StartProgram
) -> None:
    in_child = "sys.exit() if os.fork() == 0 else print(os.wait()[1], server.running, flush=True)"
    owner = start_program(OWNER, home, in_child)
    _, url = answer_of(owner).split()
    assert answer_of(owner) == "0 True"
    assert query(url, "SELECT 1") == 1
    leave_a_child = "print(os.fork() and 'parent', flush=True) if False else (os.fork() or time.sleep(600))"
    other = start_program(OWNER, directory / "other", leave_a_child)
    postmaster, _ = answer_of(other).split()
    other.kill()
    eventually_sync(lambda: not is_alive(int(postmaster)))
    with owned_server(directory / "other", binaries=binaries.directory) as server:
        assert server.running


def test_a_second_owner_is_told_who_the_first_is(home: Path, binaries: Binaries, start_program: StartProgram) -> None:
    owner = start_program(OWNER, home, "pass")
    answer_of(owner)
    with (
        pytest.raises(EmbeddedServerError, match=f"belongs to process {owner.pid}"),
        owned_server(home, binaries=binaries.directory),
    ):
        pass


def test_a_very_long_path_is_no_obstacle(directory: Path, binaries: Binaries) -> None:
    deep = directory / "/".join(["a-directory-with-a-rather-long-name"] * 8)
    with owned_server(deep / "server", binaries=binaries.directory) as server:
        assert len(os.fsencode(server.address.data_dir)) > 250
        assert len(os.fsencode(server.address.socket_dir)) < 80
        assert query(server.address.socket_url, "SHOW data_directory") == str(server.address.data_dir)


def test_data_of_another_version_is_refused_with_a_remedy(home: Path, binaries: Binaries) -> None:
    with owned_server(home, binaries=binaries.directory) as server:
        data = server.address.data_dir
    (data / "PG_VERSION").write_text("13\n", encoding="ascii")
    with pytest.raises(EmbeddedServerError, match="made by PostgreSQL 13") as caught:
        OwnedServer(home, binaries=binaries.directory).start()
    assert caught.value.remedy is not None
    assert "--delete-data" in caught.value.remedy


def test_a_setting_that_postgresql_refuses_is_shown(home: Path, binaries: Binaries) -> None:
    server = OwnedServer(home, binaries=binaries.directory, config={"shared_buffers": "much"})
    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "shared_buffers"'):
        server.start()
    assert not server.running
    server.stop()


def test_environment_meant_for_other_servers_does_not_reach_it(
    home: Path, binaries: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {"PGDATA": "/nowhere", "PGPORT": "1", "PGHOST": "/nowhere", "PGUSER": "x", "PGSSLMODE": "verify-full"}
    for name, value in elsewhere.items():
        monkeypatch.setenv(name, value)
    with owned_server(home, binaries=binaries.directory) as server:
        monkeypatch.setenv("PGSSLMODE", "disable")
        assert query(server.url, "SELECT 1") == 1
