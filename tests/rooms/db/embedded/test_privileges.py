"""Root: privileges are dropped, nothing of anybody else's is touched. The same tests hold for everybody else."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.db.embedded import Binaries, find_binaries, owned_server
from holdfast.db.embedded.privileges import choose_account, reachable_directory
from tests.rooms.db.embedded.conftest import query

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A directory that only its owner can enter, as /root is."""
    directory = tmp_path / "private"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def private_binaries(private: Path, binaries: Binaries) -> Iterator[Binaries]:
    """A relocatable installation below a private directory."""
    if not binaries.source.startswith("wheel"):
        # Debian's programs find their libraries by absolute paths: a way to them is as private as a copy.
        (private / "bin").symlink_to(binaries.directory)
        yield find_binaries(private / "bin")
        return
    package = binaries.directory.parents[1]
    shutil.copytree(package, private / package.name, symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, private / libraries.name)
    yield find_binaries(private / package.name / binaries.directory.relative_to(package))


def modes_up_from(path: Path) -> dict[Path, int]:
    return {each: each.stat().st_mode for each in (path, *path.parents)}


def test_the_server_never_runs_as_root(directory: Path, binaries: Binaries) -> None:
    users = pwd.getpwall()
    with owned_server(directory / "server", binaries=binaries.directory) as server:
        uid = Path(f"/proc/{server.address.postmaster_pid}").stat().st_uid
        assert uid != 0
        assert uid == server.address.data_dir.stat().st_uid
        assert server.address.data_dir == directory / "server" / "data"
    assert pwd.getpwall() == users


def test_data_below_a_private_directory_works_and_leaves_it_private(private: Path, binaries: Binaries) -> None:
    (private / "server").mkdir(mode=0o700)
    before = modes_up_from(private / "server")
    with owned_server(private / "server", binaries=binaries.directory) as server:
        query(server.url, "CREATE TABLE kept AS SELECT 1 AS n")
        data = server.address.data_dir
        assert (data == private / "server" / "data") is not AS_ROOT
    assert modes_up_from(private / "server") == before
    with owned_server(private / "server", binaries=binaries.directory, delete_data=True) as server:
        assert server.address.data_dir == data
        assert query(server.url, "SELECT n FROM kept") == 1
    assert not data.exists()
    assert data.parent == private / "server" or not data.parent.exists()


def test_a_private_home_that_moves_takes_its_data_along(private: Path, binaries: Binaries) -> None:
    with owned_server(private / "before", binaries=binaries.directory) as server:
        query(server.url, "CREATE TABLE kept AS SELECT 1 AS n")
    (private / "before").rename(private / "after")
    with owned_server(private / "after", binaries=binaries.directory, delete_data=True) as server:
        assert query(server.url, "SELECT n FROM kept") == 1


def test_programs_below_a_private_directory_are_copied_once(
    private: Path, private_binaries: Binaries, directory: Path
) -> None:
    before = modes_up_from(private_binaries.directory)
    copies_before = _copies()
    try:
        for _ in range(2):
            with owned_server(directory / "server", binaries=private_binaries.directory) as server:
                assert query(server.url, "SELECT 1") == 1
        assert modes_up_from(private_binaries.directory) == before
        copied = private_binaries.directory.is_relative_to(private) and not (private / "bin").is_symlink()
        assert len(_copies() - copies_before) == (1 if AS_ROOT and copied else 0)
    finally:
        for copy in _copies() - copies_before:
            shutil.rmtree(copy)


def test_the_owner_of_the_data_is_preferred_to_nobody(directory: Path) -> None:
    if AS_ROOT:
        owned = directory / "data"
        owned.mkdir()
        os.chown(owned, 12345, 23456)
        assert (choose_account(owned, directory).user, choose_account(owned, directory).group) == (12345, 23456)
        assert choose_account(directory).user == pwd.getpwnam("nobody").pw_uid
    else:
        assert choose_account(directory).user is None


def test_an_account_is_tried_not_guessed(private: Path, directory: Path) -> None:
    account = choose_account(directory)
    assert account.can("-x", directory)
    assert account.can("-x", private) is not AS_ROOT


def _copies() -> set[Path]:
    return set(reachable_directory().glob("programs-*")) if AS_ROOT else set()
