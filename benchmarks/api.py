"""How long every list of the API takes on a database that has been busy for four weeks.

    python -m benchmarks.api [--finished 5000000] [--waiting 1000000] [--requests 40] [--dsn URL]

A process serves the API as `holdfast api` does; this one asks over HTTP, one connection, one request after another. The
figure of a list is the 95th percentile over its requests; the bar is 150 ms. Exit status 1 when one is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter, sleep

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.api_store import fill, some_jobs
from benchmarks.stores import postgres
from holdfast import Holdfast

BAR_SECONDS = 0.150
_START_SECONDS = 30


@dataclass(frozen=True)
class Look:
    """One thing that the dashboard asks for."""

    name: str
    path: str
    params: dict[str, str | int]


def looks(jobs: dict[str, int]) -> list[Look]:
    """Every list and page, with the filters that the dashboard offers."""
    filters = {
        "all": "",
        **{
            f"state={s}": f"state={s}"
            for s in ("scheduled", "blocked", "ready", "running", "completed", "failed", "cancelled")
        },
        "queue": "queue=mail",
        "queue, state": "queue=images state=completed",
        "task": "task=task_3 state=failed",
        "rare queue": "queue=rare",
        "rare queue, ready": "queue=small_17 state=ready",
        "nobody's queue": "queue=nobody",
        "nobody's task": "state=completed task=nobody",
        "text in errors": 'error~"user 12345"',
        "type of error": "error=KeyError state=failed",
        "no such error": "error=Nothing state=failed",
        "argument": "args.user_id=4999000",
        "no such argument": "args.user_id=nobody",
        "priority": "priority<3 state=ready",
        "age": "age>7d",
        "ended": "ended<1h state=failed",
        "due": "due<2d state=scheduled",
        "id": f"id={jobs['completed']}",
    }
    found = [Look(f"jobs {name}", "/jobs", {"filter": text}) for name, text in filters.items()]
    found += [Look(f"job {name}", f"/jobs/{job}", {}) for name, job in jobs.items()]
    found += [Look(f"why {name}", f"/jobs/{job}/why", {}) for name, job in jobs.items()]
    found += [
        Look(name, f"/{name}", {})
        for name in ("queues", "failures", "operations", "limits", "batches", "tasks", "filter", "jobs/counts")
    ]
    found.append(Look("queue mail", "/queues/show", {"name": "mail"}))
    found.append(Look("counts of mail", "/jobs/counts", {"queue": "mail"}))
    return found


def measure(client: httpx.Client, look: Look, requests: int) -> list[float]:
    """Seconds of each request, pages of a list one after another; the first is not counted."""
    seconds, params = [], dict(look.params)
    for _ in range(requests + 1):
        begun = perf_counter()
        answer = client.get(look.path, params=params)
        seconds.append(perf_counter() - begun)
        answer.raise_for_status()
        following = answer.json().get("next") if isinstance(answer.json(), dict) else None
        params = {**look.params, **({"cursor": following} if following else {})}
    return seconds[1:]


@contextlib.contextmanager
def served(dsn: str) -> Iterator[str]:
    """A process that serves the API of this database; its address."""
    environment = {**os.environ, "HOLDFAST_DATABASE_URL": dsn, "HOLDFAST_API_RATE": "100000/second"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with httpx.Client() as probe:
        process = subprocess.Popen(
            [sys.executable, "-m", "holdfast.cli", "api", "--port", str(port)],
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        try:
            give_up_at = perf_counter() + _START_SECONDS
            while perf_counter() < give_up_at and process.poll() is None:
                with contextlib.suppress(httpx.HTTPError):
                    if probe.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                        break
                sleep(0.1)
            else:
                raise RuntimeError(f"the API did not start: {process.poll()}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def report(found: dict[str, list[float]], console: Console) -> bool:
    """Print a line for each look; whether all are below the bar."""
    lines = Table("look", "p50 ms", "p95 ms", "worst ms", "")
    good = True
    for name, seconds in found.items():
        p95 = statistics.quantiles(seconds, n=20)[18]
        missed = p95 > BAR_SECONDS
        good = good and not missed
        shown = [f"{value * 1000:.1f}" for value in (statistics.median(seconds), p95, max(seconds))]
        lines.add_row(name, *shown, "above the bar" if missed else "")
    console.print(lines)
    return good


def main() -> int:
    """Fill, serve, ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finished", type=int, default=5_000_000)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--dsn", help="a database to fill and to ask; what is filled stays as it is")
    given = parser.parse_args()
    console = Console()
    with postgres(given.dsn) as server:
        dsn = given.dsn or server.create("bench_api")
        asyncio.run(Holdfast(dsn).migrate())
        fill(dsn, finished=given.finished, waiting=given.waiting, console=console)
        with served(dsn) as address, httpx.Client(base_url=f"{address}/api/v1", timeout=30) as client:
            found = {look.name: measure(client, look, given.requests) for look in looks(some_jobs(dsn))}
    return 0 if report(found, console) else 1


if __name__ == "__main__":
    sys.exit(main())
