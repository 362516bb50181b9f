"""Election by flock: the kernel gives the lock back when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from holdfast.db.embedded.deadline import Deadline


class FileLock:
    """An exclusive lock on a file that names its holder's pid."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, deadline: Deadline) -> bool:
        """Try until the deadline; False when somebody else kept it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if deadline.passed:
                    os.close(descriptor)
                    return False
                deadline.pause(0.02)
            else:
                break
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def lock_is_held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        # A shared try: two onlookers do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def lock_holder(path: Path) -> int | None:
    """The pid its holder wrote into the lock, if it is held."""
    if not lock_is_held(path):
        return None
    text = path.read_text(encoding="ascii").strip()
    return int(text) if text.isdigit() else None
