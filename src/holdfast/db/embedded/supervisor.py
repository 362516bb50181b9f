"""The detached process behind a shared server: parent of ``postgres``, restarts it, and stops it when told.

Run as ``python -m holdfast.db.embedded.supervisor HOME JSON`` by ``shared.ensure_shared_server``. It says on its
standard output in one line of JSON how the start went, then goes on alone until SIGTERM.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

from holdfast.db.embedded.deadline import Deadline
from holdfast.db.embedded.home import Home
from holdfast.db.embedded.lock import FileLock
from holdfast.db.embedded.postmaster import Postmaster
from holdfast.db.embedded.state import read_state, write_state
from holdfast.errors import EmbeddedServerError
from holdfast.telemetry import configure_logging, get_logger

log = get_logger("db.embedded")

_TICK_SECONDS = 1.0
_STOP_SECONDS = 30.0
# Starting includes recovery, which begins anew when it is cut short: whoever waits for us may give up, we do not.
_START_SECONDS = 3600.0
_STEADY_SECONDS = 60.0  # up this long, a server's next end is a new story
_LONGEST_PAUSE_SECONDS = 30.0


class Supervisor:
    """Keeps one server running until told to stop or its home is gone."""

    def __init__(self, home: Home, *, binaries: Path | None, config: dict[str, str | int]) -> None:
        self._home = home
        self._postmaster = Postmaster(home, binaries=binaries, config=config)
        self._stopping = False
        self._pause_seconds = 0.0
        self._stayed_up = Deadline(0)
        self._wake_reader, self._wake_writer = os.pipe()

    def listen_to_signals(self) -> None:
        """Turn signals into something the loop wakes up for."""
        for descriptor in (self._wake_reader, self._wake_writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop_soon)

    def _stop_soon(self, *_: object) -> None:
        self._stopping = True

    def start(self) -> None:
        """The first start; its failure is the starter's to report."""
        self._postmaster.start(Deadline(_START_SECONDS), give_up=lambda: self._stopping)

    def keep_running(self) -> None:
        """Watch until told to stop, then stop the server."""
        while not self._stopping and self._home.directory.exists():
            if self._postmaster.running:
                self._look_after_files()
                self._wait(_TICK_SECONDS)
            else:
                self._restart()
        self._postmaster.stop(Deadline(_STOP_SECONDS))
        self._home.remove_sockets()

    def _restart(self) -> None:
        """Start it again: at once the first time, slower and slower when it keeps ending."""
        log.warning("the server ended with status %s", self._postmaster.exit_status)
        if self._stayed_up.passed:
            self._pause_seconds = 0.0
        self._wait(self._pause_seconds)
        self._pause_seconds = min(self._pause_seconds * 2 + 0.1, _LONGEST_PAUSE_SECONDS)
        try:
            self._postmaster.start(Deadline(_START_SECONDS), give_up=lambda: self._stopping)
        except (EmbeddedServerError, OSError) as error:
            log.warning("%s; next attempt in %g s", error, self._pause_seconds)
        self._stayed_up = Deadline(_STEADY_SECONDS)

    def _look_after_files(self) -> None:
        """Make the state file true again if somebody damaged or removed it, and bound the log."""
        state = self._postmaster.state
        with contextlib.suppress(OSError):
            if state is not None and read_state(self._home.state) != state:
                write_state(self._home.state, state)
            self._home.trim_log()

    def _wait(self, seconds: float) -> None:
        """Pause until a signal comes, at most this long."""
        if self._stopping or seconds == 0:
            return
        ready, _, _ = select.select([self._wake_reader], [], [], seconds)
        if ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_reader, 4096)


def _report(**outcome: str | None) -> None:
    """Tell the starter, if it still listens, and let go of it."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(outcome).encode() + b"\n")
    os.dup2(2, 1)


def main(arguments: list[str]) -> int:
    """Detach, become the owner, start, report, watch."""
    home = Home(Path(arguments[0]))
    options: dict[str, Any] = json.loads(arguments[1])
    if os.fork():  # the starter waits for this process; its child belongs to nobody and leaves no zombie there
        os._exit(0)
    configure_logging("info", "text")
    lock = FileLock(home.owner_lock)
    if not lock.acquire(Deadline(2)):
        _report(outcome="not elected")
        return 0
    binaries = options["binaries"]
    supervisor = Supervisor(home, binaries=Path(binaries) if binaries else None, config=options["config"])
    supervisor.listen_to_signals()
    try:
        supervisor.start()
    except EmbeddedServerError as error:
        log.warning("%s", error)
        _report(outcome="failed", message=error.message, remedy=error.remedy)
        return 1
    except Exception as error:
        _report(outcome="failed", message=f"{type(error).__name__}: {error}", remedy=f"read {home.supervisor_log}")
        raise
    _report(outcome="started")
    supervisor.keep_running()
    lock.release()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
