"""The first worker process of a command: it imports the application, tells its settings, and waits to be let go on.

The application's code stays out of the supervisor, and is imported once.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import typer
from msgspec import Struct

from holdfast.app import Holdfast
from holdfast.settings import Settings
from holdfast.worker import StartedChild, start_child

_GO = b"g"


class FirstWorker(Struct, frozen=True):
    """A process that waits at the other end of ``line``."""

    settings: Settings
    started: StartedChild
    line: socket.socket

    def let_go_on(self) -> None:
        """It connects and works from now on."""
        with self.line:
            self.line.sendall(_GO)

    def dismiss(self) -> None:
        """It ends without having begun."""
        self.line.close()
        self.started.process.wait()


def start_first(command: Sequence[str], *, stopped_status: int = 0) -> FirstWorker:
    """Start it with this command, and read the settings.

    What is wrong with the application is said by that process, and ends this one with its status. Until a supervisor
    listens to signals, a SIGTERM ends this process with ``stopped_status``, and with it the other.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(stopped_status))
    ours, theirs = socket.socketpair()
    with theirs:
        started = start_child([*command, f"--describe-fd={theirs.fileno()}"], pass_fds=(theirs.fileno(),))
    with ours.makefile("rb") as told:
        text = told.readline()
    if not text.endswith(b"\n"):
        status = started.process.wait()
        raise typer.Exit(status if status > 0 else 1)
    values: dict[str, Any] = msgspec.json.decode(text)
    return FirstWorker(Settings(**values), started, ours)


def describe(application: Holdfast, fd: int) -> bool:
    """In that process: tell the settings, and wait; false: nobody wants it to go on."""
    with socket.socket(fileno=fd) as line:
        line.sendall(application.settings.model_dump_json().encode() + b"\n")
        return line.recv(1) == _GO
