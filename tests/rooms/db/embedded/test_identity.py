"""A port, a state file or a password may lie; the server's own word decides."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.db.embedded import Binaries, OwnedServer, owned_server
from holdfast.db.embedded.ports import port_is_free
from holdfast.db.embedded.probe import Answer, probe
from holdfast.db.embedded.state import ServerState, read_state, write_state
from tests.rooms.db.embedded.conftest import copy_home, query


@contextmanager
def stranger_on(port: int) -> Iterator[list[bytes]]:
    """Somebody else's program on a port; yields what is said to it."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                heard.append(connection.recv(4096))
                connection.sendall(b"R\0\0\0\x08\0\0\0\x03")  # asks for the password in clear text
                heard.append(connection.recv(4096))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heard
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def state_of(directory: Path) -> ServerState:
    state = read_state(directory / "server.json")
    assert state is not None
    return state


def test_a_stolen_port_is_left_to_the_thief(home: Path, binaries: Binaries) -> None:
    with owned_server(home, binaries=binaries.directory) as server:
        stolen = server.address.port
        query(server.url, "CREATE TABLE kept AS SELECT 1 AS n")
    with stranger_on(stolen) as heard:
        with owned_server(home, binaries=binaries.directory) as server:
            assert server.address.port != stolen
            assert query(server.url, "SELECT n FROM kept") == 1
            assert state_of(home).port == server.address.port
        assert heard == []


def test_another_server_on_our_port_is_not_adopted(directory: Path, binaries: Binaries) -> None:
    with (
        owned_server(directory / "one", binaries=binaries.directory) as one,
        owned_server(directory / "two", binaries=binaries.directory) as two,
    ):
        ours, theirs = state_of(directory / "one"), state_of(directory / "two")
        assert probe(ours).answer is Answer.OURS
        # Their server behind our name: wrong password first, and with the right one still not ours.
        led_astray = dataclasses.replace(ours, port=theirs.port, socket_directory=theirs.socket_directory)
        assert probe(led_astray).answer is Answer.WRONG_PASSWORD
        assert probe(dataclasses.replace(led_astray, password=theirs.password)).answer is Answer.STRANGER
        # A copy of our data has our system identifier, another data directory our path: both must match.
        known = dataclasses.replace(led_astray, password=theirs.password)
        half = dataclasses.replace(known, system_identifier=theirs.system_identifier)
        assert probe(half).answer is Answer.STRANGER
        assert probe(dataclasses.replace(half, data_directory=theirs.data_directory)).answer is Answer.OURS
        assert one.url != two.url


def test_the_password_is_not_told_to_a_stranger_on_the_port(home: Path, binaries: Binaries) -> None:
    with owned_server(home, binaries=binaries.directory):
        state = state_of(home)
    with stranger_on(state.port) as heard:
        assert probe(state).answer is Answer.SILENT
        assert heard == []


def test_a_port_taken_between_looking_and_listening_is_given_up(
    home: Path, binaries: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    with owned_server(home, binaries=binaries.directory) as server:
        stolen = server.address.port
    looks: list[int] = []

    def too_early(port: int) -> bool:
        looks.append(port)
        return len(looks) == 1 or port_is_free(port)

    monkeypatch.setattr("holdfast.db.embedded.postmaster.port_is_free", too_early)
    with (
        stranger_on(stolen),
        owned_server(home, binaries=binaries.directory) as server,
    ):
        assert looks[:2] == [stolen, stolen]
        assert server.address.port != stolen


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(lambda path: path.write_text("{"), id="cut off"),
        pytest.param(lambda path: path.write_text('{"port": "x"}'), id="nonsense"),
        pytest.param(lambda path: write_state(path, _with(path, password="wrong")), id="wrong password"),
        pytest.param(lambda path: write_state(path, _with(path, pid=1, system_identifier=7)), id="stale"),
        pytest.param(lambda path: write_state(path, _with(path, data_directory="/nowhere")), id="of another place"),
    ],
)
def test_a_state_file_that_lies_is_made_true_again(damage: object, home: Path, binaries: Binaries) -> None:
    with owned_server(home, binaries=binaries.directory) as server:
        query(server.url, "CREATE TABLE kept AS SELECT 1 AS n")
    assert callable(damage)
    damage(home / "server.json")
    with owned_server(home, binaries=binaries.directory) as server:
        assert query(server.url, "SELECT n FROM kept") == 1
        assert probe(state_of(home)).answer is Answer.OURS
        assert json.loads((home / "server.json").read_text())["port"] == server.address.port


def test_a_copied_home_serves_its_own_copy(directory: Path, binaries: Binaries) -> None:
    with owned_server(directory / "one", binaries=binaries.directory) as one:
        query(one.url, "CREATE TABLE kept AS SELECT 1 AS n")
        one.stop()
        copy_home(directory / "one", directory / "two")
        one.start()
        with owned_server(directory / "two", binaries=binaries.directory) as two:
            assert one.running
            assert two.address.data_dir != one.address.data_dir
            assert two.address.port != one.address.port
            assert probe(state_of(directory / "one")).answer is Answer.OURS
            query(two.url, "DROP TABLE kept")
        assert query(one.url, "SELECT n FROM kept") == 1


def test_start_and_stop_may_be_repeated(home: Path, binaries: Binaries) -> None:
    server = OwnedServer(home, binaries=binaries.directory)
    server.stop()
    first = server.start()
    assert server.start() == first
    server.stop()
    server.stop()
    assert not server.running


def _with(path: Path, **changes: object) -> ServerState:
    state = read_state(path)
    assert state is not None
    return dataclasses.replace(state, **changes)  # type: ignore[arg-type]
