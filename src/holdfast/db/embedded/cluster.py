"""The data directory: made once by initdb, checked at each start, repaired where a crash left a mark."""

from __future__ import annotations

import os
import secrets
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from holdfast.db.embedded.binaries import Binaries
from holdfast.db.embedded.privileges import Account
from holdfast.db.embedded.probe import SUPERUSER
from holdfast.db.statements import load_statements
from holdfast.errors import EmbeddedServerError


class Cluster(Struct, frozen=True):
    """A data directory together with the programs and the account that serve it."""

    data: Path
    binaries: Binaries
    account: Account

    def exists(self) -> bool:
        """Whether initdb has finished here."""
        return (self.data / "PG_VERSION").exists()

    def check(self) -> None:
        """Refuse data of another account or of another major version."""
        if self.data.exists() and self.data.stat().st_uid != self.account.uid:
            raise EmbeddedServerError(
                f"{self.data} belongs to user {self.data.stat().st_uid}, the server would run as {self.account.uid}",
                remedy="run as the user who made it, or use another directory",
            )
        made_by = data_version(self.data)
        if made_by is not None and made_by != self.binaries.major:
            raise EmbeddedServerError(
                f"{self.data} was made by PostgreSQL {made_by}, but the programs found are "
                f"{self.binaries.version} ({self.binaries.directory})",
                remedy=f"name the programs of PostgreSQL {made_by}, or dump with those and restore into a new "
                "server, or, if the data may go, `holdfast down --delete-data`",
            )

    def initialise(self, password: str, *, durable: bool) -> None:
        """Make the cluster; a half-made one is never taken for whole because it is renamed into place."""
        unfinished = self.data.with_name("data.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700, parents=True)
        self.account.own(unfinished)
        # Not on the command line, which everyone can read; in a directory that only the account enters.
        secret = unfinished.with_name("data.password")
        secret.unlink(missing_ok=True)
        descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(password)
        self.account.own(secret)
        command = [self.binaries.program("initdb"), "-D", str(unfinished), "-U", SUPERUSER, "--pwfile", str(secret)]
        command += ["-A", "scram-sha-256", "-E", "UTF8", "--data-checksums", *_locale(self.binaries.major)]
        command += [] if durable else ["--no-sync"]
        try:
            done = self.run(command)
        finally:
            secret.unlink(missing_ok=True)
        if done.returncode != 0:
            raise EmbeddedServerError(
                f"initdb failed in {self.data.parent}: {done.stderr.strip() or done.stdout.strip()}",
                remedy="free disk space or rights as the message says, then start again",
            )
        unfinished.rename(self.data)

    def system_identifier(self) -> int:
        """What makes this cluster itself; the first eight bytes of its control file in every version."""
        with (self.data / "global" / "pg_control").open("rb") as file:
            (identifier,) = struct.unpack("=Q", file.read(8))
        return int(identifier)

    def set_password(self, password: str) -> None:
        """Make the password true again where the state file lost it; the server must not run."""
        statements = load_statements("holdfast.db.embedded", "server.sql")
        statement = " ".join(statements["set_password"].sql.split())  # in this mode a line is a statement
        command = [self.binaries.program("postgres"), "--single", "-D", str(self.data), "postgres"]
        done = self.run(command, entered=statement.format(password=password) + "\n")
        if done.returncode != 0 or "ERROR:" in done.stderr:
            raise EmbeddedServerError(
                f"the password of {self.data} could not be set: {done.stderr.strip()[-500:]}",
                remedy="see the server's log beside the data directory",
            )

    def run(self, command: list[str], *, entered: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs to its end as the server's account."""
        return subprocess.run(
            command,
            input=entered,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            cwd="/",
            env=server_environment(),
            user=self.account.user,
            group=self.account.group,
            extra_groups=self.account.extra_groups,
        )


def data_version(data: Path) -> int | None:
    """The major version that made this data directory, if there is one."""
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii").strip())
    except FileNotFoundError:
        return None


def new_password() -> str:
    """A random password that needs no quoting anywhere."""
    return secrets.token_urlsafe(24)


def server_environment() -> dict[str, str]:
    """Our environment without what would steer PostgreSQL's programs; messages in English, because we read them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _locale(major: int) -> list[str]:
    if sys.platform == "darwin":  # its C library has no C.UTF-8
        return ["--locale=C", *(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else [])]
    return [*(["--locale-provider=builtin"] if major >= 17 else []), "--locale=C.UTF-8"]
