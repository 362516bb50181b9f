"""The directory a server lives in: its lock, its state file, its log, and where its data and sockets go.

home/
  owner.lock     held (flock) by the process that owns the server, as long as it lives
  start.lock     held while somebody brings a shared server up
  server.json    how to enter the server, 0600
  data/          the cluster, unless the server's account cannot reach it here
  log/           postgres.log, supervisor.log
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from hashlib import sha256
from pathlib import Path

from holdfast.db.embedded.privileges import Account, choose_account, reachable_directory
from holdfast.db.embedded.state import read_state
from holdfast.errors import EmbeddedServerError
from holdfast.telemetry import get_logger

log = get_logger("db.embedded")

_LOG_LIMIT_BYTES = 16 * 1024 * 1024


class Home:
    """Paths of one server, derived from its directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.owner_lock = self.directory / "owner.lock"
        self.start_lock = self.directory / "start.lock"
        self.state = self.directory / "server.json"
        self.log = self.directory / "log" / "postgres.log"
        self.supervisor_log = self.directory / "log" / "supervisor.log"
        self.key = sha256(os.fsencode(self.directory)).hexdigest()[:16]

    def make(self) -> None:
        """Create what is missing of the home. As root it can be passed through, so that the data can stay in it."""
        try:
            if not self.directory.exists():
                self.directory.mkdir(parents=True, exist_ok=True)
                self.directory.chmod(0o711 if os.geteuid() == 0 else 0o700)
            self.log.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise EmbeddedServerError(
                f"{self.directory} cannot hold a server: {error}", remedy="use a directory that you can write to"
            ) from error

    @property
    def data_inside(self) -> Path:
        """Where the data is unless the account cannot reach it."""
        return self.directory / "data"

    def data_for(self, account: Account) -> Path:
        """Where the data is or will be: in the home, or, when the account cannot get there, in a place it can reach.

        The answer follows from the home's own path, never from the state file: a copied home must not lead to
        the data of the one it was copied from.
        """
        if account.user is None or account.can("-x", self.directory):
            return self.data_inside
        outside = reachable_directory() / f"data-{self.key}"
        if not outside.exists():
            self._follow_a_move(outside)
        outside.mkdir(mode=0o711, exist_ok=True)
        outside.chmod(0o711)
        note = outside / "home"
        if not note.exists() or note.read_text(encoding="utf-8") != str(self.directory):
            note.write_text(str(self.directory), encoding="utf-8")
            log.warning("user %s cannot reach %s, so the data is kept in %s", account.user, self.directory, outside)
        return outside / "data"

    def _follow_a_move(self, outside: Path) -> None:
        """Take along the data that this home kept outside under its earlier path, if it was moved and not copied."""
        state = read_state(self.state)
        if state is None:
            return
        before = Path(state.data_directory).parent
        note = before / "home"
        if before.parent == outside.parent and note.is_file() and not Path(note.read_text(encoding="utf-8")).exists():
            before.rename(outside)

    def socket_directory(self, account: Account) -> Path:
        """A short private directory for the Unix socket; socket paths may have 107 bytes, homes have more.

        Not the user's runtime directory: that vanishes with the last login, the shared server stays.
        """
        temporary = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())  # noqa: S108 (checked below)
        directory = temporary / f"holdfast-{self.key}"
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            found = directory.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid in (os.geteuid(), account.uid)
            if not ours or found.st_mode & 0o077:
                directory = Path(tempfile.mkdtemp(prefix="holdfast-", dir=temporary))
        account.own(directory)
        return directory

    def open_log(self) -> int:
        """A descriptor that appends to the server's log."""
        return os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def trim_log(self) -> None:
        """Keep the log bounded: copied aside and emptied in place, because the server keeps its descriptor."""
        try:
            if self.log.stat().st_size > _LOG_LIMIT_BYTES:
                shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
                os.truncate(self.log, 0)
        except FileNotFoundError:
            return

    def log_since(self, offset: int) -> str:
        """What the server logged from this byte on, at most the last few thousand characters."""
        try:
            with self.log.open("rb") as file:
                file.seek(offset)
                return file.read()[-4000:].decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def log_size(self) -> int:
        """Bytes in the log now."""
        return self.log.stat().st_size if self.log.exists() else 0

    def remove_sockets(self) -> None:
        """Remove the socket directory of a server that has ended."""
        state = read_state(self.state)
        if state is not None and Path(state.socket_directory).name.startswith("holdfast-"):
            shutil.rmtree(state.socket_directory, ignore_errors=True)

    def delete_data(self) -> bool:
        """Remove the cluster and its state; only for the holder of the owner lock. True if there was data."""
        data = self.data_for(choose_account(self.data_inside, self.directory))
        there = (data / "PG_VERSION").exists()
        if data.exists() and not there:
            raise EmbeddedServerError(
                f"{data} is not a PostgreSQL data directory, so it was not deleted",
                remedy="look at it and remove it by hand",
            )
        self.remove_sockets()
        for doomed in (data, data.with_name("data.unfinished")):
            shutil.rmtree(doomed, ignore_errors=True)
        if data != self.data_inside:
            shutil.rmtree(data.parent, ignore_errors=True)
        self.state.unlink(missing_ok=True)
        return there
