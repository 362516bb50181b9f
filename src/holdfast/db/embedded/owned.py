"""A server that lives and dies with the process that started it: for the demo, for tests, for scripts."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.db.embedded.address import ServerAddress
from holdfast.db.embedded.deadline import Deadline
from holdfast.db.embedded.home import Home
from holdfast.db.embedded.lock import FileLock, lock_holder
from holdfast.db.embedded.postmaster import Config, Postmaster
from holdfast.errors import EmbeddedServerError


class OwnedServer:
    """A server of this process's own. Start it from a thread that stays: on Linux it dies with that thread."""

    def __init__(
        self,
        directory: Path,
        *,
        binaries: Path | None = None,
        config: Config | None = None,
        deadline_seconds: float = 60.0,
    ) -> None:
        self._home = Home(directory)
        self._lock = FileLock(self._home.owner_lock)
        self._postmaster = Postmaster(self._home, binaries=binaries, config=config)
        self._deadline_seconds = deadline_seconds
        self._owner = 0
        self._address: ServerAddress | None = None

    @property
    def address(self) -> ServerAddress:
        """Where the server is, once started."""
        if self._address is None:
            raise EmbeddedServerError("the server was not started", remedy="call start() first")
        return self._address

    @property
    def url(self) -> str:
        """The URL of the server's own database; it stays the same over restarts while its port stays free."""
        return self.address.url

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._postmaster.running

    def start(self) -> ServerAddress:
        """Start it, or start it again after a crash or a stop. Returns when it answers queries."""
        deadline = Deadline(self._deadline_seconds)
        if self._owner != os.getpid():
            self._become_owner()
        self._address = self._postmaster.start(deadline)
        return self._address

    def crash(self) -> None:
        """Kill the postmaster with -9 and reap it, as an out-of-memory killer would; for tests."""
        self._postmaster.kill()

    def stop(self, *, delete_data: bool = False) -> None:
        """Shut down cleanly, and on wish remove the data. Harmless when nothing runs, and in a forked child."""
        if self._owner != os.getpid():
            return
        self._postmaster.stop(Deadline(30))
        self._home.remove_sockets()
        if delete_data:
            self._home.delete_data()
        self._owner = 0
        self._lock.release()
        atexit.unregister(self.stop)

    def _become_owner(self) -> None:
        self._home.make()
        if not self._lock.acquire(Deadline(2)):
            raise EmbeddedServerError(
                f"the server in {self._home.directory} belongs to process {lock_holder(self._home.owner_lock)}",
                remedy="stop that process (`holdfast down` when it is a shared server), or use another directory",
            )
        self._owner = os.getpid()
        atexit.register(self.stop)


@contextmanager
def owned_server(
    directory: Path,
    *,
    binaries: Path | None = None,
    config: Config | None = None,
    deadline_seconds: float = 60.0,
    delete_data: bool = False,
) -> Iterator[OwnedServer]:
    """Run a server in this directory for the length of a ``with``; its data stays unless ``delete_data``."""
    server = OwnedServer(directory, binaries=binaries, config=config, deadline_seconds=deadline_seconds)
    try:
        server.start()
        yield server
    finally:
        server.stop(delete_data=delete_data)
