"""What every adapter fills in, and the measures that are the same for all of them.

An adapter is one small file: it says how to install the system's schema, how to enqueue, how to run a worker and
how to count what is unfinished. The measures live in `measures.py`; nothing here knows any system by name.

    python adapter.py MEASURE --prepare --dsn DSN --jobs N     install the schema and fill the backlog, untimed
    python adapter.py MEASURE --dsn DSN --jobs N --seconds S   measure, print one line of JSON
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlsplit

from tally import Tally

QUEUE = "bench"
PAYLOAD_BYTES = 100
SETTINGS = "BENCHMARK_SETTINGS"
DSN = "BENCHMARK_DSN"
MEASURE = "BENCHMARK_MEASURE"


class Unsupported(Exception):
    """The system has no such operation; said in the report instead of a figure."""


class Adapter:
    """One system under measurement."""

    #: Sync client libraries: concurrent enqueues come from threads instead of coroutines.
    blocking: ClassVar[bool] = False
    #: Whether the processes of this system run on uvloop.
    uvloop: ClassVar[bool] = True
    #: What is configured unless `--set name=value` says otherwise; published beside the figures.
    defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, dsn: str, overrides: dict[str, Any] | None = None) -> None:
        self.dsn = dsn
        self.measure = os.environ.get(MEASURE, "")
        self.settings: dict[str, Any] = {**self.defaults, **(overrides or {})}

    async def install(self) -> None:
        """Create the system's schema in an empty database."""
        raise NotImplementedError

    async def connect(self, connections: int) -> None:
        """Get ready to enqueue over at most so many connections."""
        raise NotImplementedError

    async def close(self) -> None:
        """Give up what `connect` opened."""

    async def enqueue(self, payload: dict[str, Any]) -> None:
        """Enqueue one job and return when the system has acknowledged it."""
        self.enqueue_blocking(payload)

    def enqueue_blocking(self, payload: dict[str, Any]) -> None:
        """The same for sync client libraries."""
        raise NotImplementedError

    async def enqueue_many(self, payloads: list[dict[str, Any]]) -> None:
        """Enqueue all in one call."""
        raise Unsupported("no bulk enqueue")

    async def fill(self, payloads: list[dict[str, Any]]) -> None:
        """Fill the backlog before a drain, by whatever is quickest; untimed."""
        try:
            await self.enqueue_many(payloads)
        except Unsupported:
            for payload in payloads:
                await self.enqueue(payload)

    async def unfinished(self) -> int:
        """How many jobs the store knows as not finished: the proof that work was really done and recorded."""
        raise NotImplementedError

    async def ready(self) -> None:
        """Wait until the worker listens, for a system that loses what it enqueues before."""

    async def work(self, tally: Tally, stop: asyncio.Event) -> None:
        """Run one worker process until `stop` is set."""
        raise NotImplementedError

    def worker_command(self) -> list[str] | None:
        """A command that runs one worker process instead of `work`; it is ended by SIGTERM."""
        return None


def make_payload(number: int, sent: float = 0.0) -> dict[str, Any]:
    """The argument of every job: a JSON object of exactly 100 bytes as `json.dumps` writes it."""
    payload: dict[str, Any] = {"number": number, "sent": sent, "padding": ""}
    payload["padding"] = "x" * max(0, PAYLOAD_BYTES - len(json.dumps(payload)))
    return payload


def settings_from_environment() -> dict[str, Any]:
    """Overrides handed on to worker processes, whichever way they are started."""
    overrides: dict[str, Any] = json.loads(os.environ.get(SETTINGS, "{}"))
    return overrides


def percent_encoded(dsn: str) -> str:
    """The same address with the socket directory as host, for drivers that know no `?host=`."""
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    if "host" not in query:
        return dsn
    user = parts.netloc.rpartition("@")[0]
    return f"{parts.scheme}://{user}@{quote(query['host'], safe='')}:{query.get('port', 5432)}{parts.path}"


def sql(name: str, file: str = "checks.sql") -> str:
    """One named section of a `.sql` file beside this one."""
    text = (Path(__file__).parent / file).read_text(encoding="utf-8")
    for section in text.split("-- name: ")[1:]:
        head, _, body = section.partition("\n")
        if head.strip() == name:
            return "\n".join(line for line in body.splitlines() if not line.startswith("--")).strip().rstrip(";")
    raise KeyError(name)


def run(adapter: Adapter, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run on the event loop the adapter asks for."""
    if adapter.uvloop:
        with contextlib.suppress(ImportError):
            import uvloop

            return uvloop.run(main())
    return asyncio.run(main())


def stop_when_input_closes(stop: asyncio.Event) -> None:
    """A worker lives as long as its supervisor holds the other end of its standard input."""

    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            stop.set()

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), readable)
