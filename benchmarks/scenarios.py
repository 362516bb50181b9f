"""Costs that must not grow: the drain once more, under circumstances that have slowed other queues down.

    python -m benchmarks.scenarios [--systems raw,holdfast] [--scenarios …] [--rounds 3] [--seconds 10] [--scale 1]

In every round each system drains a normal backlog and then one under each circumstance; the ratio of the two, taken in
the same round, is the figure. `--scale 0.01` makes the circumstances a hundred times smaller, to see that they work.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import statistics
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import psycopg
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.environments import EnvironmentFailed, ensure, find_interpreter, installed_version
from benchmarks.results import Record, describe_commit, describe_machine, write
from benchmarks.rounds import AdapterFailed, call
from benchmarks.stores import Postgres, postgres
from benchmarks.systems import SYSTEMS, System
from holdfast.db import load_statements

RESULTS = Path(__file__).parent / "results"
_STATEMENTS = load_statements("benchmarks", "scenarios.sql")


@dataclass(frozen=True)
class Scenario:
    """One circumstance."""

    name: str
    title: str
    #: The least ratio to a normal drain of the same round.
    bar: float
    #: Statements run once after the backlog was filled, with their number of rows before scaling.
    setup: tuple[tuple[str, int | None], ...] = ()
    #: Statements of a transaction that stays open while the drain runs.
    held: tuple[str, ...] = ()
    #: How many backlogs are drained in a row; the last one counts.
    backlogs: int = 1
    #: Variables the system runs with.
    environment: Mapping[str, str] = field(default_factory=dict)


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario("finished", "5 M finished jobs kept", 0.9, setup=(("keep_finished", 5_000_000),)),
            Scenario("scheduled", "1 M jobs scheduled", 0.9, setup=(("schedule_for_next_year", 1_000_000),)),
            Scenario("queues", "1,000 other queues", 0.9, setup=(("other_queues", 1000),)),
            Scenario(
                "partitions",
                "one year of partitions",
                0.9,
                setup=(("year_of_partitions_function", None), ("year_of_partitions", 52)),
                # Kept for a year: at the default of 30 days the worker would spend the drain dropping them.
                environment=MappingProxyType({"HOLDFAST_RETENTION_DAYS": "366"}),
            ),
            Scenario(
                "snapshot",
                "an old snapshot held, third backlog in a row",
                0.8,
                held=("hold_snapshot",),
                backlogs=3,
            ),
            Scenario(
                "locks",
                "an application transaction that holds what it can",
                0.9,
                setup=(("hold_locks_again", None),),
                held=("hold_locks_tables", "hold_locks_enqueue", "hold_locks_again"),
            ),
        )
    }
)


@dataclass
class Bench:
    """What every drain of this run shares."""

    server: Postgres
    pythons: Mapping[str, Path]
    seconds: float
    scale: float

    def drain(self, system: System, scenario: Scenario | None) -> float:
        """Jobs per second of the last backlog under the circumstance; None: a normal one."""
        name = f"bench_scenario_{system.name}_{os.getpid()}"
        dsn = self.server.create(name)
        try:
            self._adapter(system, dsn, "drain", "--prepare")
            for statement, rows in scenario.setup if scenario else ():
                self._set_up(dsn, statement, rows)
            self.server.analyze(dsn)
            if scenario is None:
                return self._adapter(system, dsn, "drain")
            with self._held(dsn, scenario.held):
                value = self._adapter(system, dsn, "drain", patience=3, environment=scenario.environment)
                for _ in range(scenario.backlogs - 1):
                    self._adapter(system, dsn, "drain", "--prepare", "--refill")
                    value = self._adapter(system, dsn, "drain", patience=3, environment=scenario.environment)
            return value
        finally:
            self.server.drop(name)

    def multixact_members(self, system: System) -> float:
        """Members made by the transactional completions of one backlog, per 100 000."""
        name = f"bench_members_{system.name}_{os.getpid()}"
        dsn = self.server.create(name)
        try:
            self._adapter(system, dsn, "transactional", "--prepare")
            before = self._members(dsn)
            self._adapter(system, dsn, "transactional", patience=10)
            return (self._members(dsn) - before) * 100_000 / self._jobs(system, "transactional")
        finally:
            self.server.drop(name)

    def _jobs(self, system: System, measure: str) -> int:
        # Transactional jobs cost a commit each: as many as take about the same time.
        return int(system.jobs_per_second * self.seconds) // (20 if measure == "transactional" else 1)

    def _adapter(
        self,
        system: System,
        dsn: str,
        measure: str,
        *flags: str,
        patience: float = 1,
        environment: Mapping[str, str] | None = None,
    ) -> float:
        jobs = self._jobs(system, measure)
        command = [str(self.pythons[system.name]), str(system.adapter), measure, "--dsn", dsn]
        timeout = (180 + 10 * self.seconds) * patience
        answer = call([*command, "--jobs", str(jobs), *flags], timeout, environment)
        return float(answer.get("value", 0.0))

    def _set_up(self, dsn: str, statement: str, rows: int | None) -> None:
        text = _STATEMENTS[statement].sql
        with psycopg.connect(dsn, autocommit=True) as connection:
            if rows is None:
                connection.execute(text)
            else:
                connection.execute(text.replace("%", "%%").replace("$1", "%s"), (max(1, int(rows * self.scale)),))

    @contextmanager
    def _held(self, dsn: str, statements: tuple[str, ...]) -> Iterator[None]:
        """A transaction that is open for as long as the block; it rolls back, so it leaves nothing behind."""
        if not statements:
            yield
            return
        with psycopg.connect(dsn) as connection:
            connection.isolation_level = (
                psycopg.IsolationLevel.REPEATABLE_READ if "hold_snapshot" in statements else None
            )
            for statement in statements:
                connection.execute(_STATEMENTS[statement].sql)
            yield
            connection.rollback()

    def _members(self, dsn: str) -> int:
        with psycopg.connect(dsn, autocommit=True) as connection:
            self.server.checkpoint()
            row = connection.execute(_STATEMENTS["multixact_members"].sql).fetchone()
        return int(row[0]) if row else 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenarios", description=__doc__)
    parser.add_argument("--systems", default="raw,holdfast")
    parser.add_argument("--scenarios", default=",".join((*SCENARIOS, "multixact")))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--dsn")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> int:
    """Run, print, write. The exit code says whether Holdfast missed a bar or a drain failed."""
    options, console, interpreter = parse(), Console(), find_interpreter()
    systems = [SYSTEMS[name] for name in options.systems.split(",")]
    out = options.out or RESULTS / f"{dt.datetime.now(dt.UTC):%Y-%m-%d}-{describe_commit()}-scenarios.json"
    pythons = {system.name: ensure(system.environment, interpreter) for system in systems}
    versions = {system.name: installed_version(pythons[system.name], system.package) for system in systems}
    with postgres(options.dsn) as server:
        bench = Bench(server, pythons, options.seconds, options.scale)
        rates, errors = measure(console, bench, systems, options)
        settings = {"seconds": options.seconds, "scale": options.scale}
        records = make_records(rates, errors, versions, settings, server.settings)
    write(records, out)
    show(console, records)
    console.print(f"\n{out}", highlight=False)
    return 0 if all(record.value is not None for record in records) else 1


Rates = dict[tuple[str, str], list[tuple[float, float]]]
Errors = dict[tuple[str, str], str]


def measure(console: Console, bench: Bench, systems: list[System], options: argparse.Namespace) -> tuple[Rates, Errors]:
    """All rounds; a pair is the figure and the normal drain of the same round, taken just before."""
    rates: Rates = {}
    errors: Errors = {}
    for number in range(1, options.rounds + 1):
        for name in options.scenarios.split(","):
            for system in systems:
                key = (name, system.name)
                try:
                    if name == "multixact":
                        pair = (bench.multixact_members(system), 1.0)
                    else:
                        normal = bench.drain(system, None)
                        pair = (bench.drain(system, SCENARIOS[name]), normal)
                    rates.setdefault(key, []).append(pair)
                    console.print(f"round {number}  {name:12} {system.name:10} {pair[0]:>10,.0f}", highlight=False)
                except (AdapterFailed, psycopg.Error) as error:
                    errors[key] = str(error)
                    console.print(f"round {number}  {name:12} {system.name:10} [red]{error}[/]", highlight=False)
    return rates, errors


def make_records(
    rates: Rates, errors: Errors, versions: Mapping[str, str], settings: Mapping[str, float], server: Mapping[str, str]
) -> list[Record]:
    """The figures; the ratio to a normal drain stands among the costs."""
    records = []
    for name, system in dict.fromkeys((*rates, *errors)):
        pairs = rates.get((name, system), [])
        values = tuple(value for value, _ in pairs)
        ratios = [value / normal for value, normal in pairs if normal]
        members = name == "multixact"
        records.append(
            Record(
                measure=f"scenario_{name}",
                system=system,
                version=versions[system],
                value=statistics.median(values) if values else None,
                unit="members per 100,000" if members else "jobs/s",
                rounds=values,
                ratio_to_raw=None,
                ratio_to_raw_range=None,
                settings=settings,
                costs={} if members or not ratios else {"ratio_to_normal": statistics.median(ratios)},
                errors=(errors[name, system],) if (name, system) in errors else (),
                commit=describe_commit(),
                machine=describe_machine(),
                server=server,
                finished_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            )
        )
    return records


def show(console: Console, records: list[Record]) -> None:
    """One line a circumstance and system, with the bar."""
    table = Table(title="Drains under circumstances", box=box.SIMPLE_HEAD)
    for title, justify in (("circumstance", "left"), ("system", "left"), ("figure", "right"), ("of normal", "right")):
        table.add_column(title, justify="right" if justify == "right" else "left")
    table.add_column("bar")
    for record in records:
        scenario = SCENARIOS.get(record.measure.removeprefix("scenario_"))
        ratio = record.costs.get("ratio_to_normal")
        found = "failed" if record.value is None else f"{record.value:,.0f} {record.unit}"
        if scenario is None:
            table.add_row("multixact members", record.system, found, "", _mark(record.value == 0, "0"))
            continue
        met = ratio is not None and ratio >= scenario.bar
        share = "" if ratio is None else f"{ratio:.2f}"
        table.add_row(scenario.title, record.system, found, share, _mark(met, f">= {scenario.bar:g}"))
    console.print(table)


def _mark(met: bool, bar: str) -> str:  # noqa: FBT001  (private, two callers)
    return f"{bar} [green]met[/]" if met else f"{bar} [red]missed[/]"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EnvironmentFailed as error:
        sys.exit(f"benchmarks: {error}")
