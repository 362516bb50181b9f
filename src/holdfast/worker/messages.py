"""What supervisor and worker process tell each other: one JSON object a line.

=========== ====================== ===============================================================================
worker       hello                  its facts; answered by ``registered``
             tick                   twice a second, from a thread that only the interpreter's lock can stop
             bye                    everything is given back; answered by ``gone``
supervisor   registered             the number, and the silence after which it is taken for dead
             beat                   a beat sent ``at`` was accepted; a machine has one monotonic time
             cut_off                the database is out of reach; the next beat says that it is back
             lost                   declared dead, with the reason
             gone                   the farewell was said
=========== ====================== ===============================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from msgspec.structs import asdict

from holdfast.leases import WorkerFacts


class Lines:
    """Puts messages together from the pieces that a stream delivers."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The messages that are complete with ``data``."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield json.loads(line)


def encode(message: dict[str, Any]) -> bytes:
    """A message as its line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def facts_to_message(facts: WorkerFacts) -> dict[str, Any]:
    """Facts as JSON can hold them."""
    return asdict(facts)


def facts_from_message(message: dict[str, Any]) -> WorkerFacts:
    """The facts that were sent."""
    return WorkerFacts(**{**message, "queues": tuple(message["queues"])})
