"""The records as tables for a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.bars import judge
from benchmarks.results import Record, number
from benchmarks.systems import SYSTEMS

COLUMNS = {
    "enqueue_single": "enqueue\nsingle",
    "enqueue_concurrent": "enqueue\n100 callers",
    "enqueue_bulk": "enqueue\nby 1000",
    "drain": "drain\n1 worker",
    "drain_2": "drain\n2 workers",
    "produce_and_drain": "produce\nand drain",
    "latency_p50": "latency\np50 ms",
    "latency_p99": "latency\np99 ms",
}
COSTS = {
    "wal_bytes_per_job": "WAL B/job",
    "commits_per_job": "commits/job",
    "client_cpu_seconds": "client CPU s",
    "server_cpu_seconds": "server CPU s",
    "client_peak_mb": "client peak MB",
}


def show(console: Console, records: list[Record]) -> None:
    """Rates and latencies, then what they cost, then the bars, then what went wrong."""
    _rates(console, records)
    for measure in ("drain", "produce_and_drain"):
        _costs(console, records, measure)
    _bars(console, records)
    _errors(console, records)


def _systems(records: list[Record]) -> list[str]:
    present = {record.system for record in records}
    return [name for name in SYSTEMS if name in present]


def _rates(console: Console, records: list[Record]) -> None:
    cells = {(record.system, record.measure): record for record in records}
    measured = [measure for measure in COLUMNS if any(key[1] == measure for key in cells)]
    # As many columns side by side as the terminal has room for.
    at_once = max(1, (console.width - 18) // 20)
    for start in range(0, len(measured), at_once):
        _rates_of(console, records, cells, measured[start : start + at_once])


def _rates_of(console: Console, records: list[Record], cells: dict[tuple[str, str], Record], shown: list[str]) -> None:
    table = Table(
        title="Jobs per second; below each figure the range of the rounds and the ratio to raw", box=box.SIMPLE_HEAD
    )
    table.add_column("system", no_wrap=True)
    for measure in shown:
        table.add_column(COLUMNS[measure], justify="right", no_wrap=True)
    for system in _systems(records):
        version = next(record.version for record in records if record.system == system)
        head = Text.assemble((system, "bold" if system == "holdfast" else ""), (f"\n{version}", "dim"))
        table.add_row(head, *(_cell(cells.get((system, measure))) for measure in shown))
    console.print(table)


def _cell(record: Record | None) -> Text:
    if record is None or record.value is None:
        lacking = record is None or record.measure in SYSTEMS[record.system].lacks
        return Text("-" if lacking else "failed", style="dim")
    ratio = "" if record.ratio_to_raw is None or record.system == "raw" else f"  {record.ratio_to_raw:.2f}x"
    span = f"{number(record.low)}-{number(record.high)}" if len(record.rounds) > 1 else ""
    return Text.assemble(number(record.value), (f"\n{span}{ratio}", "dim"))


def _costs(console: Console, records: list[Record], measure: str) -> None:
    chosen = [record for record in records if record.measure == measure and record.costs]
    if not chosen:
        return
    table = Table(title=f"What it cost: {measure}", box=box.SIMPLE_HEAD)
    table.add_column("system")
    for title in COSTS.values():
        table.add_column(title, justify="right")
    for record in sorted(chosen, key=lambda record: list(SYSTEMS).index(record.system)):
        table.add_row(record.system, *(number(record.costs[n]) if n in record.costs else "-" for n in COSTS))
    console.print(table)


def _bars(console: Console, records: list[Record]) -> None:
    if not any(record.system == "holdfast" and record.value is not None for record in records):
        return
    table = Table(title="The bars", box=box.SIMPLE_HEAD)
    for title in ("bar", "found", ""):
        table.add_column(title)
    for verdict in judge(records):
        mark = {True: "[green]met[/]", False: "[red]missed[/]", None: "[dim]-[/]"}[verdict.met]
        table.add_row(verdict.bar, verdict.found, mark)
    console.print(table)


def _errors(console: Console, records: list[Record]) -> None:
    for record in records:
        for error in record.errors:
            if record.measure not in SYSTEMS[record.system].lacks:
                # The whole of it stands in the JSON file.
                last = (error.splitlines() or [""])[-1]
                console.print(Text(f"{record.system} {record.measure}: ", style="red") + Text(last, style="dim"))
