"""How a worker tells its supervisor what it has executed, at a price small enough not to be measured.

Every process that runs handlers maps one small file and rewrites three numbers in it: how many jobs it has
executed, when the first one started and when the last one ended. The supervisor reads the files; no pipe, no
database, no lock. The clock is the machine's monotonic clock, so times of different processes compare.
"""

from __future__ import annotations

import functools
import mmap
import os
import struct
import threading
import time
from array import array
from pathlib import Path
from typing import Any, NamedTuple

_SLOT = struct.Struct("<Qdd")
TALLY_DIRECTORY = "BENCHMARK_TALLY"
RECORD_LATENCY = "BENCHMARK_LATENCY"


class Reading(NamedTuple):
    """The sum over all worker processes."""

    executed: int
    first: float
    last: float


class Tally:
    """The writing side, one per process; safe to create before a fork, because each process opens its own file."""

    def __init__(self, directory: str | None = None) -> None:
        self._directory = Path(directory or os.environ[TALLY_DIRECTORY])
        self._record = bool(os.environ.get(RECORD_LATENCY))
        self._pid = 0
        self._count = 0
        self._first = 0.0
        self._map: mmap.mmap | None = None
        # Some peers run handlers in threads.
        self._lock = threading.Lock()

    def hit(self, payload: dict[str, Any]) -> None:
        """One job has started and, being a no-op, ended."""
        now = time.monotonic()
        with self._lock:
            if self._pid != os.getpid():
                self._open(now)
            self._count += 1
            assert self._map is not None
            _SLOT.pack_into(self._map, 0, self._count, self._first, now)
            if self._record:
                self._note_wait(now - float(payload["sent"]))

    def add(self, count: int, started: float) -> None:
        """A batch of jobs that was handled without handlers (the raw limit)."""
        if self._pid != os.getpid():
            self._open(started)
        self._count += count
        assert self._map is not None
        _SLOT.pack_into(self._map, 0, self._count, self._first, time.monotonic())

    def _open(self, now: float) -> None:
        self._pid, self._count, self._first = os.getpid(), 0, now
        path = self._directory / f"{self._pid}.tally"
        path.write_bytes(bytes(_SLOT.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _SLOT.size)

    def _note_wait(self, seconds: float) -> None:
        # Appended at once: this measure is slow by design, and workers may be ended by a signal.
        with (self._directory / f"{self._pid}.waits").open("ab") as file:
            array("d", [seconds]).tofile(file)


@functools.cache
def current_tally() -> Tally:
    """The tally of this process, for systems whose handlers must stand at module level."""
    return Tally()


class Board:
    """The reading side."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self) -> Reading:
        """What all worker processes together have executed so far."""
        slots = [_SLOT.unpack(path.read_bytes()) for path in self._directory.glob("*.tally") if path.stat().st_size]
        used = [slot for slot in slots if slot[0]]
        if not used:
            return Reading(0, 0.0, 0.0)
        return Reading(sum(s[0] for s in used), min(s[1] for s in used), max(s[2] for s in used))

    def waits(self) -> list[float]:
        """Seconds from enqueue to handler start of every job, when the measure asked for them."""
        values: list[float] = []
        for path in self._directory.glob("*.waits"):
            chunk: array[float] = array("d")
            chunk.frombytes(path.read_bytes())
            values.extend(chunk)
        return values
