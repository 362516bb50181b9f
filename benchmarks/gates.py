"""What gates and keys cost: the same drain behind a limit and in lanes, the same enqueue with a unique key.

    python -m benchmarks.gates [--rounds 3] [--jobs 30000] [--dsn URL]

In every round each shape runs on a database of its own, in turn; the ratio to the plain one of the same round is the
figure, and the median over the rounds is judged.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.stores import Postgres, postgres
from holdfast import Holdfast, Limit
from holdfast.jobs import Request, declare_tasks

KEYS = 1000
CAPACITY = 1000
"""Less than what is under way at full speed: such a limit binds, and the turnover of its slots is measured."""
ROOMY = 10_000
_PART = 5000


@dataclass(frozen=True)
class Shape:
    """One way to ask for the same no-op job, and the least ratio to the plain way."""

    name: str
    measures: str
    bar: float | None
    options: dict[str, Any]
    per_job: Callable[[Request[Any, Any], int], Request[Any, Any]] = lambda request, _n: request


SHAPES = (
    Shape("plain drain", "drain", None, {}),
    Shape(f"drain under a limit of {ROOMY}", "drain", 0.8, {"limits": [Limit("all", ROOMY)]}),
    Shape(f"drain under a limit of {CAPACITY}", "drain", None, {"limits": [Limit("all", CAPACITY)]}),
    Shape(f"drain of {KEYS} lanes", "drain", 0.5, {}, lambda request, n: request.options(lane=f"lane-{n % KEYS}")),
    Shape("plain enqueue", "enqueue", None, {}),
    Shape("unique enqueue", "enqueue", 0.7, {}, lambda request, n: request.options(unique=f"key-{n}")),
)


async def measure(shape: Shape, dsn: str, jobs: int) -> float:
    """Jobs per second."""
    app = Holdfast(dsn)
    await app.open(bring_up=True)

    @app.task(**shape.options)
    async def noop(n: int) -> None: ...

    async with app:
        await declare_tasks(app.database, app.tasks.values())
        if shape.measures == "enqueue":
            begun = perf_counter()
            for n in range(jobs // 20):
                await shape.per_job(noop, n).enqueue(n)
            return jobs / 20 / (perf_counter() - begun)
        producer = await app.producer()
        for start in range(0, jobs, _PART):
            new = [shape.per_job(noop, n)._new((n,), {}) for n in range(start, start + _PART)]  # noqa: SLF001
            await producer.enqueue_many(new)
        begun = perf_counter()
        report = await app.drain(concurrency=50)
        if report.completed != jobs:
            raise RuntimeError(f"{shape.name}: {report.completed} of {jobs} were completed")
        return jobs / (perf_counter() - begun)


def run(server: Postgres, rounds: int, jobs: int) -> dict[str, list[float]]:
    """Jobs per second of every shape, round by round."""
    found: dict[str, list[float]] = {shape.name: [] for shape in SHAPES}
    for turn in range(rounds):
        for shape in SHAPES:
            name = f"bench_gates_{turn}_{SHAPES.index(shape)}"
            dsn = server.create(name)
            try:
                found[shape.name].append(asyncio.run(measure(shape, dsn, jobs)))
            finally:
                server.drop(name)
    return found


def main() -> int:
    """Measure, show, and fail where a bar is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gates", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=30_000)
    parser.add_argument("--dsn", help="measure on this server instead of one of our own")
    options = parser.parse_args()
    with postgres(options.dsn) as server:
        found = run(server, options.rounds, options.jobs)
    table = Table("shape", "jobs/s", "ratio", "bar")
    met = True
    base: list[float] = []
    for shape in SHAPES:
        if shape.name.startswith("plain"):
            base = found[shape.name]
        ratio = statistics.median(value / plain for value, plain in zip(found[shape.name], base, strict=True))
        met = met and ratio >= (shape.bar or 0)
        table.add_row(shape.name, f"{statistics.median(found[shape.name]):,.0f}", f"{ratio:.2f}", f"{shape.bar or ''}")
    Console().print(table)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
