"""What the operating system knows about processes: who lives, who is a zombie, who dies with whom."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LINUX = sys.platform.startswith("linux")
# Loaded here, because between fork and exec nothing may be loaded any more.
_libc = ctypes.CDLL(None, use_errno=True) if _LINUX else None


def before_exec() -> Callable[[], None]:
    """What the server's process does between fork and exec: tie its life to ours, and clear the signal mask.

    The kernel sends the signal when the *thread* that started the server ends, so start it from one that stays.
    SIGINT is PostgreSQL's fast shutdown: the data is left clean even when the owner was killed with -9.
    """
    owner = os.getpid()

    def tie_to_owner() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
            if os.getppid() != owner:  # it died before it could be watched
                os._exit(1)

    return tie_to_owner


def is_alive(pid: int) -> bool:
    """Whether a process of this pid runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return not _LINUX
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def serves(pid: int, data: Path) -> bool:
    """Whether this living process is a PostgreSQL server on this data directory."""
    if not is_alive(pid):
        return False
    arguments = _arguments(pid)
    return bool(arguments) and Path(arguments[0]).name.startswith("post") and str(data) in arguments


def supervises(pid: int, home: Path) -> bool:
    """Whether this living process is the supervisor of this home."""
    return is_alive(pid) and str(home) in _arguments(pid)


def _arguments(pid: int) -> list[str]:
    """How the process was started."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "surrogateescape").split("\0")
    except OSError:
        if _LINUX:
            return []
    told = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
    return told.stdout.split()
