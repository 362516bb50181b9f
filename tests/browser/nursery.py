"""Processes of ``holdfast`` that need not import it: each is forked from one that did so once for all of them.

From there on each is what a shell would have started: a session, an environment and a command line of its own. Starting
Python and importing the API took nearly two seconds of a processor, and a run starts some fifty.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

_CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["holdfast.api", "holdfast.cli.api", "holdfast.cli.worker", "holdfast.worker", "tests.browser.nursery"]
)


class Forked:
    """One process, with what tests ask of a ``subprocess.Popen``."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str], log: Path) -> None:
        self._process: ForkServerProcess = _CONTEXT.Process(target=_live, args=(tuple(arguments), environment, log))
        self._process.start()

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None
        return pid

    def poll(self) -> int | None:
        """Its exit status, once it has ended."""
        return self._process.exitcode

    def kill(self) -> None:
        """End it, and with it all that it started: they are one group as soon as it has a session of its own."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()

    def wait(self, seconds: float) -> None:
        """Until it has ended."""
        self._process.join(seconds)
        assert self.poll() is not None, f"process {self.pid} goes on"


def _live(arguments: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    said = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(said, stream.fileno())
    os.close(said)

    from holdfast.cli import main

    sys.exit(main(list(arguments)))
