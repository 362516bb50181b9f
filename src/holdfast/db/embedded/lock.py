"""Election by flock: the kernel gives the lock back when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from weakref import WeakSet

from holdfast.db.embedded.deadline import Deadline
from holdfast.errors import EmbeddedServerError


class FileLock:
    """An exclusive lock on a file that names its holder's pid."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, deadline: Deadline) -> bool:
        """Try until the deadline; False when somebody else kept it."""
        descriptor = _open(self.path, os.O_RDWR | os.O_CREAT)
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
        _held.add(self)
        return True

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            self.forget()

    def forget(self) -> None:
        """Close our side without a word; in a forked child the lock stays with the parent, and dies with it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        _held.discard(self)


_held: WeakSet[FileLock] = WeakSet()


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


# A forked child would otherwise keep the lock alive beyond its owner.
os.register_at_fork(after_in_child=_forget_all)


def lock_is_held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    if not path.exists():
        return False
    descriptor = _open(path, os.O_RDWR)
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


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags, 0o600)
    except PermissionError as error:
        raise EmbeddedServerError(
            f"the server in {path.parent} belongs to another user: {error.strerror} on {path}",
            remedy="run as the user who started it first, or use another directory",
        ) from error
