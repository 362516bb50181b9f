"""Which process is meant: a name for one life of one process, that can be looked up later on the same machine."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

_LINUX = sys.platform.startswith("linux")
_ENDED = ("Z", "X", "x")


@dataclass(frozen=True, slots=True)
class ProcessLook:
    """What the kernel says about a process: its state letter, CPU time used and start, both in clock ticks."""

    state: str
    cpu_ticks: int
    start_ticks: int

    @property
    def stopped(self) -> bool:
        """Whether it was stopped by a signal or a debugger; it does nothing until continued."""
        return self.state in ("T", "t")

    @property
    def ended(self) -> bool:
        """Whether only its entry is left, waiting for the parent."""
        return self.state in _ENDED


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What a worker says about itself when it registers."""

    name: str
    queues: tuple[str, ...]
    concurrency: int
    version: str
    host: str
    pid: int
    incarnation: str

    @classmethod
    def of_this_process(cls, *, name: str, queues: tuple[str, ...], concurrency: int, version: str) -> Self:
        """The facts of a worker that runs in this process."""
        pid = os.getpid()
        return cls(
            name=name,
            queues=queues,
            concurrency=concurrency,
            version=version,
            host=socket.gethostname(),
            pid=pid,
            incarnation=incarnation_of(pid),
        )


def look_at(pid: int) -> ProcessLook | None:
    """Look at a process of this pid namespace; ``None`` when there is none, or the platform does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may itself hold blanks and parentheses.
    fields = stat.rpartition(")")[2].split()
    return ProcessLook(state=fields[0], cpu_ticks=int(fields[11]) + int(fields[12]), start_ticks=int(fields[19]))


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
