"""Which process is meant: a name for one life of one process, that can be looked up later on the same machine."""

from __future__ import annotations

import importlib.metadata
import os
import socket
import sys
import uuid
from functools import cache
from pathlib import Path

from msgspec import Struct, field

_LINUX = sys.platform.startswith("linux")
_ENDED = ("Z", "X", "x")


class ProcessLook(Struct, frozen=True):
    """What the kernel says about a process: its state letter, CPU time used, and start in clock ticks since boot."""

    state: str
    cpu_seconds: float
    start_ticks: int

    @property
    def stopped(self) -> bool:
        """Whether it was stopped by a signal or a debugger; it does nothing until continued."""
        return self.state in ("T", "t")

    @property
    def ended(self) -> bool:
        """Whether only its entry is left, waiting for the parent."""
        return self.state in _ENDED


def look_at(pid: int) -> ProcessLook | None:
    """Look at a process of this pid namespace; ``None`` when there is none, or the platform does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may itself hold blanks and parentheses.
    fields = stat.rpartition(")")[2].split()
    cpu_ticks = int(fields[11]) + int(fields[12])
    return ProcessLook(fields[0], cpu_ticks / os.sysconf("SC_CLK_TCK"), int(fields[19]))


def incarnation_of(pid: int) -> str:
    """The name of this one life of this process: boot, pid namespace, pid and start time.

    Where the platform does not tell these, a name that nobody can look up: others then judge by beats alone.
    """
    machine, look = _machine(), look_at(pid)
    if machine is None or look is None:
        return f"opaque:{uuid.uuid4()}"
    return f"{machine}:{pid}:{look.start_ticks}"


def still_exists(host: str, incarnation: str) -> bool | None:  # noqa: ARG001  (names are not proof; kept for readers)
    """Whether that very process still runs; ``None`` when it cannot be known from here.

    Only a process of the same boot and pid namespace can be known. The host's name proves nothing: containers and
    cloned machines share names.
    """
    machine, _, process = incarnation.rpartition(":")[0].rpartition(":")
    if not machine or machine != _machine():
        return None
    pid, start_ticks = int(process), int(incarnation.rpartition(":")[2])
    try:
        os.kill(pid, 0)  # unlike /proc, it sees processes of other users under hidepid
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    look = look_at(pid)
    if look is None:
        return None
    return look.start_ticks == start_ticks and not look.ended


@cache
def _version() -> str:
    try:
        return importlib.metadata.version("holdfast")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"  # run from its sources


class WorkerFacts(Struct, frozen=True):
    """What a worker says about itself when it registers; the rest is found out about this process."""

    name: str
    queues: tuple[str, ...]
    concurrency: int
    version: str = field(default_factory=_version)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    incarnation: str = field(default_factory=lambda: incarnation_of(os.getpid()))


@cache
def _machine() -> str | None:
    """Boot id and pid namespace of this process; together they say in which world a pid has its meaning."""
    if not _LINUX:
        return None
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink()).partition("[")[2].rstrip("]")
    except OSError:
        return None
    return f"linux:{boot}:{namespace}" if boot and namespace else None
