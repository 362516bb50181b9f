"""What every writer program shares: its command line, its window of time, its answer.

    python WRITER --dsn DSN --prepare
    python WRITER --dsn DSN --writers N --batch N --work-ms MS --seconds S

The second says "ready" and is told on stdin when to begin (UNIX time).

Each writer appends to streams of its own, `batch` events at a time, `work-ms` of other work in the same transaction.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

PAYLOAD = {"order": 4711, "customer": "c-104", "amount_cents": 2350, "note": "x" * 31}
STREAMS = 100


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--writers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--work-ms", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=2)
    return parser.parse_args()


class Window:
    """The time in which appends count; all processes of a measure share it."""

    def __init__(self, asked: argparse.Namespace) -> None:
        print("ready", flush=True)
        self.begins = float(sys.stdin.readline())
        self.ends = self.begins + asked.seconds
        self.appended = 0

    @property
    def open(self) -> bool:
        return time.time() < self.ends

    def wait(self, sleep: Callable[[float], Any]) -> Any:
        return sleep(max(0.0, self.begins - time.time()))

    def count(self, events: int) -> None:
        """Acknowledged events; late ones do not count."""
        if time.time() < self.ends:
            self.appended += events

    def answer(self) -> None:
        print(json.dumps({"events": self.appended, "late_seconds": max(0.0, time.time() - self.ends)}))
