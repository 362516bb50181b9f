"""Which account the server runs as, and what that account can reach.

PostgreSQL refuses to run as root. When we are root the server is started as the owner of its data, else as
``nobody``. No user is ever made and no directory that somebody else made is ever chmod-ed: what the account cannot
reach is put elsewhere.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from holdfast.db.embedded.binaries import Binaries
from holdfast.errors import EmbeddedServerError


class Account(Struct, frozen=True):
    """Who the server runs as; ``user`` is None when that is simply us."""

    user: int | None = None
    group: int | None = None

    @property
    def extra_groups(self) -> list[int] | None:
        """Supplementary groups for a child process: none, once privileges are dropped."""
        return None if self.user is None else []

    @property
    def uid(self) -> int:
        """The numeric user the server's files belong to."""
        return os.geteuid() if self.user is None else self.user

    def own(self, path: Path) -> None:
        """Hand a file or directory that we just made to this account."""
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group, follow_symlinks=False)

    def can(self, test: str, path: Path) -> bool:
        """Whether the account passes ``test -r`` or ``test -x`` on a path: tried for real, not computed from bits."""
        command = ["test", test, str(path)]
        try:
            tried = subprocess.run(
                command, check=False, cwd="/", user=self.user, group=self.group, extra_groups=self.extra_groups
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedServerError(
                f"PostgreSQL does not run as root, and a process could not be started as user {self.uid}: {error}",
                remedy="run as a normal user, or set HOLDFAST_DATABASE_URL to a server you already have",
            ) from error
        return tried.returncode == 0


def choose_account(*places: Path) -> Account:
    """Ourselves, or, when we are root, the first owner of these places who is not root, else nobody."""
    if os.geteuid() != 0:
        return Account()
    for place in places:
        if place.exists() and place.stat().st_uid != 0:
            found = place.stat()
            return Account(found.st_uid, found.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return Account(65534, 65534)
    return Account(nobody.pw_uid, nobody.pw_gid)


def reachable_directory() -> Path:
    """A directory of our own that every account can pass through: for what cannot stay below a private home."""
    for parent in (Path("/var/lib"), Path("/var/tmp"), Path("/tmp")):  # noqa: S108 (ownership is checked below)
        directory = parent / f"holdfast-{os.geteuid()}"
        try:
            directory.mkdir(mode=0o711, exist_ok=True)
            found = directory.lstat()
        except OSError:
            continue
        # In a directory that everyone can write to, somebody else may have come first.
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
            directory.chmod(0o711)
            return directory
    raise EmbeddedServerError(
        "no directory was found that an unprivileged account can reach",
        remedy="run as a normal user, or set HOLDFAST_DATABASE_URL to a server you already have",
    )


def within_reach(binaries: Binaries, account: Account) -> Binaries:
    """These binaries, or a copy of them where the account cannot execute them in place (a wheel below /root)."""
    if account.user is None or account.can("-x", binaries.directory / "postgres"):
        return binaries
    behind_links = binaries.directory.resolve()
    if account.can("-x", behind_links / "postgres"):
        return Binaries(behind_links, binaries.version, binaries.source)
    install, bin_name = behind_links.parent, behind_links.name
    package = install.parent
    key = sha256(f"{install}\0{binaries.version}".encode()).hexdigest()[:16]
    copy = reachable_directory() / f"programs-{binaries.version}-{key}"
    if not copy.exists():
        _copy_install(install, package, copy, (bin_name, "lib", "share"))
    directory = copy / package.name / install.name / bin_name
    return Binaries(directory, binaries.version, f"{binaries.source}, copied to {copy}")


def _copy_install(install: Path, package: Path, copy: Path, parts: tuple[str, ...]) -> None:
    """Copy the installation and the libraries a wheel keeps beside it; whole or not at all."""
    unfinished = Path(tempfile.mkdtemp(dir=copy.parent, prefix="unfinished-"))
    try:
        for part in parts:
            if (install / part).is_dir():
                shutil.copytree(install / part, unfinished / package.name / install.name / part, symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name)
        for directory, _, files in os.walk(unfinished):
            Path(directory).chmod(0o755)
            for name in files:
                path = Path(directory, name)
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode | 0o444 | (0o111 if path.stat().st_mode & 0o100 else 0))
        unfinished.rename(copy)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not copy.exists():  # else a neighbour finished the same copy first
            raise
