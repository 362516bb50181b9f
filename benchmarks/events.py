"""Appends per second: the event log beside a plain INSERT into the same table and beside Python eventsourcing.

    python -m benchmarks.events [--rounds 3] [--seconds 3] [--systems raw,holdfast,eventsourcing] [--out FILE]

1, 4 and 16 writers, single events and tens, with and without 5 ms of other work. From 4 writers on two processes share
them. Rounds are interleaved; the ratios are taken inside a round.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.environments import ensure, find_interpreter, installed_version
from benchmarks.results import describe_commit, describe_machine
from benchmarks.stores import Postgres, postgres

HERE = Path(__file__).parent
SYSTEMS = {"raw": "holdfast", "holdfast": "holdfast", "eventsourcing": "eventsourcing"}
PACKAGES = {"raw": "asyncpg", "holdfast": "holdfast", "eventsourcing": "eventsourcing"}
SHAPES = [(writers, batch, work) for work in (0, 5) for batch in (1, 10) for writers in (1, 4, 16)]
_CONNECTING_SECONDS = 1.0

Shape = tuple[int, int, int]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events", description=__doc__)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--shapes", help="for example 16x1x0,16x10x5: writers x batch x ms of work")
    parser.add_argument("--dsn")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> int:
    """Measure, print, write. The exit code says whether a bar was missed."""
    asked, console = parse(), Console(width=120)
    shapes = [shape_of(text) for text in asked.shapes.split(",")] if asked.shapes else SHAPES
    interpreter = find_interpreter()
    pythons = {name: ensure(SYSTEMS[name], interpreter) for name in asked.systems.split(",")}
    rates: dict[Shape, dict[str, list[float]]] = {shape: {name: [] for name in pythons} for shape in shapes}
    with postgres(asked.dsn) as server:
        for _ in range(asked.rounds):
            for shape in shapes:
                for name, python in pythons.items():
                    try:
                        rate = measure(server, name, python, shape, asked.seconds)
                    except (OSError, ValueError, subprocess.SubprocessError) as error:
                        console.print(f"{name} {shape}: {error}", style="red", highlight=False)
                        rate = 0.0
                    rates[shape][name].append(rate)
        settings = server.settings
    versions = {name: installed_version(python, PACKAGES[name]) for name, python in pythons.items()}
    found = {
        "kind": "event appends a second",
        "commit": describe_commit(),
        "machine": describe_machine(),
        "server": settings,
        "versions": versions,
        "seconds": asked.seconds,
        "finished_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "measures": [
            {"writers": writers, "batch": batch, "work_ms": work, "rounds": rates[writers, batch, work]}
            for writers, batch, work in shapes
        ],
    }
    out = asked.out or HERE / "results" / f"{dt.datetime.now(dt.UTC):%Y-%m-%d}-{found['commit']}-events.json"
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    console.print(table_of(rates))
    console.print(str(out), highlight=False)
    return 1 if missed(rates) else 0


def shape_of(text: str) -> Shape:
    """`16x10x5`: 16 writers, 10 events an append, 5 ms of work."""
    writers, batch, work = (int(part) for part in text.split("x"))
    return writers, batch, work


def measure(server: Postgres, name: str, python: Path, shape: Shape, seconds: float) -> float:
    """Acknowledged events a second of one system, in a database of its own."""
    writers, batch, work = shape
    program, database = str(HERE / "event_writers" / f"{name}_.py"), f"bench_events_{name}_{os.getpid()}"
    dsn = server.create(database)
    here = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    try:
        subprocess.run([python, program, "--dsn", dsn, "--prepare"], check=True, env=here, stdout=subprocess.DEVNULL)
        server.checkpoint()
        shares = [writers] if writers < 4 else [writers // 2, writers - writers // 2]
        flags = ["--batch", str(batch), "--work-ms", str(work), "--seconds", str(seconds)]
        command = [str(python), program, "--dsn", dsn, *flags, "--writers"]
        processes = [
            subprocess.Popen([*command, str(share)], env=here, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for share in shares
        ]
        try:
            return run_together(processes) / seconds
        finally:
            for process in processes:
                process.kill()
    finally:
        server.drop(database)


def run_together(processes: list[subprocess.Popen[str]]) -> float:
    """Wait until all of them are ready, tell them one moment to begin at, and sum what they have appended."""
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    begins = f"{time.time() + _CONNECTING_SECONDS}\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(begins)
        process.stdin.flush()
    return sum(float(json.loads(process.communicate()[0])["events"]) for process in processes)


def ratio(rounds: dict[str, list[float]], other: str) -> float | None:
    """The median over the rounds of Holdfast's figure by another's."""
    pairs = zip(rounds.get("holdfast", []), rounds.get(other, []), strict=True) if rounds.get(other) else ()
    found = [ours / theirs for ours, theirs in pairs if theirs]
    return statistics.median(found) if found else None


def missed(rates: dict[Shape, dict[str, list[float]]]) -> list[str]:
    """Bars for single events without other work: 0.6 of raw with 1 and 16 writers, 3 times the peer with 16."""
    bars: list[tuple[Shape, str, float]] = [((1, 1, 0), "raw", 0.6), ((16, 1, 0), "raw", 0.6)]
    bars.append(((16, 1, 0), "eventsourcing", 3.0))
    return [
        f"{shape}: {found:.2f} of {other}, bar {bar}"
        for shape, other, bar in bars
        if shape in rates and (found := ratio(rates[shape], other)) is not None and found < bar
    ]


def table_of(rates: dict[Shape, dict[str, list[float]]]) -> Table:
    """A line per shape."""
    table = Table(box=box.SIMPLE, title="events appended a second (median of rounds)")
    names = list(next(iter(rates.values())))
    for column in ("writers", "batch", "work ms", *names, "of raw", "by eventsourcing"):
        table.add_column(column, justify="right")
    for (writers, batch, work), rounds in rates.items():
        figures = [f"{statistics.median(rounds[name]):,.0f}" for name in names]
        ratios = [ratio(rounds, other) for other in ("raw", "eventsourcing")]
        shown = ["" if found is None else f"{found:.2f}" for found in ratios]
        table.add_row(str(writers), str(batch), str(work), *figures, *shown)
    return table


if __name__ == "__main__":
    sys.exit(main())
